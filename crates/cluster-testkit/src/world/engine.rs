//! The engine world: every node's pure engine on one agenda of events (fidelity L0).
//!
//! Between the engines stands a model of links rather than of packets: a dial takes two round trips, datagrams arrive after
//! the latency or not at all, requests are reliable while the path is. What the real stack does beyond that is tested with
//! the real stack.

mod agenda;
mod as_world;
mod carry;
mod exchange;
mod liar;
mod links;
mod node;
mod numbers;
mod path;
mod seal;
mod starting;
mod traffic;
mod version;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_gossip::{BroadcastError, PeerInfo, SwimConfig};
use cluster_manager::Engine;
use cluster_types::{Claim, Incarnation, Instant, Life, Member, Metadata, NodeId, Seed, State};

use crate::net::{Effect, LinkModel};
use crate::scenario::PathFault;
use crate::world::hashing::OwnKeys;
use crate::world::{Reported, Subscriber, addr_of};
use agenda::Agenda;
use carry::Alarm;
use exchange::Exchange;
use liar::Liar;
use links::Numbers;
use node::Node;
use path::Paths;
pub use traffic::Traffic;
use version::Versions;

/// What the world is like.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// Settings of every node.
    pub swim: SwimConfig,
    /// The paths between them, for datagrams and for each packet of a dial or a request alike.
    pub links: LinkModel,
}

impl WorldConfig {
    /// The same over paths that lose this share of what is sent, 0 to 1.
    #[must_use]
    pub fn with_loss(mut self, loss: f64) -> Self {
        self.links.loss = loss;
        self
    }
}

impl Default for WorldConfig {
    /// A local network without loss: 1 to 2 ms.
    fn default() -> Self {
        Self { swim: SwimConfig::lan(), links: LinkModel::lan() }
    }
}

/// Something that will happen.
#[derive(Debug, Clone)]
enum Happening {
    /// A node's loop is to turn, unless that was put off or brought forward meanwhile.
    Wake { node: usize },
    /// A datagram arrives.
    Datagram { from: usize, to: usize, link: LinkKey, bytes: Vec<u8> },
    /// A leg of an exchange is sent again.
    Again { node: usize, exchange: u64, leg: u8, repeats: u32 },
    /// A leg of an exchange arrives.
    Through { node: usize, exchange: u64, leg: u8 },
    /// An exchange has taken too long.
    Expire { node: usize, exchange: u64 },
    /// A link turns out to be dead on the other side.
    Reset { at: usize, peer: Box<PeerInfo> },
    /// A member that lies is to lie again.
    Lie { node: usize },
    /// A link may have been silent for too long.
    Idle { node: usize, peer: Box<PeerInfo> },
}

impl Happening {
    /// Whose loop it concerns.
    const fn at(&self) -> usize {
        match self {
            Self::Wake { node, .. }
            | Self::Lie { node }
            | Self::Reset { at: node, .. }
            | Self::Datagram { to: node, .. }
            | Self::Again { node, .. }
            | Self::Through { node, .. }
            | Self::Expire { node, .. }
            | Self::Idle { node, .. } => *node,
        }
    }

    /// Whether it is a timer of the node's own, and not something that arrives.
    const fn is_timer(&self) -> bool {
        matches!(
            self,
            Self::Wake { .. } | Self::Lie { .. } | Self::Again { .. } | Self::Expire { .. } | Self::Idle { .. }
        )
    }
}

/// A link on which nothing is heard for so long is dead, as in the pool.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Which two lives a link connects.
type LinkKey = (u64, u64);

/// A cluster of engines in virtual time.
#[derive(Debug)]
pub struct EngineWorld {
    config: WorldConfig,
    seed: Seed,
    now: Instant,
    nodes: Vec<Node>,
    /// When the loop of each is to turn.
    alarms: Vec<Alarm>,
    /// The lives of each node's processes so far.
    lives: Vec<Vec<Life>>,
    by_addr: OwnKeys<SocketAddr, usize>,
    numbers: Numbers,
    agenda: Agenda<Happening>,
    paths: Paths,
    /// What waits on clogged paths: from, to, length, what happens when it arrives.
    clogged: Vec<(usize, usize, usize, Happening)>,
    exchanges: BTreeMap<u64, Exchange>,
    next_exchange: u64,
    traffic: Traffic,
    payload_by_second: Vec<u64>,
    versions: Versions,
    liar: Option<Liar>,
    trace: Vec<Reported>,
}

