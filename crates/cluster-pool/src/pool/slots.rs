//! Who has which link: one slot a peer, and the rule for when two links meet in one.
//!
//! Two nodes that dial each other at the same moment must keep the same one of the two. Both know both lives and who
//! dialled, so both decide alike without a word: the newer life wins; between the same lives the dial of the smaller name;
//! between two dials of the same side the later one (the earlier is dead on the other side, or it would not have dialled).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use cluster_types::NodeId;
use dashmap::DashMap;
use tokio::sync::Notify;

use super::error::DialError;
use super::limits::Permit;
use crate::link::Link;

/// A dial under way, and everybody who waits for it.
#[derive(Debug, Default)]
pub(super) struct Dial {
    outcome: OnceLock<Result<Link, Arc<DialError>>>,
    done: Notify,
}

impl Dial {
    pub(super) async fn outcome(&self) -> Result<Link, Arc<DialError>> {
        loop {
            let mut done = std::pin::pin!(self.done.notified());
            done.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            done.await;
        }
    }

    pub(super) fn resolve(&self, outcome: Result<Link, Arc<DialError>>) {
        // A link that came in from the peer may have resolved it before: the first outcome stays.
        let _ = self.outcome.set(outcome);
        self.done.notify_waiters();
    }
}

#[derive(Debug, Default)]
struct Slot {
    current: Option<Link>,
    dial: Option<Arc<Dial>>,
    /// The place this slot takes, of data connections.
    permit: Option<Permit>,
}

impl Slot {
    const fn is_empty(&self) -> bool {
        self.current.is_none() && self.dial.is_none()
    }
}

/// What became of a link that wanted into a slot.
#[derive(Debug)]
pub(super) enum Installed {
    /// It is the current one now; the one before must go.
    Current {
        /// The link that was current.
        replaced: Option<Link>,
    },
    /// The one that is there stays; this one must go.
    Duplicate {
        /// The link that stays.
        winner: Link,
    },
}

/// All slots of one class. No shard is ever locked across an await.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: DashMap<NodeId, Slot>,
    /// Links that have not ended, those that lost against another too.
    open: Arc<AtomicUsize>,
}

/// Counts one open link until it is dropped.
#[derive(Debug)]
pub(super) struct OpenGuard(Arc<AtomicUsize>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Slots {
    pub(super) fn current(&self, node: &NodeId) -> Option<Link> {
        self.slots.get(node)?.current.as_ref().filter(|link| !link.is_dead()).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.current.as_ref().is_some_and(|link| !link.is_dead())).count()
    }

    /// Counts a link as open.
    pub(super) fn count_open(&self) -> OpenGuard {
        self.open.fetch_add(1, Ordering::AcqRel);
        OpenGuard(Arc::clone(&self.open))
    }

    /// How many links have not ended.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// The link that nobody has used for longest.
    pub(super) fn longest_idle(&self) -> Option<Link> {
        let idle = self.all().into_iter().filter(|link| link.is_idle() && !link.is_dead());
        idle.min_by_key(Link::last_used)
    }

    /// Every current link, by peer.
    pub(super) fn all(&self) -> Vec<Link> {
        let mut links: Vec<Link> = self.slots.iter().filter_map(|slot| slot.current.clone()).collect();
        links.sort_by(|a, b| a.node().cmp(b.node()));
        links
    }

    /// Whether somebody is there, or being dialled: such a slot has its place already.
    pub(super) fn is_taken(&self, node: &NodeId) -> bool {
        self.slots.contains_key(node)
    }

    /// The dial under way to a peer.
    pub(super) fn dial_under_way(&self, node: &NodeId) -> Option<Arc<Dial>> {
        self.slots.get(node)?.dial.clone()
    }

    /// The dial under way to a peer; where there is none, a new one in the place of `permit`, which `start` must run.
    pub(super) fn dial_or_join(&self, node: &NodeId, permit: Permit, start: impl FnOnce(Arc<Dial>)) -> Arc<Dial> {
        let mut slot = self.slots.entry(node.clone()).or_default();
        if let Some(link) = slot.current.as_ref().filter(|link| !link.is_dead()) {
            // It came up between the caller's look and now.
            let dial = Dial::default();
            dial.resolve(Ok(link.clone()));
            return Arc::new(dial);
        }
        if let Some(dial) = &slot.dial {
            return Arc::clone(dial);
        }
        let dial = Arc::new(Dial::default());
        slot.dial = Some(Arc::clone(&dial));
        // Where the slot had one, the second place is given back.
        slot.permit.get_or_insert(permit);
        drop(slot);
        start(Arc::clone(&dial));
        dial
    }

    /// Takes the dial out of its slot, so that the next caller begins a new one.
    pub(super) fn end_dial(&self, node: &NodeId, dial: &Arc<Dial>) {
        if let Some(mut slot) = self.slots.get_mut(node)
            && slot.dial.as_ref().is_some_and(|d| Arc::ptr_eq(d, dial))
        {
            slot.dial = None;
        }
        self.slots.remove_if(node, |_, slot| slot.is_empty());
    }

    /// Offers a link that has come up. Whoever waits for a dial to that peer gets the winner at once.
    pub(super) fn install(&self, own: &NodeId, link: &Link, permit: Option<Permit>) -> Installed {
        let mut slot = self.slots.entry(link.node().clone()).or_default();
        let installed = match slot.current.take() {
            Some(current) if !current.is_dead() && !beats(own, link, &current) => {
                slot.current = Some(current.clone());
                Installed::Duplicate { winner: current }
            }
            replaced => {
                slot.current = Some(link.clone());
                Installed::Current { replaced: replaced.filter(|r| !r.is_dead()) }
            }
        };
        if slot.permit.is_none() {
            slot.permit = permit;
        }
        let waiting = slot.dial.take();
        let winner = slot.current.clone();
        drop(slot);
        if let (Some(dial), Some(winner)) = (waiting, winner) {
            dial.resolve(Ok(winner));
        }
        installed
    }

    /// Takes a link out, if it is still the current one, or, for the planted mistake alone, whichever is.
    pub(super) fn remove(&self, link: &Link, whichever: bool) -> bool {
        let mut removed = false;
        if let Some(mut slot) = self.slots.get_mut(link.node())
            && slot.current.as_ref().is_some_and(|current| whichever || current.id() == link.id())
        {
            slot.current = None;
            removed = true;
        }
        self.slots.remove_if(link.node(), |_, slot| slot.is_empty());
        removed
    }
}

/// Whether `new` takes the place of `old`, both alive, between the same two nodes.
fn beats(own: &NodeId, new: &Link, old: &Link) -> bool {
    if new.life() != old.life() {
        return new.life() > old.life();
    }
    let dialler = |link: &Link| {
        if link.is_outbound() { own.clone() } else { link.node().clone() }
    };
    dialler(new) <= dialler(old)
}
