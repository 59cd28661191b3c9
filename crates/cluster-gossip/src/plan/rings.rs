//! The bounded monitoring graph: K observers for each member, found by walking K hash rings.
//!
//! On ring r a member's observer is the next node round that is not its observer yet; in a cluster of at most K + 1 it is
//! everybody. The graph that results is a random one of bounded degree, which stays connected and spreads news in a
//! logarithm of steps. Every node computes it for itself from its own view; where views differ for a moment, a few edges
//! differ for as long. With zones, four of ten observers are looked for inside the subject's own
//! zone and the others outside, so that neither a zone cut off nor a quiet neighbourhood blinds the watch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_sites::reachable;
use cluster_types::seed::Draws;
use cluster_types::{ClusterName, Instant, NodeId, Seed};

use super::ProbePlan;
use super::turns::{Turns, slot_in};
use crate::sites;
use crate::slots::{Named, Slots};

/// In large clusters, changes that come together are taken into account together: a node that joins a thousand others
/// does not compute its edges a thousand times.
const SETTLE_AFTER: Duration = Duration::from_millis(50);

/// Up to this many members edges are computed at once and by looking at everybody.
const SMALL: usize = 64;

/// Fewer than so many that are suspected at once leave every subject two thirds of its observers.
const IMPAIRED_MIN: usize = 4;

/// Of the rings, this share looks inside the subject's zone: four of ten.
const INSIDE_TENTHS: usize = 4;

#[derive(Debug, Clone)]
struct Place {
    node: NodeId,
    /// The same on every node of the cluster; where it stands on each ring follows from it.
    hash: u64,
    /// A hash of the zone's name; 0 is "says none".
    zone: u64,
    /// It is suspected.
    impaired: bool,
}

impl Named for Place {
    fn name(&self) -> &NodeId {
        &self.node
    }
}

/// One member's place on a ring; the name breaks ties.
type Position<'a> = (u64, &'a NodeId);

/// The bounded monitoring graph, with turns.
#[derive(Debug, Clone)]
pub struct RingPlan {
    own: NodeId,
    period: Duration,
    cluster: Seed,
    members: Slots<Place>,
    /// Slots of the members in the order of each ring.
    rings: Vec<(Seed, Vec<u32>)>,
    zoned: usize,
    /// How many are suspected.
    impaired: usize,
    observers: Vec<NodeId>,
    neighbours: BTreeSet<NodeId>,
    turns: Turns,
    settle_at: Option<Instant>,
    draws: Draws,
}

impl RingPlan {
    /// A plan for node `own` with `observers` rings, the same on every node of the cluster. `seed` only chooses when this
    /// node first probes a new subject.
    #[must_use]
    pub fn new(cluster: &ClusterName, own: NodeId, observers: usize, period: Duration, seed: Seed) -> Self {
        let cluster = Seed::new(0).derive(cluster.as_str(), 0);
        let mut plan = Self {
            own: own.clone(),
            period,
            cluster,
            members: Slots::new(seed),
            rings: (0..observers as u64).map(|r| (cluster.derive("ring", r), Vec::new())).collect(),
            zoned: 0,
            impaired: 0,
            observers: Vec::new(),
            neighbours: BTreeSet::new(),
            turns: Turns::default(),
            settle_at: None,
            draws: seed.derive("first turns", 0).stream(),
        };
        plan.insert(Instant::ORIGIN, &own, "");
        plan
    }

    /// The same members in another node's hands: for a simulated cluster that begins joined.
    #[must_use]
    pub fn for_node(&self, own: NodeId, seed: Seed) -> Self {
        let draws = seed.derive("first turns", 0).stream();
        let settle_at = Some(Instant::ORIGIN);
        Self { own, draws, settle_at, turns: Turns::default(), neighbours: BTreeSet::new(), ..self.clone() }
    }

