//! The formulas.

use std::time::Duration;

/// How many times a suspicion's shortest time is a probe interval, in the smallest clusters.
pub(super) const SUSPICION_MULT: u32 = 4;

/// How many times its longest is its shortest.
pub(super) const SUSPICION_MAX_MULT: u32 = 6;

/// How often a piece of gossip is sent, by the tenfold of nodes.
pub(super) const RETRANSMIT_MULT: u32 = 4;

/// The shortest suspicion in a cluster of `n`: so many intervals, times the decimal logarithm of the size where that is above 1, cut
/// to thousandths.
pub(super) fn suspicion_timeout(mult: u32, n: usize, interval: Duration) -> Duration {
    let scale = (n.max(1) as f64).log10().max(1.0);
    interval * (mult * (scale * 1_000.0) as u32) / 1_000
}

/// What is left of a suspicion that `n` of the `k` wanted have confirmed: between the longest and the shortest by the logarithm, in whole
/// milliseconds, less what has passed. Zero where it is over.
pub(super) fn remaining(n: u32, k: u32, elapsed: Duration, min: Duration, max: Duration) -> Duration {
    let part = f64::from(n + 1).ln() / f64::from(k + 1).ln();
    let raw = max.as_secs_f64() - part * (max.as_secs_f64() - min.as_secs_f64());
    let timeout = Duration::from_millis((1_000.0 * raw).floor().max(0.0) as u64).max(min);
    timeout.saturating_sub(elapsed)
}

/// How often a piece of gossip is sent in a cluster of `n`.
pub(super) fn retransmit_limit(mult: u32, n: usize) -> u32 {
    mult * ((n + 1) as f64).log10().ceil() as u32
}

/// How long until the next exchange of state: from 33 nodes on twice as long, from 65 on three times.
pub(super) fn push_pull_scale(interval: Duration, n: usize) -> Duration {
    const THRESHOLD: usize = 32;
    if n <= THRESHOLD {
        return interval;
    }
    interval * (((n as f64).log2() - (THRESHOLD as f64).log2()).ceil() as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The table of its own test.
    #[test]
    fn suspicions_grow_with_the_logarithm_of_the_size() {
        for (n, ms) in [(5, 1_000), (10, 1_000), (50, 1_698), (100, 2_000), (500, 2_698), (1_000, 3_000)] {
            assert_eq!(suspicion_timeout(3, n, SECOND) / 3, Duration::from_millis(ms), "{n} nodes");
        }
    }

    /// The table of its own test; what it gives as below zero is zero here.
    #[test]
    fn each_confirmation_shortens_what_is_left() {
        let (min, max) = (2 * SECOND, 30 * SECOND);
        for (n, elapsed, left) in [(0, 0, 30_000), (1, 2, 14_000), (2, 3, 4_810), (3, 4, 0), (4, 5, 0), (5, 10, 0)] {
            let found = remaining(n, 3, elapsed * SECOND, min, max);
            assert_eq!(found, Duration::from_millis(left), "{n} confirmations after {elapsed} s");
        }
    }

    #[test]
    fn gossip_is_repeated_by_the_tenfold() {
        assert_eq!([0, 1, 99].map(|n| retransmit_limit(3, n)), [0, 3, 6]);
    }

    #[test]
    fn state_is_exchanged_less_often_in_large_clusters() {
        for n in 0..=128 {
            let times = if n <= 32 {
                1
            } else if n <= 64 {
                2
            } else {
                3
            };
            assert_eq!(push_pull_scale(SECOND, n), times * SECOND, "{n} nodes");
        }
    }
}
