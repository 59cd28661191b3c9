//! What happened to the cluster, as seen from one node: one [`Event`] for each transition, with the evidence for it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::feature::Feature;
use crate::id::NodeId;
use crate::incarnation::Incarnation;
use crate::member::Member;
use crate::time::Instant;

/// How a node came to be accused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accusation {
    /// This node probed it directly and through others, and nothing came back.
    ProbeUnanswered,
    /// Its phi crossed the threshold.
    Phi,
    /// Another member said so.
    Gossip,
}

impl Accusation {
    /// The word used in events and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProbeUnanswered => "probe_unanswered",
            Self::Phi => "phi",
            Self::Gossip => "gossip",
        }
    }
}

impl fmt::Display for Accusation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a node is suspected or was declared failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// How this node learnt of it.
    pub accusation: Accusation,
    /// Who else accuses it, by name; this node is among them if it probed in vain itself.
    pub accusers: Vec<NodeId>,
    /// How many accusers make the short deadline.
    pub votes_needed: u8,
    /// Since the last authenticated sign of life at any accuser.
    pub silence: Duration,
    /// Since the first probe of this round of suspicion stayed unanswered, if this node probed.
    pub unanswered_for: Option<Duration>,
    /// Other observers that this node asked to probe it, if this node probed.
    pub helpers_asked: usize,
    /// How many of these said that they got no answer either. The others said nothing.
    pub helpers_agreed: usize,
    /// Smoothed round-trip time to it while it still answered this node.
    pub rtt: Option<Duration>,
    /// Local health score of this node, 0 (well) to 8.
    pub local_health: u8,
    /// Whether the system refused to send to it (no route, a firewall) since it was last heard.
    pub send_refused: bool,
}

impl Evidence {
    /// An accusation of which nothing more is known.
    #[must_use]
    pub const fn bare(accusation: Accusation) -> Self {
        Self {
            accusation,
            accusers: Vec::new(),
            votes_needed: 0,
            silence: Duration::ZERO,
            unanswered_for: None,
            helpers_asked: 0,
            helpers_agreed: 0,
            rtt: None,
            local_health: 0,
            send_refused: false,
        }
    }
}

/// What is wrong with a member that still counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthFault {
    /// Its silence does not fit its rhythm any more: phi crossed the threshold.
    Overdue {
        /// Phi in thousandths.
        phi_milli: u64,
    },
    /// It answers, and says that its application is not well.
    Unwell,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// First learnt of, alive or suspect.
    Joined(Arc<Member>),
    /// Refuted a suspicion that was reported, came back after it failed or left, or restarted.
    Alive(Arc<Member>),
    /// Accused of silence.
    Suspected(Arc<Member>, Evidence),
    /// Declared failed.
    Failed(Arc<Member>, Evidence),
    /// Said goodbye.
    Left(Arc<Member>),
    /// Changed its address or metadata.
    Updated(Arc<Member>),
    /// Forgotten after its time.
    Reaped(Arc<Member>),
    /// Something is wrong with a member that is no reason for a verdict: once until recovery.
    HealthCheckFailed {
        /// The subject.
        member: Arc<Member>,
        /// What is wrong.
        fault: HealthFault,
    },
    /// A control link to it is up.
    LinkUp {
        /// The other side.
        node: NodeId,
        /// The incarnation it said hello with.
        incarnation: Incarnation,
        /// Where it was reached.
        addr: SocketAddr,
    },
    /// The last control link to it is gone.
    LinkDown {
        /// The other side.
        node: NodeId,
        /// The incarnation it had said hello with.
        incarnation: Incarnation,
        /// Why, in words.
        reason: String,
    },
    /// Dialling it for users is suspended.
    BreakerOpen(NodeId),
    /// A trial dial is allowed.
    BreakerHalfOpen(NodeId),
    /// Dialling works again.
    BreakerClosed(NodeId),
    /// Members that had failed here are back together after a partition.
    Merged {
        /// How many came back.
        members: usize,
    },
    /// A member broadcast a message to everybody.
    Broadcast {
        /// Who.
        node: NodeId,
        /// What.
        payload: Arc<[u8]>,
    },
    /// Another live process claims this node's or the named node's name.
    Conflict {
        /// The name held twice.
        node: NodeId,
        /// The incarnation of the other holder.
        incarnation: Incarnation,
        /// Where the other holder answers.
        addr: SocketAddr,
        /// What it means here, in words.
        reason: String,
    },
    /// Every live member knows a feature that this node knows: it may be used. Told again only after a `FeatureOff`.
    FeatureOn {
        /// Which feature.
        feature: Feature,
    },
    /// A live member does not know a feature that was on: it must not be used any more.
    FeatureOff {
        /// Which feature.
        feature: Feature,
        /// A member that does not know it; there may be others.
        node: NodeId,
    },
    /// A seed could not be joined through in this round.
    JoinFailed {
        /// The address given by the user.
        seed: String,
        /// Why, in words.
        reason: String,
    },
}

