//! Snapshots: each is some test's, where that test looks for it, and none waits for a review.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::Source;

/// Findings against the snapshots of all crates.
pub(super) fn check(root: &Path, sources: &[Source]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    collect(&root.join("crates"), &mut found)?;
    let mut findings = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let path = path.strip_prefix(root).map_or_else(|_| path.clone(), Path::to_path_buf);
        findings.extend(judge(&path, &text, sources).map(|why| format!("{} {why}", path.display())));
    }
    Ok(findings)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, found)?;
        } else if name.ends_with(".snap") || name.ends_with(".snap.new") {
            found.push(path);
        }
    }
    Ok(())
}

/// What is wrong with a snapshot, if something is.
fn judge(path: &Path, text: &str, sources: &[Source]) -> Option<String> {
    if path.extension().is_some_and(|extension| extension == "new") {
        return Some("waits for a review: see CONTRIBUTING.md".into());
    }
    let head = text.lines().take_while(|line| !line.is_empty());
    let Some(named) = head.filter_map(|line| line.strip_prefix("source: ")).next() else {
        return Some("does not say of which source it is".into());
    };
    let Some(source) = sources.iter().find(|source| source.path == Path::new(named)) else {
        return Some(format!("is of {named}, which is not there"));
    };
    if source.path.parent() != path.parent().and_then(Path::parent) {
        return Some(format!("is of {named}, which looks for it elsewhere"));
    }
    // `crate__module__test`, with a number behind it where a test has several.
    let stem = path.file_stem()?.to_str()?;
    let test = stem.rsplit("__").next()?;
    let test = test.rsplit_once('-').filter(|(_, n)| n.parse::<u32>().is_ok()).map_or(test, |(test, _)| test);
    // insta leaves out a leading `test_`.
    let there = [test, &format!("test_{test}")].iter().any(|test| source.text.contains(&format!("fn {test}(")));
    (!there).then(|| format!("is of no test of {named}"))
}
