//! Who watches whom: the probe plan.
//!
//! With everybody watching everybody, each node's cost grows with the cluster. Here each member has at most K observers,
//! found by walking K hash rings: on ring r the next node round that is not an observer yet. The graph that results is a
//! random one of bounded degree, which stays connected and spreads news in a logarithm of steps. Every node computes it for
//! itself from its own view; where views differ for a moment, a few edges differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cluster_types::seed::Draws;
use cluster_types::{ClusterName, NodeId, Seed};

/// Decides which members a node probes and in which order.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait ProbePlan: fmt::Debug + Send {
    /// A member takes part from now on.
    fn insert(&mut self, node: &NodeId);
    /// A member takes part no more.
    fn remove(&mut self, node: &NodeId);
    /// Everybody who watches `subject`, in a fixed order.
    fn observers_of(&self, subject: &NodeId) -> Vec<NodeId>;
    /// Whom this node watches or is watched by: the links to keep warm.
    fn neighbours(&mut self) -> BTreeSet<NodeId>;
    /// Whom this node probes next.
    fn next_target(&mut self) -> Option<NodeId>;
}

/// The bounded monitoring graph.
#[derive(Debug)]
pub struct RingPlan {
    own: NodeId,
    rings: Vec<Ring>,
    members: BTreeSet<NodeId>,
    /// This node's subjects; computed when asked for after a change of members.
    subjects: Option<Vec<NodeId>>,
    /// Subjects and observers of this node; as above.
    neighbours: Option<BTreeSet<NodeId>>,
    /// Who is still to be probed in this round over the subjects, last first.
    round: Vec<NodeId>,
    draws: Draws,
}

#[derive(Debug)]
struct Ring {
    seed: Seed,
    places: BTreeMap<(u64, NodeId), ()>,
}

impl Ring {
    fn place(&self, node: &NodeId) -> (u64, NodeId) {
        (self.seed.derive(node.as_str(), 0).get(), node.clone())
    }

    /// Everybody else, starting behind `node`.
    fn walk_from<'a>(&'a self, node: &NodeId) -> impl Iterator<Item = &'a NodeId> {
        let place = self.place(node);
        let after = self.places.range((std::ops::Bound::Excluded(place.clone()), std::ops::Bound::Unbounded));
        let before = self.places.range(..place);
        after.chain(before).map(|((_, node), ())| node)
    }
}

impl RingPlan {
    /// A plan for node `own` with `observers` rings, the same on every node of the cluster. `seed` only shuffles this
    /// node's probing order.
    #[must_use]
    pub fn new(cluster: &ClusterName, own: NodeId, observers: usize, seed: Seed) -> Self {
        let of_cluster = Seed::new(0).derive(cluster.as_str(), 0);
        let ring = |r| Ring { seed: of_cluster.derive("ring", r), places: BTreeMap::new() };
        let mut plan = Self {
            own: own.clone(),
            rings: (0..observers as u64).map(ring).collect(),
            members: BTreeSet::new(),
            subjects: None,
            neighbours: None,
            round: Vec::new(),
            draws: seed.derive("probe order", 0).stream(),
        };
        plan.insert(&own);
        plan
    }

    fn forget(&mut self) {
        self.subjects = None;
        self.neighbours = None;
    }

    fn subjects(&mut self) -> &[NodeId] {
        if self.subjects.is_none() {
            let others = self.members.iter().filter(|node| **node != self.own);
            let mine = others.filter(|node| self.observers_of(node).contains(&self.own));
            self.subjects = Some(mine.cloned().collect());
        }
        self.subjects.as_deref().unwrap_or_default()
    }
}

impl ProbePlan for RingPlan {
    fn insert(&mut self, node: &NodeId) {
        if self.members.insert(node.clone()) {
            for ring in &mut self.rings {
                ring.places.insert(ring.place(node), ());
            }
            self.forget();
        }
    }

    fn remove(&mut self, node: &NodeId) {
        if *node != self.own && self.members.remove(node) {
            for ring in &mut self.rings {
                ring.places.remove(&ring.place(node));
            }
            self.forget();
        }
    }

    fn observers_of(&self, subject: &NodeId) -> Vec<NodeId> {
        let others = self.members.len() - usize::from(self.members.contains(subject));
        if others <= self.rings.len() {
            return self.members.iter().filter(|node| *node != subject).cloned().collect();
        }
        let mut observers: Vec<NodeId> = Vec::with_capacity(self.rings.len());
        for ring in &self.rings {
            let next = ring.walk_from(subject).find(|node| *node != subject && !observers.contains(node));
            observers.extend(next.cloned());
        }
        observers
    }

