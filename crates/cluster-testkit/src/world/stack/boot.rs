//! Processes that start: what they stand on, what they are told, who listens to them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use cluster_manager::{ClusterConfig, JoinSeed};
use cluster_pool::identity::authority::Validity;
use cluster_types::Seed;

use super::StackWorld;
use super::numbers::Stops;
use super::traffic::{self, Talker};
use super::transfer::CountingSink;
use crate::host::disk::SimDisk;
use crate::host::gate::Gate;
use crate::host::machine::{Machine, Witness};
use crate::host::{Lives, Process, SimHost, SimWallClock, Values};
use crate::simulation::{SimNode, System};
use crate::world::{ORIGIN_UNIX_MS, addr_of, name_of};

impl StackWorld {
    /// Starts node `i` (the next number) or, after a crash or a stop, a new process of it, joining through `seeds`.
    ///
    /// # Panics
    /// It runs already, or a number is left out.
    pub fn start(&mut self, i: usize, seeds: &[usize]) {
        self.start_with(i, self.seeds_of(seeds));
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
        self.start_with(i, self.seeds_of(seeds));
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
        self.live.insert(self.node_of(&process, Vec::new()));
        match self.system.clone() {
            Some(system) => {
                let (node, errors) = (self.node_of(&process, seeds), self.workload_errors.clone());
                let told_to_stop = Arc::clone(&process.told_to_stop);
                process.workload.spawn_here(async move {
                    if let Some(error) = system(node).await.filter(|_| !told_to_stop.load(Ordering::Relaxed)) {
                        errors.add(format!("of node {i}: {error}"));
                    }
                });
            }
            None => self.start_plain(i, &process, seeds),
        }
        self.hosts[i].process = Some(process);
    }

    /// Starts a node that serves what scenarios send, and talks.
    fn start_plain(&self, i: usize, process: &Process, mut seeds: Vec<JoinSeed>) {
        let _entered = self.runtime.enter();
        let (machine, run) = (&process.machine, (i, self.hosts[i].boots));
        let builder = match &self.config.serve {
            Some(serve) => machine.builder().streams(serve(i)),
            None => {
                let router = traffic::serve(CountingSink::serve(), &self.ledger, run, self.config.handling).build();
                machine.builder().router(router.unwrap_or_else(|e| panic!("one handler a channel: {e}")))
            }
        };
        let cluster = machine.start(builder).unwrap_or_else(|e| panic!("node {i} did not start: {e}"));
        seeds.extend(cluster.remembered());
        let workload = process.workload.clone();
        let talker = self.config.traffic.map(|until| Talker {
            cluster: cluster.clone(),
            ledger: self.ledger.clone(),
            run,
            draws: self.seed.derive("traffic", i as u64).derive("boot", run.1).stream(),
            tasks: process.workload.clone(),
            until: self.origin + until,
        });
        process.application.spawn_here(async move {
            if !seeds.is_empty() {
                // Its events tell of each failed round; an error means that the node has stopped.
                let _ = cluster.join_patiently(seeds).await;
            }
            if let Some(talker) = talker {
                workload.spawn_here(talker.talk());
            }
        });
    }

    /// Gives every process that starts from now on a system to run, on one of so many machines. It starts the node; without one the world
    /// does.
    pub(crate) fn set_system(&mut self, system: System, size: usize) {
        self.system = Some(system);
        self.size = size;
    }

    /// What everybody in this world shares.
    pub(crate) const fn shared(&self) -> &Values {
        &self.shared
    }

    /// Nodes that run and that their systems have not started.
    pub(crate) fn unstarted(&self) -> Vec<usize> {
        self.running().into_iter().filter(|&i| self.process(i).cluster().is_none()).collect()
    }

    /// What went wrong in the systems of nodes, and of clients, in words.
    pub(crate) fn workload_errors(&self) -> Vec<String> {
        self.workload_errors.all()
    }

    fn node_of(&self, process: &Process, seeds: Vec<JoinSeed>) -> SimNode {
        let Process { machine, exposed, workload, .. } = process;
        let seed = self.seed.derive("workload", machine.index as u64).derive("boot", machine.boots);
        let (machine, tasks, exposed) = (machine.clone(), workload.clone(), exposed.clone());
        SimNode { machine, seeds, seed, tasks, exposed }
    }

    /// A gate for the tasks of a process, in the order that the world has.
    pub(super) fn gate(&self, whose: String, order: Seed) -> Gate {
        let (runtime, troubles) = (self.runtime.handle().clone(), self.troubles.clone());
        if self.config.shuffled {
            Gate::shuffled(runtime, whose, troubles, order)
        } else {
            Gate::new(runtime, whose, troubles)
        }
    }

    fn add_host(&mut self, addr: SocketAddr) {
        let i = self.hosts.len();
        let name = name_of(i);
        let credentials = self.authority.issue(&name, Validity::days(ORIGIN_UNIX_MS / 1_000, 30));
        self.hosts.push(SimHost {
            name,
            addr,
            credentials: credentials.unwrap_or_else(|e| panic!("the world needs certificates: {e}")),
            wall_clock: Arc::new(SimWallClock::new(self.runtime.handle().clone(), self.origin)),
            disk: SimDisk::new(self.seed.derive("disk", i as u64)),
            process: None,
            boots: 0,
            lives: Lives::default(),
            stopping: false,
            ended: None,
            stops: Stops::default(),
        });
    }

    fn boot(&mut self, i: usize) -> Process {
        let order = self.seed.derive("order", i as u64).derive("boot", self.hosts.get(i).map_or(0, |host| host.boots));
        let gate = |what: &str| self.gate(format!("{what} {i}"), order.derive(what, 0));
        let (node, observer) = (gate("node"), gate("the observer of"));
        let (application, workload) = (gate("the owner of"), gate("the workload of"));
        let host = self.hosts.get_mut(i).unwrap_or_else(|| panic!("nodes are numbered from 0 without gaps"));
        assert!(host.process.is_none(), "node {i} runs already");
        host.boots += 1;
        host.stopping = false;
        host.stops = Stops::default();
        let (counts, run) = (self.ledger.counts.clone(), (i, host.boots));
        let mut config = ClusterConfig::new(self.config.profile);
        self.config.configure.iter().for_each(|change| change(&mut config));
        self.config.configure_one.iter().for_each(|change| change(i, &mut config));
        let machine = Machine {
            index: i,
            boots: host.boots,
            size: self.size,
            is_later: self.config.later.contains(&i),
            addr: host.addr,
            config,
            credentials: host.credentials.clone(),
            unix_time: host.unix_time(),
            wall_clock: Arc::clone(&host.wall_clock),
            disk: host.disk.clone(),
            names: Arc::new(self.names.clone()),
            net: self.net.clone(),
            seed: self.seed.derive("node", i as u64).derive("boot", host.boots),
            node: node.clone(),
            observer: observer.clone(),
            started: Arc::new(OnceLock::new()),
            lives: Arc::clone(&host.lives),
            shared: self.shared.clone(),
            witness: Witness {
                origin: self.origin,
                reports: Arc::clone(&self.reports),
                starts: Arc::clone(&self.starts),
                trace: self.trace.clone(),
                troubles: self.troubles.clone(),
                counted: Arc::new(move |word| counts.told(run, word)),
            },
        };
        Process {
            machine,
            exposed: Values::default(),
            told_to_stop: Arc::default(),
            node,
            application,
            workload,
            observer,
        }
    }
}
