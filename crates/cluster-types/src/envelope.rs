//! The envelope every control message travels in: what it is and how long, outside of whatever the body is encoded with.
//!
//! ```text
//! +---------+----------------+------------------+---- ... ----+
//! | version | kind           | length           | body        |
//! | 1 byte  | 2 bytes, LE    | 4 bytes, LE      | length bytes|
//! +---------+----------------+------------------+---- ... ----+
//! ```
//!
//! A reader that does not know a kind skips `length` bytes and goes on: kinds are only ever added.

use crate::blame::{Blame, Blamed};

/// The one version spoken today.
pub const VERSION: u8 = 1;

/// Bytes before the body.
pub const HEADER_LEN: usize = 7;

/// A decoded header and the body it announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What the body is.
    pub kind: u16,
    /// The body.
    pub body: &'a [u8],
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Fewer bytes than a header, or than the header announces.
    #[error("message cut short: {have} bytes, {need} announced")]
    Truncated {
        /// Bytes present.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// Another version of the envelope.
    #[error("envelope version {found}, this side speaks {VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The header announces more than the reader accepts.
    #[error("message of {announced} bytes announced, at most {max} are accepted here")]
    TooLong {
        /// Bytes announced.
        announced: usize,
        /// Bytes accepted.
        max: usize,
    },
}

impl Blamed for EnvelopeError {
    fn blame(&self) -> Blame {
        match self {
            Self::Version { .. } => Blame::PeerIncompatible,
            Self::Truncated { .. } | Self::TooLong { .. } => Blame::PeerMisbehaved,
        }
    }
}

/// The header for a body of `len` bytes.
///
/// # Panics
/// If `len` exceeds 32 bits: limits far below that are checked where bodies are made.
#[must_use]
pub fn header(kind: u16, len: usize) -> [u8; HEADER_LEN] {
    let len = u32::try_from(len).expect("a body's limit is far below 4 GiB").to_le_bytes();
    let kind = kind.to_le_bytes();
    [VERSION, kind[0], kind[1], len[0], len[1], len[2], len[3]]
}

/// Reads a header: the kind and the length of the body, checked against `max` before anyone allocates.
///
/// # Errors
/// Another version, or a body longer than `max`.
pub fn parse_header(header: [u8; HEADER_LEN], max: usize) -> Result<(u16, usize), EnvelopeError> {
    let [version, k0, k1, l0, l1, l2, l3] = header;
    if version != VERSION {
        return Err(EnvelopeError::Version { found: version });
    }
    let announced = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if announced > max {
        return Err(EnvelopeError::TooLong { announced, max });
    }
    Ok((u16::from_le_bytes([k0, k1]), announced))
}

impl<'a> Envelope<'a> {
    /// Takes one envelope off the front of `bytes`; the rest is returned beside it.
    ///
    /// # Errors
    /// Cut short, another version, or longer than `max`. Nothing is consumed then.
    pub fn parse(bytes: &'a [u8], max: usize) -> Result<(Self, &'a [u8]), EnvelopeError> {
        let truncated = |need| EnvelopeError::Truncated { have: bytes.len(), need };
        let (head, rest) = bytes.split_first_chunk().ok_or(truncated(HEADER_LEN))?;
        let (kind, len) = parse_header(*head, max)?;
        let (body, rest) = rest.split_at_checked(len).ok_or(truncated(HEADER_LEN + len))?;
        Ok((Self { kind, body }, rest))
    }

    /// The envelope as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.body.len());
        bytes.extend_from_slice(&header(self.kind, self.body.len()));
        bytes.extend_from_slice(self.body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_what_the_page_says() {
        let bytes = Envelope { kind: 0x0203, body: b"hi" }.encode();
        assert_eq!(bytes, [1, 0x03, 0x02, 2, 0, 0, 0, b'h', b'i']);
    }

    #[test]
    fn bad_bytes_are_named() {
        let parse = |bytes: &[u8]| Envelope::parse(bytes, 10).unwrap_err().to_string();
        assert_eq!(parse(&[1, 0]), "message cut short: 2 bytes, 7 announced");
        assert_eq!(parse(&[1, 0, 0, 4, 0, 0, 0, 9]), "message cut short: 8 bytes, 11 announced");
        assert_eq!(parse(&[7, 0, 0, 0, 0, 0, 0]), "envelope version 7, this side speaks 1");
        assert_eq!(parse(&[1, 0, 0, 11, 0, 0, 0]), "message of 11 bytes announced, at most 10 are accepted here");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed_and_the_rest_is_left(
            kind: u16, body: Vec<u8>, rest: Vec<u8>,
        ) {
            let mut bytes = Envelope { kind, body: &body }.encode();
            bytes.extend_from_slice(&rest);
            let (envelope, left) = Envelope::parse(&bytes, body.len()).unwrap();
            prop_assert_eq!(envelope, Envelope { kind, body: &body });
            prop_assert_eq!(left, &rest[..]);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, max in 0usize..64) {
            let _ = Envelope::parse(&bytes, max);
        }
    }
}
