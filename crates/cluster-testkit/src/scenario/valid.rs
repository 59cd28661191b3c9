//! Whether a schedule can be played: one that was cut down by hand, or put together by a program, may say what cannot be.

use std::time::Duration;

use super::{Act, PathFault, Scenario};
use crate::net::{Latency, LinkModel};

/// Seeds may name addresses where nobody will ever be; nodes may not.
const NODES_MAX: usize = 100_000;

/// A broadcast is a small message.
const BROADCAST_MAX: usize = 200;

impl Scenario {
    /// Whether it can be played.
    ///
    /// # Errors
    /// The first step that cannot be, and why.
    pub fn check(&self) -> Result<(), String> {
        links(&self.links)?;
        self.limits.check()?;
        let mut nodes: Vec<bool> = Vec::new();
        let (mut before, all) = (0, self.nodes());
        for (n, step) in self.steps.iter().enumerate() {
            let failed = |why: String| Err(format!("step {n}, {:?} at {} ms: {why}", step.act, step.at_ms));
            if step.at_ms < before {
                return failed(format!("it comes after a step at {before} ms"));
            }
            before = step.at_ms;
            if let Act::StartAt { node, place, .. } = step.act {
                if node != nodes.len() {
                    return failed(format!("a newcomer has the next number, which is {}", nodes.len()));
                }
                if nodes.get(place).copied().unwrap_or(true) {
                    return failed(format!("the place of node {place} is not free"));
                }
            }
            if let Act::Start { node, .. } | Act::StartAt { node, .. } = step.act {
                if node >= NODES_MAX {
                    return failed(format!("{NODES_MAX} nodes are the most"));
                }
                if node > nodes.len() {
                    return failed(format!(
                        "nodes are numbered in the order in which they first start, next is {}",
                        nodes.len()
                    ));
                }
                if node == nodes.len() {
                    nodes.push(false);
                }
                if nodes[node] {
                    return failed(format!("node {node} runs already"));
                }
                nodes[node] = true;
            }
            if let Some(stranger) = step.act.groups().into_iter().flatten().find(|node| **node >= all) {
                return failed(format!("node {stranger} is never started: there are {all}, numbered from 0"));
            }
            if let Some(stranger) = step.act.nodes().into_iter().find(|node| *node >= nodes.len()) {
                return failed(format!("node {stranger} was never started, or not yet"));
            }
            if let Act::Crash(node) | Act::Leave(node) = step.act {
                nodes[node] = false;
            }
            let model = match &step.act {
                Act::Links(model) | Act::Fault { fault: PathFault::Like(model), .. } => links(model),
                _ => Ok(()),
            };
            if let Err(why) = model {
                return failed(why);
            }
            if let Act::Broadcast { bytes, .. } = step.act
                && bytes > BROADCAST_MAX
            {
                return failed(format!("a broadcast has at most {BROADCAST_MAX} B"));
            }
        }
        if nodes.is_empty() {
            return Err("no node is started".into());
        }
        if self.until_ms < before {
            return Err(format!("it ends at {} ms, before its last step at {before} ms", self.until_ms));
        }
        Ok(())
    }
}

impl Act {
    /// Whether it sends what only the nodes of a scenario understand, or says what only their owners may.
    pub(crate) const fn needs_our_handlers(&self) -> bool {
        matches!(
            self,
            Self::Transfer { .. }
                | Self::PingPong { .. }
                | Self::Burst { .. }
                | Self::Broadcast { .. }
                | Self::Metadata { .. }
        )
    }

    /// Whether a disk is lost by it, or breaks what it has promised.
    pub(crate) const fn betrays_a_disk(&self) -> bool {
        use super::DiskFault::{LostSync, TornWrite};
        matches!(self, Self::Wipe(_) | Self::DiskFault { fault: Some(LostSync | TornWrite), .. })
    }

    /// The groups between which it changes paths. Whoever is in them may start later.
    fn groups(&self) -> [&[usize]; 2] {
        match self {
            Self::Cut { from, to } | Self::Split(from, to) | Self::Fault { from, to, .. } => [from, to],
            _ => [&[], &[]],
        }
    }

