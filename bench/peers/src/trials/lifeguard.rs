//! The experiment of the Lifeguard paper: some of 128 nodes stand still at each send and receipt, for a while, again and again. How
//! many healthy ones are declared failed?

use std::collections::BTreeSet;
use std::time::Duration;

use super::{PLAIN, RIVALS, SEEDS};
use crate::contender::{Contender, Links, Setting};
use crate::spread::Spread;

const NODES: usize = 128;
const COUNTS: [usize; 9] = [1, 4, 8, 12, 16, 20, 24, 28, 32];
const SPANS_MS: [u64; 5] = [128, 512, 2_048, 8_192, 32_768];
const PAUSES_MS: [u64; 3] = [1, 256, 16_384];

/// Declarations that healthy nodes failed.
#[derive(Default, Clone, Copy)]
struct Wrongs {
    /// By healthy nodes.
    at_healthy: usize,
    /// By anybody.
    total: usize,
}

/// A table for each contender; each cell is the sum over the three pauses.
pub(crate) fn print() {
    let mut sums = Vec::new();
    for (name, make) in RIVALS.into_iter().chain([PLAIN]) {
        println!("### {name}\n");
        println!("| blocked nodes | {} |", SPANS_MS.map(|ms| format!("{:.3} s", ms as f64 / 1e3)).join(" | "));
        println!("|---:|{}", "---:|".repeat(SPANS_MS.len()));
        let mut all = vec![Wrongs::default(); SEEDS as usize];
        for count in COUNTS {
            let cells = SPANS_MS.map(|span| {
                let one = |seed| {
                    let setting = Setting { nodes: NODES, links: Links::lan(0.0), seed, joined: true };
                    let of_pause = |pause| blocked(&mut *make(setting), count, (span, pause));
                    sum(PAUSES_MS.into_iter().map(of_pause))
                };
                let wrongs: Vec<Wrongs> = (1..=SEEDS).map(one).collect();
                all = all.iter().zip(&wrongs).map(|(a, b)| sum([*a, *b])).collect();
                cell(&wrongs)
            });
            println!("| {count} | {} |", cells.join(" | "));
        }
        println!();
        sums.push(format!("| {name} | {} |", cell(&all)));
    }
    println!("### All cells together\n\n| protocol | at healthy nodes / in all |\n|---|---:|\n{}", sums.join("\n"));
}

fn sum(wrongs: impl IntoIterator<Item = Wrongs>) -> Wrongs {
    wrongs
        .into_iter()
        .fold(Wrongs::default(), |a, b| Wrongs { at_healthy: a.at_healthy + b.at_healthy, total: a.total + b.total })
}

fn cell(wrongs: &[Wrongs]) -> String {
    let at_healthy = Spread::new(wrongs.iter().map(|wrongs| wrongs.at_healthy as f64)).cell(0);
    format!("{at_healthy} / {}", Spread::new(wrongs.iter().map(|wrongs| wrongs.total as f64)).cell(0))
}

/// `count` of the nodes are blocked for a span, before each send and after each receipt while their timers go on, run for a pause, and again, for two minutes; then they are watched for twenty seconds.
fn blocked(world: &mut dyn Contender, count: usize, (span, pause): (u64, u64)) -> Wrongs {
    world.run_for(Duration::from_secs(20));
    // Spread over the cluster.
    let sick: BTreeSet<usize> = (0..count).map(|k| k * NODES / count).collect();
    let until = world.now() + Duration::from_secs(120);
    while world.now() < until {
        sick.iter().for_each(|&i| world.hold_io(i));
        world.run_for(Duration::from_millis(span));
        sick.iter().for_each(|&i| world.release_io(i));
        world.run_for(Duration::from_millis(pause));
    }
    world.run_for(Duration::from_secs(20));
    let changes = world.take_changes();
    let wrong = changes.iter().filter(|change| !change.up && !sick.contains(&change.about));
    let at_healthy = wrong.clone().filter(|change| !sick.contains(&change.by)).count();
    Wrongs { at_healthy, total: wrong.count() }
}
