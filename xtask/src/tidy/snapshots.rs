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
    let numbered = test.rsplit_once('-').and_then(|(test, n)| Some((test, n.parse::<usize>().ok()?)));
    let (test, number) = numbered.unwrap_or((test, 1));
    let named_there = source.text.contains(&format!("snapshot!(\"{test}\""));
    (snapshots_of(test, &source.text) < number && !named_there).then(|| format!("is of no test of {named}"))
}

/// How many snapshots a test looks for. insta leaves out a leading `test_`.
fn snapshots_of(test: &str, text: &str) -> usize {
    let begin = [format!("fn {test}("), format!("fn test_{test}(")].iter().find_map(|begin| text.find(begin));
    let body = begin.map(|begin| &text[begin..]).unwrap_or_default();
    let body = body.split("test]\n").next().unwrap_or_default();
    body.matches("snapshot!(").count()
}
