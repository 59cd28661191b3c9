//! Membership at L1: whole nodes with real QUIC over the simulated network.

use std::time::Duration;

use cluster_testkit::{StackConfig, StackWorld};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// A cluster that has met.
fn met(n: usize, seed: u64) -> StackWorld {
    let mut world = StackWorld::new(StackConfig::default(), seed);
    world.start_cluster(n);
    let took = world.run_until(secs(30), StackWorld::everybody_knows_everybody);
    assert!(took.is_some(), "{n} nodes did not meet (seed {seed})");
    world.run_for(secs(5));
    world
}

#[test]
fn a_cluster_meets_loses_one_and_forgives_a_pause() {
    let mut world = met(5, 1);
    world.pause(2);
    world.run_for(secs(5));
    world.resume(2);
    world.run_for(secs(10));
    assert_eq!(world.count("failed"), 0);
    world.crash(4);
    let at = world.now();
    world.run_for(secs(20));
    let declared: Vec<_> = world.reports().into_iter().filter(|r| r.kind.as_str() == "failed").collect();
    assert_eq!(declared.len(), 4);
    for reported in declared {
        let took = reported.at.since(at);
        assert!(took > secs(5) && took < secs(7), "{took:?}");
    }
}
