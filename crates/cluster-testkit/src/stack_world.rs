//! The stack world: whole nodes, with real quinn and rustls, over the simulated network, in virtual time (fidelity L1).
//!
//! One thread, one tokio runtime with a paused clock. When every task waits, time jumps to the next timer, so an hour of a
//! quiet cluster takes seconds. A node here is what it is in production, from its handle down to the packets; only the
//! socket under it, the clock and the place where its tasks run are the world's.

mod gate;
mod host;
mod look;
mod transfer;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster_manager::{Authority, Cluster, ClusterConfig, Delivery, Host, Instant, Profile};
use cluster_pool::identity::authority::Validity;
use cluster_pool::{QuicTransport, Spawner};
use cluster_types::Seed;
use tokio::runtime::Runtime;
use tokio::time::Instant as Moment;

use crate::engine_world::{ORIGIN_UNIX_MS, Reported, addr_of, cluster_name, name_of};
use crate::net::{Group, LinkModel, SimNet};
use crate::simulation::{SimNode, Workload};
use crate::trace::Trace;
use gate::Gate;
use host::{Process, SimHost, SimWallClock};
use transfer::{CountingSink, Transfers};

/// Changes the settings of a node.
pub type Configure = Arc<dyn Fn(&mut ClusterConfig) + Send + Sync>;

/// What a stack world is like.
#[derive(Clone)]
pub struct StackConfig {
    /// Settings of every node.
    pub profile: Profile,
    /// The paths between them.
    pub link: LinkModel,
    /// Changes the settings of every node that starts.
    pub configure: Option<Configure>,
}

impl fmt::Debug for StackConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackConfig").field("profile", &self.profile).field("link", &self.link).finish_non_exhaustive()
    }
}

impl Default for StackConfig {
    fn default() -> Self {
        Self { profile: Profile::Lan, link: LinkModel::lan(), configure: None }
    }
}

/// How long a node has that is told to stop.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(8);

type Reports = Arc<Mutex<Vec<Reported>>>;

