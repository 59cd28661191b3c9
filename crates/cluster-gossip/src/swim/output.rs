//! What goes into the core beside messages, and what comes out.

use std::net::SocketAddr;
use std::sync::Arc;

use cluster_types::{Claim, EventKind, Facts, Incarnation, Life, NodeId};

use crate::registry::Statement;
use crate::seal::Proof;

/// The other end of a control link, as its hello said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its name, from its certificate.
    pub node: NodeId,
    /// Its life.
    pub life: Life,
    /// Its incarnation when it said hello.
    pub incarnation: Incarnation,
    /// Where it is reached.
    pub addr: SocketAddr,
    /// Version of its metadata when it said hello.
    pub meta_version: u32,
    /// What else it says of itself.
    pub facts: Facts,
    /// Its signature under all of that.
    pub proof: Option<Proof>,
}

impl PeerInfo {
    /// What it says of itself.
    #[must_use]
    pub fn claim(&self) -> Claim {
        let alive = Claim::alive(self.node.clone(), self.life, self.incarnation, self.addr);
        Claim { meta_version: self.meta_version, facts: self.facts.clone(), ..alive }
    }
}

impl From<&Claim> for PeerInfo {
    /// As a node says hello that claims this of itself.
    fn from(own: &Claim) -> Self {
        let Claim { node, life, incarnation, addr, meta_version, facts, .. } = own.clone();
        Self { node, life, incarnation, addr, meta_version, facts, proof: None }
    }
}

/// Ties an answer to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub(super) u64);

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a datagram on the control link to a peer; drop it if there is none.
    Datagram {
        /// To whom.
        to: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Ask on a stream of the control link, and hand the outcome to [`Swim::handle_answer`](super::Swim::handle_answer).
    Request {
        /// Whom.
        to: NodeId,
        /// Goes with the outcome.
        token: RequestToken,
        /// Kind of the frame.
        kind: u16,
        /// Its body.
        body: Vec<u8>,
    },
    /// Close the control link to a peer: it was declared failed. If it lives after all, a fresh link will tell.
    Disconnect {
        /// Whom.
        node: NodeId,
    },
    /// Write a statement to the registry.
    Publish(Statement),
    /// Publish an event that changes no member.
    Event(EventKind),
    /// A member broadcast this to everybody.
    Broadcast {
        /// Who.
        from: NodeId,
        /// What.
        payload: Arc<[u8]>,
    },
    /// Take a member out of the registry: it has been gone for long enough.
    Forget {
        /// Whom.
        node: NodeId,
    },
    /// [`Swim::wanted_links`](super::Swim::wanted_links) is different from before.
    LinksChanged,
    /// This node's own claim changed: say so in hellos from now on.
    OwnChanged {
        /// What it says of itself.
        claim: Claim,
        /// Its signature under that it is there; none when it leaves.
        proof: Option<Proof>,
    },
    /// Look who answers at an address, where a process with this node's name is said to be, and say so to
    /// [`Swim::handle_rival`](super::Swim::handle_rival).
    FindRival {
        /// Where.
        addr: SocketAddr,
    },
    /// The join through a peer was answered.
    Joined {
        /// Through whom.
        via: NodeId,
    },
    /// The join through a peer failed; it may be tried again.
    JoinFailed {
        /// Through whom.
        via: NodeId,
        /// Why.
        reason: String,
    },
    /// Another live process holds this node's name and was there first: this one must not go on.
    NameLost {
        /// Where the other one answers.
        addr: SocketAddr,
    },
}

/// What was refused or dropped since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SwimStats {
    /// Datagrams, requests or answers that could not be decoded.
    pub malformed: u64,
    /// Messages, and updates in messages, of a kind that this version does not know: left out, and nobody's mistake.
    pub unknown: u64,
    /// Claims whose incarnation cannot be true.
    pub implausible: u64,
    /// Words and accusations signed by nobody who could.
    pub forged: u64,
    /// Words and accusations that came unsigned from others than those they are of.
    pub unproven: u64,
    /// What was not listened to, because its teller went on saying what cannot be true.
    pub muted: u64,
    /// What was left out because too much waits for certificates.
    pub parked_over_limit: u64,
    /// Members not taken in because the view is full.
    pub over_limit: u64,
    /// Probes sent on this node's own turn.
    pub probes: u64,
    /// Probe rounds that nobody answered.
    pub unanswered: u64,
    /// Suspicions of this node that it refuted.
    pub refuted: u64,
    /// Accusations that were not entered because the accused has as many accusers as are counted.
    pub votes_over_limit: u64,
    /// Broadcasts that were not taken because too many are under way, or that gave way to newer ones before their rounds were over.
    pub broadcasts_over_limit: u64,
    /// Claims to this node's name by lives that are not followed because so many others are.
    pub rivals_over_limit: u64,
    /// Members that were forgotten altogether, before their time, because so many have gone since.
    pub tombs_over_limit: u64,
}
