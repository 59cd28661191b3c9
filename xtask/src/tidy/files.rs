//! Source files: each begins by saying what it is for, and none grows past what one head holds.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines. The best codebases' median is 90 to 250; the one file past a thousand is the one people fear.
const LINES_MAX: usize = 500;

/// A source file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Every Rust file of the workspace.
pub(super) fn sources(root: &Path) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for folder in ["crates", "xtask", "bench", "fuzz"] {
        collect(root, &root.join(folder), &mut sources)?;
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(root, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let path = path.strip_prefix(root).map_or_else(|_| path.clone(), Path::to_path_buf);
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

/// Findings against headers and sizes.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for Source { path, text } in sources {
        let path = path.display();
        if !text.starts_with("//!") {
            findings.push(format!("{path} does not begin with //! and what it is for"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{path} has {lines} lines, at most {LINES_MAX}: split it by its ideas"));
        }
    }
    findings
}

/// Lines of code of a file, its unit tests left out.
fn lines(source: &Source) -> usize {
    source.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

/// Sizes at a glance: median, nine tenths and longest, then the ten longest.
pub(super) fn table(sources: &[Source]) -> String {
    let mut sizes: Vec<(usize, String)> = sources.iter().map(|s| (lines(s), s.path.display().to_string())).collect();
    sizes.sort_unstable();
    let at = |part: usize| sizes.get(sizes.len() * part / 10).map_or(0, |(lines, _)| *lines);
    let longest = sizes.iter().rev().take(10).map(|(lines, path)| format!("{lines:>6}  {path}\n"));
    let head = format!("files {}, lines without tests: median {}, p90 {}\n", sizes.len(), at(5), at(9));
    std::iter::once(head).chain(longest).collect()
}