impl EngineWorld {
    /// An empty world. The same seed gives the same run.
    #[must_use]
    pub fn new(config: WorldConfig, seed: u64) -> Self {
        let seed = Seed::new(seed);
        Self {
            paths: Paths::new(seed.derive("paths", 0), config.links.clone()),
            config,
            seed,
            now: Instant::ORIGIN,
            nodes: Vec::new(),
            alarms: Vec::new(),
            lives: Vec::new(),
            by_addr: OwnKeys::default(),
            numbers: Numbers::default(),
            agenda: Agenda::default(),
            clogged: Vec::new(),
            exchanges: BTreeMap::new(),
            next_exchange: 0,
            traffic: Traffic::default(),
            payload_by_second: Vec::new(),
            versions: Versions::default(),
            liar: None,
            trace: Vec::new(),
        }
    }

    /// Kills a node: no goodbye.
    pub fn crash(&mut self, i: usize) {
        self.nodes[i].running = false;
    }

    /// Ends a node's process in order but for the farewell: its links are closed, and the others notice at once.
    pub fn exit(&mut self, i: usize) {
        let linked = self.nodes[i].links.names();
        linked.iter().for_each(|node| self.disconnect(i, node));
        self.crash(i);
    }

    /// Stops a node's process: nothing of it runs, what arrives waits.
    pub fn pause(&mut self, i: usize) {
        self.nodes[i].pause(self.now);
    }

    /// Lets a stopped process go on: first it reads what has arrived, then its late timers fire.
    pub fn resume(&mut self, i: usize) {
        for happening in self.nodes[i].resume(self.now) {
            self.push(self.now, happening);
        }
        self.wake(i, self.now);
    }

    /// Holds up a node's sends and receipts while its loop and its timers go on: a process whose network calls block, as in the
    /// experiments of the Lifeguard paper.
    pub fn hold_io(&mut self, i: usize) {
        self.nodes[i].held = true;
    }

    /// Lets what was held go, the sends first.
    pub fn release_io(&mut self, i: usize) {
        self.nodes[i].held = false;
        for output in std::mem::take(&mut self.nodes[i].unsent) {
            self.carry_out(i, output);
        }
        for happening in std::mem::take(&mut self.nodes[i].waiting) {
            self.push(self.now, happening);
        }
    }

    /// Tells a node to leave.
    pub fn leave(&mut self, i: usize) {
        self.nodes[i].engine.leave(self.now);
        self.dispatch(i);
    }

    /// Lets a node broadcast a message of its user.
    ///
    /// # Panics
    /// The message is not taken.
    pub fn broadcast(&mut self, i: usize, payload: &[u8]) {
        assert_eq!(self.try_broadcast(i, payload), Ok(()), "node {i}");
    }

    fn try_broadcast(&mut self, i: usize, payload: &[u8]) -> Result<(), BroadcastError> {
        let outcome = self.nodes[i].engine.broadcast(self.now, payload);
        self.dispatch(i);
        outcome
    }

    /// Changes what a node says about itself.
    pub fn set_metadata(&mut self, i: usize, metadata: Metadata) {
        self.nodes[i].engine.set_metadata(self.now, metadata);
        self.dispatch(i);
    }

    /// What node `i` holds of node `j`.
    #[must_use]
    pub fn member(&self, i: usize, j: usize) -> Option<Arc<Member>> {
        let swim = self.nodes[i].engine.swim();
        if i == j {
            let (claim, metadata) = (swim.own().clone(), swim.own_metadata().clone());
            return Some(Arc::new(Member { claim, metadata, since: Instant::ORIGIN }));
        }
        swim.member(&self.nodes[j].name).cloned()
    }

    /// Cuts every path between the two groups, both ways.
    pub fn partition(&mut self, left: &[usize], right: &[usize]) {
        self.paths.cut_one_way(left, right);
        self.paths.cut_one_way(right, left);
    }

