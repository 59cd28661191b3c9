//! How fast the worlds are: against real time, and against what they are made of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster_testkit::{EngineWorld, Level, StackConfig, StackWorld, WorldConfig};
use cluster_types::Seed;

use super::campaign::run_one;
use super::worker::Job;

/// Prints a table; every figure is of one thread.
pub(crate) fn speed() -> bool {
    println!("| what | figure |\n|---|---|");
    for (nodes, span) in [(3, 1_000), (5, 600), (30, 120), (100, 60)] {
        stack(nodes, Duration::from_secs(span));
    }
    seeds();
    engine(100, Duration::from_secs(600));
    engine(1_000, Duration::from_secs(20));
    heap();
    true
}

/// A quiet cluster of whole nodes.
fn stack(nodes: usize, span: Duration) {
    let mut world = StackWorld::new(StackConfig::default(), 1);
    world.start_cluster(nodes);
    let met = world.run_until(Duration::from_secs(30), StackWorld::everybody_knows_everybody);
    world.run_for(Duration::from_secs(5));
    let (before, began) = (world.packets().sent, Instant::now());
    world.run_for(span);
    let took = began.elapsed().as_secs_f64();
    let packets = world.packets().sent - before;
    println!(
        "| L1, {nodes} nodes at rest (met: {}) | {:.0} times real time, {:.0} packets/s |",
        met.is_some(),
        span.as_secs_f64() / took,
        packets as f64 / took
    );
    bulk(world, nodes);
}

/// The same cluster with a megabyte going from each to the next.
fn bulk(mut world: StackWorld, nodes: usize) {
    let (before, began) = (world.packets().sent, Instant::now());
    for i in 0..nodes {
        world.transfer(i, (i + 1) % nodes, 1_000_000);
    }
    world.run_for(Duration::from_secs(10));
    let took = began.elapsed().as_secs_f64();
    let packets = world.packets().sent - before;
    println!("| L1, {nodes} nodes, 1 MB from each to the next | {:.0} packets/s |", packets as f64 / took);
}

/// A seed with everything around it: a process, a world, its checks, its end.
fn seeds() {
    const SEEDS: u64 = 50;
    let began = Instant::now();
    let mut span = 0;
    for seed in 0..SEEDS {
        let scenario = "cold-start-3".to_owned();
        span += run_one(&Job::new(scenario, seed, Level::L1)).span_ms;
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "| L1, a seed of cold-start-3 with its process | {:.1} ms, {:.0} times real time |",
        took * 1_000.0 / SEEDS as f64,
        span as f64 / 1_000.0 / took
    );
}

fn engine(nodes: usize, span: Duration) {
    let mut world = EngineWorld::new(WorldConfig::default(), 1);
    world.start_joined(nodes);
    world.run_for(Duration::from_secs(5));
    let (events, sent, began) = (world.happenings(), world.sent().datagrams, Instant::now());
    world.run_for(span);
    let took = began.elapsed().as_secs_f64();
    println!(
        "| L0, {nodes} nodes at rest | {:.0} times real time, {:.0} events/s, {:.0} messages/s |",
        span.as_secs_f64() / took,
        (world.happenings() - events) as f64 / took,
        (world.sent().datagrams - sent) as f64 / took
    );
}

/// The heap under L0, with nothing on it but times.
fn heap() {
    const EVENTS: u64 = 5_000_000;
    const WAITING: u64 = 10_000;
    let seed = Seed::new(1);
    let mut heap: BTreeMap<(u64, u64), u64> = (0..WAITING).map(|n| ((seed.below(n, 1 << 20), n), n)).collect();
    let began = Instant::now();
    for n in WAITING..WAITING + EVENTS {
        if let Some(((at, _), _)) = heap.pop_first() {
            heap.insert((at + seed.below(n, 1 << 20), n), n);
        }
    }
    let rate = EVENTS as f64 / began.elapsed().as_secs_f64() / 1e6;
    println!("| the bare heap, {WAITING} events waiting | {rate:.1} million events/s |");
}
