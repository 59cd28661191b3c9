//! Other people's crates beside ours, in the same world. `cargo run --release` lists what there is.

mod contender;
mod foca_node;
mod links;
mod manager;
mod memberlist;
mod ours;
mod ping;
// Both runners make the same cells.
#[path = "../../../crates/cluster-sim/src/measure/spread.rs"]
mod spread;
mod trials;
mod world;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Other people's crates beside ours")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Some of 128 nodes are blocked on and off: how many healthy ones are declared failed?
    Lifeguard,
    /// Detection and cost by size, loss and path.
    Crash,
    /// A thousand nodes of which ten crash, lose what they send or do not hear; and a thousand that join through one.
    Rapid {
        /// How many nodes.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(20..))]
        nodes: u32,
    },
    /// Links: a connection from a pool, a request, memory, latency; beside bb8, deadpool, bare quinn and tonic.
    Links {
        /// One part only: pool, request, thread, latency, memory or lock.
        part: Option<String>,
    },
    /// Whole nodes: a request by name, membership under load, beginning and ending, agents at rest.
    Manager {
        /// One part only: request, load, life or agents.
        part: Option<String>,
        /// The agent's binary, for the agents at rest.
        #[arg(long)]
        agent: Option<std::path::PathBuf>,
    },
    /// Simulated networks: the same UDP pings in turmoil and in ours.
    Ping,
}

fn main() {
    match Cli::parse().what {
        What::Lifeguard => trials::lifeguard::print(),
        What::Crash => trials::crash::print(),
        What::Rapid { nodes } => trials::rapid::print(nodes as usize),
        What::Links { part } => links::compare(part.as_deref()),
        What::Manager { part, agent } => manager::compare(part.as_deref(), agent.as_deref()),
        What::Ping => ping::compare(),
    }
}
