//! SWIM as published (Das, Gupta, Motivala, 2002): everybody probes everybody, one a period, round after round in a new
//! order; whoever gets no answer asks three others.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_types::seed::Draws;
use cluster_types::{Instant, NodeId, Seed};

use super::ProbePlan;

/// Members asked when a probe stays unanswered: the paper's k.
const HELPERS: usize = 3;

/// One member a period, in shuffled rounds over everybody.
#[derive(Debug, Clone)]
pub struct RoundRobinPlan {
    own: NodeId,
    period: Duration,
    members: BTreeSet<NodeId>,
    /// Who is still to be probed in this round, last first.
    round: Vec<NodeId>,
    next: Instant,
    changed: bool,
    draws: Draws,
}

impl RoundRobinPlan {
    /// A plan for node `own`; `seed` shuffles its rounds.
    #[must_use]
    pub fn new(own: NodeId, period: Duration, seed: Seed, now: Instant) -> Self {
        let mut draws = seed.derive("probe order", 0).stream();
        let next = now + period.mul_f64(draws.fraction());
        let members = BTreeSet::from([own.clone()]);
        Self { own, period, members, round: Vec::new(), next, changed: false, draws }
    }

    fn others(&self, node: &NodeId) -> Vec<NodeId> {
        self.members.iter().filter(|member| *member != node).cloned().collect()
    }
}

impl ProbePlan for RoundRobinPlan {
    fn insert(&mut self, _now: Instant, node: &NodeId, _zone: &str) {
        self.changed |= self.members.insert(node.clone());
    }

    fn remove(&mut self, _now: Instant, node: &NodeId) {
        self.changed |= *node != self.own && self.members.remove(node);
    }

    /// Everybody looks at everybody: nobody could stand in.
    fn set_impaired(&mut self, _: Instant, _: &NodeId, _: bool) {}

    fn observers_of(&self, subject: &NodeId) -> Vec<NodeId> {
        self.others(subject)
    }

    fn helpers_for(&mut self, subject: &NodeId) -> Vec<NodeId> {
        let mut others = self.others(subject);
        others.retain(|node| *node != self.own);
        self.draws.shuffle(&mut others);
        others.truncate(HELPERS);
        others
    }

    fn neighbours(&self) -> BTreeSet<NodeId> {
        self.others(&self.own).into_iter().collect()
    }

    fn is_neighbour(&self, node: &NodeId) -> bool {
        *node != self.own && self.members.contains(node)
    }

    fn settle(&mut self, _now: Instant) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn next_turn(&self) -> Instant {
        if self.changed { Instant::ORIGIN } else { self.next }
    }

    /// Who joins meanwhile waits for the next round, who went is passed over.
    fn take_turn(&mut self, now: Instant) -> Option<NodeId> {
        if now < self.next {
            return None;
        }
        self.next = now + self.period;
        if self.round.is_empty() {
            self.round = self.others(&self.own);
            self.draws.shuffle(&mut self.round);
        }
        while let Some(next) = self.round.pop() {
            if self.members.contains(&next) {
                return Some(next);
            }
        }
        None
    }

    fn note_told_turn(&mut self, _now: Instant, _subject: &NodeId, _turn_in: Duration) {}

    fn turn_of(&self, _now: Instant, _observer: &NodeId) -> Option<Duration> {
        None
    }

    fn spacing(&self, subject: &NodeId) -> Option<Duration> {
        let others = u32::try_from(self.members.len().saturating_sub(1)).unwrap_or(u32::MAX);
        (*subject != self.own && self.members.contains(subject)).then(|| self.period * others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(i: usize) -> NodeId {
        format!("n{i}").parse().unwrap()
    }

    fn plan_of(count: usize) -> RoundRobinPlan {
        let mut plan = RoundRobinPlan::new(node(0), Duration::from_secs(1), Seed::new(5), Instant::ORIGIN);
        (0..count).for_each(|i| plan.insert(Instant::ORIGIN, &node(i), ""));
        plan
    }

    fn turns(plan: &mut RoundRobinPlan, count: usize) -> Vec<NodeId> {
        let mut taken = Vec::new();
        while taken.len() < count {
            plan.settle(plan.next);
            taken.extend(plan.take_turn(plan.next_turn()));
        }
        taken
    }

    #[test]
    fn a_round_probes_each_member_once_and_skips_who_went() {
        let mut plan = plan_of(8);
        let mut round = turns(&mut plan, 7);
        round.sort();
        assert_eq!(round, (1..8).map(node).collect::<Vec<_>>());
        let first = turns(&mut plan, 1).remove(0);
        let gone = (1..8).map(node).find(|n| *n != first).unwrap();
        plan.settle(Instant::ORIGIN);
        plan.remove(Instant::ORIGIN, &gone);
        assert!(plan.settle(Instant::ORIGIN), "one that goes changes who is linked");
        plan.remove(Instant::ORIGIN, &node(99));
        assert!(!plan.settle(Instant::ORIGIN), "a stranger does not");
        let rest = turns(&mut plan, 5);
        assert!(!rest.contains(&gone) && !rest.contains(&first));
    }

    #[test]
    fn three_others_are_asked_and_everybody_is_a_neighbour() {
        let mut plan = plan_of(8);
        assert!(plan.settle(Instant::ORIGIN) && !plan.settle(Instant::ORIGIN));
        let helpers = plan.helpers_for(&node(3));
        assert_eq!(helpers.len(), HELPERS);
        assert!(!helpers.contains(&node(3)) && !helpers.contains(&node(0)));
        assert_eq!(plan.observers_of(&node(3)).len(), 7);
        assert_eq!(plan.neighbours().len(), 7);
        assert_eq!(plan.spacing(&node(3)), Some(Duration::from_secs(7)));
        assert_eq!(plan.spacing(&node(0)), None);
        assert!(plan.is_neighbour(&node(3)) && !plan.is_neighbour(&node(0)) && !plan.is_neighbour(&node(9)));
        assert_eq!(plan.turn_of(Instant::ORIGIN, &node(3)), None, "turns are not agreed");
        plan.remove(Instant::ORIGIN, &node(0));
        assert!(plan.observers_of(&node(1)).contains(&node(0)), "a node never leaves its own plan");
    }

    #[test]
    fn a_turn_comes_once_a_period_and_alone_there_is_nobody() {
        let mut plan = plan_of(3);
        plan.settle(Instant::ORIGIN);
        let first = plan.next_turn();
        assert!(plan.take_turn(first).is_some());
        assert_eq!(plan.take_turn(first), None);
        assert_eq!(plan.next_turn(), first + Duration::from_secs(1));
        let mut alone = plan_of(1);
        assert_eq!(alone.take_turn(Instant::END), None);
        assert!(alone.neighbours().is_empty());
    }
}
