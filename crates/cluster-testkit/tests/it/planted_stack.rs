//! Mistakes planted into the pool and the loop: the scenarios at L1 must find each within its budget of seeds, and nothing
//! without one.

use std::sync::Arc;

use cluster_manager::ClusterConfig;
use cluster_manager::planted::Bug as LoopBug;
use cluster_pool::planted::Bug as PoolBug;
use cluster_testkit::scenario::{entry, play, stack_config};
use cluster_testkit::{StackConfig, StackWorld};

/// Seeds of each scenario that may be needed.
const SEEDS: u64 = 3;

/// What the scenarios find with the settings changed so, by the first seed that finds anything.
fn found(scenarios: &[&str], change: impl Fn(&mut ClusterConfig) + Send + Sync + 'static) -> Option<String> {
    let configure: Arc<dyn Fn(&mut ClusterConfig) + Send + Sync> = Arc::new(change);
    for seed in 1..=SEEDS {
        for name in scenarios {
            let scenario = entry(name).unwrap().scenario(seed);
            let config = StackConfig { configure: Some(Arc::clone(&configure)), ..stack_config(&scenario) };
            let outcome = play(&scenario, StackWorld::new(config, seed));
            if let Some(finding) = outcome.findings.first() {
                return Some(format!("{name} {seed}: {finding}"));
            }
        }
    }
    None
}

const ALL: [&str; 6] = ["closed-links", "simultaneous", "pauses", "rolling-restart", "halves", "quick-restart"];

#[test]
fn without_a_mistake_nothing_is_found() {
    assert_eq!(found(&ALL, |_| {}), None);
}

#[test]
fn every_mistake_in_the_pool_is_found_within_three_seeds() {
    for bug in PoolBug::ALL {
        assert!(found(&ALL, move |config| config.pool.bug = Some(bug)).is_some(), "{bug:?} was not found");
    }
}

#[test]
fn every_mistake_in_the_loop_is_found_within_three_seeds() {
    for bug in LoopBug::ALL {
        assert!(found(&ALL, move |config| config.bug = Some(bug)).is_some(), "{bug:?} was not found");
    }
}

/// Mistakes of the core that the engine's world finds, too. The other two cost a large cluster a watcher and a quiet one its
/// bytes: they are looked for there.
#[test]
fn mistakes_in_the_core_show_in_the_whole_stack() {
    use cluster_gossip::planted::Bug;
    let bugs =
        [Bug::SkipRefutation, Bug::AcceptEqualIncarnation, Bug::StarvedLeave, Bug::VerdictBeforeP, Bug::WakingAccuses];
    for bug in bugs {
        assert!(found(&ALL, move |config| config.swim.bug = Some(bug)).is_some(), "{bug:?} was not found");
    }
}