    /// Everybody it is about who must have been started; seeds may name whom they like.
    fn nodes(&self) -> Vec<usize> {
        match self {
            Self::Start { node, .. }
            | Self::StartAt { node, .. }
            | Self::Disk { node, .. }
            | Self::Crash(node)
            | Self::Leave(node)
            | Self::Pause(node)
            | Self::HalfStop(node)
            | Self::Echo(node)
            | Self::Rotate { node, .. }
            | Self::Rebind(node)
            | Self::Drift { node, .. }
            | Self::DiskFault { node, .. }
            | Self::Resume(node)
            | Self::BlockApplication(node)
            | Self::Wipe(node)
            | Self::Metadata { node, .. }
            | Self::Broadcast { node, .. }
            | Self::StepWallClock { node, .. } => vec![*node],
            Self::CloseLinks { node, to } => vec![*node, *to],
            Self::Transfer { from, to, .. } | Self::PingPong { from, to, .. } | Self::Burst { from, to, .. } => {
                vec![*from, *to]
            }
            Self::Cut { .. } | Self::Split(..) | Self::Fault { .. } | Self::Mend(_) | Self::Heal => Vec::new(),
            Self::Links(_) | Self::Names(_) => Vec::new(),
        }
    }
}

fn links(model: &LinkModel) -> Result<(), String> {
    let LinkModel { latency, loss, burst, duplicate, reorder, damage, bandwidth, mtu } = model;
    let share = |name: &str, share: f64| {
        if (0.0..=1.0).contains(&share) { Ok(()) } else { Err(format!("{name} is {share}: a share is from 0 to 1")) }
    };
    share("loss", *loss)?;
    share("duplicate", *duplicate)?;
    share("reorder", *reorder)?;
    share("damage", *damage)?;
    if let Some(burst) = burst {
        share("the chance that a burst begins", burst.begin)?;
        share("the chance that a burst ends", burst.end)?;
        share("the loss in a burst", burst.loss)?;
    }
    let ordered = |low: &Duration, high: &Duration| {
        if low <= high { Ok(()) } else { Err(format!("a latency from {low:?} to {high:?}: the lower one comes first")) }
    };
    match latency {
        Latency::Uniform(low, high) | Latency::PerPair(low, high) => ordered(low, high)?,
        Latency::Bimodal(usual, slow, slow_share) => {
            ordered(usual, slow)?;
            share("the slow share", *slow_share)?;
        }
        Latency::Constant(_) | Latency::Exponential(..) => {}
    }
    if bandwidth.is_some_and(|bandwidth| bandwidth.bytes_per_s == 0) {
        return Err("a bandwidth of nothing: cut the path instead".into());
    }
    // What QUIC needs at least.
    if *mtu < 1_200 { Err(format!("an MTU of {mtu} B: QUIC needs 1,200")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::CATALOGUE;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_catalogue_can_be_played() {
        for entry in CATALOGUE {
            for seed in 0..50 {
                assert_eq!(entry.scenario(seed).check(), Ok(()), "{} {seed}", entry.name);
            }
        }
    }

    #[test]
    fn what_cannot_be_is_said_with_its_step() {
        let two = || Scenario::new("x").cluster(2).then_quiet(S);
        let why = |scenario: Scenario| scenario.check().unwrap_err();
        assert_eq!(why(Scenario::new("x")), "no node is started");
        let start = |node| Act::Start { node, seeds: vec![] };
        assert!(why(two().at(S, start(1))).contains("node 1 runs already"));
        assert!(why(two().at(S, start(7))).contains("next is 2"));
        assert!(why(two().at(S, start(usize::MAX))).contains("are the most"));
        for act in [Act::Crash(2), Act::Transfer { from: 0, to: 2, bytes: 1 }, Act::CloseLinks { node: 2, to: 0 }] {
            let why = why(two().at(S, act));
            assert!(why.starts_with("step 2, ") && why.ends_with("node 2 was never started, or not yet"), "{why}");
        }
        for act in [Act::Split(vec![0], vec![1, 2]), Act::Cut { from: vec![7], to: vec![0] }] {
            let why = why(two().at(S, act));
            assert!(why.contains("is never started: there are 2, numbered from 0"), "{why}");
        }
        assert_eq!(two().at(S, Act::Split(vec![0], vec![2])).at(S * 2, start(2)).check(), Ok(()));
        assert_eq!(two().at(S, Act::Crash(1)).at(S * 2, start(1)).check(), Ok(()));
        let mut shuffled = two().at(S, Act::Pause(1)).at(2 * S, Act::Resume(1));
        shuffled.steps.swap(2, 3);
        assert!(why(shuffled).contains("comes after a step"));
        let mut short = two().at(S, Act::Crash(1));
        short.until_ms = 5;
        assert!(why(short).contains("before its last step"));
        assert!(why(two().over(LinkModel::lan().with_loss(f64::NAN))).contains("loss is NaN"));
        let backwards = LinkModel::lan().with_latency(Latency::Uniform(S, S / 2));
        assert!(why(two().at(S, Act::Links(backwards))).contains("the lower one comes first"));
    }
}
