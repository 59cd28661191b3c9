//! One node of the engine world: an engine, its registry, its links, and whether it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cluster_failure::GapRule;
use cluster_gossip::{PeerInfo, SharedNodeRegistry, SwimConfig};
use cluster_manager::Engine;
use cluster_types::{Claim, ClusterName, Incarnation, Instant, Life, Metadata, NodeId, Seed};

use super::Happening;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: NodeId,
    pub(super) addr: SocketAddr,
    pub(super) engine: Engine,
    pub(super) registry: SharedNodeRegistry,
    pub(super) links: BTreeMap<NodeId, PeerInfo>,
    pub(super) running: bool,
    pub(super) paused: bool,
    /// What arrived while it was stopped.
    pub(super) waiting: Vec<Happening>,
    /// Counts lives, so that wake-ups of a former one do nothing.
    pub(super) generation: u64,
    pub(super) wake_at: Option<Instant>,
    pub(super) name_lost: bool,
    gap: GapRule,
}

impl Node {
    pub(super) fn boot(
        name: NodeId,
        addr: SocketAddr,
        config: &SwimConfig,
        seed: Seed,
        origin_unix_ms: u64,
        boot_ms: u64,
        now: Instant,
    ) -> Self {
        let cluster = ClusterName::new("sim").unwrap_or_else(|e| unreachable!("a name: {e}"));
        let life = Life::new(boot_ms, seed.draw(0) as u32);
        let own = Claim::alive(name.clone(), life, Incarnation::from_unix_ms(boot_ms), addr);
        let engine = Engine::new(config.clone(), &cluster, own, Metadata::default(), origin_unix_ms, seed, now);
        Self {
            registry: SharedNodeRegistry::new(name.clone()),
            name,
            addr,
            engine,
            links: BTreeMap::new(),
            running: true,
            paused: false,
            waiting: Vec::new(),
            generation: 0,
            wake_at: None,
            name_lost: false,
            gap: GapRule::new(now),
        }
    }

    pub(super) fn life(&self) -> u64 {
        self.engine.swim().own().life.get()
    }

    pub(super) fn peer_info(&self) -> PeerInfo {
        let own = self.engine.swim().own();
        PeerInfo { node: own.node.clone(), life: own.life, incarnation: own.incarnation, addr: own.addr }
    }

    /// What the driver does first at every turn.
    pub(super) fn begin_turn(&mut self, now: Instant) {
        if let Some(gap) = self.gap.note_turn(now) {
            self.engine.handle_gap(now, gap);
        }
    }

    pub(super) fn raise_link(&mut self, now: Instant, peer: PeerInfo) {
        self.links.insert(peer.node.clone(), peer.clone());
        self.engine.handle_link_up(now, peer);
    }

    pub(super) fn drop_link(&mut self, now: Instant, peer: &PeerInfo) {
        if self.links.get(&peer.node).is_some_and(|current| current.life == peer.life) {
            self.links.remove(&peer.node);
            self.engine.handle_link_down(now, &peer.node, peer.life);
        }
    }
}
