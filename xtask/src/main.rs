//! The project's own tasks. `cargo xtask` lists them. Few dependencies, so that it compiles in seconds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod ci;
mod shell;
mod tests;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask TASK

  test [ARGS]         every test that needs no privilege; ARGS go to the test runner
  integration [TEST]  whole clusters of real processes
  bench [layer1 | links | manager | membership | sim | peers]
                      benchmarks, each against a baseline in the same run; peers: other people's crates
  sim [SCENARIO] [--seeds N | --seed S] [--jobs J] [--level L0|L1|L2] [--verify]
                      scenarios in the simulated world, 100 seeds of all if nothing is said; sim list: their names;
                      sim replay FILE: a saved schedule
  sim membership      the membership table by size and loss, with plots; ten to twenty minutes
  sim decide          the settings against each other; sim quiet: a hundred virtual hours; sim memory
  examples            every example of every crate, to its end
  coverage            line coverage with cargo-llvm-cov, if it is installed: pool and peer above 90 %, all above 85 %
  mutants -p CRATE    mutation tests with cargo-mutants, if it is installed
  tidy [--table]      dependency rule, file headers, file sizes, promises; --table shows the sizes
  ci                  what the gate runs: format, tidy, lints, docs, tests, integration
";

/// Why a task failed: already told, or a sentence to tell.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let root = root();
    let outcome = match args.first().map(String::as_str) {
        Some("test") => tests::test(&root, rest),
        Some("integration") => tests::integration(&root, rest),
        Some("bench") => tests::bench(&root, rest),
        Some("sim") => tests::sim(&root, rest),
        Some("examples") => tests::examples(&root),
        Some("coverage") => tests::coverage(&root),
        Some("mutants") => tests::mutants(&root, rest),
        Some("tidy") => tidy::run(&root, rest.iter().any(|arg| arg == "--table")),
        Some("ci") => ci::run(&root),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => {
            eprintln!("error: there is no task {other:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
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
