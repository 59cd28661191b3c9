//! What the protocols are put through, side by side. Contenders take turns, so that a busy machine is busy for all.

pub(crate) mod crash;
pub(crate) mod lifeguard;
pub(crate) mod rapid;
mod views;

use cluster_failure::{PauseBudget, VoteRule};
use cluster_gossip::{PlanKind, SwimConfig};
use std::time::Duration;

use crate::contender::{Contender, Setting};
use crate::foca_node::FocaNode;
use crate::memberlist::Memberlist;
use crate::ours::Ours;
use crate::world::World;

type Make = fn(Setting) -> Box<dyn Contender>;

/// Worlds in a cell.
pub(crate) const SEEDS: u64 = 5;

/// With their settings for a local network.
const RIVALS: [(&str, Make); 3] = [
    ("ours, lan()", |setting| Box::new(Ours::new(setting, SwimConfig::lan()))),
    ("foca 2, new_lan(n)", |setting| Box::new(World::new(setting, |i, seed| FocaNode::new(i, setting.nodes, seed)))),
    ("memberlist's rules, LAN", |setting| Box::new(World::new(setting, Memberlist::new))),
];

/// Our engine without what it adds to SWIM: everybody probes everybody in turn, one accuser is enough, 4 s from the last sign of life
/// to the verdict. No other implementation of SWIM, and not SWIM's own suspicion.
const PLAIN: (&str, Make) = ("our engine, plain plan", |setting| Box::new(Ours::new(setting, plain())));

fn plain() -> SwimConfig {
    let mut config = SwimConfig::lan();
    config.plan = PlanKind::RoundRobin;
    let ms = Duration::from_millis;
    config.budget = PauseBudget::new(ms(2_700), ms(1_000), ms(300)).expect("above zero").with_votes(VoteRule::One);
    config
}
