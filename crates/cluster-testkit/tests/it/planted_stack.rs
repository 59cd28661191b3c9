//! Mistakes planted into core, pool and loop: each must be found by the check that is for it, within three seeds of the scenario that is about it,
//! and nothing without one.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster_manager::planted::Bug as LoopBug;
use cluster_pool::planted::Bug as PoolBug;
use cluster_testkit::Trace;
use cluster_testkit::planted::{SHOWN, Shown, plant};
use cluster_testkit::play::run_configured;
use cluster_testkit::scenario::{Level, entry};
use cluster_testkit::world::stack::Configure;

/// Seeds of each scenario that may be needed.
const SEEDS: u64 = 3;

/// The checks that find something in one seed of a scenario, with a mistake or without.
fn checks(scenario: &str, level: Level, seed: u64, mistake: Option<&'static str>) -> BTreeSet<&'static str> {
    let planting = |name: &'static str| -> Configure { Arc::new(move |config| plant(name, config)) };
    let schedule = entry(scenario).unwrap().scenario(seed);
    let outcome = run_configured(&schedule, level, seed, Trace::default(), mistake.map(planting));
    outcome.findings.iter().map(|finding| finding.check).collect()
}

/// Whether the mistakes of these names are found, each by its check; else, by which others.
fn assert_found(among: &[String]) {
    let mut some = false;
    for Shown { mistake, scenario, level, check } in SHOWN.iter().filter(|s| among.iter().any(|name| name == s.mistake))
    {
        let mut others = BTreeSet::new();
        let found = (1..=SEEDS).any(|seed| {
            others.append(&mut checks(scenario, *level, seed, Some(mistake)));
            others.contains(check)
        });
        assert!(found, "{mistake} in {scenario} is not found by {check:?}, but by {others:?}");
        some = true;
    }
    assert!(some, "no mistake is looked for");
}

fn names(bugs: &[impl std::fmt::Debug]) -> Vec<String> {
    bugs.iter().map(|bug| format!("{bug:?}")).collect()
}

#[test]
fn without_a_mistake_nothing_is_found() {
    let stages: BTreeSet<(&str, Level)> = SHOWN.iter().map(|shown| (shown.scenario, shown.level)).collect();
    for (scenario, level) in stages {
        // Nearly all are found in the first one; the gate plays ten of each scenario.
        assert_eq!(checks(scenario, level, 1, None), BTreeSet::new(), "{scenario}");
    }
}

#[test]
fn every_mistake_in_the_pool_is_found_within_three_seeds() {
    assert_found(&names(&PoolBug::ALL));
}

#[test]
fn every_mistake_in_the_loop_is_found_within_three_seeds() {
    assert_found(&names(&LoopBug::ALL));
}

/// Mistakes of the core that the gauntlet of the engine's world finds, too: about refutations, the rings, farewells.
#[test]
fn mistakes_in_what_the_core_says_are_found_within_three_seeds() {
    use cluster_gossip::planted::Bug;
    assert_found(&names(&Bug::IN_THE_ENGINE[..4]));
}

/// Likewise: about time, and one that costs a quiet cluster its bytes.
#[test]
fn mistakes_in_when_the_core_speaks_are_found_within_three_seeds() {
    use cluster_gossip::planted::Bug;
    assert_found(&names(&Bug::IN_THE_ENGINE[4..]));
}

/// Mistakes about votes, metadata, addresses and events.
#[test]
fn mistakes_that_the_judge_alone_can_see_are_found_within_three_seeds() {
    use cluster_gossip::planted::Bug;
    let others: Vec<Bug> = Bug::ALL.into_iter().filter(|bug| !Bug::IN_THE_ENGINE.contains(bug)).collect();
    assert_found(&names(&others));
}
