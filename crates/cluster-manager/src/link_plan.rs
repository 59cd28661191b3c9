//! Which control links to dial: the wanted against the actual, again and again.
//!
//! Nothing here reacts to single events. Whatever happened, comparing what should be with what is finds what to do, and a
//! peer that cannot be reached is tried again with back-off for as long as it is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use cluster_failure::{Backoff, BackoffConfig};
use cluster_pool::DialTarget;
use cluster_sites::{reachable, sometimes};
use cluster_types::{Instant, NodeId, Seed};

use crate::sites;

/// Dials under way at once. More wait for the next look: a mass join is spread over a few round trips.
const DIALS_MAX: usize = 32;

/// Both ends of an edge want the link. The smaller name, whose dial would win, goes first; the other one gives it this long.
const HEAD_START: Duration = Duration::from_millis(300);

/// How often wanted and actual are compared while something is missing.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// And while nothing is: whatever changes that asks for a look by itself.
const QUIET_LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Dials of a node's control links.
#[derive(Debug)]
pub(crate) struct LinkPlan {
    own: NodeId,
    seed: Seed,
    up: BTreeSet<NodeId>,
    dialling: BTreeSet<NodeId>,
    backoff: BTreeMap<NodeId, Wait>,
    next_look: Instant,
}

#[derive(Debug)]
struct Wait {
    backoff: Backoff,
    not_before: Instant,
}

impl LinkPlan {
    pub(crate) const fn new(own: NodeId, seed: Seed) -> Self {
        Self {
            own,
            seed,
            up: BTreeSet::new(),
            dialling: BTreeSet::new(),
            backoff: BTreeMap::new(),
            next_look: Instant::ORIGIN,
        }
    }

    pub(crate) const fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Something changed that may change what is wanted: look at once.
    pub(crate) const fn look_now(&mut self) {
        self.next_look = Instant::ORIGIN;
    }

    /// Somebody is lost who may be worth a dial: look soon, together with others that are lost at the same time.
    pub(crate) fn look_soon(&mut self, now: Instant) {
        self.next_look = self.next_look.min(now + Duration::from_millis(20));
    }

    pub(crate) fn note_up(&mut self, node: &NodeId) {
        self.up.insert(node.clone());
        // An inbound link proves more than any back-off knows.
        self.backoff.remove(node);
    }

    pub(crate) fn note_down(&mut self, node: &NodeId) {
        self.up.remove(node);
        self.look_now();
    }

    /// A dial of this plan ended.
    pub(crate) fn note_dialled(&mut self, now: Instant, node: &NodeId, succeeded: bool) {
        if self.dialling.remove(node)
            && !succeeded
            && let Some(wait) = self.backoff.get_mut(node)
        {
            wait.backoff.note_failure(now);
            sometimes!(sites::HEAL_BACKOFF_CAPPED, wait.backoff.failures() >= 8);
            wait.not_before = wait.backoff.ready_at();
        }
    }

    /// Compares and says whom to dial. `wanted` are the neighbours, `lost` the failed members worth a try.
    pub(crate) fn reconcile(
        &mut self,
        now: Instant,
        wanted: &[(NodeId, SocketAddr)],
        lost: &[(NodeId, SocketAddr)],
    ) -> Vec<DialTarget> {
        let quiet = lost.is_empty() && wanted.iter().all(|(node, _)| self.up.contains(node));
        self.next_look = now + if quiet { QUIET_LOOK_INTERVAL } else { LOOK_INTERVAL };
        let targets: BTreeSet<&NodeId> = lost.iter().chain(wanted).map(|(node, _)| node).collect();
        self.backoff.retain(|node, _| targets.contains(node));
        let mut dials = Vec::new();
        // The living first; those who may be dead take half of the places at most, and in the order they were tried.
        let mut lost: Vec<(Instant, &(NodeId, SocketAddr))> =
            lost.iter().map(|target| (self.not_before(now, &target.0), target)).collect();
        lost.sort_by_key(|(not_before, _)| *not_before);
        let wanted = wanted.iter().map(|target| (DIALS_MAX, target));
        let lost = lost.into_iter().map(|(_, target)| (DIALS_MAX / 2, target));
        for (places, (node, addr)) in wanted.chain(lost) {
            if self.up.contains(node) || self.dialling.contains(node) {
                continue;
            }
            if self.dialling.len() >= places {
                reachable!(sites::DIALS_BOUNDED);
                continue;
            }
            if self.not_before(now, node) > now {
                reachable!(sites::DIAL_PUT_OFF);
                continue;
            }
            self.dialling.insert(node.clone());
            dials.push(DialTarget { addr: *addr, node: Some(node.clone()) });
        }
        let ready = self.backoff.iter().filter(|(node, _)| !self.dialling.contains(*node)).map(|(_, w)| w.not_before);
        self.next_look = ready.filter(|at| *at > now).chain([self.next_look]).min().unwrap_or(self.next_look);
        dials
    }

