//! The paths between nodes: what the simulated network's are, for datagrams instead of packets.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::Seed;

use crate::net::{Effect, Group, LinkModel, PathState, Rules};
use crate::world::hashing::OwnKeys;

/// What becomes of something that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives: once, or twice. Since the world's origin.
    Arrives(Duration, Option<Duration>),
    /// It waits until its path is open again.
    Waits,
    /// It is lost.
    Lost,
}

#[derive(Debug)]
pub(super) struct Paths {
    seed: Seed,
    model: LinkModel,
    rules: Rules,
    /// Which rule each fault made.
    faults: BTreeMap<u32, u64>,
    states: OwnKeys<(usize, usize), PathState>,
}

impl Paths {
    pub(super) fn new(seed: Seed, model: LinkModel) -> Self {
        Self { seed, model, rules: Rules::default(), faults: BTreeMap::new(), states: OwnKeys::default() }
    }

    pub(super) const fn model_mut(&mut self) -> &mut LinkModel {
        &mut self.model
    }

    pub(super) fn cut_one_way(&mut self, from: &[usize], to: &[usize]) {
        self.rules.add(Group::of(from.iter().copied()), Group::of(to.iter().copied()), Effect::Cut);
    }

    pub(super) fn fault(&mut self, id: u32, from: &[usize], to: &[usize], effect: Effect) {
        let rule = self.rules.add(Group::of(from.iter().copied()), Group::of(to.iter().copied()), effect);
        self.faults.insert(id, rule);
    }

    pub(super) fn mend(&mut self, id: u32) {
        if let Some(rule) = self.faults.remove(&id) {
            self.rules.remove(rule);
        }
    }

    pub(super) fn heal(&mut self) {
        self.rules.clear();
        self.faults.clear();
    }

    /// How long the slowest usual way there and back takes: what a connection would have measured.
    pub(super) fn round_trip(&self, from: usize, to: usize) -> Duration {
        let model = |from, to| self.rules.model(from, to).map_or(&self.model, |model| model);
        model(from, to).latency.highest() + model(to, from).latency.highest()
    }

    /// Whether anything gets from one to the other.
    pub(super) fn is_open(&self, from: usize, to: usize) -> bool {
        !self.rules.is_cut(from, to) && !self.rules.is_held(from, to)
    }

    /// What becomes of something that is sent now.
    pub(super) fn deliver(&mut self, now: Duration, from: usize, to: usize, len: usize) -> Fate {
        if self.rules.is_cut(from, to) {
            return Fate::Lost;
        }
        if self.rules.is_held(from, to) {
            return Fate::Waits;
        }
        let seed = self.seed;
        let path = self.states.entry((from, to)).or_insert_with(|| PathState::new(seed, from, to));
        let model = self.rules.model(from, to).map_or(&self.model, |model| model);
        // What is damaged on its way does not authenticate: it is lost.
        let mut whole = model.deliver(path, now, len).into_iter().filter(|delivery| delivery.damaged_bit.is_none());
        match whole.next() {
            Some(first) => Fate::Arrives(first.at, whole.next().map(|second| second.at)),
            None => Fate::Lost,
        }
    }
}
