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

/// Whoever has dialled a link is followed by the other side; and who is reached where it is bound answers from there.
#[test]
fn links_outlive_an_address_that_others_see_change() {
    let mut world = StackWorld::new(StackConfig::default(), 8);
    world.start_cluster(2);
    world.run_for(secs(5));
    for node in [0, 1, 0, 1] {
        world.transfer(0, 1, 10_000);
        world.transfer(1, 0, 10_000);
        world.rebind(node);
        world.run_for(secs(10));
    }
    assert_eq!((world.count("link_down"), world.count("failed")), (0, 0));
    assert_eq!(world.stop_all(), Vec::<String>::new());
}

#[test]
fn a_name_is_resolved_anew_in_each_round_until_somebody_is_there() {
    let mut world = StackWorld::new(StackConfig::default(), 6);
    world.start(0, &[]);
    world.start_through(1, "db:7000");
    world.run_for(secs(3));
    assert!(world.count("join_failed") >= 3, "nobody knows the name");
    // First it stands for somebody who is not there, then for a node beside him.
    world.set_name("db:7000", &[900]);
    world.run_for(secs(6));
    assert!(!world.everybody_knows_everybody());
    world.set_name("db:7000", &[900, 0]);
    let took = world.run_until(secs(12), StackWorld::everybody_knows_everybody);
    assert!(took.is_some(), "it looks up the name again");
}

/// The others are gone for good, and their name stands for a new cluster somewhere else.
#[test]
fn who_lost_everybody_finds_its_cluster_where_the_name_is_now() {
    let mut world = StackWorld::new(StackConfig::default(), 7);
    world.set_name("db:7000", &[0]);
    world.start(0, &[]);
    world.start_through(1, "db:7000");
    world.run_for(secs(5));
    assert!(world.everybody_knows_everybody());
    world.crash(0);
    world.run_for(secs(60));
    assert_eq!(world.count("failed"), 1);
    let failed_rounds = world.count("join_failed");
    assert!((3..=6).contains(&failed_rounds), "it looks every ten seconds, not more: {failed_rounds}");
    world.start(2, &[]);
    world.set_name("db:7000", &[2]);
    let took = world.run_until(secs(25), StackWorld::everybody_knows_everybody);
    assert!(took.is_some(), "it looks where it once joined");
    let rounds = world.count("join_failed");
    world.run_for(secs(60));
    assert_eq!(world.count("join_failed"), rounds, "it has found somebody, and looks no more");
}

/// What was lost while a node heard nobody does not hold up what is sent when it hears again: the second time, too, when its links have
/// lost before.
#[test]
fn who_was_deaf_is_heard_at_once_when_its_paths_are_whole_again() {
    let mut world = met(5, 34);
    for deaf_for in [secs(6), secs(10), secs(20), secs(25)] {
        world.run_for(secs(5));
        world.cut_one_way(&[0, 1, 2, 4], &[3]);
        world.run_for(deaf_for);
        assert!(!world.everybody_knows_everybody(), "it suspects all");
        world.heal();
        let took = world.run_until(secs(30), StackWorld::everybody_knows_everybody).expect("all are alive");
        assert!(took <= secs(2), "deaf for {deaf_for:?}, alive for all {took:?} after it");
    }
}