    /// Nothing from `from` reaches `to` any more; the other direction stays.
    pub fn cut_one_way(&mut self, from: &[usize], to: &[usize]) {
        self.paths.cut_one_way(from, to);
    }

    /// Something is wrong with the paths from the first to the second, until [`mend`](Self::mend).
    pub fn fault(&mut self, id: u32, from: &[usize], to: &[usize], fault: &PathFault) {
        self.paths.fault(id, from, to, Effect::from(fault));
    }

    /// Mends one fault.
    pub fn mend(&mut self, id: u32) {
        self.paths.mend(id);
        self.unclog();
    }

    /// Mends every path.
    pub fn heal(&mut self) {
        self.paths.heal();
        self.unclog();
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some((at, happening)) = self.agenda.pop_until(until) {
            self.now = self.now.max(at);
            let before = self.traffic.payload;
            self.happen(happening);
            self.note_payload(self.traffic.payload - before);
        }
        self.now = until;
    }

    fn note_payload(&mut self, bytes: u64) {
        if bytes > 0 {
            let second = usize::try_from(self.now.since_origin().as_secs()).unwrap_or(usize::MAX);
            if self.payload_by_second.len() <= second {
                self.payload_by_second.resize(second + 1, 0);
            }
            self.payload_by_second[second] += bytes;
        }
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

    /// Changes the share of what is sent that vanishes.
    pub const fn set_loss(&mut self, loss: f64) {
        self.paths.model_mut().loss = loss;
    }

    /// Makes all paths like `model`, but for those with a fault of their own.
    pub fn set_links(&mut self, model: LinkModel) {
        *self.paths.model_mut() = model;
    }

    /// Whether node `i` runs.
    #[must_use]
    pub fn is_running(&self, i: usize) -> bool {
        self.nodes.get(i).is_some_and(|node| node.running)
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

    /// What all have sent so far.
    #[must_use]
    pub const fn sent(&self) -> Traffic {
        self.traffic
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
        let alive = |i: usize, j: usize| {
            let held = self.nodes[i].engine.swim().member(&self.nodes[j].name);
            i == j || held.is_some_and(|member| member.state() == State::Alive)
        };
        running.iter().all(|&i| running.iter().all(|&j| alive(i, j)))
    }

    /// Where the registry of a node is not what its core holds, or its events do not add up to it, in words.
    fn registry_differs(&self, i: usize) -> Vec<String> {
        let Some(registry) = &self.nodes[i].registry else { return Vec::new() };
        let table = registry.snapshot();
        let mut subscriber = Subscriber::of(self.nodes[i].name.clone());
        let began = self.nodes[i].began;
        self.trace[began..].iter().filter(|reported| reported.by == i).for_each(|r| subscriber.apply(&r.kind));
        let held = self.nodes.iter().filter_map(|node| self.nodes[i].engine.swim().member(&node.name));
        let unpublished = held.filter(|member| {
            member.state().is_live()
                && table.member(member.node().as_str()).is_none_or(|known| known.claim != member.claim)
        });
        let unpublished: Vec<String> =
            unpublished.map(|member| format!("the core holds {member:?}, the registry does not")).collect();
        let all = unpublished.into_iter().chain(subscriber.differs_from(&table));
        all.map(|what| format!("node {i}: {what}")).collect()
    }

    /// The engine of node `i`.
    #[must_use]
    pub fn engine(&self, i: usize) -> &Engine {
        &self.nodes[i].engine
    }

    /// Whether node `i` was told that its name is another's.
    #[must_use]
    pub fn has_lost_its_name(&self, i: usize) -> bool {
        self.nodes[i].name_lost
    }

    /// How many events have been handled and will be.
    #[must_use]
    pub const fn happenings(&self) -> u64 {
        self.agenda.len_ever()
    }
}

fn claim_of(i: usize, name: NodeId, boot_ms: u64, seed: Seed) -> Claim {
    let life = Life::new(boot_ms, seed.draw(0) as u32);
    Claim::alive(name, life, Incarnation::from_unix_ms(boot_ms), addr_of(i))
}