    fn position<'a>(members: &'a Slots<Place>, ring: Seed, slot: u32) -> Option<Position<'a>> {
        members.at(slot).map(|place| (ring.draw(place.hash), &place.node))
    }

    /// Where on ring `r` a node stands, or would stand.
    fn seek(&self, r: usize, node: &NodeId, hash: u64) -> Result<usize, usize> {
        let (seed, order) = &self.rings[r];
        let sought = (seed.draw(hash), node);
        order.binary_search_by(|slot| match Self::position(&self.members, *seed, *slot) {
            Some(position) => position.cmp(&sought),
            None => std::cmp::Ordering::Less,
        })
    }

    fn hash_of(&self, node: &NodeId) -> u64 {
        match self.members.get(node) {
            Some(place) => place.hash,
            None => self.cluster.derive(node.as_str(), 1).get(),
        }
    }

    fn changed(&mut self, now: Instant) {
        let at = if self.members.len() <= SMALL { now } else { now + SETTLE_AFTER };
        self.settle_at = Some(self.settle_at.map_or(at, |due| due.min(at)));
    }

    /// The next place on ring `r` behind `subject` that is in nobody's hands yet and fits.
    fn next_on(
        &self,
        r: usize,
        subject: &NodeId,
        hash: u64,
        chosen: &[u32],
        fits: impl Fn(&Place) -> bool,
    ) -> Option<u32> {
        let order = &self.rings[r].1;
        let start = match self.seek(r, subject, hash) {
            Ok(at) => at + 1,
            Err(at) => at,
        };
        let round = order[start.min(order.len())..].iter().chain(&order[..start.min(order.len())]);
        let free = |slot: &&u32| {
            self.members.at(**slot).is_some_and(|place| place.node != *subject && fits(place)) && !chosen.contains(slot)
        };
        round.copied().find(|slot| free(&slot))
    }

    fn walk(&self, subject: &NodeId) -> Vec<u32> {
        let hash = self.hash_of(subject);
        let zone = self.members.get(subject).map_or(0, |place| place.zone);
        let inside = self.rings.len() * INSIDE_TENTHS / 10;
        let mut chosen = Vec::with_capacity(self.rings.len());
        for r in 0..self.rings.len() {
            let wanted = (zone != 0).then(|| {
                let fits = |place: &Place| (place.zone == zone) == (r < inside);
                self.next_on(r, subject, hash, &chosen, fits)
            });
            // Where the zone has too few, or there is only one zone, anybody will do.
            let next = wanted.flatten().or_else(|| self.next_on(r, subject, hash, &chosen, |_| true));
            chosen.extend(next);
        }
        chosen
    }

    /// On which rings the observers are suspected, if those are so many that the others do not make two thirds.
    fn too_many_impaired(&self, observers: &[u32]) -> Option<Vec<usize>> {
        let is_impaired = |r: &usize| self.members.at(observers[*r]).is_some_and(|place| place.impaired);
        let impaired: Vec<usize> = (0..observers.len()).filter(is_impaired).collect();
        (self.impaired >= IMPAIRED_MIN && impaired.len() * 3 > observers.len()).then_some(impaired)
    }

    /// Who looks at a subject in the place of observers that are suspected, where there are too many of these: the
    /// next behind it on the same rings. Not at every suspicion: whoever stands in has to make links.
    fn stand_ins(&self, subject: &NodeId, observers: &[u32]) -> Vec<u32> {
        let Some(impaired) = self.too_many_impaired(observers) else { return Vec::new() };
        reachable!(sites::STAND_INS);
        let hash = self.hash_of(subject);
        let mut chosen = observers.to_vec();
        for r in impaired {
            chosen.extend(self.next_on(r, subject, hash, &chosen, |place| !place.impaired));
        }
        chosen.split_off(observers.len())
    }

    /// Where most of a subject's observers are suspected, those who are left do not wait for the turns of ten.
    fn hasten_turns(&mut self, now: Instant) {
        if self.impaired < IMPAIRED_MIN {
            return;
        }
        let scarce = |subject: &NodeId| self.too_many_impaired(&self.walk(subject)).is_some();
        let scarce: Vec<NodeId> = self.turns.subjects().filter(|subject| scarce(subject)).cloned().collect();
        for subject in scarce {
            // A quarter of a period: that they were dealt to this node at all took the time until their observers were suspected.
            let by = now + self.period.mul_f64(self.draws.fraction() / 4.0);
            self.turns.hasten(&subject, by);
        }
    }

    fn observer_slots(&self, subject: &NodeId) -> Vec<u32> {
        let mut slots = self.walk(subject);
        slots.extend(self.stand_ins(subject, &slots));
        slots
    }

    fn everybody_but(&self, node: &NodeId) -> Vec<NodeId> {
        let mut others: Vec<NodeId> =
            self.members.iter().filter(|place| place.node != *node).map(|place| place.node.clone()).collect();
        others.sort_unstable();
        others
    }

    fn is_complete(&self, subject: &NodeId) -> bool {
        self.members.len() - usize::from(self.members.contains(subject)) <= self.rings.len()
    }

    /// Whom this node observes.
    fn subjects(&self) -> Vec<NodeId> {
        if self.is_complete(&self.own) {
            return self.everybody_but(&self.own);
        }
        let Some(own) = self.members.find(&self.own) else { return Vec::new() };
        let mut mine: Vec<NodeId> = self
            .candidates(own)
            .into_iter()
            .filter_map(|slot| self.members.at(slot))
            .filter(|place| place.node != self.own && self.observer_slots(&place.node).contains(&own))
            .map(|place| place.node.clone())
            .collect();
        mine.sort_unstable();
        mine
    }

    /// Members whose walk may end at `own`. On ring r it passes at most the r nodes chosen on the rings before, so only the
    /// r + 1 places before `own` come into question; zones make walks longer, and then everybody does. Who stands in may have passed all the
    /// observers, the other stand-ins, and any number of those who are suspected.
    fn candidates(&self, own: u32) -> BTreeSet<u32> {
        if self.zoned > 0 || self.members.len() <= SMALL {
            return self.rings.first().map(|(_, order)| order.iter().copied().collect()).unwrap_or_default();
        }
        let mut candidates = BTreeSet::new();
        for (r, (_, order)) in self.rings.iter().enumerate() {
            let Some(place) = self.members.at(own) else { continue };
            if let Ok(at) = self.seek(r, &place.node, place.hash) {
                let back = |back: usize| order[(at + order.len() - back) % order.len()];
                candidates.extend((1..=r + 1).map(back));
                if self.impaired >= IMPAIRED_MIN {
                    let well = |slot: &u32| self.members.at(*slot).is_some_and(|place| !place.impaired);
                    let mut passed = 0;
                    candidates.extend((1..order.len()).map(back).take_while(|slot| {
                        passed += usize::from(well(slot));
                        passed <= self.rings.len() * 2
                    }));
                }
            }
        }
        candidates
    }
}