    fn not_before(&mut self, now: Instant, node: &NodeId) -> Instant {
        let head_start = if self.own < *node { Duration::ZERO } else { HEAD_START };
        let fresh = || Wait {
            backoff: Backoff::new(BackoffConfig::heal(), self.seed.derive(node.as_str(), 0)),
            not_before: now + head_start,
        };
        self.backoff.entry(node.clone()).or_insert_with(fresh).not_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    fn peers(names: &[&str]) -> Vec<(NodeId, SocketAddr)> {
        names.iter().map(|n| (n.parse().unwrap(), "10.0.0.1:1".parse().unwrap())).collect()
    }

    fn plan() -> LinkPlan {
        LinkPlan::new("m".parse().unwrap(), Seed::new(1))
    }

    fn dialled(plan: &mut LinkPlan, ms: u64, wanted: &[&str], lost: &[&str]) -> String {
        let dials = plan.reconcile(at(ms), &peers(wanted), &peers(lost));
        dials.into_iter().map(|d| d.node.unwrap().to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_smaller_name_dials_first() {
        let mut plan = plan();
        assert_eq!(dialled(&mut plan, 0, &["a", "z"], &[]), "z");
        assert_eq!(plan.next_look(), at(300));
        assert_eq!(dialled(&mut plan, 299, &["a", "z"], &[]), "");
        assert_eq!(dialled(&mut plan, 300, &["a", "z"], &[]), "a");
    }

    #[test]
    fn a_link_that_is_up_or_coming_is_not_dialled() {
        let mut plan = plan();
        plan.note_up(&"y".parse().unwrap());
        assert_eq!(dialled(&mut plan, 0, &["y", "z"], &[]), "z");
        assert_eq!(dialled(&mut plan, 1_000, &["y", "z"], &[]), "");
        plan.note_down(&"y".parse().unwrap());
        assert_eq!(plan.next_look(), Instant::ORIGIN);
        assert_eq!(dialled(&mut plan, 2_000, &["y", "z"], &[]), "y");
    }

    #[test]
    fn while_nothing_is_missing_it_looks_seldom() {
        let mut plan = plan();
        plan.note_up(&"y".parse().unwrap());
        dialled(&mut plan, 0, &["y"], &[]);
        assert_eq!(plan.next_look(), at(10_000));
        dialled(&mut plan, 0, &["y"], &["z"]);
        assert_eq!(plan.next_look(), at(1_000), "somebody is lost");
        plan.note_down(&"y".parse().unwrap());
        assert_eq!(plan.next_look(), Instant::ORIGIN, "a change is looked at at once");
    }

    #[test]
    fn a_failed_dial_waits_and_is_tried_again_for_as_long_as_it_is_wanted() {
        let mut plan = plan();
        let z: NodeId = "z".parse().unwrap();
        let mut now = 0;
        for failures in 1..=12 {
            assert_eq!(dialled(&mut plan, now, &[], &["z"]), "z");
            plan.note_dialled(at(now), &z, false);
            assert_eq!(dialled(&mut plan, now, &[], &["z"]), "");
            let nominal = (100u64 << (failures - 1)).min(10_000);
            assert_eq!(dialled(&mut plan, now + nominal / 2 - 1, &[], &["z"]), "", "equal jitter waits half at least");
            now += nominal;
        }
        assert_eq!(dialled(&mut plan, now, &[], &[]), "", "nobody wants it any more");
        assert_eq!(dialled(&mut plan, now + 1, &["z"], &[]), "z", "wanted again: no grudge");
    }

    #[test]
    fn dials_under_way_are_bounded() {
        let mut plan = plan();
        let names: Vec<String> = (0..100).map(|i| format!("z{i:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(plan.reconcile(at(0), &peers(&names), &[]).len(), DIALS_MAX);
        plan.note_dialled(at(1), &"z000".parse().unwrap(), true);
        plan.note_up(&"z000".parse().unwrap());
        assert_eq!(dialled(&mut plan, 2, &names, &[]), "z032");
    }
}
