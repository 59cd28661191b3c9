//! A seed that broke a promise: what it broke, what was done, and what is written down for whoever looks for the cause.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Simulation;
use super::environment::{Environment, SCHEDULE_VARIABLE, SEED_VARIABLE};
use super::run::Plan;
use crate::judge::Finding;
use crate::picture;
use crate::scenario::{Level, Saved, Scenario};
use crate::trace::Trace;

/// A seed that broke a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Every promise it broke; the systems' own errors first.
    pub findings: Vec<Finding>,
    /// What was done when, by the schedule and by the nemesis.
    pub scenario: Scenario,
    /// Where it was written down.
    pub bundle: Option<PathBuf>,
    /// What else there is to say of it.
    notes: Vec<String>,
}

impl Failure {
    pub(super) const fn new(seed: u64, findings: Vec<Finding>, scenario: Scenario) -> Self {
        Self { seed, findings, scenario, bundle: None, notes: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} broke {} promises:", self.seed, self.findings.len())?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"))?;
        writeln!(f, "what was done:")?;
        for step in &self.scenario.steps {
            writeln!(f, "  {:>9.3} s  {:?}", step.at_ms as f64 / 1_000.0, step.act)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        write!(f, "to run it again: {SEED_VARIABLE}={} {}", self.seed, command())
    }
}

impl std::error::Error for Failure {}

/// The test that this is called in, or the program.
pub(super) fn name_of_this() -> String {
    let thread = std::thread::current();
    thread.name().filter(|name| *name != "main").map_or_else(program, str::to_owned)
}

fn program() -> String {
    let exe = std::env::current_exe().ok();
    let stem = exe.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| "simulation".to_owned())
}

/// What runs this program again.
fn command() -> String {
    let thread = std::thread::current();
    match thread.name().filter(|name| *name != "main") {
        Some(test) => format!("cargo test {test}"),
        None => std::env::args().next().unwrap_or_else(program),
    }
}

/// What is in a file's name is in a name of ours, as far as it can be.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    name.chars().map(plain).collect()
}

impl Simulation {
    /// Writes a failure down, makes it smaller, and says where.
    pub(super) fn write_down(&self, failure: &mut Failure, environment: &Environment) {
        if failure.scenario.check().is_err() {
            return;
        }
        let name = format!("{}-{}", file_name(&failure.scenario.name), failure.seed);
        let dir = environment.dir.join(name);
        match self.bundle(failure, &dir) {
            Ok(()) => {
                failure.notes.push(format!("written down in {}: picture.html shows it", dir.display()));
                failure.bundle = Some(dir);
            }
            Err(error) => failure.notes.push(format!("it could not be written down in {}: {error}", dir.display())),
        }
    }

    fn bundle(&self, failure: &Failure, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        Saved::new(Level::L1, failure.seed, failure.scenario.clone()).save(&dir.join("schedule.json"))?;
        let trace = Trace::with_everything();
        let plan = Plan { seed: failure.seed, schedule: failure.scenario.clone(), with_nemesis: false };
        let again = self.run_apart(&plan, trace.clone());
        let title = format!("{} seed {}", failure.scenario.name, failure.seed);
        let command = format!("{SCHEDULE_VARIABLE}={} {}", dir.display(), command());
        fs::write(dir.join("picture.html"), picture::page(&again.played, &again.outcome, &trace, &title, &command))?;
        fs::write(dir.join("trace.txt"), trace.lines().join("\n") + "\n")?;
        let findings: Vec<String> = failure.findings.iter().map(ToString::to_string).collect();
        let (findings, peers) = (findings.join("\n"), again.outcome.peers.join("\n"));
        fs::write(dir.join("report.txt"), format!("findings:\n{findings}\n\npeers:\n{peers}\n\nagain: {command}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_by_its_thread_and_its_file_by_plain_letters() {
        assert!(name_of_this().ends_with("a_test_is_named_by_its_thread_and_its_file_by_plain_letters"));
        assert_eq!(file_name("a::b c/d"), "a--b-c-d");
    }
}
