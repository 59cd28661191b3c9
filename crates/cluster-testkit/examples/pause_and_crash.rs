//! A hundred nodes in virtual time: one is stopped for five seconds, another one is killed.
//! `cargo run --release -p cluster-testkit --example pause_and_crash`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use cluster_testkit::{EngineWorld, WorldConfig};
use cluster_types::EventKind;

fn main() {
    let mut world = EngineWorld::new(WorldConfig::default().with_loss(0.05), 42);
    world.start_cluster(100);
    let met = world.run_until(Duration::from_secs(30), EngineWorld::everybody_knows_everybody);
    println!("100 nodes met within {:?} at 5 % loss", met.expect("they meet"));

    world.pause(7);
    world.run_for(Duration::from_secs(5));
    world.resume(7);
    world.run_for(Duration::from_secs(10));
    println!("one was stopped for 5 s: {} suspicions, {} failures", world.count("suspected"), world.count("failed"));

    let killed = world.now();
    world.crash(8);
    world.run_for(Duration::from_secs(10));
    let verdicts = world.trace().iter().filter(|reported| matches!(reported.kind, EventKind::Failed(..)));
    let times: Vec<Duration> = verdicts.map(|reported| reported.at.since(killed)).collect();
    let (first, last) = (times.iter().min().expect("a verdict"), times.iter().max().expect("a verdict"));
    println!("one was killed: {} declared it, the first after {first:.2?}, the last after {last:.2?}", times.len());
}
