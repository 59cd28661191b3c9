//! Clients of a simulation: programs that are no members, on machines of their own that no fault befalls.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use cluster_manager::pool::client::ClientHost;
use cluster_manager::{Credentials, WallClock};
use cluster_pool::{ClientError, ConnectionConfig, ConnectionManager, QuicConfig, QuicTransport, Resolver, Spawner};
use cluster_types::Seed;
use cluster_types::seed::Draws;
use tokio::time::Instant;

use super::node::shared;
use super::system::Ending;
use crate::Trace;
use crate::host::gate::Gate;
use crate::host::machine::quic_seed;
use crate::host::{SimWallClock, Values};
use crate::net::SimNet;
use crate::world::addr_of;

/// Numbers of machines from here on are clients': nodes are fewer.
pub(crate) const CLIENTS_FROM: usize = 200_000;

/// A program that talks to the cluster and is no member of it.
#[derive(Debug, Clone)]
pub struct SimClient {
    pub(crate) index: usize,
    pub(crate) nodes: usize,
    pub(crate) shared: Values,
    pub(crate) trace: Trace,
    pub(crate) seed: Seed,
    pub(crate) origin: Instant,
    pub(crate) tasks: Gate,
    pub(crate) net: SimNet,
    pub(crate) credentials: Credentials,
    pub(crate) wall_clock: Arc<SimWallClock>,
    pub(crate) resolver: Arc<dyn Resolver>,
    /// How often it has connected.
    pub(crate) connected: Arc<AtomicU16>,
}

/// What a client runs.
pub(crate) type ClientProgram = Arc<dyn Fn(SimClient) -> Ending + Send + Sync>;

impl SimClient {
    /// Which client it is, from 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Where the nodes of the schedule are, by number, as a client's list of hosts.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        (0..self.nodes).map(|node| addr_of(node).to_string()).collect()
    }

    /// Connections of this client to the nodes, over the simulated network, from a port of their own. Connects to nobody yet.
    ///
    /// # Errors
    /// See [`ConnectionManager::start`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn connect(&self, config: ConnectionConfig) -> Result<ConnectionManager, ClientError> {
        let place = CLIENTS_FROM + self.index;
        let nth = self.connected.fetch_add(1, Ordering::Relaxed);
        let mut addr = addr_of(place);
        addr.set_port(addr.port() + nth);
        let socket = Arc::new(self.net.bind(place, addr));
        let seed = self.seed.derive("connections", u64::from(nth));
        let clock = Arc::clone(&self.wall_clock);
        let unix_time = Arc::new(move || Duration::from_millis(clock.unix_ms())) as _;
        let quic = QuicConfig { rng_seed: Some(quic_seed(seed)), unix_time: Some(unix_time), ..QuicConfig::default() };
        let transport = QuicTransport::over(socket, Arc::new(self.tasks.clone()), quic, &self.credentials)?;
        let host = ClientHost {
            transport: Arc::new(transport),
            spawner: Arc::new(self.tasks.clone()),
            resolver: Arc::clone(&self.resolver),
            seed: seed.draw(0),
        };
        ConnectionManager::start_on(host, &self.credentials, config).await
    }

    /// What this world shares, as [`Simulation::sharing`](super::Simulation::sharing) makes it.
    ///
    /// # Panics
    /// Nothing of this type is shared.
    #[must_use]
    pub fn shared<T: Any + Send + Sync>(&self) -> Arc<T> {
        shared(&self.shared)
    }

    /// Writes a line into the trace: what it asked, and what it was told.
    pub fn note(&self, text: &str) {
        self.trace.note_text(self.now(), &format!("client {}: {text}", self.index));
    }

    /// Time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// What its wall clock says.
    #[must_use]
    pub fn clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.wall_clock.unix_ms())
    }

    /// Draws that repeat with the seed, others for each purpose and each client.
    #[must_use]
    pub fn rng(&self, purpose: &str) -> Draws {
        self.seed.derive(purpose, 0).stream()
    }

    /// Spawns a task that ends with this client.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Spawner::spawn(&self.tasks, Box::pin(task));
    }

    /// Waits in virtual time.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
