//! Who has which link: one slot a peer, and the rule for when two links meet in one.
//!
//! Two nodes that dial each other at the same moment must keep the same one of the two. Both know both lives and who
//! dialled, so both decide alike without a word: the newer life wins; between the same lives the dial of the smaller name;
//! between two dials of the same side the later one, by the number that its dialler gave it.

use std::cmp::Reverse;
use std::sync::{Arc, OnceLock};

use cluster_sites::{always, crossing, reachable, sometimes};
use cluster_types::NodeId;
use dashmap::DashMap;
use dashmap::mapref::one::RefMut;
use tokio::sync::Notify;

use super::error::DialError;
use super::lease::Lease;
use super::limits::{Full, Holder, Limits, Permit};
use crate::link::Link;
use crate::sites;

/// A dial under way, and everybody who waits for it.
#[derive(Debug, Default)]
pub(super) struct Dial {
    /// A lease, so that nobody evicts the link before those who wait for it have theirs.
    outcome: OnceLock<Result<Lease, Arc<DialError>>>,
    done: Notify,
}

impl Dial {
    pub(super) async fn outcome(&self) -> Result<Lease, Arc<DialError>> {
        loop {
            let mut done = std::pin::pin!(self.done.notified());
            done.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            done.await;
        }
    }

    pub(super) fn resolve(&self, outcome: Result<Lease, Arc<DialError>>) {
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
    /// Peers on their way in, for whom the place is kept.
    arriving: usize,
}

impl Slot {
    const fn is_empty(&self) -> bool {
        self.current.is_none() && self.dial.is_none() && self.arriving == 0
    }

    /// Gives its place back once nobody is in it or on his way, in the step in which that is so.
    fn give_back_if_empty(&mut self) {
        if self.is_empty() {
            self.permit = None;
        }
    }

    /// Sees to it that the slot has its place.
    fn take_place(&mut self, node: &NodeId, limits: &Limits) -> Result<(), Full> {
        if self.permit.is_none() {
            self.permit = Some(limits.reserve(Holder::Node(node.clone()))?);
        }
        Ok(())
    }
}

/// What somebody who wants a link to a peer gets.
#[derive(Debug)]
pub(super) enum Wanted {
    /// The one that is there.
    There(Lease),
    /// The outcome of a dial; and its place, where it is a new one, which must be run.
    Dial(Arc<Dial>, Option<Arriving>),
    /// There is no place.
    Full(Full),
}

/// A link to a peer on its way, in either direction. Its place is kept until this is dropped, and beyond it when the link is there by
/// then: whatever else comes and goes in the slot meanwhile.
#[derive(Debug)]
pub(super) struct Arriving {
    slots: Arc<DashMap<NodeId, Slot>>,
    node: NodeId,
    is_there: bool,
}

impl Arriving {
    /// On the way to a slot that is held and has its place.
    fn in_slot(slots: &Arc<DashMap<NodeId, Slot>>, node: &NodeId, slot: &mut Slot) -> Self {
        slot.arriving += 1;
        Self { slots: Arc::clone(slots), node: node.clone(), is_there: false }
    }

    /// Its link is there, in its slot, which is held: in one step with whatever else is made known of it.
    fn end_in(mut self, slot: &mut Slot) {
        slot.arriving -= 1;
        self.is_there = true;
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.is_there {
            return;
        }
        crossing!();
        if let Some(mut slot) = self.slots.get_mut(&self.node) {
            slot.arriving -= 1;
            slot.give_back_if_empty();
        }
        drop_empty(&self.slots, &self.node);
    }
}

/// Nobody's slot is kept.
fn drop_empty(slots: &DashMap<NodeId, Slot>, node: &NodeId) {
    crossing!();
    slots.remove_if(node, |_, slot| slot.is_empty());
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
    slots: Arc<DashMap<NodeId, Slot>>,
    /// Wakes whoever waits for a link.
    came: Notify,
}

impl Slots {
    pub(super) fn current(&self, node: &NodeId) -> Option<Link> {
        crossing!();
        self.slots.get(node)?.current.as_ref().filter(|link| !link.is_dead()).cloned()
    }

