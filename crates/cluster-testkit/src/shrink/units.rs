//! What of a schedule belongs together, and what becomes of it without one of its nodes.

use crate::scenario::{NameFault, PathFault, Step};
use crate::{Act, Scenario};

/// Numbers of steps that go together, in order.
pub(super) type Unit = Vec<usize>;

/// All that is done beside the first start of each node: numbers of steps, those that go together in one.
pub fn units(scenario: &Scenario) -> Vec<Vec<usize>> {
    let steps = &scenario.steps;
    let mut started = vec![false; scenario.nodes()];
    let mut taken = vec![false; steps.len()];
    for (n, step) in steps.iter().enumerate() {
        if let Act::Start { node, .. } = step.act {
            taken[n] = !std::mem::replace(&mut started[node], true);
        }
    }
    let mut units = Vec::new();
    for n in 0..steps.len() {
        if std::mem::replace(&mut taken[n], true) {
            continue;
        }
        let mut unit = vec![n];
        let ends: Vec<usize> =
            (n + 1..steps.len()).filter(|m| !taken[*m] && goes_with(&steps[n], &steps[*m])).collect();
        let (first, beside): (Vec<usize>, Vec<usize>) = ends.into_iter().partition(|m| is_end(&steps[*m].act));
        // What is done at the same moment, and the first end after it.
        for m in beside.into_iter().chain(first.into_iter().take(1)) {
            taken[m] = true;
            unit.push(m);
        }
        unit.sort_unstable();
        units.push(unit);
    }
    units
}

const fn is_end(act: &Act) -> bool {
    matches!(act, Act::Start { .. } | Act::Resume(_) | Act::Mend(_) | Act::Names(None)) || is_good_disk(act)
}

const fn is_good_disk(act: &Act) -> bool {
    matches!(act, Act::Disk { slow_by_ms: 0, full: false, .. } | Act::DiskFault { fault: None, .. })
}

/// Whether a later step belongs to an earlier one: its end, or another part of it.
fn goes_with(step: &Step, later: &Step) -> bool {
    match (&step.act, &later.act) {
        (Act::Crash(node), Act::Wipe(other)) => node == other && step.at_ms == later.at_ms,
        (Act::Crash(node) | Act::Leave(node), Act::Start { node: other, .. })
        | (Act::Pause(node) | Act::HalfStop(node) | Act::BlockApplication(node), Act::Resume(other)) => node == other,
        (Act::Fault { id, .. }, Act::Mend(other)) => id == other,
        (Act::Disk { node, .. }, Act::Disk { node: other, .. })
        | (Act::DiskFault { node, .. }, Act::DiskFault { node: other, .. }) => {
            node == other && is_good_disk(&later.act) && !is_good_disk(&step.act)
        }
        (Act::Names(Some(_)), Act::Names(None)) => true,
        _ => false,
    }
}

/// The same without some of its units.
pub(super) fn without(scenario: &Scenario, out: &[Unit]) -> Scenario {
    let gone = |n: &usize| out.iter().any(|unit| unit.contains(n));
    let steps = scenario.steps.iter().enumerate().filter(|(n, _)| !gone(n)).map(|(_, step)| step.clone());
    Scenario { steps: steps.collect(), ..scenario.clone() }
}

/// The same without some nodes, given from the last to the first.
pub(super) fn without_nodes(scenario: &Scenario, gone: &[usize]) -> Scenario {
    gone.iter().fold(scenario.clone(), |scenario, gone| without_node(&scenario, *gone))
}

/// The same without a node: those after it move up by one.
fn without_node(scenario: &Scenario, gone: usize) -> Scenario {
    let steps = scenario.steps.iter().filter_map(|step| {
        let act = Renumber(gone).act(&step.act)?;
        Some(Step { at_ms: step.at_ms, act })
    });
    Scenario { steps: steps.collect(), ..scenario.clone() }
}

/// Numbers without one of them.
struct Renumber(usize);

impl Renumber {
    const fn one(&self, node: usize) -> Option<usize> {
        if node == self.0 {
            None
        } else if node > self.0 {
            Some(node - 1)
        } else {
            Some(node)
        }
    }

    fn all(&self, nodes: &[usize]) -> Vec<usize> {
        nodes.iter().filter_map(|node| self.one(*node)).collect()
    }

    /// Whoever has lost the only one it joined through joins through the first.
    fn seeds(&self, node: usize, seeds: &[usize]) -> Vec<usize> {
        let left = self.all(seeds);
        if left.is_empty() && !seeds.is_empty() && node != 0 { vec![0] } else { left }
    }

