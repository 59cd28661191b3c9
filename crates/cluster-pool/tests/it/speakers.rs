//! Nodes with routers, and peers whose drivers they run.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cluster_pool::{
    Channel, Message, Outcome, Peer, PeerConfig, PoolConfig, QuicConfig, Received, Router, Serving, Ticket, request_fn,
};
use tokio::task::JoinSet;

use crate::node::{Node, PATIENCE, authority, credentials};

pub(crate) const WORDS: Channel = Channel(1);
pub(crate) const ECHO: Channel = Channel(2);

/// A node with a router, and peers whose drivers it runs.
pub(crate) struct Speaker {
    pub(crate) node: Node,
    pub(crate) router: Router,
    pub(crate) drivers: JoinSet<()>,
}

impl Speaker {
    pub(crate) fn new(credentials: &cluster_pool::Credentials, router: Router) -> Self {
        Self::at(credentials, 1, "127.0.0.1:0".parse().unwrap(), router)
    }

    pub(crate) fn at(credentials: &cluster_pool::Credentials, life: u32, addr: SocketAddr, router: Router) -> Self {
        let serving = Serving { streams: Arc::new(router.clone()), ..Serving::default() };
        let node = Node::serving(credentials, life, addr, PoolConfig::default(), serving, QuicConfig::default());
        Self { node, router, drivers: JoinSet::new() }
    }

    pub(crate) fn peer_with(&mut self, other: &Self, config: PeerConfig) -> Peer {
        self.peer_at(other.node.name.clone(), other.node.addr, config)
    }

    pub(crate) fn peer_at(&mut self, name: cluster_types::NodeId, addr: SocketAddr, config: PeerConfig) -> Peer {
        let (peer, driver) = Peer::new(&self.node.pool, &self.router, name, addr, config).unwrap();
        self.drivers.spawn(driver.drive());
        peer
    }

    pub(crate) fn peer(&mut self, other: &Self) -> Peer {
        self.peer_with(other, PeerConfig::default())
    }
}

pub(crate) fn echo_router() -> Router {
    let echo = request_fn(|_, body: Bytes| async move { Ok(body) });
    Router::builder().on_request(ECHO, echo).build().unwrap()
}

pub(crate) fn pair(router: Router) -> (Speaker, Speaker) {
    let authority = authority("prod");
    let a = Speaker::new(&credentials(&authority, "a"), Router::new());
    (a, Speaker::new(&credentials(&authority, "b"), router))
}

pub(crate) fn words(text: &str) -> Message {
    Message::new(WORDS, text.as_bytes().to_vec())
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never: {what}"))
}

pub(crate) async fn outcome(ticket: Ticket) -> Outcome {
    in_time("an outcome", ticket).await
}

pub(crate) async fn received(peer: &Peer) -> Received {
    in_time("a message", peer.receive()).await.expect("it is open")
}
