//! How fast the worlds are, against what is asked of them.
//!
//! Every figure is of one thread, and counts the time that its processes had a core, where the system tells it (Linux does): what
//! else runs on the machine makes them slower only by what it takes of the caches. Figures with a target are measured several times, in turn
//! with the others, and the best of each is told.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_testkit::{EngineWorld, Level, StackConfig, StackWorld, WorldConfig};
use cluster_types::Seed;

use super::campaign::run_one;
use super::stopwatch::Stopwatch;
use super::worker::Job;

/// How often each figure with a target is measured.
const ROUNDS: usize = 3;

/// A figure that has a target.
struct Figure {
    what: &'static str,
    unit: &'static str,
    target: f64,
    /// Whether more is better.
    more: bool,
    measure: fn() -> f64,
}

/// What is asked of the worlds.
const FIGURES: [Figure; 3] = [
    Figure {
        what: "L1, 3 nodes at rest",
        unit: "times real time",
        target: 8_000.0,
        more: true,
        measure: rest_of_three,
    },
    Figure {
        what: "L1, a seed of cold-start-3 with its process",
        unit: "ms",
        target: 8.0,
        more: false,
        measure: seed_of_three,
    },
    Figure {
        what: "L0, 1,000 nodes at rest",
        unit: "messages/s",
        target: 500_000.0,
        more: true,
        measure: messages_of_a_thousand,
    },
];

impl Figure {
    fn better(&self, a: f64, b: f64) -> f64 {
        if self.more { a.max(b) } else { a.min(b) }
    }

    fn row(&self, found: f64) -> String {
        let good = self.better(found, self.target) == found;
        let (sign, verdict) = (if self.more { "at least" } else { "at most" }, if good { "yes" } else { "NO" });
        format!("| {} | {found:.1} {} | {sign} {} | {verdict} |", self.what, self.unit, self.target)
    }
}

/// Prints tables: the figures with a target, then the others. `part` is `targets`, `stack` or `engine`; all of them when nothing is said.
pub(crate) fn speed(part: Option<&str>) -> bool {
    let wanted = |name| part.is_none_or(|part| part == name);
    if wanted("targets") {
        targets();
    }
    if wanted("stack") {
        println!("\n| whole nodes (L1) | figure |\n|---|---|");
        for (nodes, span) in [(3, 1_000), (5, 600), (30, 120), (100, 60)] {
            stack(nodes, Duration::from_secs(span));
        }
    }
    if wanted("engine") {
        println!("\n| engines (L0) | figure |\n|---|---|");
        engine(100, Duration::from_secs(600));
        engine(1_000, Duration::from_secs(60));
        heap();
    }
    true
}

/// The figures are measured in turn, so that whatever disturbs the machine disturbs all of them.
fn targets() {
    let mut found: [Option<f64>; FIGURES.len()] = [None; FIGURES.len()];
    for _ in 0..ROUNDS {
        for (figure, found) in FIGURES.iter().zip(&mut found) {
            let now = (figure.measure)();
            *found = Some(found.map_or(now, |former| figure.better(former, now)));
        }
    }
    println!("| what, best of {ROUNDS} | figure | asked for | met |\n|---|---|---|---|");
    for (figure, found) in FIGURES.iter().zip(found) {
        println!("{}", figure.row(found.unwrap_or(f64::NAN)));
    }
}

fn rest_of_three() -> f64 {
    const SPAN: Duration = Duration::from_secs(1_000);
    let mut world = quiet_stack(3).0;
    let watch = Stopwatch::start();
    world.run_for(SPAN);
    SPAN.as_secs_f64() / watch.seconds()
}

/// A seed with everything around it: a process, a world, its checks, its end.
fn seed_of_three() -> f64 {
    const SEEDS: u64 = 50;
    let watch = Stopwatch::start_with_children();
    for seed in 0..SEEDS {
        run_one(&Job::new("cold-start-3".to_owned(), seed, Level::L1));
    }
    watch.seconds() * 1_000.0 / SEEDS as f64
}

