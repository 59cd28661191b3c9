//! The pool: at most one link per peer and class, dialled once however many ask, shared by all, out of it when it dies.
//!
//! Two classes live side by side. Control links belong to membership: it says which to dial, and hears of every link that
//! comes up or goes down, of every datagram and of every request. Data links belong to the users: they come up when
//! somebody asks for one. A link that a peer has dialled serves this side's traffic as well.

mod addresses;
mod config;
mod dial;
mod error;
mod event;
mod lease;
mod limits;
mod pulse;
mod reached;
mod registry;
mod serve;
mod shared;
mod slots;
mod stats;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use cluster_types::NodeId;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::PoolConfig;
pub use error::{DialError, PoolError};
#[cfg(feature = "mock")]
pub use event::MockStreamHandler;
pub use event::{DialTarget, InboundRequest, NoStreams, PoolEvent, StreamHandler};
pub use lease::Lease;
pub(crate) use limits::Permit;
pub use reached::LimitsReached;
pub use stats::{PeerStats, PoolStats};

use crate::complaints::Complaints;
use crate::hello::{Admission, AdmitAll, Hello, hear_hello};
use crate::identity::{Credentials, Revocations};
use crate::latest::Latest;
use crate::link::Link;
use crate::spawn::{RuntimeSpawner, Spawner};
use crate::transport::{CloseCode, LinkClass, ReloadError, Transport};
use addresses::{Addresses, WantedAt};
use limits::{Holder, Limits, Max};
use reached::{Limit, Reached};
use registry::Registry;
use shared::Shared;
use slots::{Slots, Wanted};
use stats::{Counters, Happened};

/// Who serves what peers want of this side.
#[derive(Debug, Clone)]
pub struct Serving {
    /// Serves the streams that peers open on data links.
    pub streams: Arc<dyn StreamHandler>,
    /// Decides which peers become links.
    pub admission: Arc<dyn Admission>,
}

impl Default for Serving {
    fn default() -> Self {
        Self { streams: Arc::new(NoStreams), admission: Arc::new(AdmitAll) }
    }
}

/// Links to the members of a cluster. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct ConnectionPool(Arc<Shared>);

/// A pool without keeping it alive: for whoever the pool itself holds, such as an [`Admission`].
#[derive(Debug, Clone)]
pub struct WeakPool(Weak<Shared>);

impl WeakPool {
    /// The pool, if it is still there.
    #[must_use]
    pub fn upgrade(&self) -> Option<ConnectionPool> {
        self.0.upgrade().map(ConnectionPool)
    }
}

impl ConnectionPool {
    /// Starts accepting and dialling over `transport`, on the tokio runtime this is called in.
    ///
    /// The receiver must be read: what it carries for control links is not dropped, but waits (datagrams are dropped and
    /// counted instead).
    ///
    /// # Panics
    /// Outside of a tokio runtime, or with settings of which [`PoolConfig::check`] says that no pool can work with them.
    #[must_use]
    pub fn start(
        transport: Arc<dyn Transport>,
        hello: Hello,
        config: PoolConfig,
        serving: Serving,
    ) -> (Self, mpsc::Receiver<PoolEvent>) {
        Self::start_on(Arc::new(RuntimeSpawner::current()), transport, hello, config, serving)
    }

    /// As [`start`](Self::start), with its tasks run by `spawner`.
    ///
    /// # Panics
    /// With settings of which [`PoolConfig::check`] says that no pool can work with them.
    #[must_use]
    pub fn start_on(
        spawner: Arc<dyn Spawner>,
        transport: Arc<dyn Transport>,
        hello: Hello,
        config: PoolConfig,
        serving: Serving,
    ) -> (Self, mpsc::Receiver<PoolEvent>) {
        if let Err(error) = config.check() {
            panic!("no pool can work with these settings: {error}");
        }
        let (events, receiver) = mpsc::channel(config.event_queue_len);
        let shared = Arc::new(Shared {
            transport,
            hello: RwLock::new(hello),
            control: Slots::default(),
            data: Slots::default(),
            private: Slots::default(),
            limits: Limits::new(Max {
                total: config.max_total,
                per_peer: config.max_per_peer,
                per_client: config.max_per_client,
            }),
            open: Registry::default(),
            addresses: Addresses::default(),
            counters: Counters::default(),
            events,
            serving,
            dials: Semaphore::new(config.dials_max),
            handshakes: Arc::new(Semaphore::new(config.handshakes_max)),
            next_link: AtomicU64::new(1),
            dropped_datagrams: AtomicU64::new(0),
            refused_handshakes: AtomicU64::new(0),
            reached: Reached::default(),
            draining: AtomicBool::new(false),
            complaints: Complaints::default(),
            winding_down: CancellationToken::new(),
            revoked: Latest::new(Arc::default()),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            spawner,
            config,
        });
        shared.spawn(serve::accept_loop(Arc::clone(&shared)));
        shared.spawn(serve::tell_refused(Arc::clone(&shared)));
        shared.spawn(serve::close_idle(Arc::clone(&shared)));
        (Self(shared), receiver)
    }

