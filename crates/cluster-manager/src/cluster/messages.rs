//! What a node says to members by name: messages with outcomes, requests with replies, streams.

use std::time::Duration;

use bytes::Bytes;
use cluster_pool::link::LinkStream;
use cluster_pool::typed::request_body;
use cluster_pool::{Ask, Channel, Message, Outcome, Peer, PeerReport, Reply, Ticket, Typed};
use cluster_types::NodeId;
use tracing::Instrument;

use super::Cluster;
use crate::error::MessageError;

impl Cluster {
    /// One member as a peer: to send much, to receive what no handler takes, to hear of its link. It is the same one for everybody who
    /// asks, and closed when the member fails or leaves.
    ///
    /// # Errors
    /// No live member has that name, it is this node's own, or the node is shutting down.
    pub fn peer(&self, node: &NodeId) -> Result<Peer, MessageError> {
        self.0.peers.get(node)
    }

    /// Sends a message to a member. Returns as soon as it waits in the member's queue; the ticket tells how it ended.
    ///
    /// # Errors
    /// There is no such live member; or the message was not taken, and is handed back within [`MessageError::Rejected`].
    ///
    /// # Cancel safety
    /// Safe: see [`Peer::send`].
    pub async fn send(&self, node: &NodeId, message: Message) -> Result<Ticket, MessageError> {
        Ok(self.peer(node)?.send(message).await.map_err(Box::new)?)
    }

    /// Asks a member, and waits for its reply, for `patience` at most. Given up, it is cancelled over there, too.
    ///
    /// # Errors
    /// There is no such live member, or the request failed: [`MessageError::fate`] says whether it may have been handled.
    ///
    /// # Cancel safety
    /// Safe in that the other side is told; see [`Peer::request`].
    pub async fn request(
        &self,
        node: &NodeId,
        channel: Channel,
        body: impl Into<Bytes>,
        patience: Duration,
    ) -> Result<Reply, MessageError> {
        let span = tracing::debug_span!("request", peer = %node, %channel);
        Ok(self.peer(node)?.request(channel, body, patience).instrument(span).await?)
    }

    /// Sends a message with a type of its own; see [`send`](Self::send).
    ///
    /// # Errors
    /// As for [`send`](Self::send), or the value has no form as bytes.
    ///
    /// # Cancel safety
    /// Safe, as [`send`](Self::send) is.
    pub async fn tell<M: Typed + Sync>(&self, node: &NodeId, message: &M) -> Result<Ticket, MessageError> {
        self.send(node, Message::of(message)?).await
    }

    /// Asks with a type of its own; see [`request`](Self::request).
    ///
    /// # Errors
    /// As for [`request`](Self::request), or the request has no form as bytes, or the reply cannot be read.
    ///
    /// # Cancel safety
    /// Safe, as [`request`](Self::request) is.
    pub async fn ask<R: Ask + Sync>(
        &self,
        node: &NodeId,
        request: &R,
        patience: Duration,
    ) -> Result<R::Reply, MessageError> {
        let body = request_body(request)?;
        let reply = self.request(node, R::CHANNEL, body, patience).await?;
        reply.read::<R>().map_err(|source| MessageError::Unreadable { node: node.clone(), source })
    }

    /// A stream to the handler of a channel at a member.
    ///
    /// # Errors
    /// There is no such live member, or no link to it within `patience`.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_stream(
        &self,
        node: &NodeId,
        channel: Channel,
        patience: Duration,
    ) -> Result<LinkStream, MessageError> {
        Ok(self.peer(node)?.open_stream(channel, patience).await?)
    }

    /// Sends a message to every other live member, over its link, and says how it ended for each. Not [`broadcast`](Self::broadcast),
    /// which goes by gossip, is short, and has no outcome. A member whose queue has no room is told of as having rejected it.
    ///
    /// # Cancel safety
    /// Safe: what was taken goes out.
    pub async fn send_to_all(&self, message: Message) -> Vec<(NodeId, Result<Outcome, MessageError>)> {
        let mut sent = Vec::new();
        for node in self.0.peers.others() {
            // Nobody waits for room in one member's queue before the next one hears of it.
            let ticket = self.peer(&node).and_then(|peer| Ok(peer.try_send(message.clone()).map_err(Box::new)?));
            sent.push((node, ticket));
        }
        // All are under way: the slowest one decides how long it takes.
        let mut ended = Vec::new();
        for (node, ticket) in sent {
            let outcome = match ticket {
                Ok(ticket) => Ok(ticket.await),
                Err(error) => Err(error),
            };
            ended.push((node, outcome));
        }
        ended
    }

    /// How the links to members are, and why: of each that something was said to.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerReport> {
        self.0.peers.all().iter().map(Peer::explain).collect()
    }
}
