//! The engine world: every node's pure engine on one event heap (fidelity L0).
//!
//! Between the engines stands a model of links rather than of packets: a dial takes two round trips, datagrams arrive after
//! the latency or not at all, requests are reliable while the path is. What the real stack does beyond that is tested with
//! the real stack.

mod node;
mod path;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_gossip::{PeerInfo, RequestToken, SwimConfig};
use cluster_manager::JoinSeed;
use cluster_manager::engine::{DialFailure, Output};
use cluster_pool::DialTarget;
use cluster_types::{EventKind, Instant, Member, Metadata, NodeId, Seed, State};

use node::Node;
use path::Paths;

/// What the world is like.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// Settings of every node.
    pub swim: SwimConfig,
    /// One-way latency, lowest and highest.
    pub latency: (Duration, Duration),
    /// Share of datagrams that vanish, 0 to 1.
    pub loss: f64,
}

impl Default for WorldConfig {
    /// A local network without loss: 1 to 2 ms.
    fn default() -> Self {
        let latency = (Duration::from_millis(1), Duration::from_millis(2));
        Self { swim: SwimConfig::lan(), latency, loss: 0.0 }
    }
}

/// Something that will happen.
#[derive(Debug)]
enum Happening {
    /// A node's loop is to turn.
    Wake { node: usize, generation: u64 },
    /// A datagram arrives.
    Datagram { from: usize, to: usize, link: LinkKey, bytes: Vec<u8> },
    /// A dial reaches its target, or its time-out.
    Dialled { from: usize, from_life: u64, target: DialTarget },
    /// A request arrives, or its time-out.
    Request { from: usize, from_life: u64, to: NodeId, token: RequestToken, kind: u16, body: Vec<u8> },
    /// An answer arrives.
    Answer { to: usize, to_life: u64, token: RequestToken, outcome: Result<(u16, Vec<u8>), String> },
    /// A link turns out to be dead on the other side.
    Reset { at: usize, peer: PeerInfo },
}

/// Which two lives a link connects.
type LinkKey = (u64, u64);

/// One line of the trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// When.
    pub at: Instant,
    /// By which node.
    pub by: usize,
    /// What.
    pub kind: EventKind,
}

/// A cluster of engines in virtual time.
#[derive(Debug)]
pub struct EngineWorld {
    config: WorldConfig,
    seed: Seed,
    now: Instant,
    nodes: Vec<Node>,
    heap: BTreeMap<(Instant, u64), Happening>,
    next_happening: u64,
    paths: Paths,
    packets: u64,
    bytes: u64,
    trace: Vec<Reported>,
}

/// Wall clock at the beginning: any day will do.
const ORIGIN_UNIX_MS: u64 = 1_795_000_000_000;

/// A dial, or a request, to nobody fails after this.
const PATIENCE: Duration = Duration::from_secs(3);

impl EngineWorld {
    /// An empty world. The same seed gives the same run.
    #[must_use]
    pub fn new(config: WorldConfig, seed: u64) -> Self {
        let seed = Seed::new(seed);
        Self {
            paths: Paths::new(seed.derive("paths", 0), config.latency, config.loss),
            config,
            seed,
            now: Instant::ORIGIN,
            nodes: Vec::new(),
            heap: BTreeMap::new(),
            next_happening: 0,
            packets: 0,
            bytes: 0,
            trace: Vec::new(),
        }
    }

    /// Starts `count` nodes; all but the first join through it.
    pub fn start_cluster(&mut self, count: usize) {
        for i in 0..count {
            self.start(i, if i == 0 { &[] } else { &[0] });
        }
    }

    /// Starts node `i` (the next number) or, after a crash, a new life of it, joining through `seeds`.
    pub fn start(&mut self, i: usize, seeds: &[usize]) {
        let name = name_of(i);
        self.start_named(i, name, seeds);
    }

