//! The paths between nodes: latency, loss, cuts. Randomness by counter, one stream a direction, so that one path's packets
//! never move another's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_types::Seed;

#[derive(Debug)]
pub(super) struct Paths {
    seed: Seed,
    latency: (Duration, Duration),
    loss: f64,
    cuts: BTreeSet<(usize, usize)>,
    drawn: BTreeMap<(usize, usize), u64>,
}

impl Paths {
    pub(super) const fn new(seed: Seed, latency: (Duration, Duration), loss: f64) -> Self {
        Self { seed, latency, loss, cuts: BTreeSet::new(), drawn: BTreeMap::new() }
    }

    pub(super) const fn set_loss(&mut self, loss: f64) {
        self.loss = loss;
    }

    pub(super) fn cut(&mut self, left: &[usize], right: &[usize]) {
        self.cut_one_way(left, right);
        self.cut_one_way(right, left);
    }

    pub(super) fn cut_one_way(&mut self, from: &[usize], to: &[usize]) {
        self.cuts.extend(from.iter().flat_map(|&f| to.iter().map(move |&t| (f, t))));
    }

    pub(super) fn heal(&mut self) {
        self.cuts.clear();
    }

    pub(super) fn open(&self, from: usize, to: usize) -> bool {
        !self.cuts.contains(&(from, to))
    }

    fn draw(&mut self, from: usize, to: usize) -> f64 {
        let n = self.drawn.entry((from, to)).or_insert(0);
        *n += 1;
        self.seed.derive("path", ((from as u64) << 32) | to as u64).fraction(*n)
    }

    pub(super) fn latency(&mut self, from: usize, to: usize) -> Duration {
        let (low, high) = self.latency;
        low + (high - low).mul_f64(self.draw(from, to))
    }

    /// How long a datagram takes, `None` when it vanishes.
    pub(super) fn deliver(&mut self, from: usize, to: usize) -> Option<Duration> {
        let lost = self.draw(from, to) < self.loss;
        let latency = self.latency(from, to);
        (!lost).then_some(latency)
    }
}