impl ProbePlan for RingPlan {
    fn insert(&mut self, now: Instant, node: &NodeId, zone: &str) {
        let zone = if zone.is_empty() { 0 } else { self.cluster.derive(zone, 2).get().max(1) };
        match self.members.get_mut(node) {
            Some(place) if place.zone == zone => return,
            Some(place) => {
                self.zoned = self.zoned + usize::from(zone != 0) - usize::from(place.zone != 0);
                place.zone = zone;
            }
            None => {
                let hash = self.hash_of(node);
                let places: Vec<usize> =
                    (0..self.rings.len()).map(|r| self.seek(r, node, hash).unwrap_or_else(|at| at)).collect();
                let slot = self.members.insert(Place { node: node.clone(), hash, zone, impaired: false });
                for ((_, order), at) in self.rings.iter_mut().zip(places) {
                    order.insert(at, slot);
                }
                self.zoned += usize::from(zone != 0);
            }
        }
        self.changed(now);
    }

    fn remove(&mut self, now: Instant, node: &NodeId) {
        if *node == self.own || !self.members.contains(node) {
            return;
        }
        let hash = self.hash_of(node);
        for r in 0..self.rings.len() {
            if let Ok(at) = self.seek(r, node, hash) {
                self.rings[r].1.remove(at);
            }
        }
        if let Some(place) = self.members.remove(node) {
            self.zoned -= usize::from(place.zone != 0);
            self.impaired -= usize::from(place.impaired);
        }
        self.turns.remove(node);
        self.changed(now);
    }