    /// As [`start`](Self::start), under any name: also one that is taken.
    pub fn start_named(&mut self, i: usize, name: NodeId, seeds: &[usize]) {
        let boot_ms = ORIGIN_UNIX_MS + u64::try_from(self.now.since_origin().as_millis()).unwrap_or(0);
        let seed = self.seed.derive("node", i as u64).derive("boot", boot_ms);
        let node = Node::boot(name, addr_of(i), &self.config.swim, seed, ORIGIN_UNIX_MS, boot_ms, self.now);
        if i < self.nodes.len() {
            let former = std::mem::replace(&mut self.nodes[i], node);
            self.nodes[i].generation = former.generation + 1;
        } else {
            assert_eq!(i, self.nodes.len(), "nodes are numbered from 0 without gaps");
            self.nodes.push(node);
        }
        let seeds: Vec<JoinSeed> =
            seeds.iter().map(|&s| JoinSeed { given: addr_of(s).to_string(), addr: addr_of(s) }).collect();
        if !seeds.is_empty() {
            self.nodes[i].engine.join(self.now, seeds, true);
        }
        self.dispatch(i);
    }

    /// Kills a node: no goodbye.
    pub fn crash(&mut self, i: usize) {
        self.nodes[i].running = false;
    }

    /// Stops a node's process: nothing of it runs, what arrives waits.
    pub fn pause(&mut self, i: usize) {
        self.nodes[i].paused = true;
    }

    /// Lets a stopped process go on: first it reads what has arrived, then its late timers fire.
    pub fn resume(&mut self, i: usize) {
        self.nodes[i].paused = false;
        let waiting = std::mem::take(&mut self.nodes[i].waiting);
        for happening in waiting {
            self.push(self.now, happening);
        }
        let generation = self.nodes[i].generation;
        self.push(self.now, Happening::Wake { node: i, generation });
    }

    /// Tells a node to leave.
    pub fn leave(&mut self, i: usize) {
        self.nodes[i].engine.leave(self.now);
        self.dispatch(i);
    }

    /// Changes what a node says about itself.
    pub fn set_metadata(&mut self, i: usize, metadata: Metadata) {
        self.nodes[i].engine.set_metadata(self.now, metadata);
        self.dispatch(i);
    }

    /// What node `i` holds of node `j`.
    #[must_use]
    pub fn member(&self, i: usize, j: usize) -> Option<Arc<Member>> {
        self.nodes[i].registry.snapshot().member(self.nodes[j].name.as_str()).cloned()
    }

    /// Cuts every path between the two groups, both ways.
    pub fn partition(&mut self, left: &[usize], right: &[usize]) {
        self.paths.cut(left, right);
    }

    /// Nothing from `from` reaches `to` any more; the other direction stays.
    pub fn cut_one_way(&mut self, from: &[usize], to: &[usize]) {
        self.paths.cut_one_way(from, to);
    }

