//! `docs/promises.md`: a row for each promise, and behind each that is held something that runs and would fail without it.

mod commands;
mod evidence;
mod ids;

use std::collections::BTreeSet;
use std::path::Path;

use super::files::Source;
use super::test_list::TestList;
use evidence::Evidence;

/// Findings against the page.
pub(super) fn check(root: &Path, sources: &[Source], tests: &TestList) -> Result<Vec<String>, String> {
    let path = root.join("docs/promises.md");
    let page = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let evidence = Evidence { root, sources, tests };
    let found = findings(&page, |name| evidence.judge(name));
    Ok(found.into_iter().map(|finding| format!("docs/promises.md: {finding}")).collect())
}

/// What is wrong with a page whose names are judged by `judge`: why a name counts for nothing, if it does.
fn findings(page: &str, judge: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for line in page.lines() {
        match read(line) {
            Line::Text => {}
            Line::Hidden => findings.push(format!("{line:?} can hide rows: leave it out")),
            Line::Broken => findings.push(format!("{line:?} is no row of the form | ID | held or open | tests |")),
            Line::Row([id, status, evidence]) => {
                if !seen.insert(id) {
                    findings.push(format!("{id} stands there twice"));
                }
                if !["held", "open"].contains(&status) {
                    findings.push(format!("{id} is {status:?}: it must be held or open"));
                }
                if status == "held" && names(evidence).all(evidence::is_page) {
                    findings.push(format!("{id} is held by nothing that runs: name its tests"));
                }
                let judged = names(evidence).filter_map(|name| Some((name, judge(name)?)));
                findings.extend(judged.map(|(name, why)| format!("{id} names `{name}`, which {why}")));
            }
        }
    }
    let missing = ids::FIRST_RELEASE.iter().filter(|id| !seen.contains(*id));
    findings.extend(missing.map(|id| format!("{id} is not there: a promise that is not kept is open, not gone")));
    findings
}

/// What a line of the page is.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// Words for people, or what a table begins with.
    Text,
    Row([&'a str; 3]),
    /// It looks as if it were one.
    Broken,
    /// A comment or a block of code: what looks like a row in it is none for who reads the page.
    Hidden,
}

fn read(line: &str) -> Line<'_> {
    let line = line.trim();
    if line.contains("<!--") || line.contains("```") {
        return Line::Hidden;
    }
    if !line.starts_with('|') {
        return if line.matches('|').count() < 2 { Line::Text } else { Line::Broken };
    }
    let within = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap_or_default();
    let cells: Vec<&str> = within.split('|').map(str::trim).collect();
    match cells[..] {
        ["id", _, _] => Line::Text,
        [a, b, c] if [a, b, c].iter().all(|cell| is_rule(cell)) => Line::Text,
        [id, status, evidence] if is_id(id) => Line::Row([id, status, evidence]),
        _ => Line::Broken,
    }
}

/// The line between a table's head and its rows.
fn is_rule(cell: &str) -> bool {
    cell.contains("--") && cell.chars().all(|c| c == '-' || c == ':')
}

fn is_id(cell: &str) -> bool {
    let mut parts = cell.split('-');
    parts.clone().count() > 1
        && parts.all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
}

/// Everything between backticks.
fn names(evidence: &str) -> impl Iterator<Item = &str> {
    evidence.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_told_from_text_and_from_what_only_looks_like_one() {
        assert_eq!(read("| INC-1 | held | `a` `b` |"), Line::Row(["INC-1", "held", "`a` `b`"]));
        assert_eq!(read("| NAME-PING | open | |"), Line::Row(["NAME-PING", "open", ""]));
        for text in ["", "# Promises", "One row, `a | b`.", "| id | held or open | test |", "|---|:--|--:|"] {
            assert_eq!(read(text), Line::Text, "{text}");
        }
        for broken in [
            "| zz-1 | held | `a` |",
            "| INC | held | `a` |",
            "| INC-1 | held |",
            "| INC-1 | held | `a` | `b` |",
            "| INC-1 | held | `a`",
            "INC-1 | held | `a`",
            "| - | held | `a` |",
            "||||",
            "|",
        ] {
            assert_eq!(read(broken), Line::Broken, "{broken}");
        }
        assert_eq!(read("<!-- | INC-1 | held | `a` | -->"), Line::Hidden);
        assert_eq!(read("```md"), Line::Hidden);
    }

    #[test]
    fn what_is_held_names_something_that_runs() {
        let all = ids::FIRST_RELEASE.map(|id| format!("| {id} | open | |\n")).concat();
        let judge = |name: &str| (name == "bad").then(|| "is bad".to_owned());
        let found = |row: &str| findings(&format!("{all}{row}\n"), judge);
        assert_eq!(found("| ZZ-1 | held | `good`, see `docs/page.md` |"), Vec::<String>::new());
        assert_eq!(found("| ZZ-1 | held | good |"), ["ZZ-1 is held by nothing that runs: name its tests"]);
        assert_eq!(found("| ZZ-1 | held | `docs/page.md` |").len(), 1);
        assert_eq!(found("| ZZ-1 | open | `bad` |"), ["ZZ-1 names `bad`, which is bad"]);
    }
}
