//! One node of the engine world: an engine, its registry, its links, and whether it runs.

use std::sync::Arc;

use cluster_failure::GapRule;
use cluster_gossip::{PeerInfo, SharedNodeRegistry};
use cluster_manager::Engine;
use cluster_manager::engine::{HEARTBEAT, Output};
use cluster_types::{Incarnation, Instant, NodeId};

use super::Happening;
use super::links::{LinkEnd, Links, Number};
use super::seal::WorldSeal;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: NodeId,
    /// Of its name.
    pub(super) number: Number,
    pub(super) engine: Engine,
    pub(super) seal: Arc<WorldSeal>,
    /// Only where somebody wants the events as a subscriber sees them.
    pub(super) registry: Option<SharedNodeRegistry>,
    pub(super) links: Links,
    pub(super) running: bool,
    pub(super) paused: bool,
    /// Its network calls block.
    pub(super) held: bool,
    /// What it wanted to send meanwhile.
    pub(super) unsent: Vec<Output>,
    /// What arrived while it was stopped or held.
    pub(super) waiting: Vec<Happening>,
    pub(super) name_lost: bool,
    /// Where in the trace its process begins.
    pub(super) began: usize,
    /// The incarnation it began with.
    pub(super) first: Incarnation,
    gap: GapRule,
}

impl Node {
    pub(super) fn new(
        (name, number): (NodeId, Number),
        (engine, seal): (Engine, Arc<WorldSeal>),
        registry: Option<SharedNodeRegistry>,
        now: Instant,
    ) -> Self {
        Self {
            first: engine.swim().own().incarnation,
            name,
            number,
            engine,
            seal,
            registry,
            links: Links::default(),
            running: true,
            paused: false,
            held: false,
            unsent: Vec::new(),
            waiting: Vec::new(),
            name_lost: false,
            began: 0,
            gap: GapRule::new(now),
        }
    }

    pub(super) fn life(&self) -> u64 {
        self.engine.swim().own().life.get()
    }

    pub(super) fn peer_info(&self) -> PeerInfo {
        self.engine.swim().as_peer()
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
        // First it reads what has arrived, then its late timers fire.
        let (timers, arrived): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(Happening::is_timer);
        arrived.into_iter().chain(timers).collect()
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

    /// A link comes up; says whether there was none.
    pub(super) fn raise_link(&mut self, now: Instant, number: Number, peer: PeerInfo, at: usize) -> bool {
        let end = LinkEnd { peer: peer.clone(), at, heard: now, looked_at: now };
        let fresh = self.links.insert(number, end).is_none_or(|former| former.peer.life != peer.life);
        self.engine.handle_link_up(now, peer);
        fresh
    }

    /// Something came on a link.
    pub(super) fn note_heard(&mut self, from: Number, now: Instant) {
        if let Some(end) = self.links.get_mut(from) {
            end.heard = now;
        }
    }

    /// Whether a link is to be looked at again then: one look for each, also where it came up anew meanwhile.
    pub(super) fn idle_checked(&mut self, peer: Number, due: Instant) -> bool {
        self.links.get_mut(peer).is_some_and(|end| std::mem::replace(&mut end.looked_at, due) < due)
    }

    /// A link is gone; says whether it was the one there is.
    pub(super) fn drop_link(&mut self, now: Instant, number: Number, peer: &PeerInfo) -> bool {
        let current = self.links.get(number).is_some_and(|current| current.peer.life == peer.life);
        if current {
            self.links.remove(number);
            self.engine.handle_link_down(now, &peer.node, peer.life);
        }
        current
    }
}
