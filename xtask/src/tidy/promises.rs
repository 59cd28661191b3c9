//! `docs/promises.md`: one row for each promise, and every test it names exists.

use std::collections::BTreeSet;
use std::path::Path;

use super::files::Source;

/// Findings against the page.
pub(super) fn check(root: &Path, sources: &[Source]) -> Result<Vec<String>, String> {
    let path = root.join("docs/promises.md");
    let page = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for row in page.lines().filter_map(row) {
        let [id, status, evidence] = row;
        if !seen.insert(id) {
            findings.push(format!("docs/promises.md: {id} stands there twice"));
        }
        if !["held", "open"].contains(&status) {
            findings.push(format!("docs/promises.md: {id} is {status:?}: it must be held or open"));
        }
        if status == "held" && names(evidence).next().is_none() {
            findings.push(format!("docs/promises.md: {id} is held by nothing: name its tests"));
        }
        let missing = names(evidence).filter(|name| !exists(root, sources, name));
        findings.extend(missing.map(|name| format!("docs/promises.md: {id} names `{name}`, which does not exist")));
    }
    if seen.is_empty() {
        findings.push("docs/promises.md: no row of the form | ID | held or open | tests |".into());
    }
    Ok(findings)
}

/// The cells of a table row, but not of its head.
fn row(line: &str) -> Option<[&str; 3]> {
    let cells: Vec<&str> = line.trim().strip_prefix('|')?.strip_suffix('|')?.splitn(3, '|').map(str::trim).collect();
    let [id, status, evidence] = cells[..] else { return None };
    let is_id = id.len() > 2
        && id.contains('-')
        && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-');
    (is_id && !id.starts_with('-')).then_some([id, status, evidence])
}

/// Everything between backticks.
fn names(evidence: &str) -> impl Iterator<Item = &str> {
    evidence.split('`').skip(1).step_by(2)
}

/// A test function, a file of the repository, or a task.
fn exists(root: &Path, sources: &[Source], name: &str) -> bool {
    let function = format!("fn {name}(");
    name.starts_with("cargo ")
        || name.contains('/') && root.join(name).exists()
        || sources.iter().any(|source| source.text.contains(&function))
}