impl EventKind {
    /// The word used in JSON lines, logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Joined(_) => "joined",
            Self::Alive(_) => "alive",
            Self::Suspected(..) => "suspected",
            Self::Failed(..) => "failed",
            Self::Left(_) => "left",
            Self::Updated(_) => "updated",
            Self::Reaped(_) => "reaped",
            Self::HealthCheckFailed { .. } => "health_check_failed",
            Self::LinkUp { .. } => "link_up",
            Self::LinkDown { .. } => "link_down",
            Self::BreakerOpen(_) => "breaker_open",
            Self::BreakerHalfOpen(_) => "breaker_half_open",
            Self::BreakerClosed(_) => "breaker_closed",
            Self::Merged { .. } => "merged",
            Self::Broadcast { .. } => "broadcast",
            Self::Conflict { .. } => "conflict",
            Self::FeatureOn { .. } => "feature_on",
            Self::FeatureOff { .. } => "feature_off",
            Self::JoinFailed { .. } => "join_failed",
        }
    }

    /// The member record the event is about, where it is about a member.
    #[must_use]
    pub const fn member(&self) -> Option<&Arc<Member>> {
        match self {
            Self::Joined(m)
            | Self::Alive(m)
            | Self::Suspected(m, _)
            | Self::Failed(m, _)
            | Self::Left(m)
            | Self::Updated(m)
            | Self::Reaped(m)
            | Self::HealthCheckFailed { member: m, .. } => Some(m),
            _ => None,
        }
    }

    /// The subject's name, where there is one.
    #[must_use]
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Self::LinkUp { node, .. } | Self::LinkDown { node, .. } | Self::Conflict { node, .. } => Some(node),
            Self::Broadcast { node, .. } | Self::FeatureOff { node, .. } => Some(node),
            Self::BreakerOpen(node) | Self::BreakerHalfOpen(node) | Self::BreakerClosed(node) => Some(node),
            Self::Merged { .. } | Self::FeatureOn { .. } | Self::JoinFailed { .. } => None,
            other => other.member().map(|m| m.node()),
        }
    }

    /// The subject's incarnation, where it is known.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        match self {
            Self::LinkUp { incarnation, .. }
            | Self::LinkDown { incarnation, .. }
            | Self::Conflict { incarnation, .. } => Some(*incarnation),
            other => other.member().map(|m| m.claim.incarnation),
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One transition, numbered by the bus that carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When it happened on this node's monotonic clock.
    pub at: Instant,
    /// What happened.
    pub kind: EventKind,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Claim, Life, Metadata};

    /// One of each kind: the word for it, and what it is about.
    #[test]
    fn every_kind_knows_its_word_and_its_subject() {
        let claim = Claim::alive(
            "x".parse().unwrap(),
            Life::new(1, 1),
            Incarnation::from_raw(7),
            "10.0.0.1:1".parse().unwrap(),
        );
        let member = Arc::new(Member { claim, metadata: Metadata::default(), since: Instant::ORIGIN });
        let m = || Arc::clone(&member);
        let (node, addr) = (member.node().clone(), member.claim.addr);
        let evidence = Evidence::bare(Accusation::Gossip);
        let seven = Incarnation::from_raw(7);
        let reason = String::new;
        let kinds = [
            EventKind::Joined(m()),
            EventKind::Alive(m()),
            EventKind::Suspected(m(), evidence.clone()),
            EventKind::Failed(m(), evidence),
            EventKind::Left(m()),
            EventKind::Updated(m()),
            EventKind::Reaped(m()),
            EventKind::HealthCheckFailed { member: m(), fault: HealthFault::Overdue { phi_milli: 8_000 } },
            EventKind::LinkUp { node: node.clone(), incarnation: seven, addr },
            EventKind::LinkDown { node: node.clone(), incarnation: seven, reason: reason() },
            EventKind::Conflict { node: node.clone(), incarnation: seven, addr, reason: reason() },
            EventKind::BreakerOpen(node.clone()),
            EventKind::BreakerHalfOpen(node.clone()),
            EventKind::BreakerClosed(node),
            EventKind::Merged { members: 3 },
            EventKind::Broadcast { node: member.node().clone(), payload: b"hi".as_slice().into() },
            EventKind::FeatureOn { feature: Feature::application(3).unwrap() },
            EventKind::FeatureOff { feature: Feature::application(3).unwrap(), node: member.node().clone() },
            EventKind::JoinFailed { seed: reason(), reason: reason() },
        ];
        let mut table = String::new();
        for kind in &kinds {
            let (node, incarnation) = (kind.node().map_or("-", |n| n.as_str()), kind.incarnation());
            let member = if kind.member().is_some() { "member" } else { "-" };
            table += &format!("{:<20} {node} {:<2} {member}\n", kind.as_str(), incarnation.map_or(0, Incarnation::get));
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn accusations_have_words() {
        let words = [Accusation::ProbeUnanswered, Accusation::Phi, Accusation::Gossip].map(Accusation::as_str);
        assert_eq!(words, ["probe_unanswered", "phi", "gossip"]);
    }
}
