//! Clusters that work, and on which several faults are at work at once.

use cluster_types::Seed;
use cluster_types::seed::Draws;

use super::super::{Scenario, swarm};
use super::{few, secs, settled};

/// Long enough for the slowest promise: the reconnector's back-off, then the views.
const QUIET: std::time::Duration = secs(60);

fn over(draws: &mut Draws, nodes: usize) -> Scenario {
    let begin = settled(draws);
    let scenario = Scenario::new("").cluster(nodes);
    swarm::faults(scenario, Seed::new(draws.below(u64::MAX)), begin..begin + secs(80)).then_quiet(QUIET)
}

pub(super) fn few_nodes(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    over(draws, nodes)
}

pub(super) fn many_nodes(draws: &mut Draws) -> Scenario {
    over(draws, 25)
}