    fn act(&self, act: &Act) -> Option<Act> {
        Some(match act {
            Act::Start { node, seeds } => {
                let node = self.one(*node)?;
                Act::Start { node, seeds: self.seeds(node, seeds) }
            }
            Act::StartAt { node, place, seeds } => {
                let node = self.one(*node)?;
                Act::StartAt { node, place: self.one(*place)?, seeds: self.seeds(node, seeds) }
            }
            Act::Crash(node) => Act::Crash(self.one(*node)?),
            Act::Leave(node) => Act::Leave(self.one(*node)?),
            Act::Pause(node) => Act::Pause(self.one(*node)?),
            Act::HalfStop(node) => Act::HalfStop(self.one(*node)?),
            Act::Resume(node) => Act::Resume(self.one(*node)?),
            Act::Wipe(node) => Act::Wipe(self.one(*node)?),
            Act::Echo(node) => Act::Echo(self.one(*node)?),
            Act::BlockApplication(node) => Act::BlockApplication(self.one(*node)?),
            Act::Cut { from, to } => Act::Cut { from: self.all(from), to: self.all(to) },
            Act::Split(left, right) => Act::Split(self.all(left), self.all(right)),
            Act::Fault { id, from, to, fault } => self.fault(*id, from, to, fault)?,
            Act::Disk { node, slow_by_ms, full } => {
                Act::Disk { node: self.one(*node)?, slow_by_ms: *slow_by_ms, full: *full }
            }
            Act::DiskFault { node, fault } => Act::DiskFault { node: self.one(*node)?, fault: *fault },
            Act::Rotate { node, valid_s } => Act::Rotate { node: self.one(*node)?, valid_s: *valid_s },
            Act::Rebind(node) => Act::Rebind(self.one(*node)?),
            Act::StepWallClock { node, by_ms } => Act::StepWallClock { node: self.one(*node)?, by_ms: *by_ms },
            Act::Drift { node, ppm } => Act::Drift { node: self.one(*node)?, ppm: *ppm },
            Act::CloseLinks { node, to } => Act::CloseLinks { node: self.one(*node)?, to: self.one(*to)? },
            Act::Metadata { node, zone, version } => {
                Act::Metadata { node: self.one(*node)?, zone: zone.clone(), version: *version }
            }
            Act::Broadcast { node, bytes } => Act::Broadcast { node: self.one(*node)?, bytes: *bytes },
            Act::Transfer { from, to, bytes } => {
                Act::Transfer { from: self.one(*from)?, to: self.one(*to)?, bytes: *bytes }
            }
            Act::Burst { from, to, messages } => {
                Act::Burst { from: self.one(*from)?, to: self.one(*to)?, messages: *messages }
            }
            Act::PingPong { from, to, rounds } => {
                Act::PingPong { from: self.one(*from)?, to: self.one(*to)?, rounds: *rounds }
            }
            Act::Names(Some(NameFault::Wrong(nodes))) => Act::Names(Some(NameFault::Wrong(self.all(nodes)))),
            other => other.clone(),
        })
    }

    fn fault(&self, id: u32, from: &[usize], to: &[usize], fault: &PathFault) -> Option<Act> {
        let (from, to) = (self.all(from), self.all(to));
        (!from.is_empty() && !to.is_empty()).then(|| Act::Fault { id, from, to, fault: fault.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const S: Duration = Duration::from_secs(1);

    fn schedule() -> Scenario {
        let fault = |id| Act::Fault { id, from: vec![0], to: vec![1, 2], fault: PathFault::Cut };
        Scenario::new("x")
            .cluster(3)
            .at(10 * S, Act::Crash(1))
            .at(10 * S, Act::Wipe(1))
            .at(11 * S, fault(7))
            .at(12 * S, Act::Start { node: 1, seeds: vec![2] })
            .at(13 * S, Act::Pause(2))
            .at(14 * S, Act::Mend(7))
            .at(15 * S, Act::Resume(2))
            .at(16 * S, Act::CloseLinks { node: 0, to: 1 })
            .at(17 * S, Act::Disk { node: 0, slow_by_ms: 0, full: true })
            .at(18 * S, Act::Disk { node: 1, slow_by_ms: 0, full: false })
            .at(19 * S, Act::Disk { node: 0, slow_by_ms: 0, full: false })
            .then_quiet(S)
    }

    #[test]
    fn what_belongs_together_is_one_unit() {
        assert_eq!(units(&schedule()), [vec![3, 4, 6], vec![5, 8], vec![7, 9], vec![10], vec![11, 13], vec![12]]);
    }

    #[test]
    fn without_a_node_the_others_move_up() {
        let two = without_node(&schedule(), 1);
        assert_eq!(two.check(), Ok(()));
        assert_eq!(two.nodes(), 2);
        let acts: Vec<String> = two.steps.iter().map(|step| format!("{:?}", step.act)).collect();
        assert_eq!(
            acts[1..],
            [
                "Start { node: 1, seeds: [0] }",
                "Fault { id: 7, from: [0], to: [1], fault: Cut }",
                "Pause(1)",
                "Mend(7)",
                "Resume(1)",
                "Disk { node: 0, slow_by_ms: 0, full: true }",
                "Disk { node: 0, slow_by_ms: 0, full: false }",
            ]
        );
        let first = without_node(&schedule(), 0);
        assert_eq!(first.check(), Ok(()));
        // Whoever joined through the first joins through who is first now.
        assert_eq!(format!("{:?}", first.steps[1].act), "Start { node: 1, seeds: [0] }");
    }
}
