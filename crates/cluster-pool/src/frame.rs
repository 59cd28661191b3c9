//! Framed messages on streams: the envelope, then a postcard body, with the length checked before anything is allocated.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
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
#[non_exhaustive]
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

/// Most streams carry one small frame.
const FIRST_READ: usize = 512;
const FURTHER_READS: usize = 4 * 1024;

/// Looks whether a stream has ended, without waiting for it: a half that is dropped before its end is known tells the peer to stop,
/// which costs a packet.
pub(crate) async fn note_end<R: AsyncRead + Unpin + ?Sized>(from: &mut R) {
    let mut nothing = [0; 1];
    std::future::poll_fn(|cx| {
        let mut buf = tokio::io::ReadBuf::new(&mut nothing);
        // Whatever comes here instead of the end is dropped with the stream.
        let _ = std::pin::Pin::new(&mut *from).poll_read(cx, &mut buf);
        Poll::Ready(())
    })
    .await;
}

/// Reads frame after frame off a stream, and keeps what it has read of the next one: it may be cancelled at any time.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer(BytesMut);

impl FrameBuffer {
    /// One that has read these.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(BytesMut::from(bytes))
    }

    /// The next whole frame that has arrived, if there is one.
    ///
    /// # Errors
    /// The bytes are no envelope, or too long: the rest of the stream is of no use then.
    pub(crate) fn take(&mut self, max: usize) -> Result<Option<(u16, Bytes)>, EnvelopeError> {
        let Some(head) = self.0.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let (kind, len) = envelope::parse_header(*head, max)?;
        if self.0.len() < HEADER_LEN + len {
            return Ok(None);
        }
        let mut frame = self.0.split_to(HEADER_LEN + len);
        Ok(Some((kind, frame.split_off(HEADER_LEN).freeze())))
    }

    /// What was read beyond the frames that were taken.
    pub(crate) fn rest(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    /// Reads what there is. `Ok(false)` at the end of the stream.
    pub(crate) fn poll_fill<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<io::Result<bool>> {
        // Room for a small frame; a large one makes it grow as it arrives.
        self.0.reserve(if self.0.capacity() == 0 { FIRST_READ } else { FURTHER_READS });
        let read = std::task::ready!(pin!(from.read_buf(&mut self.0)).poll(cx))?;
        Poll::Ready(Ok(read > 0))
    }

    /// The next frame; `None` at an end between two frames.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn next<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        from: &mut R,
        max: usize,
    ) -> Result<Option<(u16, Bytes)>, FrameError> {
        loop {
            if let Some(frame) = self.take(max)? {
                return Ok(Some(frame));
            }
            if !std::future::poll_fn(|cx| self.poll_fill(cx, from)).await? {
                let torn = !self.0.is_empty();
                return if torn { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(None) };
            }
        }
    }
}

/// A frame as it goes onto a stream, with a body in parts.
pub(crate) fn frame_of(kind: u16, parts: &[&[u8]]) -> Bytes {
    let len = parts.iter().map(|part| part.len()).sum();
    let mut bytes = BytesMut::with_capacity(HEADER_LEN + len);
    bytes.extend_from_slice(&envelope::header(kind, len));
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.freeze()
}

pub(crate) fn encode_body<T: Serialize>(body: &T) -> Vec<u8> {
    postcard::to_allocvec(body).expect("plain data in memory always encodes")
}

/// The fields that are known; what follows them is of a later version.
pub(crate) fn decode_body<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, FrameError> {
    let read = postcard::take_from_bytes(body).map_err(|e| FrameError::Body { what, reason: e.to_string() })?;
    let (known, _later) = read;
    Ok(known)
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
    async fn frames_are_read_however_the_stream_is_cut() {
        let wire = [frame_of(1, &[b"one"]), frame_of(2, &[b"", b"tw", b"o"]), frame_of(3, &[])].concat();
        for piece in [1, 2, 7, 9, wire.len()] {
            let (mut near, mut far) = tokio::io::duplex(1_024);
            let mut buffer = FrameBuffer::default();
            let mut found = Vec::new();
            for part in wire.chunks(piece) {
                near.write_all(part).await.unwrap();
                // Cancelled after whatever has arrived is read.
                while let Some(frame) = {
                    let read = buffer.next(&mut far, 10);
                    tokio::select! { biased; frame = read => frame.unwrap(), () = tokio::task::yield_now() => None }
                } {
                    found.push((frame.0, frame.1.to_vec()));
                }
            }
            drop(near);
            while let Some((kind, body)) = buffer.next(&mut far, 10).await.unwrap() {
                found.push((kind, body.to_vec()));
            }
            assert_eq!(found, [(1, b"one".to_vec()), (2, b"two".to_vec()), (3, Vec::new())], "in pieces of {piece}");
        }
        let mut torn = FrameBuffer::default();
        assert!(torn.next(&mut &wire[..8], 10).await.is_err());
    }

    #[tokio::test]
    async fn a_liars_length_is_refused_before_it_is_read() {
        let header = envelope::header(1, 1 << 30);
        let error = read_frame(&mut header.as_slice(), 1_024).await.unwrap_err();
        assert_eq!(error.to_string(), "message of 1073741824 bytes announced, at most 1024 are accepted here");
    }
}
