//! Swarm testing: each seed draws which kinds of faults there are, then faults of those kinds alone (Groce, Zhang, Eide, Chen, Regehr,
//! "Swarm Testing", 2012). With all kinds at once, some states are never reached, since another kind always gets in the way.

use std::ops::Range;
use std::time::Duration;

use cluster_types::seed::Draws;

use super::{Act, Scenario};
use crate::net::LinkModel;

/// Kinds of faults of single nodes: death and return, a stop, a cut, deafness of the others, closed links, a step of the wall clock.
const KINDS: u64 = 6;

/// A path that may lose, double, reorder and damage a part of its packets: how much of each is drawn.
pub(super) fn links(draws: &mut Draws) -> LinkModel {
    LinkModel {
        loss: draws.fraction() * 0.15,
        duplicate: draws.fraction() * 0.05,
        reorder: draws.fraction() * 0.05,
        damage: draws.fraction() * 0.01,
        ..LinkModel::lan()
    }
}

/// Faults within a span, one after the other, so that each has an end; at its end everything is healed.
pub(super) fn faults(mut scenario: Scenario, draws: &mut Draws, nodes: usize, during: Range<Duration>) -> Scenario {
    let kinds: Vec<u64> = (0..KINDS).filter(|_| draws.below(2) == 0).collect();
    let mut at = during.start;
    while let Some(kind) = kinds.get(draws.below(kinds.len().max(1) as u64) as usize) {
        let node = draws.below(nodes as u64) as usize;
        let span = Duration::from_millis(200 + draws.below(9_000));
        if at + span >= during.end {
            break;
        }
        scenario = one(scenario, *kind, (nodes, node), at, span);
        at += span + Duration::from_millis(500 + draws.below(3_000));
    }
    scenario.at(during.end, Act::Heal)
}

fn one(scenario: Scenario, kind: u64, (nodes, node): (usize, usize), at: Duration, span: Duration) -> Scenario {
    let (one, rest): (Vec<usize>, Vec<usize>) = (0..nodes).partition(|i| *i == node);
    let seeds = vec![(node + 1) % nodes];
    match kind {
        0 => scenario.at(at, Act::Crash(node)).at(at + span, Act::Start { node, seeds }),
        1 => scenario.at(at, Act::Pause(node)).at(at + span, Act::Resume(node)),
        2 => scenario.at(at, Act::Split(one, rest)).at(at + span, Act::Heal),
        3 => scenario.at(at, Act::Cut { from: one, to: rest }).at(at + span, Act::Heal),
        4 => scenario.at(at, Act::CloseLinks { node, to: (node + 1) % nodes }),
        _ => scenario.at(at, Act::StepWallClock { node, by_ms: 1_000 * span.as_millis() as i64 - 200_000 }),
    }
}
