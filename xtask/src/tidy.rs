//! What the compiler does not check: the dependency rule, file headers and sizes, that every promise names tests that run and
//! commands that are there, and that every snapshot is some test's.

mod code;
mod deps;
mod files;
mod promises;
mod snapshots;
mod test_list;
#[cfg(test)]
mod tests;
mod workspace;

use std::path::Path;

use crate::Outcome;
use crate::tests::FEATURES;
use test_list::TestList;

/// Checks everything and reports every finding, not only the first.
pub(crate) fn run(root: &Path, table: bool) -> Outcome {
    let sources = files::sources(root)?;
    if table {
        print!("{}", files::table(&sources));
    }
    let findings = check(root)?;
    if findings.is_empty() {
        println!("tidy: {} source files, dependency rule, promises, snapshots: ok", sources.len());
        return Ok(());
    }
    for finding in &findings {
        println!("tidy: {finding}");
    }
    Err(format!("tidy: {} findings", findings.len()))
}

fn check(root: &Path) -> Result<Vec<String>, String> {
    let sources = files::sources(root)?;
    let packages = workspace::packages(root)?;
    let [_, features] = FEATURES;
    let tests = TestList::of(&sources, &workspace::features(&packages, features));
    let mut findings = deps::check(&packages);
    findings.extend(files::check(&sources));
    findings.extend(promises::check(root, &sources, &tests)?);
    findings.extend(snapshots::check(root, &sources)?);
    Ok(findings)
}
