//! Whom every node holds to be alive, followed from what changes.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_types::Seed;

use crate::contender::{Change, Contender};

pub(super) struct Views {
    /// Whom each holds to be alive, and the sum of their keys: equal views have equal sums.
    alive: Vec<Vec<bool>>,
    sums: Vec<u64>,
    keys: Vec<u64>,
    /// When each view changed last.
    changed: Vec<Duration>,
    /// All that was told.
    told: Vec<Change>,
}

impl Views {
    /// Of nodes that all know each other, or each only itself.
    pub(super) fn new(nodes: usize, joined: bool) -> Self {
        let seed = Seed::new(1).derive("views", 0);
        let keys: Vec<u64> = (0..nodes as u64).map(|node| seed.draw(node)).collect();
        let alive: Vec<Vec<bool>> = (0..nodes).map(|i| (0..nodes).map(|j| joined || i == j).collect()).collect();
        let sum =
            |view: &Vec<bool>| view.iter().zip(&keys).filter(|(alive, _)| **alive).fold(0, |sum, (_, key)| sum ^ key);
        let sums = alive.iter().map(sum).collect();
        Self { alive, sums, keys, changed: vec![Duration::ZERO; nodes], told: Vec::new() }
    }

    /// Takes in what changed in the world.
    pub(super) fn follow(&mut self, world: &mut dyn Contender) {
        for change in world.take_changes() {
            self.note(change);
        }
    }

    fn note(&mut self, change: Change) {
        let Change { at, by, about, up } = change;
        if by != about && std::mem::replace(&mut self.alive[by][about], up) != up {
            self.sums[by] ^= self.keys[about];
            self.changed[by] = at;
            self.told.push(change);
        }
    }

    /// The different views that these have.
    pub(super) fn of(&self, nodes: &[usize]) -> BTreeSet<u64> {
        nodes.iter().map(|i| self.sums[*i]).collect()
    }

    /// Whether these hold exactly these to be alive.
    pub(super) fn are(&self, nodes: &[usize], living: &[usize]) -> bool {
        let sum = living.iter().fold(0, |sum, node| sum ^ self.keys[*node]);
        nodes.iter().all(|i| self.sums[*i] == sum)
    }

    /// When the view of one of these changed last.
    pub(super) fn last_change(&self, nodes: &[usize]) -> Duration {
        nodes.iter().map(|i| self.changed[*i]).max().unwrap_or_default()
    }

    /// What was told so far, without what changed nothing.
    pub(super) fn told(&self) -> &[Change] {
        &self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_views_count_once() {
        let mut views = Views::new(3, true);
        let all = [0, 1, 2];
        let down = |by, s| Change { at: Duration::from_secs(s), by, about: 2, up: false };
        assert_eq!(views.of(&all).len(), 1);
        views.note(down(0, 1));
        assert_eq!(views.of(&all).len(), 2);
        assert!(!views.are(&[0, 1], &[0, 1]));
        views.note(down(1, 2));
        views.note(down(1, 3));
        assert!(views.are(&[0, 1], &[0, 1]));
        assert_eq!((views.last_change(&all), views.told().len()), (Duration::from_secs(2), 2));
    }
}
