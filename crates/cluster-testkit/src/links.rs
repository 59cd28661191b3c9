//! Nodes for tests of links: a pool, a router and peers, over memory, over loopback, or over the simulated network; no membership.
//!
//! The same test runs over each [`Wire`]: what a peer does must not depend on what carries it.

mod server;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cluster_pool::hello::AdmitAll;
use cluster_pool::identity::authority::Validity;
use cluster_pool::link::LinkStream;
use cluster_pool::{
    Admission, Authority, CloseCode, ConnectionPool, Credentials, Hello, Identity, Link, Peer, PeerConfig, PoolConfig,
    QuicConfig, QuicTransport, Role, Router, Serving, Spawner, StreamHandler, Transport,
};
use cluster_types::{Incarnation, Life, NodeId, Seed};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

pub use server::{ECHO, Script, TestServer};

use crate::host::gate::Gate;
use crate::memory::MemoryNet;
use crate::net::{LinkModel, SimNet};
use crate::panics::Troubles;
use crate::trace::Trace;

/// What carries the links of a [`TestCluster`].
#[derive(Debug, Clone)]
pub enum Wire {
    /// Nothing: everything arrives at once.
    Memory(MemoryNet),
    /// Real packets on this machine.
    Loopback,
    /// The simulated network, in virtual time: the runtime's clock must be paused.
    Simulated(SimNet, Seed),
}

impl Wire {
    /// In memory.
    #[must_use]
    pub fn memory() -> Self {
        Self::Memory(MemoryNet::new())
    }

    /// Over simulated paths. The same seed gives the same faults. Within a runtime whose clock is paused.
    #[must_use]
    pub fn simulated(seed: u64, paths: LinkModel) -> Self {
        let seed = Seed::new(seed);
        Self::Simulated(SimNet::new(seed.derive("net", 0), paths, Trace::default()), seed)
    }

    const fn is_simulated(&self) -> bool {
        matches!(self, Self::Simulated(..))
    }
}

/// When simulated certificates are looked at, in seconds since 1970: within their time.
const SIMULATED_UNIX_S: u64 = 1_795_000_000;

/// Nodes of one cluster, under an authority of their own. Dropping it ends them all.
#[derive(Debug)]
pub struct TestCluster {
    wire: Wire,
    authority: Arc<Authority>,
    /// Held, because dropping it ends them.
    _tasks: JoinSet<()>,
    next_host: usize,
    troubles: Troubles,
}

impl TestCluster {
    /// Nobody yet. Within a tokio runtime.
    ///
    /// # Panics
    /// The system has no randomness for keys.
    #[must_use]
    pub fn new(wire: Wire) -> Self {
        let mut tasks = JoinSet::new();
        if let Wire::Simulated(net, _) = &wire {
            tasks.spawn(net.clone().carry());
        }
        let name = "test".parse().unwrap_or_else(|e| panic!("a name: {e}"));
        let authority = Authority::generate(name, Self::unix_s(&wire));
        let authority = authority.unwrap_or_else(|e| panic!("a test needs an authority: {e}"));
        Self { wire, authority: Arc::new(authority), _tasks: tasks, next_host: 1, troubles: Troubles::default() }
    }

    fn unix_s(wire: &Wire) -> u64 {
        let real = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        if wire.is_simulated() { SIMULATED_UNIX_S } else { real }
    }

