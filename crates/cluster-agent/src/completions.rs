//! `cluster completions`: what a shell needs to complete this command line.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

pub(crate) fn print(shell: Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "cluster", &mut std::io::stdout());
}
