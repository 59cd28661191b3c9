//! Clusters in which nodes of several versions live: of the first release, of today with features, and of the future.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster_testkit::{EngineWorld, StackConfig, StackWorld, WorldConfig, later};
use cluster_types::{EventKind, Facts, Feature, Features, Instant, Metadata, State};

const NODES: usize = 9;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn feature() -> Feature {
    Feature::application(3).expect("a number below 32")
}

fn features() -> Features {
    Features::NONE.with(feature())
}

/// A third of the first release, a third that knows a feature, a third of a later version; all but the first join through it.
fn mixed(seed: u64) -> EngineWorld {
    let mut world = EngineWorld::new(WorldConfig::default(), seed);
    (0..NODES).for_each(|i| set_version(&mut world, i));
    world.start_cluster(NODES);
    let took = world.run_until(secs(30), EngineWorld::everybody_knows_everybody);
    assert!(took.is_some(), "seed {seed}");
    world
}

fn set_version(world: &mut EngineWorld, i: usize) {
    match i % 3 {
        0 => {}
        1 => world.set_features(i, features()),
        _ => world.set_later(i),
    }
}

fn facts(i: usize) -> Facts {
    match i % 3 {
        0 => Facts::NONE,
        1 => Facts::of(features()),
        _ => later::facts(),
    }
}

/// Nothing that a node of another version said was malformed, and everybody of the present was told what it did not know.
fn nothing_is_malformed(world: &EngineWorld, seed: u64) {
    for i in (0..NODES).filter(|&i| world.is_running(i)) {
        let stats = world.engine(i).swim().stats();
        assert_eq!((stats.malformed, stats.implausible), (0, 0), "node {i}, seed {seed}");
        assert!(stats.unknown > 30, "node {i}, seed {seed}: {} of a kind it does not know", stats.unknown);
    }
}

/// Every running node holds of every other what that one says of itself, whoever told it.
fn facts_have_arrived(world: &EngineWorld, seed: u64) {
    let running: Vec<usize> = (0..NODES).filter(|&i| world.is_running(i)).collect();
    for (&i, &j) in running.iter().flat_map(|i| running.iter().map(move |j| (i, j))) {
        let held = world.member(i, j).map(|member| member.claim.facts.clone());
        assert_eq!(held, Some(facts(j)), "of {j} at {i}, seed {seed}");
    }
}

/// Joins, a change of metadata, a farewell, a crash and a return: all of it as among equals.
#[test]
fn nodes_of_three_versions_are_one_cluster() {
    for seed in 0..5 {
        let mut world = mixed(seed);
        facts_have_arrived(&world, seed);
        let metadata = Metadata::new([("zone".to_owned(), "eu".to_owned())]).expect("short enough");
        for i in [3, 4, 5] {
            world.set_metadata(i, metadata.clone());
        }
        world.broadcast(2, b"from a later one");
        world.broadcast(0, b"from an early one");
        world.run_for(secs(60));
        for (i, j) in (0..NODES).flat_map(|i| [3, 4, 5].map(|j| (i, j))) {
            assert_eq!(world.member(i, j).map(|m| m.metadata.clone()), Some(metadata.clone()), "of {j} at {i}");
        }
        assert_eq!(world.count("broadcast"), 2 * (NODES - 1), "seed {seed}");
        assert_eq!((world.count("suspected"), world.count("failed")), (0, 0), "seed {seed}");
        // One of each version leaves, one of each crashes.
        for i in [0, 1, 2] {
            world.leave(i);
        }
        world.run_for(secs(2));
        for (i, j) in (3..NODES).flat_map(|i| [0, 1, 2].map(|j| (i, j))) {
            assert_eq!(world.state(i, j), Some(State::Left), "of {j} at {i}, seed {seed}");
        }
        [0, 1, 2].iter().for_each(|&i| world.crash(i));
        let (crashed, ended) = ([6, 7, 8], world.now());
        crashed.iter().for_each(|&i| world.crash(i));
        world.run_for(secs(30));
        for (i, j) in [3, 4, 5].into_iter().flat_map(|i| crashed.map(|j| (i, j))) {
            assert_eq!(world.state(i, j), Some(State::Failed), "of {j} at {i}, seed {seed}");
        }
        accused_are(&world, &crashed, ended, seed);
        // They come back, each as it was.
        for i in [0, 1, 2, 6, 7, 8] {
            set_version(&mut world, i);
            world.start(i, &[3, 4, 5]);
        }
        world.run_for(secs(30));
        assert!(world.everybody_knows_everybody(), "seed {seed}");
        facts_have_arrived(&world, seed);
        nothing_is_malformed(&world, seed);
    }
}

