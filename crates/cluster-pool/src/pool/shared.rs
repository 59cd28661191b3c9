//! What the handles of a pool and its tasks share: the slots, the limits, and who makes room for whom.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cluster_sites::{reachable, sometimes};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Serving;
use super::addresses::Addresses;
use super::config::PoolConfig;
use super::event::PoolEvent;
use super::limits::{Full, Limits};
use super::reached::Reached;
use super::registry::Registry;
use super::slots::Slots;
use super::stats::{Counters, Happened};
use crate::complaints::Complaints;
use crate::hello::Hello;
use crate::identity::Revocations;
use crate::latest::Latest;
use crate::link::{Link, LinkId};
use crate::sites;
use crate::spawn::Spawner;
use crate::transport::{CloseCode, LinkClass, Transport};

/// How long the last words on a stream have to arrive before its link is closed, beside two round trips; and at most.
const LAST_WORDS: Duration = Duration::from_millis(2);
const LAST_WORDS_MAX: Duration = Duration::from_millis(100);

/// What the pool's tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) config: PoolConfig,
    /// Read at each hello, written when the incarnation changes: tiny sections, never across an await.
    pub(super) hello: RwLock<Hello>,
    pub(super) control: Slots,
    pub(super) data: Slots,
    /// Holds no link: private ones are in nobody's slot, and only counted.
    pub(super) private: Slots,
    pub(super) open: Registry,
    pub(super) limits: Limits,
    /// Who answers where, for those who know an address and no name.
    pub(super) addresses: Addresses,
    pub(super) counters: Counters,
    pub(super) events: mpsc::Sender<PoolEvent>,
    pub(super) serving: Serving,
    pub(super) dials: Semaphore,
    pub(super) handshakes: Arc<Semaphore>,
    pub(super) next_link: AtomicU64,
    pub(super) dropped_datagrams: AtomicU64,
    pub(super) refused_handshakes: AtomicU64,
    pub(super) reached: Reached,
    pub(super) draining: AtomicBool,
    pub(super) complaints: Complaints,
    /// Cancelled when nothing new is to begin; each link has a child of it.
    pub(super) winding_down: CancellationToken,
    pub(super) revoked: Latest<Arc<Revocations>>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) spawner: Arc<dyn Spawner>,
}

impl Shared {
    pub(super) fn hello(&self) -> Hello {
        let hello = self.hello.read().unwrap_or_else(PoisonError::into_inner).clone();
        Hello { draining: self.draining.load(Ordering::Acquire), ..hello }
    }

    pub(super) const fn slots(&self, class: LinkClass) -> &Slots {
        match class {
            LinkClass::Control => &self.control,
            LinkClass::Data => &self.data,
            LinkClass::Private => &self.private,
        }
    }

    /// Tries to take a place; where all are taken, the connection that has been idle for longest makes room.
    pub(super) fn with_room<T>(&self, take: impl Fn() -> Result<T, Full>) -> Result<T, Full> {
        loop {
            let full = match take() {
                Ok(taken) => return Ok(taken),
                // Another peer's place does not help one that has all that it may have.
                Err(full) if full.of_peer => return Err(full),
                Err(full) => full,
            };
            let Some(idle) = self.longest_idle() else {
                reachable!(sites::POOL_FULL);
                return Err(full);
            };
            reachable!(sites::ROOM_MADE);
            // If somebody else was faster, a place is free, or the next one is looked at.
            self.evict(&idle, CloseCode::OVERLOADED);
        }
    }

    /// Data links that may be closed when nobody uses them: those of peers, and those that clients have begun.
    pub(super) fn evictable(&self) -> Vec<Link> {
        let mut links = self.data.all();
        links.extend(self.open.of_clients());
        links
    }

    /// Takes links that are over out of their slots: their own tasks do so in their turn.
    pub(super) fn put_away_dead(&self) {
        for link in self.data.all().iter().filter(|link| link.is_dead()) {
            self.counters.note_end(link);
            self.data.remove_idle(link);
        }
    }

    /// The one that nobody has used for longest, or one that is dead.
    pub(super) fn longest_idle(&self) -> Option<Link> {
        let idle = self.evictable().into_iter().filter(|link| link.holds_place() && (link.is_dead() || link.is_idle()));
        idle.min_by_key(|link| (!link.is_dead(), link.last_used()))
    }

    /// Closes a link that nobody uses, and takes it out of its slot if it has one.
    pub(super) fn evict(&self, link: &Link, code: CloseCode) {
        let gone = if link.remote().client { link.is_idle() } else { self.data.remove_idle(link) };
        sometimes!(sites::EVICTION_LOST_THE_RACE, !gone);
        if gone {
            self.counters.note(link.node(), Happened::Evicted);
            link.close(code);
        }
    }

    /// Waits until no stream of the users is open, and then for what was said last to arrive: a close overtakes it.
    pub(super) async fn users_are_done(&self) {
        let mut links = self.open.of_users();
        while let Some(busy) = links.iter().find(|link| !link.is_dead() && link.active_streams() > 0) {
            tokio::select! {
                () = busy.wait_idle() => {}
                // Its streams are over, whoever still holds them.
                _over = busy.closed() => {}
            }
            links = self.open.of_users();
        }
        if let Some(rtt) = links.iter().map(Link::rtt).max() {
            tokio::time::sleep((2 * rtt + LAST_WORDS).min(LAST_WORDS_MAX)).await;
        }
    }

    /// What a new link has of its pool.
    pub(super) fn for_a_link(&self) -> (CancellationToken, Option<crate::planted::Bug>) {
        (self.winding_down.child_token(), self.config.planted())
    }

    pub(super) fn new_link_id(&self) -> LinkId {
        LinkId(self.next_link.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(Box::pin(self.tasks.track_future(task)));
    }
}
