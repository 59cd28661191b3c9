//! The project's own tasks. `cargo xtask` lists them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]
#![expect(clippy::disallowed_methods, reason = "a program for people may look at the clock")]

mod bench;
mod ci;
mod cli;
mod coverage;
mod crates;
mod flake_hunt;
mod integration;
mod interrupt;
mod mutants;
mod play;
mod shell;
mod sim;
mod tests;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Task};

/// Why a task failed: already told, or a sentence to tell.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let root = root();
    let outcome = match Cli::parse().task {
        Task::Test { args } => tests::test(&root, &args),
        Task::Integration(args) => integration::run(&root, &args),
        Task::Bench { what } => bench::run(&root, &what),
        Task::Sim { args } => sim::run(&root, &args),
        Task::Examples => tests::examples(&root),
        Task::Cluster(task) => play::run(&root, &task),
        Task::FlakeHunt(args) => flake_hunt::run(&root, &args),
        Task::Coverage => coverage::run_all(&root),
        Task::Mutants(args) => mutants::run(&root, &args),
        Task::Crates { cold } => crates::run_all(&root, cold),
        Task::Tidy { table } => tidy::run(&root, table),
        Task::Ci => ci::run(&root),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace this program was built in.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where cargo puts what it builds, whatever it was told by whom.
fn target(root: &Path) -> PathBuf {
    let told = shell::output(root, "cargo", &["metadata", "--format-version", "1", "--no-deps", "--offline"]).ok();
    let told = told.and_then(|told| serde_json::from_str::<serde_json::Value>(&told).ok());
    let dir = told.and_then(|told| told["target_directory"].as_str().map(PathBuf::from));
    dir.unwrap_or_else(|| root.join("target"))
}
