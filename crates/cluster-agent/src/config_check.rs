//! `cluster config check`: whether an agent could start with a file, without starting one.

use std::io::Write;
use std::path::Path;

use crate::Failure;
use crate::settings;

pub(crate) fn run(path: &Path) -> Result<(), Failure> {
    let summary = settings::check(path)?;
    let line = format!("{} can be used: {summary}\n", path.display());
    std::io::stdout().write_all(line.as_bytes()).map_err(|e| Failure::new(format!("standard output: {e}")))
}