fn messages_of_a_thousand() -> f64 {
    let mut world = quiet_engines(1_000);
    let (sent, watch) = (world.sent().datagrams, Stopwatch::start());
    world.run_for(Duration::from_secs(60));
    (world.sent().datagrams - sent) as f64 / watch.seconds()
}

/// A quiet cluster of whole nodes, and whether they had met in time.
fn quiet_stack(nodes: usize) -> (StackWorld, bool) {
    let mut world = StackWorld::new(StackConfig::default(), 1);
    world.start_cluster(nodes);
    let met = world.run_until(Duration::from_secs(30), StackWorld::everybody_knows_everybody);
    world.run_for(Duration::from_secs(5));
    (world, met.is_some())
}

fn stack(nodes: usize, span: Duration) {
    let (mut world, met) = quiet_stack(nodes);
    let (before, watch) = (world.packets().sent, Stopwatch::start());
    world.run_for(span);
    let took = watch.seconds();
    let packets = world.packets().sent - before;
    println!(
        "| {nodes} nodes at rest (met: {met}) | {:.0} times real time, {:.0} packets/s |",
        span.as_secs_f64() / took,
        packets as f64 / took
    );
    bulk(world, nodes);
}

/// The same cluster with a megabyte going from each to the next.
fn bulk(mut world: StackWorld, nodes: usize) {
    let (before, watch) = (world.packets().sent, Stopwatch::start());
    for i in 0..nodes {
        world.transfer(i, (i + 1) % nodes, 1_000_000);
    }
    world.run_for(Duration::from_secs(10));
    let packets = world.packets().sent - before;
    println!("| {nodes} nodes, 1 MB from each to the next | {:.0} packets/s |", packets as f64 / watch.seconds());
}

/// A cluster of engines that has settled.
fn quiet_engines(nodes: usize) -> EngineWorld {
    let mut world = EngineWorld::new(WorldConfig::default(), 1);
    world.start_joined(nodes);
    world.run_for(Duration::from_secs(5));
    world
}

fn engine(nodes: usize, span: Duration) {
    let mut world = quiet_engines(nodes);
    let (events, sent, watch) = (world.happenings(), world.sent().datagrams, Stopwatch::start());
    world.run_for(span);
    let took = watch.seconds();
    println!(
        "| {nodes} nodes at rest | {:.0} times real time, {:.0} events/s, {:.0} messages/s |",
        span.as_secs_f64() / took,
        (world.happenings() - events) as f64 / took,
        (world.sent().datagrams - sent) as f64 / took
    );
}

/// An ordered map as a heap, with nothing on it but times.
fn heap() {
    const EVENTS: u64 = 5_000_000;
    const WAITING: u64 = 10_000;
    let seed = Seed::new(1);
    let mut heap: BTreeMap<(u64, u64), u64> = (0..WAITING).map(|n| ((seed.below(n, 1 << 20), n), n)).collect();
    let watch = Stopwatch::start();
    for n in WAITING..WAITING + EVENTS {
        if let Some(((at, _), _)) = heap.pop_first() {
            heap.insert((at + seed.below(n, 1 << 20), n), n);
        }
    }
    let rate = EVENTS as f64 / watch.seconds() / 1e6;
    println!("| a bare heap, {WAITING} events waiting | {rate:.1} million events/s |");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_held_against_its_target() {
        let [fast, short, _] = &FIGURES;
        assert!(fast.row(8_000.0).ends_with("| 8000.0 times real time | at least 8000 | yes |"));
        assert!(fast.row(7_999.0).ends_with("| NO |"));
        assert!(short.row(8.0).ends_with("| 8.0 ms | at most 8 | yes |"));
        assert!(short.row(8.1).ends_with("| NO |"));
        assert_eq!((fast.better(1.0, 2.0), short.better(1.0, 2.0)), (2.0, 1.0));
    }
}
