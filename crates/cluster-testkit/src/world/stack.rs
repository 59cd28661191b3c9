//! The stack world: whole nodes, with real quinn and rustls, over the simulated network, in virtual time (fidelity L1).
//!
//! One thread, one tokio runtime with a paused clock. When every task waits, time jumps to the next timer, so an hour of a
//! quiet cluster takes seconds. A node here is what it is in production, from its handle down to the packets; only the
//! socket under it, the clock and the place where its tasks run are the world's.

mod acts;
mod as_world;
mod boot;
mod clients;
mod counts;
mod game;
mod ledger;
mod look;
mod names;
pub(crate) mod numbers;
mod traffic;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cluster_manager::{Authority, ClusterConfig, Profile};
use cluster_pool::{Spawner, StreamHandler};
use cluster_sites::Storm;
use cluster_types::Seed;
use tokio::runtime::Runtime;
use tokio::time::Instant as Moment;

use crate::host::gate::Gate;
use crate::host::machine::{Reports, Starts};
use crate::host::{SimHost, Values};
use crate::net::{Guard, LinkModel, SimNet};
use crate::panics::Troubles;
use crate::simulation::{Live, System};
use crate::trace::Trace;
use crate::world::{ORIGIN_UNIX_MS, cluster_name};
use game::Games;
use ledger::Ledger;
use names::Names;
use transfer::Transfers;

/// Changes the settings of a node.
pub type Configure = Arc<dyn Fn(&mut ClusterConfig) + Send + Sync>;

/// Changes the settings of the node of that number.
pub type ConfigureOne = Arc<dyn Fn(usize, &mut ClusterConfig) + Send + Sync>;

/// Makes what serves the streams that members open to a node, given its number.
pub type Serve = Arc<dyn Fn(usize) -> Arc<dyn StreamHandler> + Send + Sync>;

/// What a stack world is like.
#[derive(Clone)]
pub struct StackConfig {
    /// Settings of every node.
    pub profile: Profile,
    /// The paths between them.
    pub link: LinkModel,
    /// Changes the settings of every node that starts.
    pub configure: Option<Configure>,
    /// Every node talks with others until so long after the world's beginning; never when nothing is said.
    pub traffic: Option<Duration>,
    /// Whether tasks that are ready run in an order that is drawn, and not in the one in which they are woken.
    pub shuffled: bool,
    /// Whether the code takes unusual turns now and then, where it says that it may.
    pub storm: bool,
    /// Whether nodes are told the names of their seeds, and not their addresses.
    pub names: bool,
    /// How long a node takes for each message and each request of the traffic.
    pub handling: Duration,
    /// Serves the streams of members, all of them; without it transfers are counted and balls come out of inboxes.
    pub serve: Option<Serve>,
    /// Changes the settings of one node that starts, given its number, after those of every node.
    pub configure_one: Option<ConfigureOne>,
    /// Nodes of a [later version](crate::later).
    pub later: BTreeSet<usize>,
}

impl fmt::Debug for StackConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackConfig").field("profile", &self.profile).field("link", &self.link).finish_non_exhaustive()
    }
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            profile: Profile::Lan,
            link: LinkModel::lan(),
            configure: None,
            traffic: None,
            shuffled: false,
            storm: false,
            names: false,
            handling: Duration::ZERO,
            serve: None,
            configure_one: None,
            later: BTreeSet::new(),
        }
    }
}

/// What a thread beside the world's own means.
const ESCAPED: &str = "a thread of the runtime's was used: `spawn_blocking`, `tokio::fs` and look-ups of names run outside of virtual time, \
     where nothing repeats; a node's files are on its `disk()`";

/// How long a node has that is told to stop.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(8);

/// A cluster of whole nodes in virtual time. It belongs to the thread it was made on, which must have no other runtime.
pub struct StackWorld {
    config: StackConfig,
    seed: Seed,
    origin: Moment,
    authority: Authority,
    hosts: Vec<SimHost>,
    net: SimNet,
    /// Faults that are mended one by one.
    faults: BTreeMap<u32, Guard>,
    trace: Trace,
    reports: Reports,
    transfers: Transfers,
    games: Games,
    ledger: Ledger,
    /// Ends with the world.
    _storm: Option<Storm>,
    names: Names,
    starts: Starts,
    system: Option<System>,
    size: usize,
    shared: Values,
    /// The nodes that run and were not told to stop.
    live: Live,
    clients: Vec<(Gate, Arc<AtomicBool>)>,
    workload_errors: Troubles,
    troubles: Troubles,
    /// What ran on other threads.
    escaped: Troubles,
    /// Last: dropping it drops every task, and what they hold must still be there.
    runtime: Runtime,
}

