//! A cluster that begins joined: one view, made once and handed to each of its members. For simulations of thousands of
//! nodes, in which the joining would take longer than what is to be looked at.

use std::sync::Arc;

use cluster_types::{Claim, ClusterName, Instant, Member, Metadata, NodeId, Seed};

use super::Swim;
use super::view::View;
use crate::PlanKind;
use crate::config::SwimConfig;
use crate::plan::{ProbePlan, RingPlan, RoundRobinPlan};

/// What each member of a cluster holds of all of them. The facts are shared by everybody it is given to.
#[derive(Debug)]
pub struct Acquainted {
    config: SwimConfig,
    view: View,
    rings: RingPlan,
    everybody: Vec<NodeId>,
}

impl Acquainted {
    /// The view that has these members, all held to be what the claims say since `now`.
    #[must_use]
    pub fn new(config: SwimConfig, cluster: &ClusterName, claims: &[Claim], seed: Seed, now: Instant) -> Self {
        let mut view = View::new(seed.derive("view", 0));
        let first = claims.first().map_or_else(nobody, |claim| claim.node.clone());
        let mut rings = RingPlan::new(cluster, first, config.observers, config.budget.period(), seed);
        for claim in claims {
            rings.insert(now, &claim.node, "");
            let member = Member { claim: claim.clone(), metadata: Metadata::default(), since: now };
            view.set(Arc::new(member), claim.meta_version == 0, now + config.reap_after);
        }
        Self { config, view, rings, everybody: claims.iter().map(|claim| claim.node.clone()).collect() }
    }

    /// The core of one of the members.
    #[must_use]
    pub fn core_of(&self, own: Claim, origin_unix_ms: u64, seed: Seed, now: Instant) -> Swim {
        let plan: Box<dyn ProbePlan> = match self.config.plan {
            PlanKind::Rings => Box::new(self.rings.for_node(own.node.clone(), seed)),
            PlanKind::RoundRobin => {
                let mut plan = RoundRobinPlan::new(own.node.clone(), self.config.budget.period(), seed, now);
                self.everybody.iter().for_each(|node| plan.insert(now, node, ""));
                Box::new(plan)
            }
        };
        let mut view = self.view.clone();
        view.remove(&own.node);
        let config = self.config.clone();
        let mut swim = Swim::with_plan(config, plan, own, Metadata::default(), origin_unix_ms, seed, now);
        swim.view = view;
        swim
    }
}

fn nobody() -> NodeId {
    NodeId::new("nobody").unwrap_or_else(|e| unreachable!("a name: {e}"))
}
