//! The loopback world: whole nodes over real sockets of this machine, in real time (fidelity L2).
//!
//! Each node has a runtime and a thread of its own. A crash takes the runtime from under it, and a stop blocks its only thread, so
//! that not even its sockets are read: what the system's own signals do to a process. Nothing of it repeats to the packet; it is here
//! to show that what the simulated worlds say is so. It knows no faults of the network.

use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster_manager::pool::identity::authority::Validity;
use cluster_manager::pool::{QuicConfig, QuicTransport};
use cluster_manager::{Authority, Cluster, Credentials, Delivery, Host, Instant, JoinSeed, Profile, State};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant as Moment;

use crate::host::disk::{STATE_FILE, SimDisk};
use crate::net::LinkModel;
use crate::panics::Troubles;
use crate::scenario::{Act, Scenario};
use crate::world::World;
use crate::world::{Reported, cluster_name, name_of};

/// How long a node has that is told to stop.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(8);

/// How long a runtime has to end whose node is killed. Its tasks end where they next wait.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// Where nobody is: the port of the protocol that discards.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

struct Running {
    cluster: Cluster,
    runtime: Runtime,
    /// Lets its thread go on.
    stopped: Option<SyncSender<()>>,
}

struct Machine {
    credentials: Credentials,
    disk: SimDisk,
    /// Where it was first bound, and is bound again.
    addr: Option<SocketAddr>,
    process: Option<Running>,
    /// It was told to leave.
    leaving: bool,
}

/// A cluster of whole nodes on loopback, in real time. Ends every node when dropped.
pub struct LoopbackWorld {
    profile: Profile,
    origin: Moment,
    authority: Authority,
    machines: Vec<Machine>,
    reports: Arc<Mutex<Vec<Reported>>>,
    troubles: Troubles,
    /// Of the world itself: it listens to the nodes and waits.
    runtime: Option<Runtime>,
}

impl fmt::Debug for LoopbackWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopbackWorld").field("nodes", &self.machines.len()).finish_non_exhaustive()
    }
}

fn runtime() -> Runtime {
    let built = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    built.unwrap_or_else(|e| panic!("the system gives no runtime: {e}"))
}

fn now_s() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

impl LoopbackWorld {
    /// An empty world.
    ///
    /// # Panics
    /// The system has no randomness for keys, or no threads.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let runtime = runtime();
        let origin = runtime.block_on(async { Moment::now() });
        let authority = Authority::generate(cluster_name(), now_s());
        Self {
            profile,
            origin,
            authority: authority.unwrap_or_else(|e| panic!("the world needs an authority: {e}")),
            machines: Vec::new(),
            reports: Arc::default(),
            troubles: Troubles::default(),
            runtime: Some(runtime),
        }
    }

    /// Whether this world can play all of a scenario: it knows no faults of the network, and its clock is everybody's.
    #[must_use]
    pub fn can_play(scenario: &Scenario) -> bool {
        scenario.links == LinkModel::lan() && scenario.steps.iter().all(|step| can_act(&step.act))
    }

    fn world(&self) -> &Runtime {
        self.runtime.as_ref().unwrap_or_else(|| unreachable!("taken only by the drop"))
    }

    fn credentials_of(&self, i: usize) -> Credentials {
        let issued = self.authority.issue(&name_of(i), Validity::days(now_s(), 1));
        issued.unwrap_or_else(|e| panic!("the world needs certificates: {e}"))
    }

    fn start(&mut self, i: usize, addr: Option<SocketAddr>, seeds: &[usize]) {
        let seeds =
            seeds.iter().map(|seed| self.machines.get(*seed).and_then(|machine| machine.addr).unwrap_or(NOWHERE));
        let seeds: Vec<JoinSeed> = seeds.map(JoinSeed::Addr).collect();
        if i == self.machines.len() {
            let (credentials, disk) = (self.credentials_of(i), SimDisk::new(cluster_types::Seed::new(i as u64)));
            self.machines.push(Machine { credentials, disk, addr, process: None, leaving: false });
        }
        self.reap(i);
        let (origin, reports) = (self.origin, Arc::clone(&self.reports));
        let machine = &mut self.machines[i];
        let runtime = runtime();
        let entered = runtime.enter();
        let bind = machine.addr.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let transport = QuicTransport::bind(bind, QuicConfig::default(), &machine.credentials)
            .unwrap_or_else(|e| panic!("node {i} got no endpoint at {bind}: {e}"));
        let host = Host::system(Arc::new(transport)).unwrap_or_else(|e| panic!("no randomness: {e}"));
        let host = Host { storage: Arc::new(machine.disk.clone()), ..host };
        let builder = Cluster::builder(machine.credentials.clone(), self.profile).state(STATE_FILE);
        let cluster = builder.start_on(host).unwrap_or_else(|e| panic!("node {i} did not start: {e}"));
        drop(entered);
        machine.addr = Some(cluster.local_addr());
        let mut events = cluster.subscribe();
        let world = self.runtime.as_ref().unwrap_or_else(|| unreachable!("taken only by the drop"));
        // Ends with the bus, or with the world.
        drop(world.spawn(async move {
            while let Some(delivery) = events.recv().await {
                if let Delivery::Event { event, .. } = delivery {
                    let at = Instant::after_origin(origin.elapsed());
                    let reported = Reported { at, by: i, kind: event.kind.clone() };
                    reports.lock().unwrap_or_else(PoisonError::into_inner).push(reported);
                }
            }
        }));
        let node = cluster.clone();
        let through: Vec<JoinSeed> = seeds.into_iter().chain(node.remembered()).collect();
        // Ends with the node's runtime.
        drop(runtime.spawn(async move {
            if !through.is_empty() {
                // Its events tell of each failed round.
                let _ = node.join_patiently(through).await;
            }
        }));
        machine.process = Some(Running { cluster, runtime, stopped: None });
        machine.leaving = false;
    }

    /// Takes the runtime from under a node, then lets go of the rest: it says no goodbye.
    fn kill(&mut self, i: usize) {
        if let Some(Running { cluster, runtime, stopped }) = self.machines[i].process.take() {
            // A thread that is blocked could not end.
            drop(stopped);
            runtime.shutdown_timeout(KILL_PATIENCE);
            drop(cluster);
        }
    }

    /// Waits for a node that was told to leave.
    fn reap(&mut self, i: usize) {
        if !self.machines[i].leaving {
            return;
        }
        let Some(process) = self.machines[i].process.take() else { return };
        // A second call waits for the first, and has its report.
        let report = self.world().block_on(process.cluster.shutdown(SHUTDOWN_PATIENCE));
        if !report.is_clean() {
            self.troubles.add(format!("node {i} did not stop in order: {report}"));
        }
        process.runtime.shutdown_timeout(KILL_PATIENCE);
    }

    fn leave(&mut self, i: usize) {
        self.machines[i].leaving = true;
        if let Some(process) = &self.machines[i].process {
            let cluster = process.cluster.clone();
            // Ends with the node's runtime.
            drop(process.runtime.spawn(async move {
                cluster.shutdown(SHUTDOWN_PATIENCE).await;
            }));
        }
    }

    fn pause(&mut self, i: usize) {
        let Some(process) = &mut self.machines[i].process else { return };
        let (go_on, wait) = sync_channel::<()>(1);
        process.stopped = Some(go_on);
        // Its only thread: nothing of the node runs, and nothing that arrives is read.
        drop(process.runtime.spawn(async move {
            // Sent or dropped: both mean that it goes on.
            let _ = wait.recv();
        }));
    }

    fn resume(&mut self, i: usize) {
        if let Some(process) = &mut self.machines[i].process {
            process.stopped = None;
        }
    }

    fn running(&self, i: usize) -> Option<&Running> {
        self.machines.get(i)?.process.as_ref().filter(|_| !self.machines[i].leaving)
    }
}

