//! The `cluster` binary. Every command ends with 0 when it did what was asked, 1 with the reason when it did not, and 2 when
//! it was not understood.

mod admin;
mod agent;
mod cli;
mod client;
mod completions;
mod config_check;
mod demo;
mod discover;
mod events;
mod logging;
mod pki;
mod plain;
mod reload;
mod settings;
mod texts;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, ConfigCommand};

/// Why a command did not do what was asked: a sentence, and what to do about it where we know.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    usage: bool,
}

impl Failure {
    /// The command could not be carried out.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), usage: false }
    }

    /// An error and everything under it, in one line.
    pub(crate) fn from_error(error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::new(message)
    }

    /// The command was not understood.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { usage: true, ..Self::new(message) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[expect(clippy::print_stderr, reason = "the one place that tells people why a command failed")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start();
    match run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(if failure.usage { 2 } else { 1 })
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Agent(args) => block_on(agent::run(args))?,
        Command::Members(args) => done(block_on(client::members(args))?),
        Command::Explain(args) => done(block_on(client::explain(args))?),
        Command::Health(args) => done(block_on(client::health(args))?),
        Command::Events(args) => done(block_on(client::events(args))?),
        Command::Send(args) => done(block_on(client::send(args))?),
        Command::Request(args) => done(block_on(client::request(args))?),
        Command::Leave(args) => done(block_on(client::leave(args))?),
        Command::Pki(command) => done(pki::run(command)),
        Command::Config(ConfigCommand::Check { file }) => done(config_check::run(&file)),
        Command::Completions { shell } => done(completions::print(shell)),
        Command::Demo(args) => done(block_on(demo::run(args))?),
    }
}

fn done(outcome: Result<(), Failure>) -> Result<ExitCode, Failure> {
    outcome.map(|()| ExitCode::SUCCESS)
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(format!("the system gives no runtime: {e}")))?;
    let done = runtime.block_on(work);
    // A blocked standard output must not hold up the end.
    runtime.shutdown_background();
    Ok(done)
}
