//! What came of a test, and the table of all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::plan::Stage;

/// A test writes this, the number of its nodes, a bar, and what it has checked.
const CHECKED: &str = "checked: ";

/// Lines of its output that are shown where a test fails.
const TAIL: usize = 25;

/// A test that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    stage: &'static str,
    name: String,
    took: Duration,
    nodes: String,
    checked: String,
    pub(super) failure: Option<String>,
    output: PathBuf,
}

impl Finished {
    pub(super) fn new(stage: &'static str, name: &str, took: Duration, output: &Path, failure: Option<String>) -> Self {
        let log = std::fs::read(output.join("test.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let (nodes, checked) = checked(&log);
        let nodes = nodes.or_else(|| agents_in(output)).map_or_else(|| "-".to_owned(), |nodes| nodes.to_string());
        // Names are sentences: most tests need say no more.
        let sentence = || name.rsplit("::").next().unwrap_or_default().replace('_', " ");
        let checked = if checked.is_empty() { sentence() } else { checked };
        Self { stage, name: name.to_owned(), took, nodes, checked, failure, output: output.to_owned() }
    }

    /// For the moment it ends.
    pub(super) fn line(&self) -> String {
        let (name, took) = (format!("{}::{}", self.stage, self.name), seconds(self.took));
        let Some(failure) = &self.failure else { return format!("ok      {name} ({took})") };
        let log = std::fs::read(self.output.join("test.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail: String =
            lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| format!("    {line}\n")).collect();
        format!("FAILED  {name} ({took}): {failure}\n{tail}    what its nodes wrote: {}", self.output.display())
    }

    /// What a test wrote that passed is of no use to anybody, unless somebody wants it.
    pub(super) fn tidy_up(&self, keep: bool) {
        if !keep && self.failure.is_none() {
            let _is_cleared_by_the_next_run = std::fs::remove_dir_all(&self.output);
        }
    }
}

/// How many agents kept what they wrote: each in a file of its own, and in further ones where it was started again.
fn agents_in(output: &Path) -> Option<u32> {
    let files = std::fs::read_dir(output).ok()?.flatten();
    let names = files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".events")?.to_owned()));
    let count = names.filter(|name| !name.contains('-')).count();
    u32::try_from(count).ok().filter(|count| *count > 0)
}

/// The number of nodes and what was checked; of several lines, the most nodes and all that was checked.
fn checked(log: &str) -> (Option<u32>, String) {
    let told = log.lines().filter_map(|line| line.split_once(CHECKED)?.1.split_once(" | "));
    let told: Vec<(&str, &str)> = told.collect();
    let nodes = told.iter().filter_map(|(nodes, _)| nodes.parse::<u32>().ok()).max();
    let texts: Vec<&str> = told.iter().map(|(_, text)| *text).collect();
    (nodes, texts.join("; "))
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// Everything that was run, and what was not.
pub(super) fn table(finished: &[Finished], skipped: &[(&Stage, String)]) -> String {
    let short = |test: &Finished| test.name.rsplit("::").next().unwrap_or_default().to_owned();
    let width = finished.iter().map(|test| short(test).len()).max().unwrap_or(4).max(4);
    let mut table = format!("{:<9}  {:<width$}  {:>5}  {:>7}  CHECKED\n", "STAGE", "TEST", "NODES", "TIME");
    for test in finished {
        let checked = test.failure.as_ref().map_or_else(|| test.checked.clone(), |why| format!("FAILED: {why}"));
        let (stage, name, nodes, took) = (test.stage, short(test), &test.nodes, seconds(test.took));
        table += &format!("{stage:<9}  {name:<width$}  {nodes:>5}  {took:>7}  {checked}\n");
    }
    for (stage, why) in skipped {
        table += &format!("{:<9}  {} tests skipped: {why}\n", stage.name, stage.tests.len());
    }
    let failed: Vec<&Finished> = finished.iter().filter(|test| test.failure.is_some()).collect();
    if !failed.is_empty() {
        table += "\nwhat the nodes of failed tests wrote:\n";
        table.extend(failed.iter().map(|test| format!("  {}\n", test.output.display())));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_checked_is_found_wherever_it_stands_in_a_line() {
        let log = "test a ... checked: 16 | nobody was declared\nother\nchecked: 4 | and a farewell\nok";
        assert_eq!(checked(log), (Some(16), "nobody was declared; and a farewell".into()));
        assert_eq!(checked("nothing"), (None, String::new()));
    }

    #[test]
    fn the_output_of_what_failed_stays_and_what_passed_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("test.log"), "test a ... ok\n").unwrap();
        let why = Some("failed (exit status: 101)".to_owned());
        let failed = Finished::new("links", "it::a_b", Duration::from_secs(1), dir.path(), why);
        failed.tidy_up(false);
        assert!(dir.path().exists() && failed.line().contains("test a ... ok"), "its last words are shown");
        let shown = table(&[failed], &[]);
        assert!(shown.contains("exit status: 101") && shown.contains(&dir.path().display().to_string()), "{shown}");

        for file in ["n1.events", "n2.events", "n2-2.events", "n1.log"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let good = Finished::new("links", "it::a_b", Duration::from_secs(1), dir.path(), None);
        assert_eq!((good.nodes.as_str(), good.checked.as_str()), ("2", "a b"), "two agents, one of them started twice");
        good.tidy_up(true);
        assert!(dir.path().exists());
        good.tidy_up(false);
        assert!(!dir.path().exists());
    }
}
