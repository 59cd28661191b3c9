//! Cost at rest, mistakes at rest, and one crash.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{PLAIN, RIVALS, SEEDS};
use crate::contender::{Contender, Links, Setting};
use crate::spread::Spread;

const SETTLE: Duration = Duration::from_secs(20);
const REST: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(90);

struct Found {
    wire: f64,
    as_quic: f64,
    first: Option<Duration>,
    last: Option<Duration>,
    /// Healthy nodes declared failed, each time by each.
    wrong: usize,
}

pub(crate) fn print() {
    println!("### Over paths of 1 to 2 ms\n");
    let lan = |nodes| [0.0, 0.05, 0.15].map(|loss| (nodes, "1 to 2 ms", Links::lan(loss)));
    table([16, 64, 128].into_iter().flat_map(lan));
    println!("\n### Over longer paths\n");
    let paths = [("5 to 10 ms", 5, 10), ("40 to 60 ms", 40, 60), ("130 to 170 ms", 130, 170)];
    let long = |(name, low, high)| [0.0, 0.15].map(|loss| (64, name, Links::ms(low, high, loss)));
    table(paths.into_iter().flat_map(long));
}

fn table(cells: impl Iterator<Item = (usize, &'static str, Links)>) {
    println!(
        "| nodes | paths | loss | protocol | B/s | B/s with 75 B a packet | crash: first, s | last, s | declared failed wrongly in 5 min |"
    );
    println!("|---:|---|---:|---|---:|---:|---:|---:|---:|");
    for (nodes, path, links) in cells {
        for (name, make) in RIVALS.into_iter().chain([PLAIN]) {
            let one = |seed| crash(&mut *make(Setting { nodes, links, seed, joined: true }), nodes, phase(seed));
            let found: Vec<Found> = (1..=SEEDS).map(one).collect();
            let of = |value: &dyn Fn(&Found) -> f64| Spread::new(found.iter().map(value)).cell(0);
            let spans = |value: &dyn Fn(&Found) -> Option<Duration>| Spread::of_spans(found.iter().map(value)).cell(2);
            println!(
                "| {nodes} | {path} | {:.0} % | {name} | {} | {} | {} | {} | {} |",
                links.loss * 100.0,
                of(&|found| found.wire),
                of(&|found| found.as_quic),
                spans(&|found| found.first),
                spans(&|found| found.last),
                of(&|found| found.wrong as f64),
            );
        }
    }
}

/// The worlds of a cell crash their node in the middle of each fifth of a second.
fn phase(seed: u64) -> Duration {
    Duration::from_secs(1).mul_f64((seed as f64 - 0.5) / SEEDS as f64)
}

fn crash(world: &mut dyn Contender, nodes: usize, phase: Duration) -> Found {
    world.run_for(SETTLE);
    let before = world.sent();
    world.run_for(REST);
    let after = world.sent();
    let share = |before: u64, after: u64| (after - before) as f64 / (REST.as_secs_f64() * nodes as f64);
    world.run_for(phase);
    let wrong = world.take_changes().iter().filter(|change| !change.up).count();
    let (since, victim) = (world.now(), nodes / 2);
    world.crash(victim);
    world.run_for(PATIENCE);
    let changes = world.take_changes();
    let mut told = BTreeMap::new();
    for change in changes.iter().filter(|change| change.about == victim && !change.up) {
        told.entry(change.by).or_insert(change.at - since);
    }
    let all = told.len() == nodes - 1;
    Found {
        wire: share(before.wire, after.wire),
        as_quic: share(before.as_quic, after.as_quic),
        first: told.values().min().copied(),
        last: told.values().max().copied().filter(|_| all),
        wrong,
    }
}