/// A cluster of whole nodes in virtual time. It belongs to the thread it was made on, which must have no other runtime.
pub struct StackWorld {
    config: StackConfig,
    seed: Seed,
    origin: Moment,
    authority: Authority,
    hosts: Vec<SimHost>,
    net: SimNet,
    trace: Trace,
    reports: Reports,
    transfers: Transfers,
    workload: Option<Workload>,
    workload_errors: Arc<Mutex<Vec<String>>>,
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
        let seed = Seed::new(seed);
        // Without an I/O driver: a real socket would fail at once, and idle steps cost no system call.
        let built = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
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
            trace,
            reports,
            transfers,
            workload: None,
            workload_errors: Arc::default(),
            runtime,
        }
    }

    /// Starts `count` nodes; all but the first join through it.
    pub fn start_cluster(&mut self, count: usize) {
        for i in 0..count {
            self.start(i, if i == 0 { &[] } else { &[0] });
        }
    }

    /// Starts node `i` (the next number) or, after a crash or a stop, a new process of it, joining through `seeds`.
    ///
    /// # Panics
    /// It runs already, or a number is left out.
    pub fn start(&mut self, i: usize, seeds: &[usize]) {
        self.note(&format!("start {i} through {seeds:?}"));
        if i == self.hosts.len() {
            self.add_host();
        } else if self.hosts.get(i).is_some_and(|host| host.stopping) {
            self.reap(i);
        }
        let process = self.boot(i);
        let seeds: Vec<SocketAddr> = seeds.iter().map(|&seed| addr_of(seed)).collect();
        let node = self.node_of(i, &process);
        let (work, errors) = (self.workload.clone(), Arc::clone(&self.workload_errors));
        process.application.spawn_here(async move {
            if !seeds.is_empty() {
                // Its events tell of each failed round; an error means that the node has stopped.
                let _ = node.cluster().join_patiently(seeds).await;
            }
            if let Some(work) = work
                && let Some(error) = work(node).await
            {
                errors.lock().unwrap_or_else(PoisonError::into_inner).push(format!("of node {i}: {error}"));
            }
        });
        self.hosts[i].process = Some(process);
    }

    /// Gives every node that starts from now on something to do, once it has joined.
    pub(crate) fn set_workload(&mut self, workload: Workload) {
        self.workload = Some(workload);
    }

    /// What went wrong in the nodes' workloads, in words.
    pub(crate) fn workload_errors(&self) -> Vec<String> {
        self.workload_errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn node_of(&self, i: usize, process: &Process) -> SimNode {
        let seed = self.seed.derive("workload", i as u64).derive("boot", self.hosts[i].boots);
        SimNode { index: i, cluster: process.cluster.clone(), seed }
    }

    fn add_host(&mut self) {
        let i = self.hosts.len();
        let name = name_of(i);
        let credentials = self.authority.issue(&name, Validity::days(ORIGIN_UNIX_MS / 1_000, 30));
        self.hosts.push(SimHost {
            name,
            addr: addr_of(i),
            credentials: credentials.unwrap_or_else(|e| panic!("the world needs certificates: {e}")),
            wall_clock: Arc::new(SimWallClock::new(self.origin)),
            process: None,
            boots: 0,
            stopping: false,
        });
    }

    fn boot(&mut self, i: usize) -> Process {
        let _entered = self.runtime.enter();
        let gate = || Gate::new(self.runtime.handle().clone());
        let (node, application, observer) = (gate(), gate(), gate());
        let host = self.hosts.get_mut(i).unwrap_or_else(|| panic!("nodes are numbered from 0 without gaps"));
        assert!(host.process.is_none(), "node {i} runs already");
        host.boots += 1;
        host.stopping = false;
        let seed = self.seed.derive("node", i as u64).derive("boot", host.boots);
        let unix_time = host.unix_time();
        let builder = Cluster::builder(host.credentials.clone(), self.config.profile).streams(Arc::new(CountingSink));
        let configure = self.config.configure.clone();
        let builder = builder.configure(|config| configure.iter().for_each(|change| change(config)));
        let mut quic = ClusterConfig::new(self.config.profile).quic;
        quic.rng_seed = Some(quic_seed(seed));
        quic.unix_time = Some(unix_time);
        let socket = Arc::new(self.net.bind(i, host.addr));
        let transport = QuicTransport::over(socket, Arc::new(node.clone()), quic, &host.credentials)
            .unwrap_or_else(|e| panic!("node {i} got no endpoint: {e}"));
        let machine = Host {
            transport: Arc::new(transport),
            spawner: Arc::new(node.clone()),
            wall_clock: Arc::clone(&host.wall_clock) as _,
            seed: seed.draw(0),
        };
        let cluster = builder.start_on(machine).unwrap_or_else(|e| panic!("node {i} did not start: {e}"));
        self.observe(i, &cluster, &observer);
        Process { cluster, node, application, observer }
    }

    /// Writes down what a node reports.
    fn observe(&self, by: usize, cluster: &Cluster, observer: &Gate) {
        let mut events = cluster.subscribe();
        let (reports, trace, origin) = (Arc::clone(&self.reports), self.trace.clone(), self.origin);
        observer.spawn_here(async move {
            while let Some(delivery) = events.recv().await {
                let at = origin.elapsed();
                match delivery {
                    Delivery::Event { event, .. } => {
                        trace.note_report(at, by, &event.kind);
                        let reported = Reported { at: Instant::after_origin(at), by, kind: event.kind.clone() };
                        reports.lock().unwrap_or_else(PoisonError::into_inner).push(reported);
                    }
                    Delivery::Lagged { missed } => trace.note_text(at, &format!("observer of {by} missed {missed}")),
                    Delivery::Snapshot { .. } => {}
                }
            }
        });
    }

    fn note(&self, text: &str) {
        self.trace.note_text(self.origin_elapsed(), text);
    }

    fn origin_elapsed(&self) -> Duration {
        let _entered = self.runtime.enter();
        self.origin.elapsed()
    }

    /// Kills a node: nothing of it runs any more, nothing it sent last is waited for, no goodbye.
    pub fn crash(&mut self, i: usize) {
        self.note(&format!("crash {i}"));
        self.net.unbind(self.hosts[i].addr);
        if let Some(process) = self.hosts[i].process.take() {
            process.kill();
        }
    }

    /// Tells a node to leave and to stop, as SIGTERM does.
    pub fn leave(&mut self, i: usize) {
        self.note(&format!("leave {i}"));
        self.hosts[i].stopping = true;
        if let Some(process) = &self.hosts[i].process {
            let cluster = process.cluster.clone();
            process.application.spawn_here(async move {
                cluster.shutdown(SHUTDOWN_PATIENCE).await;
            });
        }
    }

    /// Lets go of a node that has stopped, and ends what its users still run on it; says how many tasks of the node itself are
    /// left, of which there should be none.
    ///
    /// # Panics
    /// It was not told to stop.
    pub fn reap(&mut self, i: usize) -> usize {
        assert!(self.hosts[i].stopping, "node {i} was not told to stop");
        let Some(process) = self.hosts[i].process.take() else { return 0 };
        process.application.kill();
        drop(process.cluster);
        self.run_for(Duration::from_millis(10));
        let left = process.node.live();
        self.net.unbind(self.hosts[i].addr);
        [process.node, process.observer].iter().for_each(Gate::kill);
        left
    }

    /// Stops a node's process, as SIGSTOP does: none of its tasks and timers runs, what arrives waits in its socket.
    pub fn pause(&mut self, i: usize) {
        self.note(&format!("pause {i}"));
        if let Some(process) = &self.hosts[i].process {
            process.node.stop();
            process.application.stop();
        }
    }

    /// Lets a stopped process go on: its late timers fire, and it reads what has arrived.
    pub fn resume(&mut self, i: usize) {
        self.note(&format!("resume {i}"));
        if let Some(process) = &self.hosts[i].process {
            process.node.resume();
            process.application.resume();
        }
    }

    /// Blocks the user's tasks on a node, while the node itself goes on.
    pub fn block_application(&mut self, i: usize) {
        self.note(&format!("block the application of {i}"));
        if let Some(process) = &self.hosts[i].process {
            process.application.stop();
        }
    }

    /// Closes a node's links to another, as a path that changed would; they are dialled anew where they are needed.
    pub fn close_links(&mut self, i: usize, to: usize) {
        self.note(&format!("close links of {i} to {to}"));
        if let Some(process) = &self.hosts[i].process {
            process.cluster.close_links(&self.hosts[to].name);
        }
    }

    /// Lets a node send another so many bytes on a stream of its users.
    pub fn transfer(&mut self, from: usize, to: usize, bytes: u64) {
        self.note(&format!("transfer {bytes} B {from} -> {to}"));
        if let Some(process) = &self.hosts[from].process {
            let (cluster, to) = (process.cluster.clone(), self.hosts[to].name.clone());
            process.application.spawn_here(self.transfers.clone().run(cluster, to, bytes));
        }
    }

    /// Ends the world in order: everybody leaves at once on a network without faults. Says in words what is left that should
    /// not be: tasks of nodes that have stopped, transfers without an end.
    pub fn stop_all(&mut self) -> Vec<String> {
        self.heal();
        self.set_link(LinkModel::lan());
        let mut left = Vec::new();
        if self.transfers.unfinished() > 0 {
            left.push(format!("{} transfers did not end", self.transfers.unfinished()));
        }
        let there: Vec<usize> = (0..self.hosts.len()).filter(|&i| self.hosts[i].process.is_some()).collect();
        for &i in &there {
            self.resume(i);
            if !self.hosts[i].stopping {
                self.leave(i);
            }
        }
        self.run_for(SHUTDOWN_PATIENCE + Duration::from_secs(1));
        for i in there {
            let tasks = self.reap(i);
            if tasks > 0 {
                left.push(format!("node {i} has stopped and left {tasks} tasks"));
            }
        }
        left
    }

    /// Sets a node's wall clock forward or back.
    pub fn step_wall_clock(&mut self, i: usize, by_ms: i64) {
        self.note(&format!("step the wall clock of {i} by {by_ms} ms"));
        self.hosts[i].wall_clock.step(by_ms);
    }

    /// Cuts every path between the two groups, both ways.
    pub fn partition(&mut self, left: &[usize], right: &[usize]) {
        self.cut_one_way(left, right);
        self.cut_one_way(right, left);
    }

    /// Nothing from `from` reaches `to` any more; the other direction stays.
    pub fn cut_one_way(&mut self, from: &[usize], to: &[usize]) {
        self.note(&format!("cut {from:?} -> {to:?}"));
        self.net.cut_one_way(Group::of(from.iter().copied()), Group::of(to.iter().copied())).keep();
    }

    /// Mends every path.
    pub fn heal(&mut self) {
        self.note("heal");
        self.net.heal();
    }

    /// Makes all paths like `model`.
    pub fn set_link(&mut self, model: LinkModel) {
        self.note(&format!("links {model:?}"));
        self.net.set_model(model);
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

    /// Spawns a task of the user on node `i`: it stops and dies with the node's process.
    ///
    /// # Panics
    /// The node does not run.
    pub fn spawn_on(&mut self, i: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.process(i).application.spawn_here(task);
    }
}

impl Gate {
    /// As [`Spawner::spawn`], boxing what it is given.
    fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        Spawner::spawn(self, Box::pin(task));
    }
}

/// quinn wants 32 bytes.
fn quic_seed(seed: Seed) -> [u8; 32] {
    let seed = seed.derive("quic", 0);
    let mut bytes = [0; 32];
    for (n, chunk) in bytes.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&seed.draw(n as u64).to_le_bytes());
    }
    bytes
}