    fn neighbours(&mut self) -> BTreeSet<NodeId> {
        if self.neighbours.is_none() {
            let mut neighbours: BTreeSet<NodeId> = self.observers_of(&self.own).into_iter().collect();
            neighbours.extend(self.subjects().iter().cloned());
            self.neighbours = Some(neighbours);
        }
        self.neighbours.clone().unwrap_or_default()
    }

    /// Once round all subjects in a shuffled order, then in another; who joins meanwhile waits for the next round, who went
    /// is passed over.
    fn next_target(&mut self) -> Option<NodeId> {
        if self.round.is_empty() {
            self.round = self.subjects().to_vec();
            self.draws.shuffle(&mut self.round);
        }
        while let Some(next) = self.round.pop() {
            if self.members.contains(&next) {
                return Some(next);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const K: usize = 10;

    fn node(i: usize) -> NodeId {
        format!("n{i}").parse().unwrap()
    }

    fn plan_of(own: usize, members: impl IntoIterator<Item = usize>) -> RingPlan {
        let mut plan = RingPlan::new(&"c".parse().unwrap(), node(own), K, Seed::new(own as u64));
        for i in members {
            plan.insert(&node(i));
        }
        plan
    }

    #[test]
    fn in_a_small_cluster_everybody_watches_everybody() {
        for n in 1..=K + 1 {
            let plan = plan_of(0, 0..n);
            for i in 0..n {
                assert_eq!(plan.observers_of(&node(i)).len(), n - 1, "n = {n}");
            }
        }
    }

    #[test]
    fn in_a_large_cluster_everybody_has_exactly_k_distinct_observers() {
        let plan = plan_of(0, 0..200);
        let mut load = BTreeMap::new();
        for i in 0..200 {
            let observers = plan.observers_of(&node(i));
            let distinct: BTreeSet<_> = observers.iter().collect();
            assert_eq!((observers.len(), distinct.len()), (K, K));
            assert!(!distinct.contains(&node(i)));
            for observer in observers {
                *load.entry(observer).or_insert(0) += 1;
            }
        }
        // Each node is successor once on each ring, so the load is K but for the walks past a node already chosen.
        assert!(load.values().all(|l| (K - 4..=K + 4).contains(l)), "{load:?}");
    }

    #[test]
    fn every_node_computes_the_same_graph_in_whatever_order_it_learnt_the_members() {
        let (forward, backward) = (plan_of(3, 0..40), plan_of(7, (0..40).rev()));
        for i in 0..40 {
            assert_eq!(forward.observers_of(&node(i)), backward.observers_of(&node(i)));
        }
    }

    #[test]
    fn a_round_probes_each_subject_once_and_skips_who_went() {
        let mut plan = plan_of(0, 0..8);
        let mut round: Vec<_> = (0..7).map(|_| plan.next_target().unwrap()).collect();
        round.sort();
        assert_eq!(round, (1..8).map(node).collect::<Vec<_>>());
        let first = plan.next_target().unwrap();
        let gone = (1..8).map(node).find(|n| *n != first).unwrap();
        plan.remove(&gone);
        let rest: Vec<_> = (0..5).map(|_| plan.next_target().unwrap()).collect();
        assert!(!rest.contains(&gone) && !rest.contains(&first));
    }

    #[test]
    fn alone_there_is_nobody_to_probe() {
        let mut plan = plan_of(0, [0]);
        assert_eq!(plan.next_target(), None);
        assert!(plan.neighbours().is_empty());
        plan.remove(&node(0));
        assert!(plan.observers_of(&node(1)).contains(&node(0)), "a node never leaves its own plan");
    }

    proptest! {
        /// Neighbours are symmetric between equal views, and a plan that grew and shrank equals a fresh one.
        #[test]
        fn links_are_wanted_from_both_sides(members in prop::collection::btree_set(0usize..60, 2..40), gone in 60usize..80) {
            let mut plans: BTreeMap<usize, RingPlan> =
                members.iter().map(|&i| (i, plan_of(i, members.iter().copied()))).collect();
            let wanted: BTreeMap<usize, BTreeSet<NodeId>> =
                plans.iter_mut().map(|(&i, plan)| (i, plan.neighbours())).collect();
            for (&i, neighbours) in &wanted {
                for (&j, back) in &wanted {
                    prop_assert_eq!(neighbours.contains(&node(j)), back.contains(&node(i)));
                }
            }
            let first = *members.first().unwrap();
            let plan = plans.get_mut(&first).unwrap();
            plan.insert(&node(gone));
            plan.remove(&node(gone));
            prop_assert_eq!(&plan.neighbours(), &wanted[&first]);
        }
    }
}
