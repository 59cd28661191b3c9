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

/// At the values that are shipped: looked for every 30 s, closed after 60 s without use. Control links stay.
#[test]
fn idle_data_connections_are_closed_after_a_minute_and_control_links_stay() {
    use cluster_pool::LinkClass::{Control, Data};
    let mut world = met(3, 4);
    world.transfer(0, 1, 10_000);
    world.run_for(secs(1));
    let links = |world: &StackWorld, class| [0, 1, 2].map(|i| world.cluster(i).links(class).len());
    assert_eq!(links(&world, Data), [1, 1, 0]);
    world.run_for(secs(58));
    assert_eq!(links(&world, Data), [1, 1, 0], "59 s after its use");
    world.run_for(secs(32));
    assert_eq!((links(&world, Data), links(&world, Control)), ([0; 3], [2; 3]));
    world.transfer(0, 1, 10_000);
    world.run_for(secs(1));
    assert_eq!(world.stop_all(), Vec::<String>::new(), "and it comes back when it is needed");
}
