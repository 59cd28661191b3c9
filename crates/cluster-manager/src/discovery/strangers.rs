//! Places where nobody is known to be: which of them to try now. A few at a time, in an order that differs from node to node, and
//! those where nobody answered more and more rarely: a list of the dead must not hide the living behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use cluster_types::seed::Draws;
use cluster_types::{Instant, Seed};

/// Places tried at once: a quarter of the dials that a pool has under way.
const AT_ONCE: usize = 16;

/// Between two tries of a place: at first, and at most.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Strangers {
    draws: Draws,
    /// How often each was tried, and when it may be tried again.
    tried: BTreeMap<SocketAddr, (u32, Instant)>,
}

impl Strangers {
    pub(super) fn new(seed: Seed) -> Self {
        Self { draws: seed.stream(), tried: BTreeMap::new() }
    }

    /// Whom to try now, of those who are strangers now. Whoever is none any more is forgotten.
    pub(super) fn pick(&mut self, now: Instant, strange: &BTreeSet<SocketAddr>) -> Vec<SocketAddr> {
        self.tried.retain(|addr, _| strange.contains(addr));
        let due = |addr: &&SocketAddr| self.tried.get(*addr).is_none_or(|(_, next)| now >= *next);
        let mut due: Vec<SocketAddr> = strange.iter().filter(due).copied().collect();
        // Those first that were tried least, in an order of this node's own.
        let mut keyed: Vec<(u32, u64, SocketAddr)> = Vec::with_capacity(due.len());
        for addr in due.drain(..) {
            let times = self.tried.get(&addr).map_or(0, |(times, _)| *times);
            keyed.push((times, self.draws.next_u64(), addr));
        }
        keyed.sort_unstable();
        let picked: Vec<SocketAddr> = keyed.into_iter().take(AT_ONCE).map(|(_, _, addr)| addr).collect();
        for addr in &picked {
            let (times, next) = self.tried.entry(*addr).or_insert((0, now));
            let wait = AGAIN_FIRST.saturating_mul(1 << (*times).min(16)).min(AGAIN_MAX);
            (*times, *next) = (*times + 1, now + wait);
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::after_origin(Duration::from_secs(s))
    }

    fn places(count: u16) -> BTreeSet<SocketAddr> {
        (1..=count).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect()
    }

    #[test]
    fn the_dead_do_not_hide_the_living() {
        let mut strangers = Strangers::new(Seed::new(1));
        let all = places(80);
        let mut tried = BTreeSet::new();
        for round in 0..5 {
            let picked = strangers.pick(at(round * 10), &all);
            assert_eq!(picked.len(), AT_ONCE);
            tried.extend(picked);
        }
        assert_eq!(tried, all, "everybody had a turn before anybody had two");
        let orders = [2, 3].map(|seed| Strangers::new(Seed::new(seed)).pick(at(0), &all));
        assert_ne!(orders[0], orders[1], "two nodes do not begin with the same");
    }

    #[test]
    fn a_place_where_nobody_answers_is_tried_more_and_more_rarely_and_forgotten_with_its_name() {
        let mut strangers = Strangers::new(Seed::new(1));
        let one = places(1);
        let tries: Vec<u64> = (0..400).filter(|s| !strangers.pick(at(*s), &one).is_empty()).collect();
        assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]);
        assert!(strangers.pick(at(400), &BTreeSet::new()).is_empty());
        assert_eq!(strangers.pick(at(401), &one).len(), 1, "named again, it is new again");
    }
}
