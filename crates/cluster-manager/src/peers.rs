//! Members as peers: one for each member that somebody has something to say to, made when that is, and gone with the member.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_failure::BreakerState;
use cluster_gossip::SharedNodeRegistry;
use cluster_pool::{ConnectionPool, Peer, PeerConfig, PeerEvent, PeerEvents, PeerMetrics, Router, Spawner};
use cluster_types::{Delivery, Event, EventKind, Member, NodeId, Seed};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::error::MessageError;

#[derive(Debug)]
struct Shared {
    own: NodeId,
    pool: ConnectionPool,
    router: Router,
    registry: SharedNodeRegistry,
    spawner: Arc<dyn Spawner>,
    config: PeerConfig,
    seed: Seed,
    clock: Clock,
    /// Held to look or to add; whatever is closed is closed without it.
    peers: Mutex<BTreeMap<NodeId, Peer>>,
    /// Held to add, to move, or to sum up.
    ledger: Mutex<Ledger>,
    /// Events of peers that were missed here.
    events_missed: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The peers of one node. Dropping it closes them all.
#[derive(Debug)]
pub(crate) struct Peers(Arc<Shared>);

impl Drop for Peers {
    fn drop(&mut self) {
        self.close();
    }
}

/// What is counted: everybody whose driver runs, also when he is no peer any more, and what the others did.
#[derive(Debug, Default)]
struct Ledger {
    running: BTreeMap<u64, Peer>,
    made: u64,
    gone: PeerMetrics,
}

impl Ledger {
    fn enter(&mut self, peer: &Peer) -> u64 {
        self.made += 1;
        self.running.insert(self.made, peer.clone());
        self.made
    }

    /// What it did is not forgotten with it; what it held is not held any more.
    fn close(&mut self, number: u64) {
        let Some(peer) = self.running.remove(&number) else { return };
        let mut metrics = peer.metrics();
        (metrics.queue_len, metrics.queue_bytes, metrics.in_flight) = (0, 0, 0);
        self.gone.add(&metrics);
    }
}

/// What all peers did.
pub(crate) struct Totals {
    pub(crate) all: PeerMetrics,
    pub(crate) now: usize,
    pub(crate) breakers_open: usize,
    /// Their events that were missed here: after them the breakers are looked at.
    pub(crate) events_missed: u64,
}

/// What peers stand on.
pub(crate) struct Ground {
    pub(crate) own: NodeId,
    pub(crate) pool: ConnectionPool,
    pub(crate) router: Router,
    pub(crate) registry: SharedNodeRegistry,
    pub(crate) spawner: Arc<dyn Spawner>,
    pub(crate) config: PeerConfig,
    pub(crate) seed: Seed,
    pub(crate) clock: Clock,
}

impl Peers {
    pub(crate) fn new(ground: Ground) -> Self {
        let Ground { own, pool, router, registry, spawner, config, seed, clock } = ground;
        let (peers, ledger, events_missed) = (Mutex::default(), Mutex::default(), AtomicU64::default());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let shared = Arc::new(Shared {
            own,
            pool,
            router,
            registry,
            spawner,
            config,
            seed,
            clock,
            peers,
            ledger,
            events_missed,
            stop,
            tasks,
        });
        shared.spawn(follow(Arc::clone(&shared)));
        Self(shared)
    }

    /// The peer for a live member.
    pub(crate) fn get(&self, node: &NodeId) -> Result<Peer, MessageError> {
        self.0.get(node)
    }

    /// The peer of a member, where there is one.
    pub(crate) fn known(&self, node: &NodeId) -> Option<Peer> {
        self.0.peer(node)
    }

    /// Every live member but this node.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        let members = self.0.registry.snapshot();
        let live = members.iter().filter(|member| member.state().is_live() && *member.node() != self.0.own);
        live.map(|member| member.node().clone()).collect()
    }

    /// What everybody who has one has to say of it.
    pub(crate) fn all(&self) -> Vec<Peer> {
        self.0.peers().values().cloned().collect()
    }

    /// Over everybody, those who are gone included.
    pub(crate) fn totals(&self) -> Totals {
        let now = self.0.peers().len();
        let ledger = self.0.ledger();
        let events_missed = self.0.events_missed.load(Ordering::Relaxed);
        let mut totals = Totals { all: ledger.gone.clone(), now, breakers_open: 0, events_missed };
        for peer in ledger.running.values() {
            let metrics = peer.metrics();
            totals.breakers_open += usize::from(metrics.breaker == BreakerState::Open);
            totals.all.add(&metrics);
        }
        totals
    }

    /// Who serves what members send.
    pub(crate) fn router(&self) -> &Router {
        &self.0.router
    }

    /// Closes all; whatever still waits is reported as not sent.
    pub(crate) fn close(&self) {
        self.0.stop.cancel();
        let peers = std::mem::take(&mut *self.0.peers());
        peers.values().for_each(Peer::close);
    }