    /// What signs their certificates.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What carries their links.
    #[must_use]
    pub const fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Panics in nodes' tasks, in words: over the simulated network, where each node has its own.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.all()
    }

    /// Credentials of a member.
    ///
    /// # Panics
    /// The name is none.
    #[must_use]
    pub fn credentials(&self, name: &str) -> Credentials {
        self.issue(Role::Node(name.parse().unwrap_or_else(|e| panic!("{name:?}: {e}"))))
    }

    /// Credentials of a client.
    ///
    /// # Panics
    /// The name is none.
    #[must_use]
    pub fn client_credentials(&self, name: &str) -> Credentials {
        self.issue(Role::Client(name.parse().unwrap_or_else(|e| panic!("{name:?}: {e}"))))
    }

    fn issue(&self, role: Role) -> Credentials {
        let identity = Identity { cluster: self.authority.cluster().clone(), role };
        let issued = self.authority.issue_identity(identity, Validity::days(Self::unix_s(&self.wire), 30));
        issued.unwrap_or_else(|e| panic!("a test needs certificates: {e}"))
    }

    /// A transport for credentials, at an address of its own, and where its owner's tasks run.
    ///
    /// # Panics
    /// No port can be bound.
    pub fn transport(&mut self, credentials: &Credentials) -> (Arc<dyn Transport>, Arc<dyn Spawner>) {
        let host = self.next_host;
        self.next_host += 1;
        let (transport, gate) = self.transport_of(host, 0, credentials);
        (transport, Arc::new(gate))
    }

    fn transport_of(&self, host: usize, boot: u64, credentials: &Credentials) -> (Arc<dyn Transport>, Gate) {
        let gate = Gate::new(Handle::current(), credentials.name().to_string(), self.troubles.clone());
        let transport: Arc<dyn Transport> = match &self.wire {
            Wire::Memory(net) if boot == 0 => Arc::new(net.transport(credentials)),
            Wire::Memory(net) => {
                Arc::new(net.transport_at(SocketAddr::from(([127, 0, 0, 1], host as u16)), credentials))
            }
            Wire::Loopback => {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let bound = QuicTransport::bind(any, QuicConfig::default(), credentials);
                Arc::new(bound.unwrap_or_else(|e| panic!("a test needs a port: {e}")))
            }
            Wire::Simulated(net, seed) => {
                let [high, low] = (host as u16).to_be_bytes();
                let socket = net.bind(host, SocketAddr::from(([10, 1, high, low], 7_000)));
                let draws = seed.derive("host", host as u64).derive("boot", boot);
                let mut rng_seed = [0; 32];
                rng_seed[..8].copy_from_slice(&draws.draw(0).to_le_bytes());
                let config = QuicConfig {
                    rng_seed: Some(rng_seed),
                    unix_time: Some(Arc::new(|| Duration::from_secs(SIMULATED_UNIX_S))),
                    ..QuicConfig::default()
                };
                let over = QuicTransport::over(Arc::new(socket), Arc::new(gate.clone()), config, credentials);
                Arc::new(over.unwrap_or_else(|e| panic!("credentials are of use: {e}")))
            }
        };
        (transport, gate)
    }

    /// A node with the settings of a pool and a router, started.
    ///
    /// # Panics
    /// The name is none, or no port can be bound.
    pub fn node(&mut self, name: &str, router: Router, config: PoolConfig) -> TestNode {
        self.node_admitting(name, router, config, Arc::new(AdmitAll))
    }

    /// As [`node`](Self::node), with somebody who decides who gets in.
    ///
    /// # Panics
    /// As there.
    pub fn node_admitting(
        &mut self,
        name: &str,
        router: Router,
        config: PoolConfig,
        admission: Arc<dyn Admission>,
    ) -> TestNode {
        let (credentials, host) = (self.credentials(name), self.next_host);
        self.next_host += 1;
        let parts = Parts { credentials, host, config, admission };
        self.boot(parts, router, 0)
    }

    fn boot(&self, parts: Parts, router: Router, boot: u64) -> TestNode {
        let (transport, gate) = self.transport_of(parts.host, boot, &parts.credentials);
        let addr = transport.local_addr();
        let hello = Hello {
            node: parts.credentials.name().clone(),
            client: false,
            cluster: parts.credentials.cluster().clone(),
            life: Life::new(1_000 + boot, parts.host as u32),
            incarnation: Incarnation::from_raw(1 + boot),
            addr,
            dial: 0,
            draining: false,
            facts: cluster_types::Facts::NONE,
            meta_version: 0,
            proof: Vec::new(),
        };
        let counted = Arc::new(Counted { router: router.clone(), ..Counted::default() });
        let door = Arc::new(CountedDoor { counted: Arc::clone(&counted), admission: Arc::clone(&parts.admission) });
        let serving = Serving { streams: Arc::clone(&counted) as _, admission: door };
        // Without membership there are no control links, whose events somebody would have to read.
        let (pool, _events) = ConnectionPool::start_on(
            Arc::new(gate.clone()),
            Arc::clone(&transport),
            hello,
            parts.config.clone(),
            serving,
        );
        TestNode { pool, router, addr, transport, gate, counted, parts, boot, peers: Mutex::default() }
    }

    /// Starts a node anew that was killed, at its old address where the wire has such, as another life.
    pub fn restart(&self, killed: Killed, router: Router) -> TestNode {
        let Killed { parts, boot } = killed;
        self.boot(parts, router, boot + 1)
    }
}

