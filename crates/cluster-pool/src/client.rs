//! A client's connections to the nodes of a cluster: a list of hosts, one shared connection to each, chosen by load and health.
//!
//! A client is no member. It knows hosts, by name or by address, and learns from their certificates which nodes answer there.
//! A host that fails is avoided for a while, and tried again when the while is over, or when no other is left.

mod config;
mod error;
mod hosts;
mod retry;

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cluster_types::{Incarnation, Life, NodeId, Seed};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant as Moment;

pub use config::{ConnectionConfig, Policy};
pub use error::{ClientError, HostFailure, RetryError};
pub use hosts::HostHealth;
pub use retry::{MaybeUnsent, Retry};

use crate::hello::Hello;
use crate::identity::{Credentials, Role};
use crate::peer::{Channel, PeerError, Reply, exchange};
use crate::pool::{ConnectionPool, Lease, NoStreams, PoolError, PoolStats, Serving};
use crate::quic::{QuicConfig, QuicTransport};
use crate::resolver::{Resolver, SystemResolver};
use crate::spawn::{RuntimeSpawner, Spawner};
use crate::transport::Transport;
use hosts::{Host, Hosts};

/// How long a failed look for names is not repeated.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(1);

/// What a client stands on.
#[derive(Debug, Clone)]
pub struct ClientHost {
    /// How it reaches nodes.
    pub transport: Arc<dyn Transport>,
    /// Where its tasks run.
    pub spawner: Arc<dyn Spawner>,
    /// Where names are.
    pub resolver: Arc<dyn Resolver>,
    /// Seeds its choices and delays.
    pub seed: u64,
}

#[derive(Debug)]
struct Inner {
    pool: ConnectionPool,
    config: ConnectionConfig,
    hosts: Hosts,
    resolver: Arc<dyn Resolver>,
    /// Until when the last answers about names are good. Held while names are looked up.
    looked_up: AsyncMutex<Option<Moment>>,
    seed: Seed,
    /// Numbers draws, so that two callers never draw the same.
    draws: AtomicU64,
    /// Numbers what is tried again, for delays of its own.
    operations: AtomicU64,
}

/// Connections of a client. Cheap to clone; clones share everything.
///
/// ```no_run
/// # async fn example(credentials: cluster_pool::Credentials) -> Result<(), Box<dyn std::error::Error>> {
/// use cluster_pool::{Channel, ConnectionConfig, ConnectionManager, Retry};
/// use std::time::Duration;
///
/// let config = ConnectionConfig::new(["db-1.example:7946", "db-2.example:7946"]);
/// let manager = ConnectionManager::start(&credentials, config).await?;
/// let reply = manager
///     .execute_with_retry(Retry::WhenUnsent, async |connection| {
///         connection.request(Channel(1), "get answer", Duration::from_secs(2)).await
///     })
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ConnectionManager(Arc<Inner>);

