//! Mistakes planted into the pool and the loop: the scenarios at L1 must find each within its budget of seeds, and nothing
//! without one.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster_manager::ClusterConfig;
use cluster_manager::planted::Bug as LoopBug;
use cluster_pool::planted::Bug as PoolBug;
use cluster_testkit::StackWorld;
use cluster_testkit::play::{play, stack_config};
use cluster_testkit::scenario::entry;

/// Seeds of each scenario that may be needed.
const SEEDS: u64 = 3;

/// Whether this check finds something in the scenarios with the settings changed so; else, which others did.
fn finds(
    check: &str,
    change: impl Fn(&mut ClusterConfig) + Send + Sync + 'static,
) -> Result<(), BTreeSet<&'static str>> {
    finds_in(&ALL, check, change)
}

fn finds_in(
    names: &[&str],
    check: &str,
    change: impl Fn(&mut ClusterConfig) + Send + Sync + 'static,
) -> Result<(), BTreeSet<&'static str>> {
    let configure: Arc<dyn Fn(&mut ClusterConfig) + Send + Sync> = Arc::new(change);
    let mut others = BTreeSet::new();
    for (seed, name) in (1..=SEEDS).flat_map(|seed| names.iter().map(move |name| (seed, name))) {
        let scenario = entry(name).unwrap().scenario(seed);
        let config = stack_config(&scenario, Some(Arc::clone(&configure)));
        let outcome = play(&scenario, StackWorld::new(config, seed));
        others.extend(outcome.findings.iter().map(|finding| finding.check));
        if others.contains(check) {
            return Ok(());
        }
    }
    Err(others)
}

const ALL: [&str; 7] =
    ["closed-links", "simultaneous", "pauses", "rolling-restart", "halves", "quick-restart", "power-cut"];

#[test]
fn without_a_mistake_nothing_is_found() {
    assert_eq!(finds("any at all", |_| {}), Err(BTreeSet::new()));
}

#[test]
fn every_mistake_in_the_pool_is_found_within_three_seeds() {
    for bug in PoolBug::ALL {
        let check = match bug {
            PoolBug::KeepLoser | PoolBug::EndHitsSuccessor => "one live link a pair",
            PoolBug::DropLoserStreams => "nothing is left",
            // Of what users do with links: looked for in `links`.
            PoolBug::CallerTakesDialWithHim
            | PoolBug::PermitLeak
            | PoolBug::ReorderAfterReconnect
            | PoolBug::CancelLooksComplete => continue,
        };
        assert_eq!(finds(check, move |config| config.pool.bug = Some(bug)), Ok(()), "{bug:?}");
    }
}

#[test]
fn every_mistake_in_the_loop_is_found_within_three_seeds() {
    for bug in LoopBug::ALL {
        let check = match bug {
            LoopBug::ForgetLinkDown => "a verdict has the votes that it needs",
            LoopBug::SkipFarewell => "a farewell is known to all",
            LoopBug::NeverReconnect => "all agree at the end",
            LoopBug::LoseAnswers | LoopBug::RememberNobody => "all meet in time",
        };
        assert_eq!(finds(check, move |config| config.bug = Some(bug)), Ok(()), "{bug:?}");
    }
}

/// Mistakes of the core that the engine's world finds, too. The other two cost a large cluster a watcher and a quiet one its
/// bytes: they are looked for there.
#[test]
fn mistakes_in_the_core_show_in_the_whole_stack() {
    use cluster_gossip::planted::Bug;
    let bugs = [
        (Bug::SkipRefutation, "all agree at the end"),
        (Bug::AcceptEqualIncarnation, "all agree at the end"),
        (Bug::StarvedLeave, "a farewell is known to all"),
        (Bug::VerdictBeforeP, "a verdict has the votes that it needs"),
        (Bug::WakingAccuses, "who wakes accuses nobody"),
    ];
    for (bug, check) in bugs {
        assert_eq!(finds(check, move |config| config.swim.bug = Some(bug)), Ok(()), "{bug:?}");
    }
}

/// Mistakes about votes, metadata, addresses and events: each in the scenario that is about it, by the check that is for it.
#[test]
fn mistakes_that_the_judge_alone_can_see_are_found_within_three_seeds() {
    use cluster_gossip::planted::Bug;
    let bugs = [
        (Bug::OneVoteConvicts, "isolate-long", "a verdict has the votes that it needs"),
        (Bug::MetadataNotTold, "metadata", "metadata agrees at the end"),
        (Bug::WrongAddress, "cold-start-3", "addresses agree at the end"),
        (Bug::EventsLost, "metadata", "snapshot and deltas are the state"),
        (Bug::RefutesOnce, "mute-short", "who comes back is seen alive in time"),
        (Bug::NewcomerPutsOff, "newcomers-at-a-death", "a death is known as soon as the rule allows"),
    ];
    for (bug, name, check) in bugs {
        assert_eq!(finds_in(&[name], "any at all", |_| {}), Err(BTreeSet::new()), "{name} without a mistake");
        assert_eq!(finds_in(&[name], check, move |config| config.swim.bug = Some(bug)), Ok(()), "{bug:?}");
    }
}
