//! What a process finds when it begins: its certificate, its disk, its address, a place for its tasks. On these it starts its node.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cluster_manager::pool::quic::UnixTime;
use cluster_manager::{
    Cluster, ClusterBuilder, ClusterConfig, Credentials, Delivery, Host, Instant, Profile, Resolver, StartError,
};
use cluster_pool::{QuicTransport, Transport};
use cluster_types::Seed;
use tokio::time::Instant as Moment;

use super::disk::{STATE_FILE, SimDisk};
use super::gate::Gate;
use super::{Lives, SimWallClock, Values};
use crate::Trace;
use crate::later::LaterTransport;
use crate::net::SimNet;
use crate::panics::Troubles;
use crate::world::{Reported, Subscriber};

/// One process of a node, before and after it has started its node. Cheap to clone; clones are the same process.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) index: usize,
    /// Which process of the node this is, from 1.
    pub(crate) boots: u64,
    /// Whether its node is of a later version.
    pub(crate) is_later: bool,
    /// How many machines the schedule has.
    pub(crate) size: usize,
    pub(crate) addr: SocketAddr,
    /// The settings of every node of the world.
    pub(crate) config: ClusterConfig,
    pub(crate) credentials: Credentials,
    pub(crate) unix_time: UnixTime,
    pub(crate) wall_clock: Arc<SimWallClock>,
    pub(crate) disk: SimDisk,
    pub(crate) names: Arc<dyn Resolver>,
    pub(crate) net: SimNet,
    /// Of this process.
    pub(crate) seed: Seed,
    pub(crate) node: Gate,
    pub(crate) observer: Gate,
    pub(crate) started: Arc<OnceLock<Started>>,
    pub(crate) lives: Lives,
    /// What everybody in this world shares.
    pub(crate) shared: Values,
    pub(crate) witness: Witness,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("index", &self.index).field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// A node that a process has started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) cluster: Cluster,
    /// Its incarnation when it began.
    pub(crate) first: Option<u64>,
    /// What the world's own subscriber makes of its events.
    pub(crate) subscriber: Arc<Mutex<Subscriber>>,
}

/// Everything reported so far, by all nodes.
pub(crate) type Reports = Arc<Mutex<Vec<Reported>>>;

/// Which process of which node started its node when, since the world's origin.
pub(crate) type Starts = Arc<Mutex<Vec<(usize, u64, Duration)>>>;

/// Where the world writes down what nodes report.
#[derive(Clone)]
pub(crate) struct Witness {
    pub(crate) origin: Moment,
    pub(crate) reports: Reports,
    pub(crate) starts: Starts,
    pub(crate) trace: Trace,
    pub(crate) troubles: Troubles,
    /// Is told the word of each event.
    pub(crate) counted: Arc<dyn Fn(&'static str) + Send + Sync>,
}

impl Machine {
    /// A node as this world starts it, but for what it serves.
    pub(crate) fn builder(&self) -> ClusterBuilder {
        let builder = Cluster::builder(self.credentials.clone(), Profile::Lan);
        builder.config(self.config.clone()).state(STATE_FILE)
    }

    /// Writes a line into the trace.
    pub(crate) fn note(&self, text: &str) {
        self.witness.trace.note_text(self.witness.origin.elapsed(), text);
    }

    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.started.get().map(|started| &started.cluster)
    }

    /// Starts the node of this process.
    ///
    /// # Errors
    /// As [`ClusterBuilder::start_on`]; or the process has started one already.
    pub(crate) fn start(&self, builder: ClusterBuilder) -> Result<Cluster, StartError> {
        if self.started.get().is_some() {
            return Err(StartError::Thread(std::io::Error::other("this process has started a node before")));
        }
        let mut quic = builder.settings().quic.clone();
        quic.rng_seed = Some(quic_seed(self.seed));
        quic.unix_time = Some(Arc::clone(&self.unix_time));
        let socket = Arc::new(self.net.bind(self.index, self.addr));
        let transport = QuicTransport::over(socket, Arc::new(self.node.clone()), quic, &self.credentials)?;
        let transport: Arc<dyn Transport> = Arc::new(transport);
        let host = Host {
            transport: if self.is_later { Arc::new(LaterTransport::new(transport)) } else { transport },
            spawner: Arc::new(self.node.clone()),
            wall_clock: Arc::clone(&self.wall_clock) as _,
            resolver: Arc::clone(&self.names),
            storage: Arc::new(self.disk.clone()),
            seed: self.seed.draw(0),
        };
        let cluster = builder.start_on(host)?;
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).push(cluster.life());
        let subscriber = self.observe(&cluster);
        let starts = &self.witness.starts;
        starts.lock().unwrap_or_else(PoisonError::into_inner).push((
            self.index,
            self.boots,
            self.witness.origin.elapsed(),
        ));
        // Looked at above, and this is one thread.
        let _ = self.started.set(Started { cluster: cluster.clone(), first: own_incarnation(&cluster), subscriber });
        Ok(cluster)
    }

    /// Writes down what the node reports.
    fn observe(&self, cluster: &Cluster) -> Arc<Mutex<Subscriber>> {
        let mut events = cluster.subscribe();
        let Witness { origin, reports, trace, troubles, counted, .. } = self.witness.clone();
        let by = self.index;
        let subscriber = Arc::new(Mutex::new(Subscriber::of(cluster.node().clone())));
        let taking = Arc::clone(&subscriber);
        self.observer.spawn_here(async move {
            while let Some(delivery) = events.recv().await {
                let at = origin.elapsed();
                taking.lock().unwrap_or_else(PoisonError::into_inner).take(&delivery);
                match delivery {
                    Delivery::Event { event, .. } => {
                        trace.note_report(at, by, &event.kind);
                        counted(event.kind.as_str());
                        let reported = Reported { at: Instant::after_origin(at), by, kind: event.kind.clone() };
                        reports.lock().unwrap_or_else(PoisonError::into_inner).push(reported);
                    }
                    // What it missed no check can judge.
                    Delivery::Lagged { missed } => troubles.add(format!("{missed} events of node {by} were missed")),
                    Delivery::Snapshot { .. } => {}
                }
            }
        });
        subscriber
    }
}

fn own_incarnation(cluster: &Cluster) -> Option<u64> {
    let Ok(Delivery::Snapshot { state, .. }) = cluster.subscribe().try_recv() else { return None };
    state.member(cluster.node().as_str()).map(|own| own.claim.incarnation.get())
}

/// quinn wants 32 bytes.
pub(crate) fn quic_seed(seed: Seed) -> [u8; 32] {
    let seed = seed.derive("quic", 0);
    let mut bytes = [0; 32];
    for (n, chunk) in bytes.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&seed.draw(n as u64).to_le_bytes());
    }
    bytes
}