impl ConnectionManager {
    /// A manager on a free port of this machine, on the tokio runtime this is called in. Looks the hosts up; dials nobody yet.
    ///
    /// # Errors
    /// The credentials are no client's, the list of hosts is empty, none of them can be found, or no port can be bound.
    pub async fn start(credentials: &Credentials, config: ConnectionConfig) -> Result<Self, ClientError> {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let transport = QuicTransport::bind(any, QuicConfig::default(), credentials)?;
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|e| ClientError::Randomness { reason: e.to_string() })?;
        let host = ClientHost {
            transport: Arc::new(transport),
            spawner: Arc::new(RuntimeSpawner::current()),
            resolver: Arc::new(SystemResolver),
            seed: u64::from_le_bytes(bytes),
        };
        Self::start_on(host, credentials, config).await
    }

    /// As [`start`](Self::start), on what is passed in.
    ///
    /// # Errors
    /// As there.
    pub async fn start_on(
        host: ClientHost,
        credentials: &Credentials,
        config: ConnectionConfig,
    ) -> Result<Self, ClientError> {
        let Role::Client(name) = &credentials.identity().role else {
            return Err(ClientError::NotAClient { identity: credentials.identity().uri() });
        };
        config.check()?;
        let seed = Seed::new(host.seed);
        let hello = Hello {
            node: name.clone(),
            client: true,
            cluster: credentials.cluster().clone(),
            life: Life::from_raw(seed.derive("client", 0).get()),
            incarnation: Incarnation::from_raw(0),
            addr: host.transport.local_addr(),
            dial: 0,
            draining: false,
            facts: cluster_types::Facts::NONE,
            meta_version: 0,
            proof: Vec::new(),
        };
        let serving = Serving { streams: Arc::new(NoStreams), ..Serving::default() };
        // Nothing comes on control links, which clients have none of.
        let (pool, _events) =
            ConnectionPool::start_on(host.spawner, host.transport, hello, config.pool.clone(), serving);
        let inner = Inner {
            pool,
            hosts: Hosts::default(),
            resolver: host.resolver,
            looked_up: AsyncMutex::new(None),
            seed: seed.derive("choices", 0),
            draws: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            config,
        };
        let manager = Self(Arc::new(inner));
        manager.look_up().await?;
        Ok(manager)
    }

    /// A connection to one of the nodes, by the policy, which avoids the unhealthy ones. Each host is tried once, the unhealthy ones
    /// last. Dropping it gives it back.
    ///
    /// # Errors
    /// No host could be reached: each, and why.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn get_connection(&self) -> Result<ManagedConnection, ClientError> {
        let inner = &self.0;
        // Names that cannot be looked up now may have been before.
        if let Err(error) = self.look_up().await
            && inner.hosts.is_empty()
        {
            return Err(error);
        }
        let mut failures = Vec::new();
        let draw = inner.draws.fetch_add(1, Ordering::Relaxed);
        for host in inner.hosts.in_order(inner.config.policy, inner.seed, draw) {
            match inner.pool.get_or_create_at(host.addr()).await {
                Ok(lease) => return Ok(ManagedConnection::new(lease, host, inner.config.avoid)),
                Err(PoolError::Closing) => return Err(ClientError::Closed),
                Err(error) => {
                    // That this side has no room is no fault of the host's.
                    if !matches!(error, PoolError::PoolFull { .. }) {
                        host.note_failure(inner.config.avoid);
                    }
                    failures.push(HostFailure { host: host.name().to_owned(), addr: host.addr(), source: error });
                }
            }
        }
        // All of them: they may be elsewhere now. Where somebody is asking just now, or has just asked in vain, that is enough.
        if let Ok(mut good_until) = inner.looked_up.try_lock()
            && good_until.is_some_and(|until| until > Moment::now() + LOOK_UP_AGAIN)
        {
            *good_until = None;
        }
        Err(ClientError::AllFailed { failures })
    }

    /// Gives a connection back; as dropping it.
    pub fn return_connection(&self, connection: ManagedConnection) {
        drop(connection);
    }

    /// Avoids a node for a while: for whoever knows better than the connection does. Says whether it is known here.
    pub fn mark_node_unhealthy(&self, node: &NodeId) -> bool {
        let hosts = self.0.hosts.of_node(node);
        hosts.iter().for_each(|host| host.note_failure(self.0.config.avoid));
        !hosts.is_empty()
    }

    /// Does something with a connection, and if that fails, again with another one, after 100, 200, 400 ms and so on, each times 1 to
    /// 1.5. What may have happened over there already is repeated only with [`Retry::Always`].
    ///
    /// # Errors
    /// The last failure, and how many there were.
    ///
    /// # Cancel safety
    /// As that of what is done.
    pub async fn execute_with_retry<T, E: MaybeUnsent>(
        &self,
        retry: Retry,
        mut operation: impl AsyncFnMut(&ManagedConnection) -> Result<T, E>,
    ) -> Result<T, RetryError<E>> {
        let entity = self.0.operations.fetch_add(1, Ordering::Relaxed);
        let mut delays = self.0.config.delays(self.0.seed.derive("retries", entity));
        let mut attempts = 0;
        loop {
            attempts += 1;
            let failed = match self.get_connection().await {
                Ok(connection) => match operation(&connection).await {
                    Ok(done) => {
                        connection.host.note_success();
                        return Ok(done);
                    }
                    Err(source) if source.is_callers_fault() => return Err(RetryError::Operation { attempts, source }),
                    Err(source) => {
                        connection.note_failure();
                        let again = retry == Retry::Always || source.is_unsent();
                        let error = RetryError::Operation { attempts, source };
                        if !again {
                            return Err(error);
                        }
                        error
                    }
                },
                Err(ClientError::Closed) => {
                    return Err(RetryError::NoConnection { attempts, source: ClientError::Closed });
                }
                Err(source) => RetryError::NoConnection { attempts, source },
            };
            if attempts > self.0.config.max_retries {
                return Err(failed);
            }
            tokio::time::sleep(delays.note_failure(cluster_types::Instant::ORIGIN)).await;
        }
    }

    /// Every host, with the node that answers there and how it is.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostHealth> {
        self.0.hosts.all().iter().map(|host| host.health()).collect()
    }

    /// What the connections did.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.0.pool.stats()
    }

    /// Shows other credentials from now on; see [`Transport::reload`].
    ///
    /// # Errors
    /// They are somebody else's or cannot be used: those before stay in use.
    pub fn reload(&self, credentials: &Credentials) -> Result<(), crate::transport::ReloadError> {
        self.0.pool.reload(credentials)
    }

    /// Waits up to `patience` for what is under way, then closes every connection. Says whether everything had ended by itself.
    ///
    /// # Cancel safety
    /// Safe, but what is still open then stays until the next call.
    pub async fn close(&self, patience: Duration) -> bool {
        self.0.pool.close(patience).await
    }

    /// Looks the names up, if that was long ago.
    async fn look_up(&self) -> Result<(), ClientError> {
        let inner = &self.0;
        let mut looked_up = match inner.looked_up.try_lock() {
            Ok(looked_up) => looked_up,
            // Somebody asks already. Where there are hosts to go on with, nobody waits for the answer.
            Err(_held) if !inner.hosts.is_empty() => return Ok(()),
            Err(_held) => inner.looked_up.lock().await,
        };
        if looked_up.is_some_and(|until| Moment::now() < until) {
            return Ok(());
        }
        let (mut found, mut failures, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for name in &inner.config.hosts {
            let answer = match name.parse() {
                Ok(addr) => Ok(vec![addr]),
                Err(_no_address) => inner.resolver.resolve(name).await,
            };
            match answer {
                Ok(addrs) if addrs.is_empty() => failures.push(format!("{name}: it has no address")),
                Ok(addrs) => found.extend(addrs.into_iter().map(|addr| (name.clone(), addr))),
                Err(reason) => {
                    failures.push(format!("{name}: {reason}"));
                    unknown.push(name.as_str());
                }
            }
        }
        if found.is_empty() {
            // A name server that does not answer is not asked by everybody in turn.
            *looked_up = Some(Moment::now() + LOOK_UP_AGAIN);
            return Err(ClientError::NothingFound { failures });
        }
        for failure in &failures {
            tracing::warn!(%failure, "a host cannot be looked up");
        }
        inner.hosts.replace(found, &unknown);
        *looked_up = Some(exchange::after(Moment::now(), inner.config.resolve_interval));
        Ok(())
    }
}

