//! One request and its reply, on a stream of their own.

use std::time::Duration;

use bytes::Bytes;
use cluster_types::{Life, NodeId};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant as Moment;

use super::config::MESSAGE_LEN_MAX;
use super::error::PeerError;
use super::message::Channel;
use super::wire;
use crate::frame::{FrameBuffer, FrameError, note_end};
use crate::link::{Link, LinkStream};
use crate::transport::{CloseCode, ConnectionError, RecvHalf, stream_code};

/// Nobody waits for longer than a day, so that no sum of times overflows.
pub(crate) fn after(now: Moment, patience: Duration) -> Moment {
    now + patience.min(Duration::from_secs(86_400))
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// Which life of the peer answered.
    pub life: Life,
    /// What it says.
    pub body: Bytes,
}

/// Asks on a link. Dropped half way, both halves of the stream are reset: the other side stops.
pub(crate) async fn exchange(
    link: &Link,
    channel: Channel,
    body: &[u8],
    deadline: Moment,
    patience: Duration,
) -> Result<Reply, PeerError> {
    if body.len() > MESSAGE_LEN_MAX {
        return Err(PeerError::TooLong { node: link.node().clone(), len: body.len(), max: MESSAGE_LEN_MAX });
    }
    let left = deadline.saturating_duration_since(Moment::now());
    let deadline_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1);
    let frame = wire::request(channel, deadline_ms, body);
    let mut opened = None;
    let asked = async {
        let stream = link.open_bi().await.map_err(|e| unopened(link, &e))?;
        let stream = opened.insert(stream);
        stream.send.write_all(&frame).await.map_err(|e| unwritten(link, &e))?;
        stream.send.finish();
        let answer = read_answer(&mut *stream.recv).await;
        note_end(&mut *stream.recv).await;
        answer.map_err(|e| unread(link.node(), e, patience))
    };
    match tokio::time::timeout_at(deadline, asked).await {
        Ok(answer) => {
            let life = link.life();
            answered(link.node(), answer?).map(|body| Reply { life, body })
        }
        Err(_elapsed) => match opened {
            Some(mut stream) => {
                stream.send.reset(CloseCode::DEADLINE);
                stream.recv.stop(CloseCode::DEADLINE);
                Err(PeerError::Timeout { node: link.node().clone(), patience })
            }
            None => Err(no_stream(link, patience)),
        },
    }
}

/// The reply or the refusal, whatever a later version says before it.
async fn read_answer(recv: &mut dyn RecvHalf) -> Result<Option<(u16, Bytes)>, FrameError> {
    let mut reader = FrameBuffer::default();
    loop {
        // A refusal's words are far shorter.
        match reader.next(recv, MESSAGE_LEN_MAX + wire::HEAD_LEN_MAX).await? {
            Some((kind, _)) if !wire::is_known(kind) => {}
            answer => return Ok(answer),
        }
    }
}

/// Opens a stream to the handler of a channel.
pub(crate) async fn open_stream(
    link: &Link,
    channel: Channel,
    deadline: Moment,
    patience: Duration,
) -> Result<LinkStream, PeerError> {
    let mut stream = open(link, deadline, patience).await?;
    let header = wire::stream(channel);
    let written = tokio::time::timeout_at(deadline, stream.send.write_all(&header)).await;
    match written {
        Ok(written) => written.map_err(|e| unwritten(link, &e)).map(|()| stream),
        Err(_elapsed) => Err(PeerError::Timeout { node: link.node().clone(), patience }),
    }
}

async fn open(link: &Link, deadline: Moment, patience: Duration) -> Result<LinkStream, PeerError> {
    match tokio::time::timeout_at(deadline, link.open_bi()).await {
        Ok(opened) => opened.map_err(|e| unopened(link, &e)),
        Err(_elapsed) => Err(no_stream(link, patience)),
    }
}

fn unopened(link: &Link, error: &ConnectionError) -> PeerError {
    PeerError::Unwritten { node: link.node().clone(), reason: error.to_string() }
}

fn no_stream(link: &Link, patience: Duration) -> PeerError {
    let last = "the peer granted no stream: it has as many under way as it allows".to_owned();
    PeerError::NotConnected { node: link.node().clone(), patience, last }
}

/// The frame is not whole over there, and so nobody looks at it.
fn unwritten(link: &Link, error: &std::io::Error) -> PeerError {
    let node = link.node().clone();
    match stream_code(error) {
        // It stopped reading without having read all.
        Some(code) => PeerError::Refused { node, code, words: "it did not read the request".into() },
        None => PeerError::Unwritten { node, reason: error.to_string() },
    }
}

fn unread(node: &NodeId, error: FrameError, patience: Duration) -> PeerError {
    let node = node.clone();
    match error {
        FrameError::Io(error) => match stream_code(&error) {
            // Given before anybody looks at a request: nobody serves it, or nobody has time for it.
            Some(code @ (CloseCode::UNSUPPORTED | CloseCode::DRAINING)) => {
                PeerError::Refused { node, code, words: "nobody there serves it".into() }
            }
            // It was told the deadline, and its clock was a little faster.
            Some(CloseCode::DEADLINE) => PeerError::Timeout { node, patience },
            Some(code) => PeerError::HandlerFailed { node, words: code.to_string() },
            None => PeerError::LinkLost { node, source: FrameError::Io(error) },
        },
        malformed => PeerError::Malformed { node, source: malformed },
    }
}

fn answered(node: &NodeId, answer: Option<(u16, Bytes)>) -> Result<Bytes, PeerError> {
    let malformed = |source| PeerError::Malformed { node: node.clone(), source };
    match answer {
        Some((wire::KIND_REPLY, body)) => wire::read_reply(body).map_err(malformed),
        Some((wire::KIND_REFUSAL, body)) => {
            let (code, words) = wire::read_refusal(body).map_err(malformed)?;
            let node = node.clone();
            if code == CloseCode::FAILED {
                return Err(PeerError::HandlerFailed { node, words });
            }
            Err(PeerError::Refused { node, code, words })
        }
        Some((found, _)) => Err(malformed(FrameError::Unexpected { found, wanted: "a reply" })),
        None => Err(malformed(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()))),
    }
}
