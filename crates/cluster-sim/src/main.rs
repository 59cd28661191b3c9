//! Runs simulations by name and prints what came of them. `cargo xtask sim` calls it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]
#![expect(clippy::disallowed_methods, reason = "it tells how long its work took; nothing is decided by it")]

mod bundle;
mod campaign;
mod coverage;
mod measure;
mod measurements;
mod planted;
mod shrink;
mod speed;
mod stopwatch;
mod verify;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use cluster_testkit::Level;

#[derive(Debug, Parser)]
#[command(about = "Simulated clusters: scenarios and measurements")]
struct Cli {
    /// Worlds run at once. The largest run alone, whatever is said here: ten thousand nodes take 11 GB.
    #[arg(long, global = true, default_value_t = 2)]
    jobs: usize,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Scenarios over seeds, each in a process of its own; without a name, all of them.
    Scenarios(campaign::Options),
    /// The scenarios by name.
    List,
    /// Plays a saved schedule again: the schedule.json of a bundle, or a saved regression.
    Replay {
        /// The file.
        file: PathBuf,
        /// Plants a mistake into every node (built with feature `planted`).
        #[arg(long, value_name = "MISTAKE")]
        plant: Option<String>,
    },
    /// Makes the schedule of a bundle, or a saved one, smaller until nothing can go, and keeps the result beside it.
    Shrink {
        /// The bundle's directory, or the file.
        bundle: PathBuf,
        /// Plants a mistake into every node (built with feature `planted`).
        #[arg(long, value_name = "MISTAKE")]
        plant: Option<String>,
        /// Processor time it may take, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Plants each mistake there is, finds it, and makes the schedule that shows it as small as it can be.
    Planted(planted::Options),
    /// How fast the worlds are, against what is asked of them.
    Speed {
        /// One table of them.
        #[arg(value_parser = ["targets", "stack", "engine"])]
        part: Option<String>,
    },
    /// One seed of one scenario in this process, for the campaign: prints one line of JSON.
    #[command(hide = true)]
    One(worker::Job),
    /// Detection, dissemination, mistakes and cost by size, loss, path and moment of the crash.
    Membership {
        /// One part of it.
        #[arg(long)]
        part: Option<measurements::Part>,
        /// The largest cluster.
        #[arg(long, default_value_t = 10_000)]
        nodes_max: usize,
        /// Writes the plots and the table to this file.
        #[arg(long)]
        html: Option<PathBuf>,
        /// Seed of the first world of each cell.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Which settings are the defaults, and why: observers, probe rate, pause budget and votes against each other.
    Decide {
        /// Seed of the first world of each cell.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Bytes a known member costs, facts that all share aside: the slope of resident memory between two sizes; and how much
    /// faster than real time a large cluster runs.
    Memory,
    /// One member lies, in everything that the wire knows: no honest one is declared failed or held to have left, and none gives up its name.
    Liars {
        /// How many clusters.
        #[arg(long, default_value_t = 1_000)]
        seeds: usize,
        /// Seed of the first one.
        #[arg(long, default_value_t = 1)]
        base: u64,
        /// Plants a mistake into every node (built with feature `planted`).
        #[arg(long, value_name = "MISTAKE")]
        plant: Option<String>,
    },
    /// No healthy node is declared failed: a hundred virtual hours of a hundred nodes at 0 to 15 % loss.
    Quiet {
        /// Virtual hours in all.
        #[arg(long, default_value_t = 100)]
        hours: u64,
        /// Seed of the first world.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let began = Instant::now();
    let good = match &cli.what {
        What::One(job) => return worker::work(job),
        What::List => {
            campaign::list();
            return ExitCode::SUCCESS;
        }
        What::Scenarios(options) => campaign::run(options, cli.jobs),
        What::Planted(options) => planted::run(options),
        What::Speed { part } => speed::speed(part.as_deref()),
        What::Replay { file, plant } => bundle::replay(file, plant.as_deref()),
        What::Shrink { bundle, plant, seconds } => {
            shrink::command(bundle, plant.as_ref(), Duration::from_secs(*seconds))
        }
        What::Membership { part, nodes_max, html, seed } => {
            measurements::membership(cli.jobs, *seed, *nodes_max, *part, html.as_ref())
        }
        What::Decide { seed } => measurements::decide(cli.jobs, *seed),
        What::Memory => measurements::memory(),
        What::Liars { seeds, base, plant } => measurements::liars(cli.jobs, *base, *seeds, plant.as_deref()),
        What::Quiet { hours, seed } => measurements::quiet(cli.jobs, *seed, *hours),
    };
    eprintln!("took {:.0} s", began.elapsed().as_secs_f64());
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A level as on the command line.
fn parse_level(text: &str) -> Result<Level, String> {
    match text {
        "L0" | "l0" => Ok(Level::L0),
        "L1" | "l1" => Ok(Level::L1),
        "L2" | "l2" => Ok(Level::L2),
        other => Err(format!(
            "{other:?} is no level: L0 is the pure engine, L1 the whole stack, L2 real sockets in real time"
        )),
    }
}
