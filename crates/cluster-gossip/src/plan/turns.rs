//! Turns: a node's subjects in the order of their next probe.
//!
//! Nobody's clock agrees with anybody else's, so the *subject* hands out the turns: it knows its observers, deals them
//! slots of one period each on its own clock, and says in every acknowledgement how long the observer's next slot is away.
//! An observer that hears nothing keeps the rhythm it had. So a member is probed once a period in total, evenly, by
//! observers that never talk about it.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::{Instant, NodeId};

#[derive(Debug, Clone, Copy)]
struct Turn {
    next: Instant,
    spacing: Duration,
}

/// When to probe whom. There are about as many subjects as there are rings, so that they are looked through rather than kept in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    /// In order of their names.
    subjects: Vec<NodeId>,
    /// Of each of them.
    turns: Vec<Turn>,
    /// The earliest of them.
    next: Option<Instant>,
}

impl Turns {
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn subjects(&self) -> impl Iterator<Item = &NodeId> {
        self.subjects.iter()
    }

    fn find(&self, subject: &NodeId) -> Option<usize> {
        self.subjects.binary_search(subject).ok()
    }

    pub(super) fn spacing(&self, subject: &NodeId) -> Option<Duration> {
        self.find(subject).map(|at| self.turns[at].spacing)
    }

    /// Replaces the subjects; whoever stays keeps its turn, a new one gets `first()`.
    pub(super) fn replace(&mut self, subjects: BTreeMap<NodeId, Duration>, mut first: impl FnMut() -> Instant) {
        let former = std::mem::take(self);
        for (subject, spacing) in subjects {
            let next = former.find(&subject).map_or_else(&mut first, |at| former.turns[at].next);
            self.subjects.push(subject);
            self.turns.push(Turn { next, spacing });
        }
        self.note_next();
    }

    pub(super) fn remove(&mut self, subject: &NodeId) {
        if let Some(at) = self.find(subject) {
            self.subjects.remove(at);
            self.turns.remove(at);
            self.note_next();
        }
    }

    /// Whose turn it is; its next one comes a spacing later, unless it says otherwise.
    pub(super) fn take(&mut self, now: Instant) -> Option<NodeId> {
        let due = self.next.filter(|due| *due <= now)?;
        // The first of those that are due at one time, by name.
        let at = self.turns.iter().position(|turn| turn.next == due)?;
        let spacing = self.turns[at].spacing;
        // A turn that comes late does not make the next ones come in a burst.
        let next = if due + spacing > now { due + spacing } else { now + spacing };
        self.set(at, next);
        Some(self.subjects[at].clone())
    }

    /// A subject's word, within bounds: it can neither ask to be hammered nor to be forgotten.
    pub(super) fn tell(&mut self, now: Instant, subject: &NodeId, turn_in: Duration, period: Duration) {
        if let Some(at) = self.find(subject) {
            let bounded = turn_in.clamp(period / 2, (self.turns[at].spacing * 2).max(period));
            self.set(at, now + bounded);
        }
    }

    /// A subject is to be looked at by then, if its turn is not before.
    pub(super) fn hasten(&mut self, subject: &NodeId, by: Instant) {
        if let Some(at) = self.find(subject).filter(|at| self.turns[*at].next > by) {
            self.set(at, by);
        }
    }

    fn set(&mut self, at: usize, next: Instant) {
        self.turns[at].next = next;
        self.note_next();
    }

    fn note_next(&mut self) {
        self.next = self.turns.iter().map(|turn| turn.next).min();
    }
}