    /// Mends every cut.
    pub fn heal(&mut self) {
        self.paths.heal();
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(entry) = self.heap.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), happening) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(happening);
        }
        self.now = until;
    }

    /// Lets time pass until `state` holds, looked at every 10 ms; says how long it took, `None` after `patience`.
    pub fn run_until(&mut self, patience: Duration, state: impl Fn(&Self) -> bool) -> Option<Duration> {
        let began = self.now;
        while !state(self) {
            if self.now.since(began) >= patience {
                return None;
            }
            self.run_for(Duration::from_millis(10));
        }
        Some(self.now.since(began))
    }

    /// Virtual time now.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Everything reported so far, in order.
    #[must_use]
    pub fn trace(&self) -> &[Reported] {
        &self.trace
    }

    /// How often an event of this kind was reported, by anybody.
    #[must_use]
    pub fn count(&self, event: &str) -> usize {
        self.trace.iter().filter(|reported| reported.kind.as_str() == event).count()
    }

    /// Datagrams and bytes sent so far, by all.
    #[must_use]
    pub const fn sent(&self) -> (u64, u64) {
        (self.packets, self.bytes)
    }

    /// What node `i` holds node `j` to be.
    #[must_use]
    pub fn state(&self, i: usize, j: usize) -> Option<State> {
        self.member(i, j).map(|member| member.state())
    }

    /// Whether every running node holds every running node to be alive.
    #[must_use]
    pub fn everybody_knows_everybody(&self) -> bool {
        let running: Vec<usize> = (0..self.nodes.len()).filter(|&i| self.nodes[i].running).collect();
        running.iter().all(|&i| running.iter().all(|&j| self.state(i, j) == Some(State::Alive)))
    }

    /// The engine of node `i`.
    #[must_use]
    pub fn engine(&self, i: usize) -> &cluster_manager::Engine {
        &self.nodes[i].engine
    }

    /// Whether node `i` was told that its name is another's.
    #[must_use]
    pub fn has_lost_its_name(&self, i: usize) -> bool {
        self.nodes[i].name_lost
    }

    fn push(&mut self, at: Instant, happening: Happening) {
        self.heap.insert((at, self.next_happening), happening);
        self.next_happening += 1;
    }

    fn node_named(&self, node: &NodeId, life: u64) -> Option<usize> {
        self.nodes.iter().position(|n| n.name == *node && n.running && n.life() == life)
    }

    fn happen(&mut self, happening: Happening) {
        let node = match &happening {
            Happening::Wake { node, .. } | Happening::Reset { at: node, .. } => *node,
            Happening::Datagram { to, .. } | Happening::Answer { to, .. } => *to,
            Happening::Dialled { from, .. } | Happening::Request { from, .. } => *from,
        };
        if self.nodes[node].paused {
            if !matches!(happening, Happening::Wake { .. }) {
                self.nodes[node].waiting.push(happening);
            }
            return;
        }
        if self.nodes[node].running {
            self.turn(node, happening);
            self.dispatch(node);
        }
    }

    /// One turn of a node's loop, as the driver does it.
    fn turn(&mut self, i: usize, happening: Happening) {
        let now = self.now;
        self.nodes[i].begin_turn(now);
        match happening {
            Happening::Wake { generation, .. } if generation != self.nodes[i].generation => return,
            Happening::Wake { .. } => self.nodes[i].wake_at = None,
            Happening::Datagram { from, link, bytes, .. } => self.arrive(from, i, link, &bytes),
            Happening::Dialled { from_life, target, .. } if from_life == self.nodes[i].life() => {
                self.end_dial(i, target)
            }
            Happening::Request { from_life, to, token, kind, body, .. } if from_life == self.nodes[i].life() => {
                self.carry_request(i, &to, token, kind, &body);
            }
            Happening::Answer { to_life, token, outcome, .. } if to_life == self.nodes[i].life() => {
                self.nodes[i].engine.handle_answer(now, token, outcome);
            }
            Happening::Reset { peer, .. } => self.nodes[i].drop_link(now, &peer),
            Happening::Dialled { .. } | Happening::Request { .. } | Happening::Answer { .. } => {}
        }
        if now >= self.nodes[i].engine.next_deadline() {
            self.nodes[i].engine.handle_timeout(now);
        }
    }

    fn arrive(&mut self, from: usize, to: usize, link: LinkKey, bytes: &[u8]) {
        let (sender_life, own_life) = link;
        if own_life != self.nodes[to].life() {
            // The sender's link goes to a former life: whoever answers at the address knows nothing of it.
            let peer = self.nodes[from].links.get(&self.nodes[to].name).cloned();
            if let Some(peer) = peer.filter(|peer| peer.life.get() == own_life) {
                let back = self.paths.latency(to, from);
                self.push(self.now + back, Happening::Reset { at: from, peer });
            }
            return;
        }
        let sender = self.nodes[from].name.clone();
        let linked = self.nodes[to].links.get(&sender).is_some_and(|peer| peer.life.get() == sender_life);
        if linked {
            self.nodes[to].engine.handle_datagram(self.now, &sender, bytes);
        }
    }

    fn end_dial(&mut self, from: usize, target: DialTarget) {
        let now = self.now;
        let answerer = self.nodes.iter().position(|n| n.addr == target.addr && n.running && !n.paused);
        let reachable = answerer.filter(|&to| self.paths.open(from, to) && self.paths.open(to, from));
        let right = reachable.filter(|&to| target.node.as_ref().is_none_or(|wanted| *wanted == self.nodes[to].name));
        let Some(to) = right.filter(|&to| to != from) else {
            let reason = DialFailure::Reason(format!("no answer from {}", target.addr));
            return self.nodes[from].engine.handle_dialled(now, &target, Err(reason));
        };
        let (here, there) = (self.nodes[from].peer_info(), self.nodes[to].peer_info());
        let name = there.node.clone();
        self.nodes[to].begin_turn(now);
        self.nodes[to].raise_link(now, here);
        self.dispatch(to);
        self.nodes[from].raise_link(now, there);
        self.nodes[from].engine.handle_dialled(now, &target, Ok(name));
    }

    fn carry_request(&mut self, from: usize, to: &NodeId, token: RequestToken, kind: u16, body: &[u8]) {
        let now = self.now;
        let link = self.nodes[from].links.get(to).cloned();
        let target = link.and_then(|peer| self.node_named(&peer.node, peer.life.get()));
        let target =
            target.filter(|&to| !self.nodes[to].paused && self.paths.open(from, to) && self.paths.open(to, from));
        let (outcome, wait) = match target {
            None => (Err("no answer in time".to_owned()), PATIENCE),
            Some(to) => {
                let here = self.nodes[from].peer_info();
                self.nodes[to].begin_turn(now);
                let answer = self.nodes[to].engine.handle_request(now, &here, kind, body);
                self.dispatch(to);
                (answer.ok_or_else(|| "refused".to_owned()), self.paths.latency(to, from))
            }
        };
        let to_life = self.nodes[from].life();
        self.push(now + wait, Happening::Answer { to: from, to_life, token, outcome });
    }

    /// Does what a node's engine wants.
    fn dispatch(&mut self, i: usize) {
        while let Some(output) = self.nodes[i].engine.poll_output() {
            self.carry_out(i, output);
        }
        let due = self.nodes[i].engine.next_deadline().max(self.now);
        if self.nodes[i].wake_at.is_none_or(|at| due < at) {
            self.nodes[i].wake_at = Some(due);
            let generation = self.nodes[i].generation;
            self.push(due, Happening::Wake { node: i, generation });
        }
    }

    fn carry_out(&mut self, i: usize, output: Output) {
        match output {
            Output::Datagram { to, bytes } => self.send(i, &to, bytes),
            Output::Request { to, token, kind, body } => {
                let wait = self.config.latency.1;
                let from_life = self.nodes[i].life();
                self.push(self.now + wait, Happening::Request { from: i, from_life, to, token, kind, body });
            }
            Output::Dial(target) => {
                let answers = self.nodes.iter().any(|n| n.addr == target.addr && n.running && !n.paused);
                let wait = if answers { self.config.latency.1 * 4 } else { PATIENCE };
                let from_life = self.nodes[i].life();
                self.push(self.now + wait, Happening::Dialled { from: i, from_life, target });
            }
            Output::Disconnect { node } => self.disconnect(i, &node),
            Output::Publish(statement) => {
                for kind in self.nodes[i].registry.apply(self.now, statement) {
                    self.trace.push(Reported { at: self.now, by: i, kind });
                }
            }
            Output::Forget { node } => {
                if let Some(kind) = self.nodes[i].registry.forget(self.now, &node) {
                    self.trace.push(Reported { at: self.now, by: i, kind });
                }
            }
            Output::Event(kind) => self.trace.push(Reported { at: self.now, by: i, kind }),
            Output::NameLost { .. } => self.nodes[i].name_lost = true,
            Output::OwnChanged(_) | Output::JoinDone(_) => {}
        }
    }

    /// Closes a link on one side at once; the other side hears of it if the path is open.
    fn disconnect(&mut self, i: usize, node: &NodeId) {
        let Some(peer) = self.nodes[i].links.get(node).cloned() else { return };
        let here = self.nodes[i].peer_info();
        let other = self.node_named(&peer.node, peer.life.get()).filter(|&to| self.paths.open(i, to));
        self.push(self.now, Happening::Reset { at: i, peer });
        if let Some(to) = other {
            let wait = self.paths.latency(i, to);
            self.push(self.now + wait, Happening::Reset { at: to, peer: here });
        }
    }

    fn send(&mut self, from: usize, to: &NodeId, bytes: Vec<u8>) {
        self.packets += 1;
        self.bytes += bytes.len() as u64;
        let Some(peer) = self.nodes[from].links.get(to).cloned() else { return };
        let link = (self.nodes[from].life(), peer.life.get());
        let target = self.nodes.iter().position(|n| n.addr == peer.addr && n.running);
        let Some(to) = target.filter(|&to| self.paths.open(from, to)) else { return };
        if let Some(delay) = self.paths.deliver(from, to) {
            self.push(self.now + delay, Happening::Datagram { from, to, link, bytes });
        }
    }
}

/// The name of node `i`.
#[must_use]
pub fn name_of(i: usize) -> NodeId {
    NodeId::new(&format!("n{i:03}")).unwrap_or_else(|e| unreachable!("n and digits are a name: {e}"))
}

fn addr_of(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 7_000))
}
