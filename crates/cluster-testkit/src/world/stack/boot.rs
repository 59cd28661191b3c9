//! Processes that start: what they stand on, what they are told, who listens to them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use cluster_manager::{Cluster, ClusterConfig, Delivery, Host, Instant, JoinSeed};
use cluster_pool::QuicTransport;
use cluster_pool::identity::authority::Validity;
use cluster_types::Seed;

use super::StackWorld;
use super::names::seed_of;
use super::numbers::Stops;
use super::traffic::{self, Talker};
use super::transfer::CountingSink;
use crate::host::disk::{STATE_FILE, SimDisk};
use crate::host::gate::Gate;
use crate::host::{Process, SimHost, SimWallClock};
use crate::simulation::{SimNode, Workload};
use crate::world::{ORIGIN_UNIX_MS, Reported, Subscriber, addr_of, name_of};

impl StackWorld {
    /// Starts node `i` (the next number) or, after a crash or a stop, a new process of it, joining through `seeds`.
    ///
    /// # Panics
    /// It runs already, or a number is left out.
    pub fn start(&mut self, i: usize, seeds: &[usize]) {
        self.start_with(i, seeds.iter().map(|&seed| seed_of(seed)).collect());
    }

    /// Starts node `i`, the next number, at the address of another one whose process has ended: another machine has taken its place,
    /// under a name of its own.
    ///
    /// # Panics
    /// It is not the next number, or the place is taken.
    pub fn start_in_place_of(&mut self, i: usize, place: usize, seeds: &[usize]) {
        assert_eq!(i, self.hosts.len(), "a newcomer has the next number");
        let former = &mut self.hosts[place];
        assert!(former.running().is_none(), "node {place} is in its place");
        let addr = former.addr;
        if former.stopping {
            let left = self.reap(place);
            self.note_leak(place, left);
        }
        self.add_host(addr);
        self.start_with(i, seeds.iter().map(|&seed| seed_of(seed)).collect());
    }

    pub(super) fn start_with(&mut self, i: usize, seeds: Vec<JoinSeed>) {
        self.note(&format!("start {i} through {seeds:?}"));
        if i == self.hosts.len() {
            self.add_host(addr_of(i));
        } else if self.hosts.get(i).is_some_and(|host| host.stopping) {
            let left = self.reap(i);
            self.note_leak(i, left);
        }
        let process = self.boot(i);
        let node = self.node_of(i, &process);
        let mut seeds = seeds;
        seeds.extend(process.cluster.remembered());
        let (work, errors, workload) = (self.workload.clone(), self.workload_errors.clone(), process.workload.clone());
        let talker = self.config.traffic.map(|until| Talker {
            cluster: process.cluster.clone(),
            ledger: self.ledger.clone(),
            run: (i, self.hosts[i].boots),
            draws: self.seed.derive("traffic", i as u64).derive("boot", self.hosts[i].boots).stream(),
            tasks: process.workload.clone(),
            until: self.origin + until,
        });
        process.application.spawn_here(async move {
            if !seeds.is_empty() {
                // Its events tell of each failed round; an error means that the node has stopped.
                let _ = node.cluster().join_patiently(seeds).await;
            }
            if let Some(talker) = talker {
                workload.spawn_here(talker.talk());
            }
            let Some(work) = work else { return };
            workload.spawn_here(async move {
                if let Some(error) = work(node).await {
                    errors.add(format!("of node {i}: {error}"));
                }
            });
        });
        self.hosts[i].process = Some(process);
        self.hosts[i].stops = Stops::default();
        self.hosts[i].first = self.member(i, i).map(|own| own.claim.incarnation.get());
    }

    /// Gives every node that starts from now on something to do, once it has joined.
    pub(crate) fn set_workload(&mut self, workload: Workload) {
        self.workload = Some(workload);
    }

    /// What went wrong in the nodes' workloads, in words.
    pub(crate) fn workload_errors(&self) -> Vec<String> {
        self.workload_errors.all()
    }

    pub(super) fn node_of(&self, i: usize, process: &Process) -> SimNode {
        let seed = self.seed.derive("workload", i as u64).derive("boot", self.hosts[i].boots);
        SimNode { index: i, cluster: process.cluster.clone(), seed, tasks: process.workload.clone() }
    }