const fn can_act(act: &Act) -> bool {
    !matches!(
        act,
        Act::Cut { .. }
            | Act::Split(..)
            | Act::Heal
            | Act::Links(_)
            | Act::StepWallClock { .. }
            | Act::BlockApplication(_)
            | Act::Transfer { .. }
            | Act::PingPong { .. }
    )
}

impl World for LoopbackWorld {
    fn act(&mut self, act: &Act) -> bool {
        match act {
            Act::Start { node, seeds } => self.start(*node, None, seeds),
            Act::StartAt { node, place, seeds } => {
                self.reap(*place);
                let addr = self.machines[*place].addr;
                self.start(*node, addr, seeds);
            }
            Act::Crash(node) => self.kill(*node),
            Act::Leave(node) => self.leave(*node),
            Act::Pause(node) => self.pause(*node),
            Act::Resume(node) => self.resume(*node),
            Act::Wipe(node) => {
                self.machines[*node].disk.wipe();
                self.machines[*node].credentials = self.credentials_of(*node);
            }
            Act::Disk { node, slow_by_ms, full } => {
                self.machines[*node].disk.set(Duration::from_millis(*slow_by_ms), *full);
            }
            Act::CloseLinks { node, to } => {
                if let Some(process) = self.running(*node) {
                    process.cluster.close_links(&name_of(*to));
                }
            }
            _ => return false,
        }
        true
    }

    fn run_for(&mut self, span: Duration) {
        self.world().block_on(async { tokio::time::sleep(span).await });
    }

    fn now(&self) -> Instant {
        Instant::after_origin(self.origin.elapsed())
    }

    fn reports(&self) -> Vec<Reported> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reports.sort_by_key(|reported| reported.at);
        reports
    }

    fn state(&self, i: usize, j: usize) -> Option<State> {
        self.running(i)?.cluster.member(name_of(j).as_str()).map(|member| member.state)
    }

    /// The system's own business.
    fn bytes_sent(&self) -> u64 {
        0
    }

    fn loose_ends(&self) -> Vec<String> {
        Vec::new()
    }

    fn finish(&mut self) -> Vec<String> {
        for i in 0..self.machines.len() {
            self.resume(i);
            if self.running(i).is_some() {
                self.leave(i);
            }
        }
        (0..self.machines.len()).for_each(|i| self.reap(i));
        self.troubles.all()
    }

    /// Real time repeats nothing.
    fn trace_hash(&self) -> (u128, u64) {
        (0, self.reports().len() as u64)
    }
}

impl Drop for LoopbackWorld {
    fn drop(&mut self) {
        (0..self.machines.len()).for_each(|i| self.kill(i));
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
