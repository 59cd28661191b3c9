//! Faults of paths, as rules that go away with their guards.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::SimNet;
use super::model::LinkModel;
use crate::scenario::PathFault;

/// Some hosts, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// Every host, also later ones.
    All,
    /// These.
    Of(BTreeSet<usize>),
}

impl Group {
    /// These hosts.
    pub fn of(hosts: impl IntoIterator<Item = usize>) -> Self {
        Self::Of(hosts.into_iter().collect())
    }

    fn contains(&self, host: usize) -> bool {
        match self {
            Self::All => true,
            Self::Of(hosts) => hosts.contains(&host),
        }
    }
}

/// What a rule does to its paths.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Nothing passes.
    Cut,
    /// What is sent waits, and arrives when the rule is gone.
    Hold,
    /// The paths are like this.
    Like(Arc<LinkModel>),
}

impl From<&PathFault> for Effect {
    fn from(fault: &PathFault) -> Self {
        match fault {
            PathFault::Cut => Self::Cut,
            PathFault::Hold => Self::Hold,
            PathFault::Like(model) => Self::Like(Arc::new(model.clone())),
        }
    }
}

#[derive(Debug)]
struct Rule {
    id: u64,
    from: Group,
    to: Group,
    effect: Effect,
}

impl Rule {
    fn concerns(&self, from: usize, to: usize) -> bool {
        self.from.contains(from) && self.to.contains(to)
    }
}

/// All rules, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    next_id: u64,
}

impl Rules {
    pub(crate) fn add(&mut self, from: Group, to: Group, effect: Effect) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.rules.push(Rule { id, from, to, effect });
        id
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.rules.retain(|rule| rule.id != id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Whether nothing passes from one to the other.
    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.rules.iter().any(|rule| matches!(rule.effect, Effect::Cut) && rule.concerns(from, to))
    }

    /// Whether what is sent from one to the other waits.
    pub(crate) fn is_held(&self, from: usize, to: usize) -> bool {
        self.rules.iter().any(|rule| matches!(rule.effect, Effect::Hold) && rule.concerns(from, to))
    }

    /// What the paths from one to the other are like, if they are not like all: the youngest rule says.
    pub(crate) fn model(&self, from: usize, to: usize) -> Option<&Arc<LinkModel>> {
        self.rules.iter().rev().find_map(|rule| match &rule.effect {
            Effect::Like(model) if rule.concerns(from, to) => Some(model),
            _ => None,
        })
    }
}

/// Takes its rule away when it is dropped.
#[must_use = "the fault ends when this is dropped"]
pub struct Guard {
    net: SimNet,
    id: Option<u64>,
}

impl Guard {
    pub(super) const fn new(net: SimNet, id: u64) -> Self {
        Self { net, id: Some(id) }
    }

    /// Leaves the fault in place until the network is healed.
    pub fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.net.remove_rule(id);
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("rule", &self.id).finish_non_exhaustive()
    }
}