#[derive(Debug)]
struct Parts {
    credentials: Credentials,
    host: usize,
    config: PoolConfig,
    admission: Arc<dyn Admission>,
}

/// What is left of a node that was killed.
#[derive(Debug)]
pub struct Killed {
    parts: Parts,
    boot: u64,
}

/// Counts what comes in.
#[derive(Debug, Default)]
struct Counted {
    router: Router,
    connections: AtomicU64,
    streams: AtomicU64,
}

#[async_trait]
impl StreamHandler for Counted {
    async fn handle(&self, link: &Link, stream: LinkStream) {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.router.handle(link, stream).await;
    }
}

#[derive(Debug)]
struct CountedDoor {
    counted: Arc<Counted>,
    admission: Arc<dyn Admission>,
}

#[async_trait]
impl Admission for CountedDoor {
    async fn admit(&self, hello: &Hello, class: cluster_pool::LinkClass) -> Result<(), cluster_pool::Refusal> {
        self.counted.connections.fetch_add(1, Ordering::Relaxed);
        self.admission.admit(hello, class).await
    }
}

/// A node with links and no membership.
pub struct TestNode {
    /// Its links.
    pub pool: ConnectionPool,
    /// What serves what comes in.
    pub router: Router,
    /// Where it is.
    pub addr: SocketAddr,
    transport: Arc<dyn Transport>,
    gate: Gate,
    counted: Arc<Counted>,
    parts: Parts,
    boot: u64,
    /// Its peers, each of which it keeps.
    peers: Mutex<Vec<Peer>>,
}

impl fmt::Debug for TestNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestNode({} at {})", self.name(), self.addr)
    }
}

impl TestNode {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NodeId {
        self.parts.credentials.name()
    }

    /// Its credentials.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.parts.credentials
    }

    /// A peer for another node, whose driver runs among this node's tasks.
    ///
    /// # Panics
    /// The settings make no sense.
    pub fn peer(&self, other: &Self, config: PeerConfig) -> Peer {
        self.peer_at(other.name(), other.addr, config)
    }

    /// A peer by name, at an address.
    ///
    /// # Panics
    /// As [`peer`](Self::peer), and nothing can be at the address.
    pub fn peer_at(&self, name: &NodeId, addr: SocketAddr, config: PeerConfig) -> Peer {
        let made = Peer::new(&self.pool, &self.router, name.clone(), addr, config);
        let (peer, driver) = made.unwrap_or_else(|e| panic!("{e}"));
        self.spawn(driver.drive());
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).push(peer.clone());
        peer
    }

    /// Runs a task of this node: it stops, goes on and dies with it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Spawner::spawn(&self.gate, Box::pin(task));
    }

    /// Its tasks that have not ended.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.gate.live()
    }

    /// Connections that others began and that got as far as their hello.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counted.connections.load(Ordering::Relaxed)
    }

    /// Streams that others opened.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.counted.streams.load(Ordering::Relaxed)
    }

    /// Messages and requests that came in.
    #[must_use]
    pub fn messages(&self) -> u64 {
        let stats = self.router.stats();
        stats.messages + stats.requests
    }

    /// None of its tasks runs until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.gate.stop();
    }

    /// Its tasks run again; timers that are late fire now.
    pub fn resume(&self) {
        self.gate.resume();
    }

    /// What [`resume`](Self::resume) does, for later and for somebody else. Does nothing to a node that was started anew meanwhile.
    pub fn resumer(&self) -> impl FnOnce() + Send + 'static {
        let gate = self.gate.clone();
        move || gate.resume()
    }

    /// Closes its peers and its pool; says whether everything ended by itself in time.
    ///
    /// # Cancel safety
    /// Safe, but what is still open then stays until the next call.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|peer| peer.close());
        self.pool.close(patience).await
    }

    /// Ends its process without a word. In memory the others are told, as a system tells of some deaths.
    pub fn kill(self, cluster: &TestCluster) -> Killed {
        self.gate.kill();
        match &cluster.wire {
            Wire::Simulated(net, _) => net.unbind(self.addr),
            Wire::Memory(_) | Wire::Loopback => {
                self.transport.close(CloseCode::DONE);
                self.transport.release();
            }
        }
        Killed { parts: self.parts, boot: self.boot }
    }
}
