//! What members say to each other, as bytes. Wire types are their own: the domain's types carry no serde.
//!
//! A datagram is one envelope with one message and as many updates as fit behind it. A request or an answer on a stream is
//! one envelope. Enumerations are numbers that are only ever added to.
//!
//! Nodes of a later version say more. Everything that may grow has its length in front, so that a reader takes the fields it
//! knows and skips the rest: the body of a message, each item of a list. A kind that is not known is skipped as a whole. What
//! is left out is counted; it is nobody's mistake. Facts about a node are more than skipped: see [`Facts`](cluster_types::Facts).

pub mod datagram;
pub mod exchange;
mod update;

pub use datagram::{Datagram, DatagramKind, DatagramWriter};
pub use exchange::{Answer, Entry, Request};
pub use update::{Update, Vote};

use cluster_types::{Blame, Blamed, EnvelopeError, FactsError, IdError};

/// Why bytes from a peer are not a message. They are dropped, counted and attributed to the peer; nothing else happens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not an envelope, or one of another version.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// An envelope of a kind that is not known here: of a later version, or one that belongs elsewhere.
    #[error("message of kind {kind} is not known here")]
    Kind {
        /// The kind found.
        kind: u16,
    },
    /// Whoever wants to join is in a state that only later versions know.
    #[error("the newcomer is in a state that is not known here")]
    Newcomer,
    /// The body is not what its kind says.
    #[error("the body cannot be decoded: {reason}")]
    Body {
        /// What the decoder says.
        reason: String,
    },
    /// A name that is none.
    #[error("the message names a node that cannot exist")]
    Name(#[from] IdError),
    /// Facts that are none.
    #[error("the facts about a node cannot be read")]
    Facts(#[from] FactsError),
    /// A number outside its range.
    #[error("{field} = {found} is out of range")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
}

impl Blamed for WireError {
    fn blame(&self) -> Blame {
        match self {
            Self::Envelope(e) => e.blame(),
            Self::Kind { .. } | Self::Newcomer => Blame::PeerIncompatible,
            Self::Body { .. } | Self::Name(_) | Self::Facts(_) | Self::Range { .. } => Blame::PeerMisbehaved,
        }
    }
}

impl WireError {
    /// Whether the message says something that this version does not know: to be skipped and counted, and held against nobody. A kind of
    /// membership's own that is known and belongs elsewhere is a mistake.
    #[must_use]
    pub const fn is_unknown_kind(&self) -> bool {
        match self {
            Self::Newcomer => true,
            Self::Kind { kind } => !matches!(kind, 16..=23 | 32..=38 | 40..=45),
            _ => false,
        }
    }
}

/// What was read, and how many of its parts say something that this version does not know and were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// What is understood.
    pub value: T,
    /// How many updates or entries are not.
    pub skipped: u64,
}

impl<T> Read<T> {
    const fn whole(value: T) -> Self {
        Self { value, skipped: 0 }
    }

    fn map<U>(self, into: impl FnOnce(T) -> U) -> Read<U> {
        Read { value: into(self.value), skipped: self.skipped }
    }
}

/// The fields that are known; what follows them is of a later version.
fn body<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, WireError> {
    let (value, _later) = postcard::take_from_bytes(bytes).map_err(|e| WireError::Body { reason: e.to_string() })?;
    Ok(value)
}

pub(crate) fn bytes_of<T: serde::Serialize>(value: &T) -> Vec<u8> {
    // Most messages are short: with room for them at once nothing grows byte by byte.
    postcard::to_extend(value, Vec::with_capacity(64)).expect("plain data in memory always encodes")
}
