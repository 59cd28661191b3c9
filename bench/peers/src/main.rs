//! Other people's crates beside ours, in the same world. `cargo run --release` lists what there is.

mod contender;
mod foca_world;
mod links;
mod manager;
mod ours;
mod ping;

use std::time::Duration;

use clap::{Parser, Subcommand};
use cluster_failure::{PauseBudget, VoteRule};
use cluster_gossip::{PlanKind, SwimConfig};

use contender::{Block, Contender, Wrongs, blocked, crash};
use foca_world::FocaWorld;
use ours::Ours;

#[derive(Debug, Parser)]
#[command(about = "Other people's crates beside ours")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Some of 128 nodes are blocked on and off: how many healthy ones are declared failed?
    Blocked {
        /// Stop the whole processes instead of their network calls.
        #[arg(long)]
        process: bool,
    },
    /// Detection and cost by size and loss.
    Crash,
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

/// SWIM as published, on our engine: round robin, one accuser is enough, four seconds of suspicion.
fn plain_swim() -> SwimConfig {
    let mut config = SwimConfig::lan();
    config.plan = PlanKind::RoundRobin;
    let ms = Duration::from_millis;
    config.budget = PauseBudget::new(ms(2_700), ms(1_000), ms(300)).expect("above zero").with_votes(VoteRule::One);
    config
}

type Make = fn(usize, f64, u64) -> Box<dyn Contender>;

const CONTENDERS: [(&str, Make); 3] = [
    ("ours, lan()", |n, loss, seed| Box::new(Ours::new(n, loss, seed, SwimConfig::lan()))),
    ("foca 2, new_lan(n)", |n, loss, seed| Box::new(FocaWorld::new(n, loss, seed))),
    ("plain SWIM", |n, loss, seed| Box::new(Ours::new(n, loss, seed, plain_swim()))),
];

fn main() {
    match Cli::parse().what {
        What::Blocked { process } => print_blocked(if process { Block::Process } else { Block::Io }),
        What::Crash => print_crash(),
        What::Links { part } => links::compare(part.as_deref()),
        What::Manager { part, agent } => manager::compare(part.as_deref(), agent.as_deref()),
        What::Ping => ping::compare(),
    }
}

/// Each cell is one world of 128 nodes over two virtual minutes; in the cells: declared wrongly at healthy nodes / in all.
fn print_blocked(how: Block) {
    const SPANS_MS: [u64; 5] = [128, 512, 2_048, 8_192, 32_768];
    for (name, make) in CONTENDERS {
        println!(
            "### {name}\n\n| blocked nodes | {} |",
            SPANS_MS.map(|ms| format!("{:.3} s", ms as f64 / 1e3)).join(" | ")
        );
        println!("|---:|{}", "---:|".repeat(SPANS_MS.len()));
        let mut sum = Wrongs::default();
        for count in [1, 4, 8, 16, 32] {
            let mut row = format!("| {count} |");
            for ms in SPANS_MS {
                let mut world = make(128, 0.0, 7 + count as u64);
                let wrongs = blocked(&mut *world, 128, count, Duration::from_millis(ms), how);
                sum.at_healthy += wrongs.at_healthy;
                sum.total += wrongs.total;
                row += &format!(" {} / {} |", wrongs.at_healthy, wrongs.total);
            }
            println!("{row}");
        }
        println!("\nsum: {} at healthy nodes, {} in all\n", sum.at_healthy, sum.total);
    }
}

fn print_crash() {
    println!(
        "| protocol | nodes | loss | B/s | crash: first | last | healthy declared failed in 5 min |\n|---|---:|---:|---:|---:|---:|---:|"
    );
    for (name, make) in CONTENDERS {
        for nodes in [16, 64, 128] {
            for loss in [0.0, 0.05, 0.15] {
                let mut world = make(nodes, loss, 3);
                let found = crash(&mut *world, nodes);
                let span =
                    |span: Option<Duration>| span.map_or("never".into(), |s| format!("{:.2} s", s.as_secs_f64()));
                println!(
                    "| {name} | {nodes} | {:.0} % | {:.0} | {} | {} | {} |",
                    loss * 100.0,
                    found.bytes,
                    span(found.first),
                    span(found.last),
                    found.wrong
                );
            }
        }
    }
}
