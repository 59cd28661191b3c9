//! What the pool tells its owner, and what it asks of whoever serves the peers' streams.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cluster_types::NodeId;
use tokio::sync::oneshot;

use super::error::DialError;
use crate::frame::Frame;
use crate::link::{Link, LinkRecv, LinkStream};
use crate::transport::CloseCode;

/// Whom to dial.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialTarget {
    /// Where.
    pub addr: SocketAddr,
    /// Who must answer; `None` accepts any member of the cluster, as for a seed.
    pub node: Option<NodeId>,
}

/// What happened on the control links.
#[derive(Debug)]
#[non_exhaustive]
pub enum PoolEvent {
    /// A control link to a peer is up, or a better one took the place of the one before.
    LinkUp(Link),
    /// The control link to a peer is gone and out of the pool.
    LinkDown {
        /// The link that ended.
        link: Link,
        /// Why, in words.
        reason: String,
        /// Whether the peer said that it is shutting down.
        farewell: bool,
    },
    /// A control dial ended. On success the link's `LinkUp` came before.
    Dialled {
        /// What was dialled.
        target: DialTarget,
        /// The link now in use, or why there is none.
        outcome: Result<Link, Arc<DialError>>,
    },
    /// The system refused to send to an address: no route, a firewall. Told five times a second at most.
    SendRefused {
        /// Where to.
        addr: SocketAddr,
    },
    /// A datagram on a control link.
    Datagram {
        /// The link it came on.
        link: Link,
        /// What it holds.
        bytes: Bytes,
    },
    /// A request on a stream of a control link.
    Request(InboundRequest),
}

/// A request that waits for its answer. Dropping it resets the stream.
#[derive(Debug)]
#[must_use = "dropping it turns the request away"]
pub struct InboundRequest {
    /// The link it came on.
    pub link: Link,
    /// What is asked.
    pub frame: Frame,
    pub(super) answer: oneshot::Sender<Frame>,
}

impl InboundRequest {
    /// Answers. If the asker has gone meanwhile, nothing happens.
    pub fn answer(self, kind: u16, body: Vec<u8>) {
        // The asker's side of the channel is gone only when nobody waits any more.
        let _ = self.answer.send(Frame { kind, body });
    }
}

/// Serves the streams that peers open on data links, each in a task of its own that the pool joins at shutdown.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait StreamHandler: Send + Sync + fmt::Debug {
    /// Serves one stream to its end.
    async fn handle(&self, link: &Link, stream: LinkStream);

    /// Serves one stream on which only the peer sends. Refuses it, unless it is told otherwise.
    async fn handle_uni(&self, link: &Link, mut stream: LinkRecv) {
        tracing::debug!(peer = %link.node(), "a stream on which only the peer sends is served by nobody here");
        stream.half.stop(CloseCode::UNSUPPORTED);
    }
}

/// Refuses every stream: for owners that serve none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStreams;

#[async_trait]
impl StreamHandler for NoStreams {
    async fn handle(&self, _link: &Link, mut stream: LinkStream) {
        stream.recv.stop(CloseCode::UNSUPPORTED);
        stream.send.reset(CloseCode::UNSUPPORTED);
    }
}