    /// Waits until nothing of them runs any more.
    pub(crate) async fn ended(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Shared {
    fn peers(&self) -> MutexGuard<'_, BTreeMap<NodeId, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(Box::pin(self.tasks.track_future(task)));
    }

    fn get(self: &Arc<Self>, node: &NodeId) -> Result<Peer, MessageError> {
        let not_a_member = || MessageError::NotAMember { node: node.clone() };
        if *node == self.own {
            return Err(MessageError::Myself);
        }
        let mut peers = self.peers();
        if self.stop.is_cancelled() {
            return Err(MessageError::ShuttingDown);
        }
        if let Some(peer) = peers.get(node) {
            return Ok(peer.clone());
        }
        let members = self.registry.snapshot();
        let member =
            members.member(node.as_str()).filter(|member| member.state().is_live()).ok_or_else(not_a_member)?;
        let entity = node.as_str().bytes().fold(0, |h: u64, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
        let config = self.config.clone().with_seed(self.seed.derive("peer", entity).get());
        let (peer, driver) = Peer::new(&self.pool, &self.router, node.clone(), member.claim.addr, config)?;
        let (shared, number) = (Arc::clone(self), self.ledger().enter(&peer));
        self.spawn(async move {
            driver.drive().await;
            shared.ledger().close(number);
        });
        self.spawn(tell_breaker(Arc::clone(self), node.clone(), peer.events()));
        peers.insert(node.clone(), peer.clone());
        Ok(peer)
    }

    /// What membership knows is worth a try, or worth nothing.
    fn handle_event(&self, kind: &EventKind) {
        match kind {
            EventKind::Failed(member, _) | EventKind::Left(member) | EventKind::Reaped(member) => {
                self.remove(member.node());
            }
            EventKind::Alive(member) | EventKind::Updated(member) | EventKind::Joined(member) => self.refresh(member),
            EventKind::LinkUp { node, .. } => {
                if let Some(peer) = self.peer(node) {
                    peer.note_alive();
                }
            }
            _ => {}
        }
    }

    fn peer(&self, node: &NodeId) -> Option<Peer> {
        self.peers().get(node).cloned()
    }

    /// An event may be old by the time it is read: whoever is back by now stays.
    fn remove(&self, node: &NodeId) {
        let mut peers = self.peers();
        let members = self.registry.snapshot();
        if let Some(member) = members.member(node.as_str()).filter(|member| member.state().is_live()) {
            cluster_sites::reachable!(crate::sites::PEER_BACK_BY_NOW);
            drop(peers);
            return self.refresh(member);
        }
        let gone = peers.remove(node);
        drop(peers);
        gone.iter().for_each(Peer::close);
    }

    fn refresh(&self, member: &Member) {
        if let Some(peer) = self.peer(member.node()) {
            // An address that cannot be is not taken: the one before stays.
            let _ = peer.set_addr(member.claim.addr);
            peer.note_alive();
        }
    }

    /// After events were missed: whoever is not there any more goes, and the others are looked at anew.
    fn handle_snapshot(&self) {
        let known: Vec<NodeId> = self.peers().keys().cloned().collect();
        known.iter().for_each(|node| self.remove(node));
    }
}

/// Follows membership until the peers are closed.
async fn follow(shared: Arc<Shared>) {
    let mut events = shared.registry.subscribe();
    loop {
        let delivery = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            delivery = events.recv() => delivery,
        };
        match delivery {
            Some(Delivery::Event { event, .. }) => {
                let event: &Event = &event;
                shared.handle_event(&event.kind);
            }
            Some(Delivery::Snapshot { .. }) => shared.handle_snapshot(),
            Some(Delivery::Lagged { .. }) => {}
            None => return,
        }
    }
}

/// Makes a peer's breaker an event of the cluster.
async fn tell_breaker(shared: Arc<Shared>, node: NodeId, mut events: PeerEvents) {
    let mut told = Told::default();
    while let Some(event) = events.next().await {
        if let PeerEvent::Lagged(missed) = event {
            shared.events_missed.fetch_add(missed, Ordering::Relaxed);
        }
        let now = || shared.peer(&node).map(|peer| peer.metrics().breaker);
        if let Some(breaker) = told.news(&event, now) {
            let kind = match breaker {
                BreakerState::Open => EventKind::BreakerOpen(node.clone()),
                BreakerState::HalfOpen => EventKind::BreakerHalfOpen(node.clone()),
                BreakerState::Closed => EventKind::BreakerClosed(node.clone()),
            };
            shared.registry.note(shared.clock.now(), kind);
        }
    }
}

/// What was last told of a peer's breaker, which begins closed.
struct Told(BreakerState);

impl Default for Told {
    fn default() -> Self {
        Self(BreakerState::Closed)
    }
}

impl Told {
    /// What is to be told after an event, unless it was told last. Where events were missed, it is what the breaker is `now`; the events before
    /// that which are still held come after it, and end there.
    fn news(&mut self, event: &PeerEvent, now: impl FnOnce() -> Option<BreakerState>) -> Option<BreakerState> {
        let breaker = match event {
            PeerEvent::Breaker { to, .. } => Some(*to),
            PeerEvent::Lagged(_) => now(),
            _ => None,
        };
        let news = breaker.filter(|breaker| *breaker != self.0)?;
        self.0 = news;
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_failure::BreakerState::{Closed, HalfOpen, Open};

    /// A breaker that opened, closed or went on while its events were missed is told as what it is, once.
    #[test]
    fn what_was_missed_of_a_breaker_is_told_as_it_is_now() {
        let mut told = Told::default();
        let after_missing = |told: &mut Told, now| told.news(&PeerEvent::Lagged(70), || now);
        assert_eq!(after_missing(&mut told, Some(Closed)), None, "it is what it was");
        assert_eq!(after_missing(&mut told, Some(Open)), Some(Open));
        assert_eq!(after_missing(&mut told, Some(Open)), None, "told already");
        let held = PeerEvent::Breaker { from: Closed, to: Open };
        assert_eq!(
            told.news(&held, || unreachable!("nothing was missed")),
            None,
            "it was still held, and is told already"
        );
        let trial = PeerEvent::Breaker { from: Open, to: HalfOpen };
        assert_eq!(told.news(&trial, || unreachable!("nothing was missed")), Some(HalfOpen));
        assert_eq!(after_missing(&mut told, None), None, "there is no such peer any more");
        assert_eq!(after_missing(&mut told, Some(Closed)), Some(Closed));
        assert_eq!(told.news(&PeerEvent::Closed, || unreachable!("nothing was missed")), None);
    }
}