    /// A handle that does not keep the pool alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakPool {
        WeakPool(Arc::downgrade(&self.0))
    }

    /// The address peers reach this pool at.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.transport.local_addr()
    }

    /// Changes what this side says of itself in hellos from now on.
    pub fn set_hello(&self, change: impl FnOnce(&mut Hello)) {
        change(&mut self.0.hello.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The data link to a peer: the one that is there, else dialled at `addr`. However many ask, one dial is made, and all
    /// get its outcome.
    ///
    /// # Errors
    /// Why the dial failed, that there is no place for it, or that the pool is closing.
    ///
    /// # Cancel safety
    /// Safe: whoever else waits for the same dial still gets it.
    pub async fn get_or_create(&self, node: &NodeId, addr: SocketAddr) -> Result<Lease, PoolError> {
        if let Some(lease) = self.0.data.lease(node) {
            lease.note_reused();
            return Ok(lease);
        }
        if self.0.draining.load(Ordering::Acquire) {
            return Err(PoolError::Closing);
        }
        let wanted = self.0.with_room(|| match self.0.data.lease_or_dial(node, &self.0.limits) {
            Wanted::Full(full) => Err(full),
            other => Ok(other),
        });
        let planted = self.has(crate::planted::Bug::CallerTakesDialWithHim);
        let dial = match wanted.inspect_err(|_| self.note_full())? {
            Wanted::There(lease) => {
                lease.note_reused();
                return Ok(lease);
            }
            Wanted::Dial(dial, None) => dial,
            Wanted::Dial(dial, Some(place)) => {
                let target = DialTarget { addr, node: Some(node.clone()) };
                let run = dial::run(Arc::clone(&self.0), LinkClass::Data, target, Some((Arc::clone(&dial), place)));
                if planted {
                    run.await;
                } else {
                    self.0.spawn(run);
                }
                dial
            }
            Wanted::Full(full) => return Err(full.into()),
        };
        let failed = |source| PoolError::Dial { node: node.clone(), addr, source };
        dial.outcome().await.map_err(failed)
    }

    /// The data link to whoever answers at `addr`: for seeds, and for clients that know hosts and not names. The same link as that of
    /// [`get_or_create`](Self::get_or_create), once it is known who that is.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Safe: whoever else waits for the same dial still gets it.
    pub async fn get_or_create_at(&self, addr: SocketAddr) -> Result<Lease, PoolError> {
        if self.0.draining.load(Ordering::Acquire) {
            return Err(PoolError::Closing);
        }
        let shared = &self.0;
        let lease_or_dial = || shared.addresses.lease_or_dial(addr, &shared.data, &shared.limits, &shared.reached);
        let dial = match shared.with_room(lease_or_dial).inspect_err(|_| self.note_full())? {
            WantedAt::There(lease) => {
                lease.note_reused();
                return Ok(lease);
            }
            WantedAt::Dial(dial, None) => dial,
            WantedAt::Dial(dial, Some(place)) => {
                self.0.spawn(dial::run_at(Arc::clone(&self.0), addr, Arc::clone(&dial), place));
                dial
            }
        };
        dial.outcome().await.map_err(|source| match &*source {
            DialError::Full { current, max } => {
                self.note_full();
                PoolError::PoolFull { current: *current, max: *max }
            }
            _ => PoolError::DialAt { addr, source },
        })
    }

    /// The data link to a peer, leased, if there is one.
    #[must_use]
    pub fn lease(&self, node: &NodeId) -> Option<Lease> {
        self.0.data.lease(node)
    }

    /// Whether it takes no new work.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Whether a mistake is planted.
    pub(crate) fn has(&self, bug: crate::planted::Bug) -> bool {
        self.0.config.has(bug)
    }

    /// Waits until there is a link of a class to a peer, whoever dials it.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn link_to(&self, class: LinkClass, node: &NodeId) -> Link {
        self.0.slots(class).wait_for(node).await
    }

    /// Shows other credentials from now on, and trusts their authorities; see [`Transport::reload`].
    ///
    /// # Errors
    /// They are somebody else's or cannot be used: those before stay in use.
    pub fn reload(&self, credentials: &Credentials) -> Result<(), ReloadError> {
        self.0.transport.reload(credentials)
    }

    /// Accepts these no longer, instead of those revoked before, and ends every link with one of them. Returns how many
    /// there were.
    pub fn revoke(&self, revoked: Revocations) -> usize {
        let revoked = Arc::new(revoked);
        // New handshakes first: whoever is closed may dial at once.
        self.0.transport.revoke(Arc::clone(&revoked));
        let is_hit = |link: &Link| revoked.covers(link.remote_identity(), link.remote_fingerprint());
        let hit: Vec<Link> = self.0.open.all().into_iter().filter(is_hit).collect();
        hit.iter().for_each(|link| link.close(CloseCode::REVOKED));
        // Those that are about to become links look for themselves.
        self.0.revoked.replace(revoked);
        hit.len()
    }

    /// A data connection of the caller's own, beside the shared one: always dialled, given to nobody else, and closed when its last
    /// lease is dropped.
    ///
    /// # Errors
    /// Why the dial failed, that there is no place for it, or that the pool is closing.
    ///
    /// # Cancel safety
    /// Safe: the dial is abandoned.
    pub async fn open_new(&self, node: &NodeId, addr: SocketAddr) -> Result<Lease, PoolError> {
        if self.0.draining.load(Ordering::Acquire) {
            return Err(PoolError::Closing);
        }
        let place = self.0.with_room(|| self.0.limits.reserve(Holder::Node(node.clone())));
        let place = place.inspect_err(|_| self.note_full())?;
        let target = DialTarget { addr, node: Some(node.clone()) };
        self.0.counters.note(node, Happened::Dialled);
        let link = dial::attempt(&self.0, LinkClass::Private, &target).await.map_err(|error| {
            self.0.counters.note(node, Happened::Failed);
            PoolError::Dial { node: node.clone(), addr, source: Arc::new(error) }
        })?;
        link.hold_place(place);
        // Leased first: without a lease it would be nobody's.
        let lease = Lease::new(link.clone());
        dial::install(&self.0, link, None).await;
        Ok(lease)
    }

    /// What the data connections did, by peer and in all.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        // Whoever has heard of a link's end finds no place taken by it, also before it is put away.
        self.0.put_away_dead();
        let places = self.0.limits.taken();
        let counted = self.0.counters.with(&self.0.data.all());
        let limits = self.0.reached.read(counted.limits.peer_counts, self.0.transport.drops());
        PoolStats { places, limits, ..counted }
    }

    /// A caller is turned away.
    fn note_full(&self) {
        self.0.reached.note(Limit::Callers);
    }

    /// Dials a control link; the outcome comes as [`PoolEvent::Dialled`].
    pub fn dial_control(&self, target: DialTarget) {
        self.0.spawn(dial::run(Arc::clone(&self.0), LinkClass::Control, target, None));
    }

    /// The current link of a class to a peer, if there is a live one.
    #[must_use]
    pub fn current(&self, class: LinkClass, node: &NodeId) -> Option<Link> {
        self.0.slots(class).current(node)
    }

    /// How many peers have a live link of a class.
    #[must_use]
    pub fn len(&self, class: LinkClass) -> usize {
        self.0.slots(class).len()
    }

    /// Whether no peer has a live link of a class.
    #[must_use]
    pub fn is_empty(&self, class: LinkClass) -> bool {
        self.len(class) == 0
    }

    /// Every live link of a class, by peer.
    #[must_use]
    pub fn links(&self, class: LinkClass) -> Vec<Link> {
        let mut links = self.0.slots(class).all();
        links.retain(|link| !link.is_dead());
        links
    }

    /// Links of a class that have not ended: beside the current ones those that lost against another and finish what they
    /// have, for ten seconds at most.
    #[must_use]
    pub fn open_links(&self, class: LinkClass) -> usize {
        self.0.open.count(class)
    }

    /// Datagrams that were dropped because the owner did not read its events fast enough.
    #[must_use]
    pub fn dropped_datagrams(&self) -> u64 {
        self.0.dropped_datagrams.load(Ordering::Relaxed)
    }

    /// Handshakes of peers refused because too many were under way.
    #[must_use]
    pub fn refused_handshakes(&self) -> u64 {
        self.0.refused_handshakes.load(Ordering::Relaxed)
    }

    /// Takes no new work: peers are told in every hello, dials fail, and whoever uses a link is told by
    /// [`Link::winding_down`].
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
        self.0.winding_down.cancel();
    }

    /// Asks who answers at an address: connects, hears the hello, and goes away again. `None` when nobody of this cluster
    /// answers within `patience`.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn who_is_at(&self, addr: SocketAddr, patience: Duration) -> Option<Hello> {
        let ask = async {
            let connection = self.0.transport.connect(addr, LinkClass::Control).await.ok()?;
            let heard = hear_hello(&*connection).await.ok();
            connection.close(CloseCode::DONE);
            heard
        };
        tokio::time::timeout(patience, ask).await.ok().flatten()
    }

    /// Drains, waits up to `patience` for open streams, then closes every link and the transport. Returns whether
    /// everything ended by itself in time. A second call is harmless.
    ///
    /// # Cancel safety
    /// Safe, but what is still open then stays until the next call.
    pub async fn close(&self, patience: Duration) -> bool {
        self.drain();
        let shared = &self.0;
        let deadline = tokio::time::Instant::now() + patience;
        let drained = tokio::time::timeout_at(deadline, shared.users_are_done()).await.is_ok();
        shared.stop.cancel();
        shared.transport.close(CloseCode::SHUTDOWN);
        shared.tasks.close();
        let ended = tokio::time::timeout_at(deadline, shared.tasks.wait()).await.is_ok();
        // quinn may take seconds here after an abandoned dial; the goodbyes are on their way by then.
        let idle_patience = patience.min(Duration::from_millis(200));
        let _ = tokio::time::timeout(idle_patience, shared.transport.wait_idle()).await;
        shared.transport.release();
        drained && ended
    }
}
