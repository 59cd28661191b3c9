//! Faults of paths, as rules that go away with their guards.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::SimNet;
use super::model::LinkModel;

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

#[derive(Debug)]
struct Rule {
    id: u64,
    from: Group,
    to: Group,
    /// `None` is a cut.
    model: Option<Arc<LinkModel>>,
}

impl Rule {
    fn concerns(&self, from: usize, to: usize) -> bool {
        self.from.contains(from) && self.to.contains(to)
    }
}

/// All rules, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    next_id: u64,
}

impl Rules {
    pub(super) fn add(&mut self, from: Group, to: Group, model: Option<Arc<LinkModel>>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.rules.push(Rule { id, from, to, model });
        id
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.rules.retain(|rule| rule.id != id);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.rules.iter().any(|rule| rule.model.is_none() && rule.concerns(from, to))
    }

    pub(super) fn model(&self, from: usize, to: usize) -> Option<&Arc<LinkModel>> {
        let mut concerned = self.rules.iter().rev().filter(|rule| rule.concerns(from, to));
        concerned.find_map(|rule| rule.model.as_ref())
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
