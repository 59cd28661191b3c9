//! One node of the engine world: an engine, its registry, its links, and whether it runs.

use std::collections::BTreeMap;

use cluster_failure::GapRule;
use cluster_gossip::{PeerInfo, SharedNodeRegistry};
use cluster_manager::Engine;
use cluster_manager::engine::{HEARTBEAT, Output};
use cluster_types::{Instant, NodeId};

use super::Happening;

/// One end of a link: who is on the other, and where that one stands in the world.
#[derive(Debug, Clone)]
pub(super) struct LinkEnd {
    pub(super) peer: PeerInfo,
    pub(super) at: usize,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: NodeId,
    pub(super) engine: Engine,
    /// Only where somebody wants the events as a subscriber sees them.
    pub(super) registry: Option<SharedNodeRegistry>,
    pub(super) links: BTreeMap<NodeId, LinkEnd>,
    pub(super) running: bool,
    pub(super) paused: bool,
    /// Its network calls block.
    pub(super) held: bool,
    /// What it wanted to send meanwhile.
    pub(super) unsent: Vec<Output>,
    /// What arrived while it was stopped or held.
    pub(super) waiting: Vec<Happening>,
    /// Counts lives, so that wake-ups of a former one do nothing.
    pub(super) generation: u64,
    pub(super) wake_at: Option<Instant>,
    pub(super) name_lost: bool,
    gap: GapRule,
}

impl Node {
    pub(super) fn new(name: NodeId, engine: Engine, registry: Option<SharedNodeRegistry>, now: Instant) -> Self {
        Self {
            name,
            engine,
            registry,
            links: BTreeMap::new(),
            running: true,
            paused: false,
            held: false,
            unsent: Vec::new(),
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

    /// It stops now: until here its loop has turned.
    pub(super) fn pause(&mut self, now: Instant) {
        self.gap.note_idle(now);
        self.paused = true;
    }

    /// It goes on, and the next turn finds the gap.
    pub(super) fn resume(&mut self, now: Instant) -> Vec<Happening> {
        if std::mem::take(&mut self.paused) {
            self.turn_begins(now);
        }
        std::mem::take(&mut self.waiting)
    }

    /// What the driver does first at every turn. A loop that had nothing to do turned all the same.
    pub(super) fn begin_turn(&mut self, now: Instant) {
        self.gap.note_idle(now - HEARTBEAT);
        self.turn_begins(now);
    }

    fn turn_begins(&mut self, now: Instant) {
        if let Some(gap) = self.gap.note_turn(now) {
            self.engine.handle_gap(now, gap);
        }
    }

    pub(super) fn raise_link(&mut self, now: Instant, peer: PeerInfo, at: usize) {
        self.links.insert(peer.node.clone(), LinkEnd { peer: peer.clone(), at });
        self.engine.handle_link_up(now, peer);
    }

    pub(super) fn drop_link(&mut self, now: Instant, peer: &PeerInfo) {
        if self.links.get(&peer.node).is_some_and(|current| current.peer.life == peer.life) {
            self.links.remove(&peer.node);
            self.engine.handle_link_down(now, &peer.node, peer.life);
        }
    }
}