/// The slots that a subject deals to its `observers`: slot number r, r + observers, ... of one period each belongs to rank r.
/// The next one of `rank` that is at least half a period away.
pub(super) fn slot_in(now: Instant, period: Duration, rank: usize, observers: usize) -> Duration {
    let period = period.as_nanos().max(1) as u64;
    let earliest = u64::try_from(now.since_origin().as_nanos()).unwrap_or(u64::MAX).saturating_add(period / 2);
    let (rank, observers) = (rank as u64, observers.max(1) as u64);
    let slot = earliest.div_ceil(period);
    let ahead = (rank + observers - slot % observers) % observers;
    let at = (slot + ahead).saturating_mul(period);
    Duration::from_nanos(at).saturating_sub(now.since_origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn two() -> Turns {
        let mut turns = Turns::default();
        let mut first = [at(400), at(300)].into_iter();
        let spaced = ["a", "b"].map(|name| (node(name), PERIOD * 2));
        turns.replace(spaced.into_iter().collect(), || first.next().unwrap());
        turns
    }

    #[test]
    fn the_earliest_is_taken_and_comes_back_a_spacing_later() {
        let mut turns = two();
        assert_eq!(turns.next(), Some(at(300)));
        assert_eq!(turns.take(at(299)), None);
        assert_eq!(turns.take(at(310)), Some(node("b")));
        assert_eq!(turns.take(at(310)), None);
        assert_eq!(turns.take(at(400)), Some(node("a")));
        assert_eq!(turns.next(), Some(at(2_300)), "from the turn, not from when it was taken");
        assert_eq!(turns.take(at(9_000)), Some(node("b")));
        assert_eq!(turns.take(at(9_000)), Some(node("a")));
        assert_eq!(turns.next(), Some(at(11_000)), "a late turn is not made up for");
    }

    #[test]
    fn a_subject_moves_its_turn_within_bounds() {
        let mut turns = two();
        turns.tell(at(1_000), &node("a"), Duration::from_millis(1_700), PERIOD);
        turns.tell(at(1_000), &node("b"), Duration::ZERO, PERIOD);
        turns.tell(at(1_000), &node("stranger"), Duration::ZERO, PERIOD);
        assert_eq!(turns.take(at(1_500)), Some(node("b")), "not before half a period");
        assert_eq!(turns.take(at(2_700)), Some(node("a")));
        turns.tell(at(3_000), &node("a"), Duration::MAX, PERIOD);
        turns.remove(&node("b"));
        assert_eq!(turns.next(), Some(at(7_000)), "no later than two spacings");
        assert_eq!(turns.spacing(&node("a")), Some(PERIOD * 2));
        assert_eq!(turns.spacing(&node("b")), None);
    }

    #[test]
    fn whoever_stays_keeps_its_turn() {
        let mut turns = two();
        let spaced = ["b", "c"].map(|name| (node(name), PERIOD * 3));
        turns.replace(spaced.into_iter().collect(), || at(900));
        assert_eq!(turns.subjects().map(NodeId::as_str).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(turns.take(at(900)), Some(node("b")));
        assert_eq!(turns.take(at(900)), Some(node("c")));
        assert_eq!(turns.next(), Some(at(3_300)));
    }

    /// Every observer asks at its slot and hears of the next: the slots of one subject lie a period apart, one for each.
    #[test]
    fn slots_are_a_period_apart_and_go_round_all_ranks() {
        for observers in [1, 2, 3, 10] {
            let slots: Vec<u64> = (0..observers)
                .map(|rank| {
                    (at(12_345).since_origin() + slot_in(at(12_345), PERIOD, rank, observers)).as_millis() as u64
                })
                .collect();
            let mut sorted = slots.clone();
            sorted.sort_unstable();
            for pair in sorted.windows(2) {
                assert_eq!(pair[1] - pair[0], 1_000, "{slots:?}");
            }
            assert_eq!(sorted[0], 13_000, "{slots:?}: the first at least half a period away");
            for (rank, &slot) in slots.iter().enumerate() {
                assert_eq!(slot / 1_000 % observers as u64, rank as u64);
                // Asked again a little after its slot: the same rank comes a whole round later.
                let next = slot_in(at(slot + 3), PERIOD, rank, observers);
                assert_eq!(next, PERIOD * observers as u32 - Duration::from_millis(3));
            }
        }
    }
}
