//! One update: a claim about a node, and for a suspicion who accuses it since when.
//!
//! It stands in lists with its length in front. What a later version adds to it goes behind the facts, or into them: what is
//! in the facts is carried on by whoever does not understand it, what is behind them is not.

use std::net::SocketAddr;
use std::time::Duration;

use cluster_types::{Claim, Facts, Incarnation, Life, NodeId, State};
use serde::{Deserialize, Serialize};

use super::{WireError, body, bytes_of};
use crate::seal::Proof;

/// A member's accusation of another. Spans are relative to the moment of signing and of sending, so that no two clocks are compared.
///
/// All but its age is signed by the accuser. Whoever passes a vote on adds the time for which it held it to the age, and cannot add the time of
/// the way: each copy looks younger than the original. So the accuser says which sign of life it means, by its own clock: two copies that
/// mean the same one are the same vote, and only a later sign is news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who accuses.
    pub accuser: NodeId,
    /// Which run of the accuser's process speaks.
    pub life: Life,
    /// The accuser's last sign of life from the subject, in milliseconds on a clock of the accuser's own: told apart and put in order,
    /// and compared with no other clock.
    pub sign_ms: u64,
    /// When it was signed: since the accuser's last authenticated sign of life from the subject. In whole milliseconds.
    pub silence: Duration,
    /// When it was signed: since the accuser sent the first probe that stayed unanswered. In whole milliseconds.
    pub unanswered: Duration,
    /// Since it was signed, as far as those know who passed it on.
    pub age: Duration,
}

/// The unit of gossip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What is said.
    pub claim: Claim,
    /// For a suspicion: whose it is.
    pub vote: Option<Vote>,
    /// Who said so: the accuser for a vote, else the subject itself.
    pub proof: Option<Proof>,
}

impl Update {
    /// What is said, without a word of who said it.
    #[must_use]
    pub const fn unproven(claim: Claim) -> Self {
        Self { claim, vote: None, proof: None }
    }
}

#[derive(Serialize, Deserialize)]
struct WireUpdate<'a> {
    node: &'a str,
    life: u64,
    incarnation: u64,
    /// 0 alive, 1 suspect, 2 failed, 3 left. An update with another one is left out.
    state: u8,
    meta_version: u32,
    addr: SocketAddr,
    #[serde(borrow)]
    vote: Option<WireVote<'a>>,
    facts: &'a [u8],
    /// Empty for none.
    proof: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct WireVote<'a> {
    accuser: &'a str,
    life: u64,
    sign_ms: u64,
    silence_ms: u32,
    unanswered_ms: u32,
    age_ms: u32,
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

const STATES: [State; 4] = [State::Alive, State::Suspect, State::Failed, State::Left];

fn number_of(state: State) -> u8 {
    STATES.iter().zip(0..).find(|(known, _)| **known == state).map_or(0, |(_, number)| number)
}

impl Update {
    /// The update, without its length.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { claim, vote, proof } = self;
        bytes_of(&WireUpdate {
            node: claim.node.as_str(),
            life: claim.life.get(),
            incarnation: claim.incarnation.get(),
            state: number_of(claim.state),
            meta_version: claim.meta_version,
            addr: claim.addr,
            vote: vote.as_ref().map(|vote| WireVote {
                accuser: vote.accuser.as_str(),
                life: vote.life.get(),
                sign_ms: vote.sign_ms,
                silence_ms: millis(vote.silence),
                unanswered_ms: millis(vote.unanswered),
                age_ms: millis(vote.age),
            }),
            facts: &claim.facts.encode(),
            proof: proof.as_ref().map_or(&[], Proof::as_bytes),
        })
    }

    /// Reads one update; `None` where it says something that this version does not know.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let wire: WireUpdate<'_> = body(bytes)?;
        let claim = Claim {
            node: NodeId::new(wire.node)?,
            life: Life::from_raw(wire.life),
            incarnation: Incarnation::from_raw(wire.incarnation),
            state: State::Alive,
            meta_version: wire.meta_version,
            addr: wire.addr,
            facts: Facts::decode(wire.facts)?,
        };
        let vote = wire.vote.map(Vote::try_from).transpose()?;
        let state = STATES.get(usize::from(wire.state));
        let proof =
            (!wire.proof.is_empty()).then(|| Proof::from_bytes(wire.proof).ok_or(too_long(wire.proof))).transpose()?;
        Ok(state.map(|state| Self { claim: Claim { state: *state, ..claim }, vote, proof }))
    }
}

const fn too_long(proof: &[u8]) -> WireError {
    WireError::Range { field: "bytes of a proof", found: proof.len() as u64 }
}

impl TryFrom<WireVote<'_>> for Vote {
    type Error = WireError;

    fn try_from(wire: WireVote<'_>) -> Result<Self, WireError> {
        let span = |ms| Duration::from_millis(u64::from(ms));
        let (silence, unanswered) = (span(wire.silence_ms), span(wire.unanswered_ms));
        let (life, age) = (Life::from_raw(wire.life), span(wire.age_ms));
        Ok(Self { accuser: NodeId::new(wire.accuser)?, life, sign_ms: wire.sign_ms, silence, unanswered, age })
    }
}