/// A connection to one node, in use until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the connection back"]
pub struct ManagedConnection {
    lease: Lease,
    host: Arc<Host>,
    avoid: Duration,
    /// Its host has been told: one use of a connection is one failure at most.
    failed: AtomicBool,
}

impl ManagedConnection {
    fn new(lease: Lease, host: Arc<Host>, avoid: Duration) -> Self {
        host.note_connected(lease.node());
        Self { lease, host, avoid, failed: AtomicBool::new(false) }
    }

    fn note_failure(&self) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            self.host.note_failure(self.avoid);
        }
    }

    /// The node that answers.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        self.lease.node()
    }

    /// Where it was dialled.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.host.addr()
    }

    /// Asks the node, and waits for its reply; see [`Peer::request`](crate::Peer::request).
    ///
    /// # Errors
    /// See [`PeerError`].
    ///
    /// # Cancel safety
    /// Safe in that the node is told.
    pub async fn request(
        &self,
        channel: Channel,
        body: impl Into<Bytes>,
        patience: Duration,
    ) -> Result<Reply, PeerError> {
        let deadline = exchange::after(Moment::now(), patience);
        let reply = exchange::exchange(&self.lease, channel, &body.into(), deadline, patience).await;
        match &reply {
            Ok(_) => self.host.note_success(),
            Err(PeerError::Timeout { .. } | PeerError::LinkLost { .. } | PeerError::Unwritten { .. }) => {
                self.note_failure()
            }
            Err(_) => {}
        }
        reply
    }
}

impl Deref for ManagedConnection {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}

impl Drop for ManagedConnection {
    fn drop(&mut self) {
        self.host.note_returned();
    }
}
