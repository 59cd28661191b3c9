//! Framed messages on streams: the envelope, then a postcard body, with the length checked before anything is allocated.

use std::io;

use cluster_types::envelope::{self, EnvelopeError, HEADER_LEN};
use cluster_types::{Blame, Blamed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A frame as it came off a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why no frame could be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended or failed.
    #[error("the stream ended early")]
    Io(#[from] io::Error),
    /// The bytes are not an envelope this side accepts.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Another kind of message was due here.
    #[error("message of kind {found} where {wanted} was due")]
    Unexpected {
        /// The kind found.
        found: u16,
        /// What was due.
        wanted: &'static str,
    },
    /// The body is not what its kind says.
    #[error("the body of {what} cannot be decoded: {reason}")]
    Body {
        /// What it should be.
        what: &'static str,
        /// What the decoder says.
        reason: String,
    },
}

impl Blamed for FrameError {
    fn blame(&self) -> Blame {
        match self {
            Self::Io(_) => Blame::EnvironmentFailed,
            Self::Envelope(e) => e.blame(),
            Self::Unexpected { .. } | Self::Body { .. } => Blame::PeerMisbehaved,
        }
    }
}

/// Writes one frame and flushes it.
///
/// # Errors
/// The stream failed.
///
/// # Cancel safety
/// Not safe: a dropped future leaves a torn frame; reset the stream then.
pub async fn write_frame<W: AsyncWrite + Unpin + ?Sized>(to: &mut W, kind: u16, body: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + body.len());
    bytes.extend_from_slice(&envelope::header(kind, body.len()));
    bytes.extend_from_slice(body);
    to.write_all(&bytes).await?;
    to.flush().await
}

/// Reads one frame with a body of at most `max` bytes.
///
/// # Errors
/// The stream failed or ended, or the bytes are no envelope, or too long.
///
/// # Cancel safety
/// Not safe: a dropped future loses what it has read; stop the stream then.
pub async fn read_frame<R: AsyncRead + Unpin + ?Sized>(from: &mut R, max: usize) -> Result<Frame, FrameError> {
    let mut head = [0; HEADER_LEN];
    from.read_exact(&mut head).await?;
    let (kind, len) = envelope::parse_header(head, max)?;
    // Grows with what arrives rather than with what is announced: a liar's megabytes are never allocated.
    let mut body = Vec::with_capacity(len.min(16 * 1024));
    from.take(len as u64).read_to_end(&mut body).await?;
    if body.len() < len {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Frame { kind, body })
}

pub(crate) fn encode_body<T: Serialize>(body: &T) -> Vec<u8> {
    postcard::to_allocvec(body).expect("plain data in memory always encodes")
}

pub(crate) fn decode_body<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, FrameError> {
    postcard::from_bytes(body).map_err(|e| FrameError::Body { what, reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_survives_the_stream_and_a_torn_one_is_an_error() {
        let mut wire = Vec::new();
        write_frame(&mut wire, 9, b"hello").await.unwrap();
        let frame = read_frame(&mut wire.as_slice(), 5).await.unwrap();
        assert_eq!(frame, Frame { kind: 9, body: b"hello".to_vec() });
        for cut in 0..wire.len() {
            let torn = read_frame(&mut &wire[..cut], 5).await.unwrap_err();
            assert!(matches!(torn, FrameError::Io(_)), "cut at {cut}: {torn}");
        }
    }

    #[tokio::test]
    async fn a_liars_length_is_refused_before_it_is_read() {
        let header = envelope::header(1, 1 << 30);
        let error = read_frame(&mut header.as_slice(), 1_024).await.unwrap_err();
        assert_eq!(error.to_string(), "message of 1073741824 bytes announced, at most 1024 are accepted here");
    }
}
