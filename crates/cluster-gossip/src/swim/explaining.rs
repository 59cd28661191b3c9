//! What is held of a member, and on what grounds: for whoever asks why.

use std::sync::Arc;
use std::time::Duration;

use cluster_types::{Evidence, Instant, Member, NodeId, State};

use super::Swim;
use super::view::Known;
use crate::wire::Vote;

/// What the core knows of one member. Spans are as of the moment it was asked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Grounds {
    /// What is held of it.
    pub member: Arc<Member>,
    /// For how long.
    pub held_for: Duration,
    /// Who watches it, and so may vote.
    pub observers: Vec<NodeId>,
    /// Whether there is a control link to it.
    pub linked: bool,
    /// How long ago this node last heard of it itself, where it watches it, probes it or is linked to it.
    pub last_sign: Option<Duration>,
    /// Smoothed round-trip time of its answers.
    pub rtt: Option<Duration>,
    /// How unusual its silence is, in thousandths of phi, where this node probes it. 8,000 is where it counts as overdue.
    pub phi_milli: Option<u64>,
    /// It says that its application is not well.
    pub unwell: bool,
    /// It could not be dialled since it was last heard.
    pub unreachable: bool,
    /// What this node asks about it at this moment.
    pub probing: Option<Probing>,
    /// While it is suspected: everything that speaks against it.
    pub evidence: Option<Evidence>,
    /// While it is suspected: each accuser's word.
    pub votes: Vec<Vote>,
    /// While it is suspected: when it is declared failed, if the evidence stays as it is.
    pub fails_in: Option<Duration>,
    /// How much this node trusts itself, 0 (fully) to 8: verdicts wait a probe period for each.
    pub local_health: u8,
    /// Who failed or left: when it is forgotten.
    pub forgotten_in: Option<Duration>,
}

/// How a member is asked at this moment, from the least to the most that it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probing {
    /// On behalf of another observer.
    Helping,
    /// Directly.
    Direct,
    /// Through other observers, and over a stream.
    Indirect,
}

impl Swim {
    /// What is held of a member, this node included, and why. `None` for whom this node does not know.
    #[must_use]
    pub fn explain(&self, now: Instant, node: &NodeId) -> Option<Grounds> {
        if *node == self.own.node {
            let member =
                Member { claim: self.own.clone(), metadata: self.own_metadata.clone(), since: Instant::ORIGIN };
            return Some(self.grounds(now, &Arc::new(member), None));
        }
        let known = self.view.get(node)?;
        Some(self.grounds(now, &known.member, Some(known)))
    }

    fn grounds(&self, now: Instant, member: &Arc<Member>, known: Option<&Known>) -> Grounds {
        let node = member.node();
        let watch = known.and_then(Known::watch);
        let suspect = known.filter(|known| known.state() == State::Suspect);
        let votes = watch.filter(|_| suspect.is_some()).map(|watch| watch.suspicion.votes(now));
        Grounds {
            member: Arc::clone(member),
            held_for: now.since(member.since),
            observers: self.plan.observers_of(node),
            linked: self.links.contains_key(node),
            last_sign: watch.map(|watch| now.since(watch.last_sign)),
            rtt: watch.and_then(|watch| watch.rtt.smoothed()),
            phi_milli: watch.and_then(|watch| watch.pulse.as_ref()).map(|pulse| pulse.phi_milli(now)),
            unwell: watch.is_some_and(|watch| watch.unwell),
            unreachable: self.unreachable.contains(node),
            probing: self.rounds.values().filter(|round| round.target == *node).map(|round| round.probing()).max(),
            evidence: suspect.map(|known| self.evidence(now, node, known)),
            votes: votes.unwrap_or_default(),
            fails_in: suspect.and_then(|known| self.verdict_at(now, node, known)).map(|at| at.since(now)),
            local_health: self.health.score(),
            forgotten_in: self.view.gone().get(node).map(|at| at.since(now)),
        }
    }
}
