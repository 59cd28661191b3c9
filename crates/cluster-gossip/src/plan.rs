//! Who watches whom, and when: the probe plan.
//!
//! With everybody watching everybody, each node's cost grows with the cluster. [`RingPlan`] gives each member at most K
//! observers, who take turns; [`RoundRobinPlan`] is SWIM as published, for comparison and for clusters that want it.

mod rings;
mod round_robin;
mod turns;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use cluster_types::{Instant, NodeId};

pub use rings::RingPlan;
pub use round_robin::RoundRobinPlan;

/// Decides which members a node probes, and when.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait ProbePlan: fmt::Debug + Send {
    /// A member takes part from now on, or is in another failure domain than before. `zone` is empty where it says none.
    fn insert(&mut self, now: Instant, node: &NodeId, zone: &str);
    /// A member takes part no more.
    fn remove(&mut self, now: Instant, node: &NodeId);
    /// A member is suspected, or is so no more: it may be as silent as an observer as it is as a subject. Where too few of a subject's observers
    /// are left, others stand in for them.
    fn set_impaired(&mut self, now: Instant, node: &NodeId, impaired: bool);
    /// Everybody who watches `subject`, in an order that is the same at every node: whoever may vote.
    fn observers_of(&self, subject: &NodeId) -> Vec<NodeId>;
    /// Whom to ask when `subject` does not answer this node.
    fn helpers_for(&mut self, subject: &NodeId) -> Vec<NodeId>;
    /// Whom this node watches or is watched by: the links to keep warm.
    fn neighbours(&self) -> BTreeSet<NodeId>;
    /// Whether a node is one of them.
    fn is_neighbour(&self, node: &NodeId) -> bool;
    /// Takes changes of members into account, if it is time; says whether the neighbours changed.
    fn settle(&mut self, now: Instant) -> bool;
    /// When [`take_turn`](Self::take_turn) or [`settle`](Self::settle) has something to do.
    fn next_turn(&self) -> Instant;
    /// Whom to probe now; `None` until the next turn.
    fn take_turn(&mut self, now: Instant) -> Option<NodeId>;
    /// A subject said when it wants to be probed by this node next.
    fn note_told_turn(&mut self, now: Instant, subject: &NodeId, turn_in: Duration);
    /// As a subject: when `observer` is to probe this node next. `None` where turns are not agreed.
    fn turn_of(&self, now: Instant, observer: &NodeId) -> Option<Duration>;
    /// How long after one turn of this node `subject` sees the next: the period of scheduled beats. `None` for no subject.
    fn spacing(&self, subject: &NodeId) -> Option<Duration>;
}