    fn set_impaired(&mut self, now: Instant, node: &NodeId, impaired: bool) {
        let Some(place) = self.members.get_mut(node).filter(|place| place.impaired != impaired) else { return };
        place.impaired = impaired;
        self.impaired = self.impaired + usize::from(impaired) - usize::from(!impaired);
        // A complete graph has nobody who could stand in.
        if self.impaired + usize::from(!impaired) >= IMPAIRED_MIN && self.members.len() > self.rings.len() + 1 {
            self.changed(now);
        }
    }

    fn observers_of(&self, subject: &NodeId) -> Vec<NodeId> {
        if self.is_complete(subject) {
            return self.everybody_but(subject);
        }
        let slots = self.observer_slots(subject).into_iter();
        slots.filter_map(|slot| self.members.at(slot)).map(|p| p.node.clone()).collect()
    }

    fn helpers_for(&mut self, subject: &NodeId) -> Vec<NodeId> {
        let mut helpers = self.observers_of(subject);
        helpers.retain(|node| *node != self.own);
        helpers
    }

    fn neighbours(&self) -> BTreeSet<NodeId> {
        self.neighbours.clone()
    }

    fn is_neighbour(&self, node: &NodeId) -> bool {
        self.neighbours.contains(node)
    }

    fn settle(&mut self, now: Instant) -> bool {
        if self.settle_at.is_none_or(|at| now < at) {
            return false;
        }
        self.settle_at = None;
        self.observers = self.observers_of(&self.own);
        let subjects = self.subjects();
        let neighbours: BTreeSet<NodeId> = subjects.iter().chain(&self.observers).cloned().collect();
        let spaced: BTreeMap<NodeId, Duration> = subjects
            .into_iter()
            .map(|subject| {
                let others = self.members.len() - 1;
                (subject, self.period * u32::try_from(others.min(self.rings.len()).max(1)).unwrap_or(1))
            })
            .collect();
        let (draws, period) = (&mut self.draws, self.period);
        // Soon, to be dealt a slot; spread, so that a new member is not probed by all at once.
        self.turns.replace(spaced, || now + period.mul_f64(draws.fraction()));
        self.hasten_turns(now);
        let changed = neighbours != self.neighbours;
        self.neighbours = neighbours;
        changed
    }

    fn next_turn(&self) -> Instant {
        let due = self.turns.next().unwrap_or(Instant::END);
        self.settle_at.map_or(due, |at| at.min(due))
    }

    fn take_turn(&mut self, now: Instant) -> Option<NodeId> {
        self.turns.take(now)
    }

    fn note_told_turn(&mut self, now: Instant, subject: &NodeId, turn_in: Duration) {
        self.turns.tell(now, subject, turn_in, self.period);
    }

    fn turn_of(&self, now: Instant, observer: &NodeId) -> Option<Duration> {
        let rank = self.observers.iter().position(|node| node == observer)?;
        Some(slot_in(now, self.period, rank, self.observers.len()))
    }

    fn spacing(&self, subject: &NodeId) -> Option<Duration> {
        self.turns.spacing(subject)
    }
}

#[cfg(test)]
mod tests;
