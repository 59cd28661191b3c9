//! Running other programs, visibly.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Outcome;

/// Says what it runs, runs it, and fails when it fails.
pub(crate) fn run(root: &Path, program: &str, args: &[&str]) -> Outcome {
    let line = format!("{program} {}", args.join(" "));
    println!("\n=== {line}");
    let status = Command::new(program).args(args).current_dir(root).status();
    let status = status.map_err(|e| format!("`{line}` cannot be started: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed ({status})")) }
}

/// Whether `cargo NAME` exists here.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    let probe = Command::new("cargo").args([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

/// A path as an argument.
pub(crate) fn text_of(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is no text", path.display()))
}

/// What a program writes to standard output.
pub(crate) fn output(root: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).current_dir(root).output();
    let output = output.map_err(|e| format!("`{program}` cannot be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("`{program} {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|e| format!("`{program}` wrote no text: {e}"))
}
