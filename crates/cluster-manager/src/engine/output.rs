//! What an engine wants done, and what it is told of dials.

use std::net::SocketAddr;

use cluster_gossip::seal::Proof;
use cluster_gossip::{RequestToken, Statement};
use cluster_pool::DialTarget;
use cluster_types::{Claim, EventKind, NodeId};

use crate::join::JoinReport;

/// What the driver is to do.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send a datagram on the control link to a peer.
    Datagram {
        /// To whom.
        to: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Ask on a stream of the control link; the outcome goes to [`Engine::handle_answer`](super::Engine::handle_answer).
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
    /// Look up a name; the outcome goes to [`Engine::handle_resolved`](super::Engine::handle_resolved).
    Resolve {
        /// The name, with its port.
        name: String,
    },
    /// Dial a control link; the outcome goes to [`Engine::handle_dialled`](super::Engine::handle_dialled).
    Dial(DialTarget),
    /// Close the control link to a peer.
    Disconnect {
        /// Whom.
        node: NodeId,
    },
    /// Write a statement to the registry.
    Publish(Statement),
    /// Publish an event that changes no member.
    Event(EventKind),
    /// Take a member out of the registry.
    Forget {
        /// Whom.
        node: NodeId,
    },
    /// This node's own claim changed: say so in hellos from now on.
    OwnChanged {
        /// What it says of itself.
        claim: Claim,
        /// Its signature under that.
        proof: Option<Proof>,
    },
    /// Look who answers at an address under this node's name; the outcome goes to
    /// [`Engine::handle_rival`](super::Engine::handle_rival).
    FindRival {
        /// Where.
        addr: SocketAddr,
    },
    /// The join is over.
    JoinDone(JoinReport),
    /// Another live process has this node's name and was there first.
    NameLost {
        /// Where it answers.
        addr: SocketAddr,
    },
}

/// Why a dial failed, as far as the engine needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialFailure {
    /// In words.
    Reason(String),
    /// Another live process has this node's name.
    NameTaken {
        /// Where it answers.
        holder: SocketAddr,
    },
    /// This node itself answered.
    Myself,
}
