//! One update: a claim about a node, and for a suspicion who accuses it since when.

use std::net::SocketAddr;
use std::time::Duration;

use cluster_types::{Claim, Incarnation, Life, NodeId, State};
use serde::{Deserialize, Serialize};

use super::WireError;

/// A member's accusation of another. Spans are relative to the moment of sending, so that no two clocks are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who accuses.
    pub accuser: NodeId,
    /// Since the accuser's last authenticated sign of life from the subject.
    pub silence: Duration,
    /// Since the accuser sent the first probe that stayed unanswered.
    pub unanswered: Duration,
}

/// The unit of gossip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What is said.
    pub claim: Claim,
    /// For a suspicion: whose it is.
    pub vote: Option<Vote>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireUpdate<'a> {
    node: &'a str,
    life: u64,
    incarnation: u64,
    /// 0 alive, 1 suspect, 2 failed, 3 left.
    state: u8,
    meta_version: u32,
    addr: SocketAddr,
    #[serde(borrow)]
    vote: Option<WireVote<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WireVote<'a> {
    accuser: &'a str,
    silence_ms: u32,
    unanswered_ms: u32,
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

impl<'a> WireUpdate<'a> {
    pub(super) fn new(update: &'a Update) -> Self {
        let Update { claim, vote } = update;
        Self {
            node: claim.node.as_str(),
            life: claim.life.get(),
            incarnation: claim.incarnation.get(),
            state: match claim.state {
                State::Alive => 0,
                State::Suspect => 1,
                State::Failed => 2,
                State::Left => 3,
            },
            meta_version: claim.meta_version,
            addr: claim.addr,
            vote: vote.as_ref().map(|vote| WireVote {
                accuser: vote.accuser.as_str(),
                silence_ms: millis(vote.silence),
                unanswered_ms: millis(vote.unanswered),
            }),
        }
    }
}

impl TryFrom<WireUpdate<'_>> for Update {
    type Error = WireError;

    fn try_from(wire: WireUpdate<'_>) -> Result<Self, WireError> {
        let state = match wire.state {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Failed,
            3 => State::Left,
            other => {
                return Err(WireError::Range { field: "state", found: u64::from(other) });
            }
        };
        let claim = Claim {
            node: NodeId::new(wire.node)?,
            life: Life::from_raw(wire.life),
            incarnation: Incarnation::from_raw(wire.incarnation),
            state,
            meta_version: wire.meta_version,
            addr: wire.addr,
        };
        let vote = |vote: WireVote<'_>| {
            let span = |ms| Duration::from_millis(u64::from(ms));
            let (silence, unanswered) = (span(vote.silence_ms), span(vote.unanswered_ms));
            Ok::<_, WireError>(Vote { accuser: NodeId::new(vote.accuser)?, silence, unanswered })
        };
        Ok(Self { claim, vote: wire.vote.map(vote).transpose()? })
    }
}