    fn add_host(&mut self, addr: SocketAddr) {
        let i = self.hosts.len();
        let name = name_of(i);
        let credentials = self.authority.issue(&name, Validity::days(ORIGIN_UNIX_MS / 1_000, 30));
        self.hosts.push(SimHost {
            name,
            addr,
            credentials: credentials.unwrap_or_else(|e| panic!("the world needs certificates: {e}")),
            wall_clock: Arc::new(SimWallClock::new(self.origin)),
            disk: SimDisk::default(),
            process: None,
            boots: 0,
            lives: Vec::new(),
            stopping: false,
            ended: None,
            stops: Stops::default(),
            first: None,
        });
    }

    fn boot(&mut self, i: usize) -> Process {
        let _entered = self.runtime.enter();
        let gate = |what: &str| Gate::new(self.runtime.handle().clone(), format!("{what} {i}"), self.troubles.clone());
        let (node, observer) = (gate("node"), gate("the observer of"));
        let (application, workload) = (gate("the owner of"), gate("the workload of"));
        let host = self.hosts.get_mut(i).unwrap_or_else(|| panic!("nodes are numbered from 0 without gaps"));
        assert!(host.process.is_none(), "node {i} runs already");
        host.boots += 1;
        let boots = host.boots;
        host.stopping = false;
        let seed = self.seed.derive("node", i as u64).derive("boot", host.boots);
        let mut config = ClusterConfig::new(self.config.profile);
        self.config.configure.iter().for_each(|change| change(&mut config));
        config.quic.rng_seed = Some(quic_seed(seed));
        config.quic.unix_time = Some(host.unix_time());
        let quic = config.quic.clone();
        let builder = Cluster::builder(host.credentials.clone(), self.config.profile);
        let builder = match &self.config.serve {
            Some(serve) => builder.streams(serve(i)),
            None => {
                let router = traffic::serve(CountingSink::serve(), &self.ledger, (i, boots)).build();
                builder.router(router.unwrap_or_else(|e| panic!("one handler a channel: {e}")))
            }
        };
        let builder = builder.config(config).state(STATE_FILE);
        let socket = Arc::new(self.net.bind(i, host.addr));
        let transport = QuicTransport::over(socket, Arc::new(node.clone()), quic, &host.credentials)
            .unwrap_or_else(|e| panic!("node {i} got no endpoint: {e}"));
        let machine = Host {
            transport: Arc::new(transport),
            spawner: Arc::new(node.clone()),
            wall_clock: Arc::clone(&host.wall_clock) as _,
            resolver: Arc::new(self.names.clone()),
            storage: Arc::new(host.disk.clone()),
            seed: seed.draw(0),
        };
        let cluster = builder.start_on(machine).unwrap_or_else(|e| panic!("node {i} did not start: {e}"));
        let subscriber = self.observe(i, &cluster, &observer);
        self.hosts[i].lives.push(cluster.life());
        Process { cluster, node, application, workload, observer, subscriber }
    }

    /// Writes down what a node reports.
    fn observe(&self, by: usize, cluster: &Cluster, observer: &Gate) -> Arc<Mutex<Subscriber>> {
        let mut events = cluster.subscribe();
        let (reports, trace, origin) = (Arc::clone(&self.reports), self.trace.clone(), self.origin);
        let (troubles, counts, run) = (self.troubles.clone(), self.ledger.counts.clone(), (by, self.hosts[by].boots));
        let subscriber = Arc::new(Mutex::new(Subscriber::of(cluster.node().clone())));
        let taking = Arc::clone(&subscriber);
        observer.spawn_here(async move {
            while let Some(delivery) = events.recv().await {
                let at = origin.elapsed();
                taking.lock().unwrap_or_else(PoisonError::into_inner).take(&delivery);
                match delivery {
                    Delivery::Event { event, .. } => {
                        trace.note_report(at, by, &event.kind);
                        counts.told(run, event.kind.as_str());
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

/// quinn wants 32 bytes.
fn quic_seed(seed: Seed) -> [u8; 32] {
    let seed = seed.derive("quic", 0);
    let mut bytes = [0; 32];
    for (n, chunk) in bytes.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&seed.draw(n as u64).to_le_bytes());
    }
    bytes
}
