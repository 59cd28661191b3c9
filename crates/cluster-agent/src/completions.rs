//! `cluster completions`: what a shell needs to complete this command line.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Failure;
use crate::cli::Cli;

pub(crate) fn print(shell: Shell) -> Result<(), Failure> {
    // Made as a whole first: a standard output that takes nothing is an error like any.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cluster", &mut script);
    std::io::stdout().write_all(&script).map_err(|e| Failure::new(format!("standard output: {e}")))
}
