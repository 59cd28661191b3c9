//! Why a peer did not do what it was asked to, and what is known of the message then.

use std::net::SocketAddr;
use std::time::Duration;

use cluster_types::{Blame, Blamed, NodeId};

use super::config::PeerConfigError;
use super::message::Message;
use crate::frame::FrameError;
use crate::transport::CloseCode;

/// What is known of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was certainly not handled over there: safe to repeat.
    NotSent,
    /// It may have been: to repeat it may do it twice.
    MaybeDelivered,
}

/// Why a peer could not be made, or a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Nothing can be at that address.
    #[error("{node} cannot be reached at {addr}: {reason}")]
    InvalidAddress {
        /// The peer.
        node: NodeId,
        /// The address.
        addr: SocketAddr,
        /// Why.
        reason: &'static str,
    },
    /// A setting makes no sense.
    #[error(transparent)]
    Config(#[from] PeerConfigError),
    /// The peer was closed by its owner. Nothing was sent.
    #[error("{node} was closed by its owner")]
    Closed {
        /// The peer.
        node: NodeId,
    },
    /// The body is longer than is allowed. Nothing was sent: use a stream.
    #[error("a message of {len} bytes to {node}: at most {max} are allowed, longer things go on streams")]
    TooLong {
        /// The peer.
        node: NodeId,
        /// Bytes of the body.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// So many attempts to connect have failed that none is made for a while. Nothing was sent.
    #[error("{node} is not tried for {}: {failures} attempts in a row have failed, the last one because: {last}", in_words(*.retry_in))]
    BreakerOpen {
        /// The peer.
        node: NodeId,
        /// When one is made again, if nothing is heard of the peer before.
        retry_in: Duration,
        /// Attempts that failed.
        failures: u32,
        /// Why the last one did.
        last: String,
    },
    /// There was no link within the deadline. Nothing was sent.
    #[error("no link to {node} within {patience:?}: {last}")]
    NotConnected {
        /// The peer.
        node: NodeId,
        /// How long was waited.
        patience: Duration,
        /// What the last attempt failed of, or that it has not ended.
        last: String,
    },
    /// There were as many requests under way as there may be, for the whole of the deadline. Nothing was sent.
    #[error("{max} requests to {node} were under way for all of {patience:?}")]
    Busy {
        /// The peer.
        node: NodeId,
        /// How long was waited.
        patience: Duration,
        /// Requests there may be.
        max: usize,
    },
    /// It left, and no reply came within the deadline. The other side was told to stop.
    #[error("no reply of {node} within {patience:?}")]
    Timeout {
        /// The peer.
        node: NodeId,
        /// How long was waited.
        patience: Duration,
    },
    /// The link ended after it had left.
    #[error("the link to {node} ended before its reply")]
    LinkLost {
        /// The peer.
        node: NodeId,
        /// What the stream said.
        source: FrameError,
    },
    /// The link ended before it had left.
    #[error("the link to {node} ended before the request was written")]
    Unwritten {
        /// The peer.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// The receiver turned it away before anybody there looked at it.
    #[error("{node} refused it ({code}): {words}")]
    Refused {
        /// The peer.
        node: NodeId,
        /// The kind of refusal.
        code: CloseCode,
        /// What it says.
        words: String,
    },
    /// The receiver's handler failed.
    #[error("the handler of {node} failed: {words}")]
    HandlerFailed {
        /// The peer.
        node: NodeId,
        /// What it says.
        words: String,
    },
    /// What came is no reply.
    #[error("{node} answered with something that is no reply")]
    Malformed {
        /// The peer.
        node: NodeId,
        /// What is wrong with it.
        source: FrameError,
    },
}

fn in_words(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

impl PeerError {
    /// What is known of the request.
    #[must_use]
    pub const fn fate(&self) -> Fate {
        match self {
            Self::InvalidAddress { .. }
            | Self::Config(_)
            | Self::Closed { .. }
            | Self::TooLong { .. }
            | Self::BreakerOpen { .. }
            | Self::NotConnected { .. }
            | Self::Busy { .. }
            | Self::Unwritten { .. }
            | Self::Refused { .. } => Fate::NotSent,
            Self::Timeout { .. } | Self::LinkLost { .. } | Self::HandlerFailed { .. } | Self::Malformed { .. } => {
                Fate::MaybeDelivered
            }
        }
    }
}

impl Blamed for PeerError {
    fn blame(&self) -> Blame {
        match self {
            Self::InvalidAddress { .. } | Self::Config(_) | Self::Closed { .. } | Self::TooLong { .. } => {
                Blame::CallerMisused
            }
            Self::BreakerOpen { .. }
            | Self::NotConnected { .. }
            | Self::Busy { .. }
            | Self::Timeout { .. }
            | Self::LinkLost { .. }
            | Self::Unwritten { .. }
            | Self::Refused { .. } => Blame::EnvironmentFailed,
            Self::HandlerFailed { .. } | Self::Malformed { .. } => Blame::PeerMisbehaved,
        }
    }
}

/// A message that was not taken for sending, handed back.
#[derive(Debug, thiserror::Error)]
#[error("the message to {node} was not taken: {reason}")]
#[non_exhaustive]
pub struct Rejected {
    /// The peer.
    pub node: NodeId,
    /// Why.
    pub reason: RejectReason,
    /// The message as it was given.
    pub message: Message,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// There is no room, and the rule for that case is to refuse, or all that wait go before it.
    #[error("{len} messages of {bytes} bytes wait, and there is no room for it")]
    Full {
        /// Messages that wait.
        len: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// It is longer than is allowed: use a stream.
    #[error("it has {len} bytes, at most {max} are allowed: longer things go on streams")]
    TooLong {
        /// Bytes of the body.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The peer was closed.
    #[error("the peer was closed by its owner")]
    Closed,
}

impl Blamed for Rejected {
    fn blame(&self) -> Blame {
        match self.reason {
            RejectReason::Full { .. } => Blame::EnvironmentFailed,
            RejectReason::TooLong { .. } | RejectReason::Closed => Blame::CallerMisused,
        }
    }
}
