//! What was done to a run, as the picture shows it: processes, faults with their spans, and what happened at one moment.

use serde::Serialize;

use crate::scenario::{Act, PathFault, Scenario};

/// One process of a node.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Life {
    node: usize,
    from_ms: u64,
    to_ms: Option<u64>,
    end: Option<&'static str>,
}

/// Something that was wrong for a while.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Fault {
    kind: &'static str,
    label: String,
    /// All of them when empty.
    nodes: Vec<usize>,
    from_ms: u64,
    to_ms: Option<u64>,
}

/// Something that was done at one moment.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Mark {
    at_ms: u64,
    node: Option<usize>,
    label: String,
}

pub(super) fn lives_of(scenario: &Scenario) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for step in &scenario.steps {
        match step.act {
            Act::Start { node, .. } | Act::StartAt { node, .. } => {
                lives.push(Life { node, from_ms: step.at_ms, to_ms: None, end: None });
            }
            Act::Crash(node) => end(&mut lives, node, step.at_ms, "crash"),
            Act::Leave(node) => end(&mut lives, node, step.at_ms, "leave"),
            _ => {}
        }
    }
    lives
}

fn end(lives: &mut [Life], node: usize, at: u64, how: &'static str) {
    if let Some(life) = lives.iter_mut().rev().find(|life| life.node == node && life.to_ms.is_none()) {
        (life.to_ms, life.end) = (Some(at), Some(how));
    }
}

pub(super) fn faults_of(scenario: &Scenario) -> Vec<Fault> {
    let steps = &scenario.steps;
    let mut faults = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        let Some((kind, label, nodes)) = fault(&step.act) else { continue };
        let end = steps[n + 1..].iter().find(|later| ends(&step.act, &later.act));
        faults.push(Fault { kind, label, nodes, from_ms: step.at_ms, to_ms: end.map(|end| end.at_ms) });
    }
    faults
}

/// What lasts: its kind, in words, and whom it concerns.
fn fault(act: &Act) -> Option<(&'static str, String, Vec<usize>)> {
    let both = |a: &[usize], b: &[usize]| a.iter().chain(b).copied().collect::<Vec<usize>>();
    Some(match act {
        Act::Pause(node) => ("pause", "stopped".to_owned(), vec![*node]),
        Act::HalfStop(node) => ("half-stop", "its loop is stopped, its transport is not".to_owned(), vec![*node]),
        Act::BlockApplication(node) => ("block", "its users' tasks are blocked".to_owned(), vec![*node]),
        Act::Cut { from, to } => ("cut", format!("cut {from:?} -> {to:?}"), both(from, to)),
        Act::Split(left, right) => ("cut", format!("cut {left:?} | {right:?}"), both(left, right)),
        Act::Fault { from, to, fault, .. } => {
            let (kind, what) = match fault {
                PathFault::Cut => ("cut", "cut".to_owned()),
                PathFault::Hold => ("hold", "clogged".to_owned()),
                PathFault::Like(model) => ("rough", format!("{model:?}")),
            };
            (kind, format!("{what} {from:?} -> {to:?}"), both(from, to))
        }
        Act::Links(model) => ("rough", format!("all paths: {model:?}"), Vec::new()),
        Act::Disk { node, slow_by_ms, full } if *slow_by_ms > 0 || *full => {
            ("disk", format!("each writing takes {slow_by_ms} ms, full: {full}"), vec![*node])
        }
        Act::DiskFault { node, fault: Some(fault) } => ("disk", format!("{fault:?}"), vec![*node]),
        Act::Drift { node, ppm } if *ppm != 0 => ("clock", format!("its wall clock drifts by {ppm} ppm"), vec![*node]),
        Act::Names(Some(fault)) => ("names", format!("names: {fault:?}"), Vec::new()),
        _ => return None,
    })
}

/// Whether a later act ends what an earlier one began.
fn ends(act: &Act, later: &Act) -> bool {
    match (act, later) {
        (
            Act::Pause(node) | Act::HalfStop(node) | Act::BlockApplication(node),
            Act::Resume(other) | Act::Crash(other),
        )
        | (Act::Disk { node, .. }, Act::Disk { node: other, .. })
        | (Act::DiskFault { node, .. }, Act::DiskFault { node: other, .. })
        | (Act::Drift { node, .. }, Act::Drift { node: other, .. }) => node == other,
        (Act::Cut { .. } | Act::Split(..) | Act::Fault { .. }, Act::Heal) | (Act::Links(_), Act::Links(_)) => true,
        (Act::Names(_), Act::Names(_)) => true,
        (Act::Fault { id, .. }, Act::Mend(other)) => id == other,
        _ => false,
    }
}

pub(super) fn marks_of(scenario: &Scenario) -> Vec<Mark> {
    let mark = |act: &Act| {
        Some(match act {
            Act::Wipe(node) => (Some(*node), "loses its disk".to_owned()),
            Act::Heal => (None, "all paths are mended".to_owned()),
            Act::StepWallClock { node, by_ms } => (Some(*node), format!("its wall clock is set by {by_ms} ms")),
            Act::CloseLinks { node, to } => (Some(*node), format!("closes its links to {to}")),
            Act::Rotate { node, valid_s } => (Some(*node), format!("gets a new certificate, for {valid_s} s")),
            Act::Rebind(node) => (Some(*node), "is seen at another address".to_owned()),
            Act::Echo(node) => (Some(*node), "what it sent last arrives again".to_owned()),
            Act::Metadata { node, zone, version } => (Some(*node), format!("sets metadata {version}, zone {zone:?}")),
            Act::Broadcast { node, bytes } => (Some(*node), format!("broadcasts {bytes} B")),
            Act::Burst { from, to, messages } => (Some(*from), format!("sends {messages} messages to {to} at once")),
            Act::Transfer { from, to, bytes } => (Some(*from), format!("sends {bytes} B to {to}")),
            Act::PingPong { from, to, rounds } => (Some(*from), format!("plays {rounds} rounds with {to}")),
            _ => return None,
        })
    };
    let marks = scenario.steps.iter().filter_map(|step| Some((step.at_ms, mark(&step.act)?)));
    marks.map(|(at_ms, (node, label))| Mark { at_ms, node, label }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_fault_lasts_until_its_own_end() {
        let s = Duration::from_secs;
        let cut = |id| Act::Fault { id, from: vec![0], to: vec![1], fault: PathFault::Cut };
        let scenario = Scenario::new("x")
            .cluster(2)
            .at(s(1), Act::Pause(1))
            .at(s(2), cut(1))
            .at(s(3), cut(2))
            .at(s(4), Act::Resume(1))
            .at(s(5), Act::Mend(2))
            .at(s(6), Act::Leave(1))
            .then_quiet(s(9));
        let spans: Vec<(&str, u64, Option<u64>)> =
            faults_of(&scenario).iter().map(|fault| (fault.kind, fault.from_ms, fault.to_ms)).collect();
        assert_eq!(spans, [("pause", 1_000, Some(4_000)), ("cut", 2_000, None), ("cut", 3_000, Some(5_000))]);
        let life = Life { node: 1, from_ms: 0, to_ms: Some(6_000), end: Some("leave") };
        assert_eq!(lives_of(&scenario)[1], life);
        assert_eq!(marks_of(&scenario), []);
    }
}
