//! Nodes that may hold little: full pools, full queues, and what follows from them.

use std::time::Duration;

use cluster_types::seed::Draws;

use super::super::{Act, Limits, Scenario};
use super::{ms, one_of, secs, settled};
use crate::net::{Latency, LinkModel};

/// Three to six.
const fn very_few(draws: &mut Draws) -> usize {
    3 + draws.below(4) as usize
}

/// Another one than this.
const fn other(draws: &mut Draws, nodes: usize, than: usize) -> usize {
    (than + 1 + draws.below(nodes as u64 - 1) as usize) % nodes
}

/// So many messages from each of several to others, now and then until a time.
fn with_bursts(mut scenario: Scenario, draws: &mut Draws, nodes: usize, messages: u64, until: Duration) -> Scenario {
    let mut at = settled(draws);
    while at < until {
        let from = one_of(draws, nodes);
        for _ in 0..1 + draws.below(3) {
            let to = other(draws, nodes, from);
            scenario = scenario.at(at, Act::Burst { from, to, messages: 1 + draws.below(messages) });
        }
        at += ms(200 + draws.below(2_000));
    }
    scenario
}

/// Each has fewer places for links than there are others: who finds none waits for one, and links that nobody uses make room.
pub(super) fn full_pools(draws: &mut Draws) -> Scenario {
    let nodes = 4 + draws.below(3) as usize;
    let limits = Limits {
        links: Some(1 + draws.below(2) as usize),
        idle_ms: (draws.below(2) == 0).then_some(3_000),
        handling_ms: Some(draws.below(1_500)),
        ..Limits::default()
    };
    let scenario = Scenario { limits, ..Scenario::new("").cluster(nodes) };
    with_bursts(scenario, draws, nodes, 10, secs(40)).then_quiet(secs(60)).expecting(|e| e.calm = true)
}

/// Queues that hold four messages, one request at a time, and receivers that take their time; then a link ends, or a receiver leaves.
pub(super) fn full_queues(draws: &mut Draws) -> Scenario {
    let nodes = very_few(draws);
    let limits = Limits {
        queue: Some(4),
        refuse: draws.below(2) == 0,
        requests: Some(1),
        handling_ms: Some(100 + draws.below(1_000)),
        ..Limits::default()
    };
    let scenario = Scenario { limits, ..Scenario::new("").cluster(nodes) };
    let mut scenario = with_bursts(scenario, draws, nodes, 60, secs(40));
    for _ in 0..6 {
        let at = settled(draws) + ms(draws.below(28_000));
        let node = one_of(draws, nodes);
        scenario = scenario.at(at, Act::CloseLinks { node, to: other(draws, nodes, node) });
    }
    let leaves = one_of(draws, nodes);
    let at = secs(25) + ms(draws.below(5_000));
    let back = Act::Start { node: leaves, seeds: vec![other(draws, nodes, leaves)] };
    scenario = scenario.at(at, Act::Leave(leaves)).at(at + secs(9), back);
    scenario.then_quiet(secs(60)).expecting(|e| e.no_failures = true)
}

/// Two begin to talk to each other at the same moment, and what the losing link of the two carries takes longer than it is given.
pub(super) fn crossed(draws: &mut Draws) -> Scenario {
    let nodes = very_few(draws);
    let limits = Limits { handling_ms: Some(11_000), ..Limits::default() };
    let latency = Latency::Constant(ms(5 + draws.below(40)));
    let mut scenario =
        Scenario { limits, ..Scenario::new("").cluster(nodes).over(LinkModel::lan().with_latency(latency)) };
    let at = settled(draws);
    for from in 0..nodes {
        for to in (0..nodes).filter(|to| *to != from) {
            scenario = scenario.at(at + ms(draws.below(3)), Act::Burst { from, to, messages: 3 });
        }
    }
    scenario.then_quiet(secs(50)).expecting(|e| e.calm = true)
}