/// Nobody but these was ever suspected, and that after they had ended.
fn accused_are(world: &EngineWorld, crashed: &[usize], ended: Instant, seed: u64) {
    for reported in world.trace() {
        if let EventKind::Suspected(member, _) | EventKind::Failed(member, _) = &reported.kind {
            let wrong = !crashed.iter().any(|&i| cluster_testkit::world::name_of(i) == *member.node());
            assert!(!wrong && reported.at >= ended, "{} suspects {}, seed {seed}", reported.by, member.node());
        }
    }
}

/// Two nodes of a later version have never had a path to each other: what they say of themselves reaches them through one of the
/// first release that does not understand it.
#[test]
fn a_fact_that_only_later_versions_understand_arrives_through_an_early_one() {
    let mut world = EngineWorld::new(WorldConfig::default(), 5);
    world.set_later(1);
    world.set_later(2);
    world.partition(&[1], &[2]);
    world.start_cluster(3);
    world.run_for(secs(2));
    for (i, j) in [(1, 2), (2, 1), (0, 1), (0, 2)] {
        let held = world.member(i, j).unwrap_or_else(|| panic!("{i} has heard of {j}"));
        assert_eq!(held.claim.facts.unknown(), later::FIELD, "of {j} at {i}");
        assert!(held.claim.facts.features().has(Feature::fabric(31).expect("a number below 32")));
    }
    assert_eq!(world.engine(0).swim().stats().malformed, 0);
}

/// When each node told that the feature is on, or off.
fn switched(world: &EngineWorld, event: &str, since: Instant) -> BTreeSet<usize> {
    let told = world.trace().iter().filter(|r| r.kind.as_str() == event && r.at >= since);
    told.map(|reported| reported.by).collect()
}

/// The nodes of a cluster are upgraded one after the other; the last one that is not simply leaves. Then one comes back as it was.
#[test]
fn a_feature_is_turned_on_when_the_last_member_knows_it() {
    let mut world = EngineWorld::new(WorldConfig::default(), 7);
    world.start_cluster(5);
    assert!(world.run_until(secs(30), EngineWorld::everybody_knows_everybody).is_some());
    for i in 0..4 {
        world.leave(i);
        world.run_for(secs(1));
        world.crash(i);
        world.run_for(secs(1));
        world.set_features(i, features());
        world.start(i, &[4]);
        world.run_for(secs(20));
        assert_eq!(world.count("feature_on"), 0, "{i} of five are upgraded");
    }
    let left = world.now();
    world.leave(4);
    world.run_for(secs(1));
    world.crash(4);
    world.run_for(secs(3));
    assert_eq!(world.count("feature_on"), 0, "it might be back in a moment");
    world.run_for(secs(60));
    assert_eq!(switched(&world, "feature_on", left), BTreeSet::from([0, 1, 2, 3]));
    assert_eq!(world.count("feature_on"), 4, "each told once");
    let on: Vec<_> = world.trace().iter().filter(|r| r.kind.as_str() == "feature_on").collect();
    assert!(on.iter().all(|r| r.kind == EventKind::FeatureOn { feature: feature() }));
    let moments: Vec<Duration> = on.iter().map(|r| r.at.since(left)).collect();
    assert!(moments.iter().all(|after| *after >= secs(4) && *after <= secs(7)), "{moments:?}");
    // A newcomer that knows it turns it on for itself, and changes nothing for the others.
    world.set_features(4, features());
    world.start(4, &[0]);
    world.run_for(secs(20));
    assert_eq!((world.count("feature_on"), world.count("feature_off")), (5, 0));
    // A step back: off at once, wherever it was on.
    world.leave(4);
    world.run_for(secs(1));
    world.crash(4);
    let back = world.now();
    world.set_features(4, Features::NONE);
    world.start(4, &[0]);
    world.run_for(secs(2));
    assert_eq!(switched(&world, "feature_off", back), BTreeSet::from([0, 1, 2, 3]));
    world.run_for(secs(60));
    assert_eq!((world.count("feature_on"), world.count("feature_off")), (5, 4), "and it stays off");
}