    /// The link to a peer, leased, if there is a live one.
    pub(super) fn lease(&self, node: &NodeId) -> Option<Lease> {
        let slot = self.slots.get(node)?;
        slot.current.as_ref().filter(|link| link.is_of_use()).map(|link| Lease::new(link.clone()))
    }

    /// Waits for a link to a peer.
    pub(super) async fn wait_for(&self, node: &NodeId) -> Link {
        loop {
            let mut came = std::pin::pin!(self.came.notified());
            came.as_mut().enable();
            if let Some(link) = self.current(node).filter(Link::is_of_use) {
                return link;
            }
            came.await;
        }
    }

    /// The place that was taken for an address is that of whoever answered, unless his slot has one.
    pub(super) fn settle(&self, node: &NodeId, place: Permit) -> Result<Arriving, Full> {
        crossing!();
        let mut slot = self.slots.entry(node.clone()).or_default();
        let settled = match &slot.permit {
            Some(_) => Ok(()),
            None => place.pass_to(Holder::Node(node.clone())).map(|place| slot.permit = Some(place)),
        };
        self.arrive(node, slot, settled)
    }

    /// What comes of it when somebody on his way in has asked for a place.
    fn arrive(
        &self,
        node: &NodeId,
        mut slot: RefMut<'_, NodeId, Slot>,
        taken: Result<(), Full>,
    ) -> Result<Arriving, Full> {
        match taken {
            Ok(()) => Ok(Arriving::in_slot(&self.slots, node, &mut slot)),
            Err(full) => {
                drop(slot);
                drop_empty(&self.slots, node);
                Err(full)
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.current.as_ref().is_some_and(|link| !link.is_dead())).count()
    }

    /// Takes a link out if it is still the current one, and dead or idle; says whether it was.
    pub(super) fn remove_idle(&self, link: &Link) -> bool {
        crossing!();
        let mut removed = false;
        if let Some(mut slot) = self.slots.get_mut(link.node()) {
            let current = slot.current.as_ref().is_some_and(|current| current.id() == link.id());
            removed = current && (link.is_dead() || link.is_idle());
            if removed {
                slot.current = None;
                slot.give_back_if_empty();
            }
        }
        drop_empty(&self.slots, link.node());
        removed
    }

    /// Every current link, by peer.
    pub(super) fn all(&self) -> Vec<Link> {
        crossing!();
        let mut links: Vec<Link> = self.slots.iter().filter_map(|slot| slot.current.clone()).collect();
        links.sort_by(|a, b| a.node().cmp(b.node()));
        links
    }

    /// The link to a peer, leased; else the dial under way, or a new one. Decided in one step: whoever comes at the same moment
    /// gets the same. (A place is counted while the slot is held; counting never asks for a slot.)
    pub(super) fn lease_or_dial(&self, node: &NodeId, limits: &Limits) -> Wanted {
        crossing!();
        let mut slot = self.slots.entry(node.clone()).or_default();
        if let Some(link) = slot.current.as_ref().filter(|link| link.is_of_use()) {
            return Wanted::There(Lease::new(link.clone()));
        }
        if let Some(dial) = &slot.dial {
            reachable!(sites::DIAL_SHARED);
            return Wanted::Dial(Arc::clone(dial), None);
        }
        // A link that is dead leaves its place to its successor.
        if let Err(full) = slot.take_place(node, limits) {
            drop(slot);
            drop_empty(&self.slots, node);
            return Wanted::Full(full);
        }
        let dial = Arc::new(Dial::default());
        slot.dial = Some(Arc::clone(&dial));
        // From this very moment: a link that comes in may answer the dial, and be gone before the dial has begun.
        let place = Arriving::in_slot(&self.slots, node, &mut slot);
        Wanted::Dial(dial, Some(place))
    }

    /// Keeps a place for a peer that is on its way in.
    pub(super) fn expect(&self, node: &NodeId, limits: &Limits) -> Result<Arriving, Full> {
        crossing!();
        let mut slot = self.slots.entry(node.clone()).or_default();
        let taken = slot.take_place(node, limits);
        self.arrive(node, slot, taken)
    }

    /// Takes the dial out of its slot, so that the next caller begins a new one. `leaks` is a planted mistake.
    pub(super) fn end_dial(&self, node: &NodeId, dial: &Arc<Dial>, leaks: bool) {
        crossing!();
        if let Some(mut slot) = self.slots.get_mut(node)
            && slot.dial.as_ref().is_some_and(|d| Arc::ptr_eq(d, dial))
        {
            slot.dial = None;
            if leaks {
                std::mem::forget(slot.permit.take());
            }
            slot.give_back_if_empty();
        }
        drop_empty(&self.slots, node);
    }

    /// Offers a link that has come up, for which a place may have been kept. Whoever waits for a dial to that peer gets the winner at once.
    pub(super) fn install(&self, own: &NodeId, link: &Link, kept: Option<Arriving>) -> Installed {
        crossing!();
        let mut slot = self.slots.entry(link.node().clone()).or_default();
        if let Some(arriving) = kept {
            arriving.end_in(&mut slot);
        }
        let installed = match slot.current.take() {
            Some(current) if current.is_of_use() && !beats(own, link, &current) => {
                reachable!(sites::DIALS_CROSSED);
                slot.current = Some(current.clone());
                Installed::Duplicate { winner: current }
            }
            replaced => {
                let rival = || replaced.as_ref().filter(|old| old.is_of_use());
                sometimes!(sites::NEWER_LIFE_WINS, rival().is_some_and(|old| link.life() > old.life()));
                always!(sites::BEATEN_BY_NONE, rival().is_none_or(|old| !beats(own, old, link)));
                slot.current = Some(link.clone());
                Installed::Current { replaced: replaced.filter(|r| !r.is_dead()) }
            }
        };
        let waiting = slot.dial.take();
        // Leased before the slot is let go, or somebody might make room of it in between.
        if let (Some(dial), Some(winner)) = (waiting, &slot.current) {
            sometimes!(sites::INBOUND_ANSWERS_DIALLERS, !winner.is_outbound());
            dial.resolve(Ok(Lease::new(winner.clone())));
        }
        drop(slot);
        self.came.notify_waiters();
        installed
    }

    /// Takes a link out, if it is still the current one, or, for the planted mistake alone, whichever is.
    pub(super) fn remove(&self, link: &Link, whichever: bool) -> bool {
        crossing!();
        let mut removed = false;
        if let Some(mut slot) = self.slots.get_mut(link.node())
            && slot.current.as_ref().is_some_and(|current| whichever || current.id() == link.id())
        {
            slot.current = None;
            slot.give_back_if_empty();
            removed = true;
        }
        drop_empty(&self.slots, link.node());
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
    // Of two dials of one side both know which came later.
    (dialler(new), Reverse(new.dial())) < (dialler(old), Reverse(old.dial()))
}

#[cfg(test)]
mod tests {
    use super::super::limits::Max;
    use super::*;

    /// A link that came in answers the dial and is over, all before the dial has begun: nobody else gets its place.
    #[test]
    fn a_dial_keeps_its_place_when_somebody_else_has_answered_it() {
        let (slots, limits) = (Slots::default(), Limits::new(Max { total: 1, per_peer: 1, per_client: 1 }));
        let [b, c]: [NodeId; 2] = ["b", "c"].map(|name| name.parse().unwrap());
        let Wanted::Dial(dial, Some(place)) = slots.lease_or_dial(&b, &limits) else { panic!("a dial of its own") };
        // What that link leaves behind.
        slots.end_dial(&b, &dial, false);
        assert!(matches!(slots.lease_or_dial(&c, &limits), Wanted::Full(_)));
        drop(place);
        assert!(matches!(slots.lease_or_dial(&c, &limits), Wanted::Dial(_, Some(_))));
    }
}
