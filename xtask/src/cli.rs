//! What can be said on the command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// The project's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Every test that needs no privilege; ARGS go to the test runner
    Test {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Many nodes, real processes, real networks, real faults: the whole stack convinces you, or does not
    Integration(IntegrationArgs),
    /// Benchmarks, each against a baseline in the same run
    Bench {
        /// layer1 (if nothing is said), links, manager, membership, sim, or peers: other people's crates; then one part of it, if
        /// no more is wanted
        what: Vec<String>,
    },
    /// Scenarios in the simulated world: `sim list` names them, `sim --help` has all there is
    #[command(disable_help_flag = true)]
    Sim {
        /// A scenario, `--seeds N` or `--seed S`, `--jobs J`, `--level L0|L1|L2`, `--verify`; 100 seeds of all if nothing is said
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Every example of every crate, to its end
    Examples,
    /// A cluster of real agents on this machine, to play with
    #[command(subcommand)]
    Cluster(ClusterTask),
    /// The tests again and again, at rest and with every core busy, for what fails now and then
    FlakeHunt(FlakeHuntArgs),
    /// Line coverage with cargo-llvm-cov: above 90 % of pool and peer, above 85 % of all
    Coverage,
    /// Changes of the code that no test notices, found with cargo-mutants; fails below the crate's share
    Mutants(MutantsArgs),
    /// Each crate built alone, with nothing but its own dependencies, and how many those are
    Crates {
        /// Also build the agent from nothing, and say how long it took
        #[arg(long)]
        cold: bool,
    },
    /// Dependency rule, file headers and sizes, promises, snapshots
    Tidy {
        /// Show the sizes of all files
        #[arg(long)]
        table: bool,
    },
    /// What the gate runs, in its order
    Ci,
}

#[derive(Debug, Default, Args)]
pub(crate) struct IntegrationArgs {
    /// Only tests whose stage or name contains one of these
    pub(crate) filter: Vec<String>,
    /// How many nodes, where a test can have any number [default: each test's own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(4..=64))]
    pub(crate) nodes: Option<u16>,
    /// Keep what every node wrote, of the tests that pass, too
    #[arg(long)]
    pub(crate) keep: bool,
    /// Leave out what needs network namespaces
    #[arg(long)]
    pub(crate) no_netns: bool,
    /// How long the soak goes on; `--soak` alone: an hour [default: a minute]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1h",
        value_parser = humantime::parse_duration)]
    pub(crate) soak: Option<Duration>,
    /// The share of the gate: what `cargo xtask test` does not run, without what takes minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Built as `cargo xtask test` builds, not optimised
    #[arg(long)]
    pub(crate) debug: bool,
    /// Say what would be run
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterTask {
    /// Starts agents that join each other, and returns when they have met
    Start {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
        nodes: u16,
        /// The first's port; node i has this + i - 1, and answers `cluster --admin` at 100 above
        #[arg(long, value_name = "PORT", default_value_t = 7001)]
        ports: u16,
    },
    /// Ends them: a farewell first, by force after ten seconds
    Stop,
}

#[derive(Debug, Args)]
pub(crate) struct FlakeHuntArgs {
    /// Rounds of the tests that live in real time
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) real_time: u32,
    /// Rounds of all others
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) others: u32,
    /// Give up after this long; what was not run is said
    #[arg(long, value_name = "TIME", default_value = "90m", value_parser = humantime::parse_duration)]
    pub(crate) within: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct MutantsArgs {
    /// A crate, or `links`: the pool's and the peer's modules [default: every one that has a threshold]
    #[arg(short, long = "package", value_name = "CRATE")]
    pub(crate) package: Vec<String>,
    /// Only one change in N, spread evenly
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) one_in: u32,
    /// Further arguments of cargo-mutants
    #[arg(last = true)]
    pub(crate) rest: Vec<String>,
}
