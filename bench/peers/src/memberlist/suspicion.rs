//! A suspicion that ends the sooner, the more nodes have come to it by themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use super::PROBE_INTERVAL;
use super::rules::{SUSPICION_MAX_MULT, SUSPICION_MULT, remaining, suspicion_timeout};

#[derive(Debug)]
pub(super) struct Suspicion {
    began: Duration,
    /// Confirmations so far, and those that bring it to its shortest.
    n: u32,
    k: u32,
    min: Duration,
    max: Duration,
    heard: BTreeSet<usize>,
    /// Which of the timers counts.
    pub(super) generation: u64,
}

impl Suspicion {
    /// Raised by `from` in a cluster of `nodes`; with how long it lasts if nobody confirms it.
    pub(super) fn new(now: Duration, from: usize, nodes: usize, generation: u64) -> (Self, Duration) {
        let min = suspicion_timeout(SUSPICION_MULT, nodes, PROBE_INTERVAL);
        let wanted = SUSPICION_MULT - 2;
        // Neither this node nor the suspect confirms anything.
        let k = if nodes < wanted as usize + 2 { 0 } else { wanted };
        Self::with(now, from, k, (min, min * SUSPICION_MAX_MULT), generation)
    }

    fn with(now: Duration, from: usize, k: u32, (min, max): (Duration, Duration), generation: u64) -> (Self, Duration) {
        let heard = BTreeSet::from([from]);
        (Self { began: now, n: 0, k, min, max, heard, generation }, if k == 0 { min } else { max })
    }

    /// Another node says so, too. If that is news: how much longer it lasts.
    pub(super) fn confirm(&mut self, now: Duration, from: usize) -> Option<Duration> {
        if self.n >= self.k || !self.heard.insert(from) {
            return None;
        }
        self.n += 1;
        Some(remaining(self.n, self.k, now - self.began, self.min, self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The cases of its own test, which allows 25 ms: shortest 500 ms, longest 2 s, three confirmations wanted.
    #[test]
    fn who_has_spoken_counts_once() {
        let (me, foo, bar, baz, zoo) = (0, 1, 2, 3, 4);
        for (said, ends) in [
            (vec![], 2_000),
            (vec![(me, false), (foo, true)], 1_250),
            (vec![(me, false), (foo, true), (foo, false), (foo, false)], 1_250),
            (vec![(me, false), (foo, true), (bar, true)], 811),
            (vec![(me, false), (foo, true), (bar, true), (baz, true)], 500),
            (vec![(me, false), (foo, true), (bar, true), (baz, true), (zoo, false)], 500),
        ] {
            let (mut suspicion, mut lasts) = Suspicion::with(ms(0), me, 3, (ms(500), ms(2_000)), 0);
            for (i, (from, news)) in said.into_iter().enumerate() {
                let now = ms(25 * (i as u64 + 1));
                let left = suspicion.confirm(now, from);
                assert_eq!(left.is_some(), news, "{from}");
                lasts = left.map_or(lasts, |left| now + left);
            }
            assert_eq!(lasts, ms(ends));
        }
    }

    #[test]
    fn three_nodes_wait_for_nobody() {
        let (mut suspicion, lasts) = Suspicion::new(ms(0), 0, 3, 0);
        assert_eq!(lasts, ms(4_000));
        assert_eq!(suspicion.confirm(ms(1), 1), None);
        let (mut suspicion, lasts) = Suspicion::new(ms(0), 0, 4, 0);
        assert_eq!(lasts, ms(24_000));
        assert!(suspicion.confirm(ms(1), 1).is_some());
    }

    #[test]
    fn a_late_confirmation_ends_it_at_once() {
        let (mut suspicion, _) = Suspicion::with(ms(0), 0, 1, (ms(100), ms(30_000)), 0);
        assert_eq!(suspicion.confirm(ms(200), 1), Some(ms(0)));
    }
}