impl fmt::Debug for StackWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackWorld").field("config", &self.config).field("net", &self.net).finish_non_exhaustive()
    }
}

impl StackWorld {
    /// An empty world. The same seed gives the same trace.
    ///
    /// # Panics
    /// The system has no randomness for keys, or this thread runs within another runtime.
    #[must_use]
    pub fn new(config: StackConfig, seed: u64) -> Self {
        Self::with_trace(config, seed, Trace::default())
    }

    /// As [`new`](Self::new), with a trace that keeps lines.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn with_trace(config: StackConfig, seed: u64, trace: Trace) -> Self {
        let storm = config.storm.then(|| cluster_sites::storm(seed));
        let seed = Seed::new(seed);
        // Without an I/O driver: a real socket would fail at once, and idle steps cost no system call.
        let (troubles, escaped) = (Troubles::default(), Troubles::default());
        let noted = escaped.clone();
        let mut builder = tokio::runtime::Builder::new_current_thread();
        // What is woken from outside waits for the tasks that are ready, however often the runtime has turned: a run that is played again
        // turns more often or more seldom.
        builder
            .enable_time()
            .start_paused(true)
            .global_queue_interval(u32::MAX)
            .on_thread_start(move || noted.add(ESCAPED.to_owned()));
        let built = builder.build();
        let runtime = built.unwrap_or_else(|e| panic!("a runtime without I/O asks the system for nothing: {e}"));
        let entered = runtime.enter();
        let origin = Moment::now();
        let net = SimNet::new(seed.derive("net", 0), config.link.clone(), trace.clone());
        drop(entered);
        // Ends with the runtime, which the world owns.
        drop(runtime.spawn(net.clone().carry()));
        let authority = Authority::generate(cluster_name(), ORIGIN_UNIX_MS / 1_000)
            .unwrap_or_else(|e| panic!("the world needs an authority: {e}"));
        let (hosts, reports, transfers) = (Vec::new(), Reports::default(), Transfers::default());
        Self {
            config,
            seed,
            origin,
            authority,
            hosts,
            net,
            faults: BTreeMap::new(),
            trace,
            reports,
            transfers,
            games: Games::default(),
            ledger: Ledger::default(),
            _storm: storm,
            names: Names::default(),
            starts: Starts::default(),
            system: None,
            size: 0,
            shared: Values::default(),
            live: Live::default(),
            clients: Vec::new(),
            workload_errors: Troubles::default(),
            troubles,
            escaped,
            runtime,
        }
    }

    /// Starts `count` nodes; all but the first join through it.
    pub fn start_cluster(&mut self, count: usize) {
        for i in 0..count {
            self.start(i, if i == 0 { &[] } else { &[0] });
        }
    }

    fn note(&self, text: &str) {
        self.trace.note_text(self.origin_elapsed(), text);
    }

    fn origin_elapsed(&self) -> Duration {
        let _entered = self.runtime.enter();
        self.origin.elapsed()
    }

    /// The world's beginning.
    pub(crate) const fn origin(&self) -> Moment {
        self.origin
    }

    pub(crate) const fn live(&self) -> &Live {
        &self.live
    }

    /// The network, for faults of single paths.
    #[must_use]
    pub const fn net(&self) -> &SimNet {
        &self.net
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, span: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(span).await });
    }

    /// Lets time pass until `state` holds, looked at every 10 ms; says how long it took, `None` after `patience`.
    pub fn run_until(&mut self, patience: Duration, state: impl Fn(&Self) -> bool) -> Option<Duration> {
        let began = self.now();
        while !state(self) {
            if self.now().since(began) >= patience {
                return None;
            }
            self.run_for(Duration::from_millis(10));
        }
        Some(self.now().since(began))
    }

    /// Runs a future in the world's time, as somebody who stands outside of it: no pause stops him.
    pub fn block_on<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Spawns a task of the user on node `i`: it stops and dies with the node's process, and ends when the node is told to stop.
    ///
    /// # Panics
    /// The node does not run.
    pub fn spawn_on(&mut self, i: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.process(i).workload.spawn_here(task);
    }
}

impl Gate {
    /// As [`Spawner::spawn`], boxing what it is given.
    pub(crate) fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        Spawner::spawn(self, Box::pin(task));
    }
}
