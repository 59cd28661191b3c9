//! A pool on a loopback port, with credentials made in memory, and a bounded wait for its events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster_pool::identity::authority::Validity;
use cluster_pool::link::LinkStream;
use cluster_pool::{
    Authority, ConnectionPool, Credentials, DialTarget, Hello, Lease, Link, LinkClass, PoolConfig, PoolEvent,
    QuicConfig, QuicTransport, Serving, StreamHandler, Transport,
};
use cluster_types::{Incarnation, Life, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::seam::Seam;

/// Longer than anything here may take, shorter than anyone's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn unix_s() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

pub(crate) fn authority(cluster: &str) -> Authority {
    Authority::generate(cluster.parse().unwrap(), unix_s()).unwrap()
}

pub(crate) fn credentials(authority: &Authority, name: &str) -> Credentials {
    authority.issue(&name.parse().unwrap(), Validity::days(unix_s(), 1)).unwrap()
}

/// Sends back what it reads.
#[derive(Debug)]
struct Echo;

#[async_trait]
impl StreamHandler for Echo {
    async fn handle(&self, _link: &Link, mut stream: LinkStream) {
        let mut bytes = Vec::new();
        if (&mut *stream.recv).take(1 << 20).read_to_end(&mut bytes).await.is_ok() {
            stream.send.write_all(&bytes).await.unwrap();
            stream.send.finish();
        }
    }
}

pub(crate) struct Node {
    pub(crate) pool: ConnectionPool,
    pub(crate) events: mpsc::Receiver<PoolEvent>,
    pub(crate) name: NodeId,
    pub(crate) addr: SocketAddr,
}

pub(crate) fn hello(credentials: &Credentials, life: u32, addr: SocketAddr) -> Hello {
    Hello {
        node: credentials.name().clone(),
        client: matches!(credentials.identity().role, cluster_pool::Role::Client(_)),
        cluster: credentials.cluster().clone(),
        life: Life::new(u64::from(life), life),
        incarnation: Incarnation::from_unix_ms(u64::from(life)),
        addr,
        dial: 0,
        draining: false,
        facts: cluster_types::Facts::NONE,
        meta_version: 0,
        proof: Vec::new(),
    }
}

impl Node {
    pub(crate) fn start(credentials: &Credentials, life: u32, addr: SocketAddr) -> Self {
        Self::start_with(credentials, life, addr, PoolConfig::default())
    }

    pub(crate) fn with(credentials: &Credentials, config: PoolConfig) -> Self {
        Self::start_with(credentials, 1, "127.0.0.1:0".parse().unwrap(), config)
    }

    fn start_with(credentials: &Credentials, life: u32, addr: SocketAddr, config: PoolConfig) -> Self {
        let serving = Serving { streams: Arc::new(Echo), ..Serving::default() };
        Self::serving(credentials, life, addr, config, serving, QuicConfig::default())
    }

    pub(crate) fn serving(
        credentials: &Credentials,
        life: u32,
        addr: SocketAddr,
        config: PoolConfig,
        serving: Serving,
        quic: QuicConfig,
    ) -> Self {
        Self::over(Arc::new(QuicTransport::bind(addr, quic, credentials).unwrap()), credentials, life, config, serving)
    }

    pub(crate) fn over(
        transport: Arc<dyn Transport>,
        credentials: &Credentials,
        life: u32,
        config: PoolConfig,
        serving: Serving,
    ) -> Self {
        let addr = transport.local_addr();
        let hello = hello(credentials, life, addr);
        let (pool, events) = ConnectionPool::start(transport, hello, config, serving);
        Self { pool, events, name: credentials.name().clone(), addr }
    }

    /// A node over a transport that is watched, which echoes.
    pub(crate) fn watched(transport: &Arc<Seam>, credentials: &Credentials) -> Self {
        let serving = Serving { streams: Arc::new(Echo), ..Serving::default() };
        Self::over(Arc::clone(transport) as _, credentials, 1, PoolConfig::default(), serving)
    }

    pub(crate) fn fresh(credentials: &Credentials) -> Self {
        Self::start(credentials, 1, "127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn dial(&self, other: &Self) {
        self.pool.dial_control(DialTarget { addr: other.addr, node: Some(other.name.clone()) });
    }

    /// The first event that `wanted` makes something of.
    pub(crate) async fn event<T>(&mut self, what: &str, mut wanted: impl FnMut(PoolEvent) -> Option<T>) -> T {
        let find = async {
            loop {
                let event = self.events.recv().await.expect("the pool is alive");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("{}: no {what}", self.name))
    }

    pub(crate) async fn link_up(&mut self) -> Link {
        self.event("link up", |e| if let PoolEvent::LinkUp(link) = e { Some(link) } else { None }).await
    }

    pub(crate) async fn dialled(&mut self) -> Result<Link, String> {
        let outcome = |e| {
            if let PoolEvent::Dialled { outcome, .. } = e { Some(outcome) } else { None }
        };
        self.event("end of the dial", outcome).await.map_err(|e| e.chain())
    }

    pub(crate) async fn data(&self, other: &Self) -> Lease {
        self.pool.get_or_create(&other.name, other.addr).await.unwrap()
    }

    pub(crate) fn data_links(&self) -> usize {
        self.pool.len(LinkClass::Data)
    }
}

pub(crate) async fn echo(link: &Link, text: &[u8]) -> Vec<u8> {
    let exchange = async {
        let mut stream = link.open_bi().await.unwrap();
        stream.send.write_all(text).await.unwrap();
        stream.send.finish();
        let mut answer = Vec::new();
        stream.recv.read_to_end(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an echo in time")
}

/// Yields until `state` holds.
pub(crate) async fn until(what: &str, mut state: impl FnMut() -> bool) {
    let wait = async {
        while !state() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}