/// A node that starts alone and then joins does not believe that all members, which is itself, know what it knows.
#[test]
fn a_newcomer_turns_nothing_on_before_it_knows_the_others() {
    let mut world = EngineWorld::new(WorldConfig::default(), 9);
    world.start(0, &[]);
    world.set_features(1, features());
    world.partition(&[0], &[1]);
    world.start(1, &[0]);
    world.run_for(secs(60));
    assert_eq!(world.count("feature_on"), 0, "it looks for the others still");
    world.heal();
    world.run_for(secs(60));
    assert!(world.everybody_knows_everybody());
    assert_eq!((world.count("feature_on"), world.count("feature_off")), (0, 0));
}

/// Whole nodes, from the handle down to the packets: membership, messages, requests and streams of three versions.
#[test]
fn whole_nodes_of_three_versions_talk() {
    let configure_one = |i: usize, config: &mut cluster_manager::ClusterConfig| config.facts = facts(i);
    let config = StackConfig {
        traffic: Some(secs(60)),
        configure_one: Some(Arc::new(configure_one)),
        later: BTreeSet::from([2, 5]),
        ..StackConfig::default()
    };
    let mut world = StackWorld::new(config, 3);
    world.start_cluster(6);
    assert!(world.run_until(secs(30), StackWorld::everybody_knows_everybody).is_some());
    world.run_for(secs(40));
    assert_eq!((world.count("suspected"), world.count("failed")), (0, 0));
    for (i, j) in (0..6).flat_map(|i| (0..6).map(move |j| (i, j))) {
        let held = world.member(i, j).map(|member| member.claim.facts.clone());
        assert_eq!(held, Some(facts(j)), "of {j} at {i}");
    }
    world.crash(5);
    world.run_for(secs(10));
    assert_eq!(world.count("failed"), 5);
    world.start(5, &[0]);
    world.run_for(secs(20));
    assert!(world.everybody_knows_everybody());
    for i in 0..6 {
        let cluster = world.cluster(i).clone();
        let metrics = world.block_on(async move { cluster.metrics().await });
        let value = |name: &str, label: &str| metrics.value(name, label);
        assert_eq!(value("cluster_gossip_malformed_total", ""), Some(0.0), "node {i}");
        assert_eq!(value("cluster_handled_total", "not_understood"), Some(0.0), "node {i}");
        assert!(value("cluster_gossip_unknown_total", "") > Some(0.0), "node {i}: {metrics:?}");
        assert!(value("cluster_handled_total", "unknown") > Some(0.0), "node {i}: {metrics:?}");
        assert!(value("cluster_handled_total", "messages") > Some(0.0), "node {i}: {metrics:?}");
    }
    assert_eq!(world.stop_all(), Vec::<String>::new());
}

/// An upgrade of whole nodes, as their owners do it: the handle says what is on, and the event tells when.
#[test]
fn the_handle_says_which_features_are_on() {
    let configure_one = |i: usize, config: &mut cluster_manager::ClusterConfig| {
        config.facts = Facts::of(if i < 3 { features() } else { Features::NONE });
    };
    let config = StackConfig { configure_one: Some(Arc::new(configure_one)), ..StackConfig::default() };
    let mut world = StackWorld::new(config, 4);
    world.start_cluster(4);
    assert!(world.run_until(secs(30), StackWorld::everybody_knows_everybody).is_some());
    world.run_for(secs(20));
    let on = |world: &StackWorld| [0, 1, 2].map(|i| world.cluster(i).features_on());
    assert_eq!(on(&world), [Features::NONE; 3]);
    let known: Vec<Features> = world.cluster(0).members().into_iter().map(|member| member.features).collect();
    assert_eq!(known, [features(), features(), features(), Features::NONE]);
    world.leave(3);
    world.run_for(secs(10));
    assert_eq!(on(&world), [features(); 3]);
    assert_eq!(world.count("feature_on"), 3);
    assert_eq!(world.subscribers_disagree(), Vec::<String>::new());
    world.start(3, &[0]);
    world.run_for(secs(3));
    assert_eq!(on(&world), [Features::NONE; 3]);
    let off = world.reports().into_iter().find(|r| r.kind.as_str() == "feature_off").expect("it was told");
    assert_eq!(off.kind.node(), Some(&cluster_testkit::world::name_of(3)), "and why");
    assert_eq!(world.count("feature_off"), 3);
}
