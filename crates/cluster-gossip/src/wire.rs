//! What members say to each other, as bytes. Wire types are their own: the domain's types carry no serde.
//!
//! A datagram is one envelope with one message and as many updates as fit behind it. A request or an answer on a stream is
//! one envelope. Enumerations are numbers that are only ever added to.

pub mod datagram;
pub mod exchange;
mod update;

pub use datagram::{Datagram, DatagramKind, DatagramWriter};
pub use exchange::{Answer, Entry, Request};
pub use update::{Update, Vote};

use cluster_types::{Blame, Blamed, EnvelopeError, IdError};

/// Why bytes from a peer are not a message. They are dropped, counted and attributed to the peer; nothing else happens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not an envelope, or one of another version.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// An envelope of a kind that does not belong here.
    #[error("message of kind {kind} does not belong here")]
    Kind {
        /// The kind found.
        kind: u16,
    },
    /// The body is not what its kind says.
    #[error("the body cannot be decoded: {reason}")]
    Body {
        /// What the decoder says.
        reason: String,
    },
    /// A name that is none.
    #[error("the message names a node that cannot exist")]
    Name(#[from] IdError),
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
            Self::Kind { .. } => Blame::PeerIncompatible,
            Self::Body { .. } | Self::Name(_) | Self::Range { .. } => Blame::PeerMisbehaved,
        }
    }
}

fn body<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, WireError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|e| WireError::Body { reason: e.to_string() })?;
    if rest.is_empty() { Ok(value) } else { Err(WireError::Body { reason: format!("{} bytes too many", rest.len()) }) }
}

fn bytes_of<T: serde::Serialize>(value: &T) -> Vec<u8> {
    // Most messages are short: with room for them at once nothing grows byte by byte.
    postcard::to_extend(value, Vec::with_capacity(64)).expect("plain data in memory always encodes")
}
