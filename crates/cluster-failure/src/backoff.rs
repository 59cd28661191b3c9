//! Back-off: how long to wait before the next attempt. Exponential, capped, jittered from a seeded generator, reset by a
//! success that is proven.
//!
//! Full and equal jitter are those of Brooker, "Exponential Backoff And Jitter" (2015); full spreads a herd best, equal
//! guarantees half of the nominal delay.

use std::time::Duration;

use cluster_types::seed::Draws;
use cluster_types::{Instant, Seed};

use crate::config::ConfigError;

/// How the nominal delay is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Uniform in [0, nominal].
    Full,
    /// Uniform in [nominal / 2, nominal].
    Equal,
    /// Uniform in [nominal, 1.5 nominal): never shorter than promised, for retries.
    Additive,
}

/// A checked configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffConfig {
    initial: Duration,
    max: Duration,
    jitter: Jitter,
}

impl BackoffConfig {
    /// First nominal delay, the cap it doubles up to, and the jitter.
    ///
    /// # Errors
    /// An initial delay of zero (it never grows), a maximum below it, or of more than a day.
    pub fn new(initial: Duration, max: Duration, jitter: Jitter) -> Result<Self, ConfigError> {
        if initial.is_zero() {
            return Err(ConfigError::new("initial", initial, "it must be above zero, since doubling zero stays zero"));
        }
        if max < initial {
            return Err(ConfigError::new("max", max, "it must not be below initial"));
        }
        if max > Duration::from_secs(24 * 60 * 60) {
            return Err(ConfigError::new("max", max, "it must be at most a day"));
        }
        Ok(Self { initial, max, jitter })
    }

    /// 100 ms to 30 s with equal jitter: reconnecting to a peer.
    #[must_use]
    pub const fn reconnect() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(30), jitter: Jitter::Equal }
    }

    /// 100 ms to 2 s with equal jitter: seeds of a cluster that is starting up.
    #[must_use]
    pub const fn join() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(2), jitter: Jitter::Equal }
    }

    /// 100 ms to 10 s with equal jitter: healing links to members, failed ones included.
    #[must_use]
    pub const fn heal() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(10), jitter: Jitter::Equal }
    }
}

/// The state of one back-off: failures so far and the moment of the next attempt.
#[derive(Debug, Clone)]
pub struct Backoff {
    config: BackoffConfig,
    draws: Draws,
    failures: u32,
    ready_at: Instant,
}

impl Backoff {
    /// Ready at once. Two back-offs with one seed draw the same jitter: derive the seed from what they are for.
    #[must_use]
    pub const fn new(config: BackoffConfig, seed: Seed) -> Self {
        Self { config, draws: seed.stream(), failures: 0, ready_at: Instant::ORIGIN }
    }

    /// An attempt failed: the next may start after the returned delay.
    pub fn note_failure(&mut self, now: Instant) -> Duration {
        let delay = self.jittered(self.nominal());
        self.failures = self.failures.saturating_add(1);
        self.ready_at = now + delay;
        delay
    }

    /// Success is proven (not merely connected): start over.
    pub const fn reset(&mut self) {
        self.failures = 0;
        self.ready_at = Instant::ORIGIN;
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// When the next attempt may start.
    #[must_use]
    pub const fn ready_at(&self) -> Instant {
        self.ready_at
    }

    fn nominal(&self) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.config.initial.saturating_mul(factor).min(self.config.max)
    }

    fn jittered(&mut self, nominal: Duration) -> Duration {
        let part = self.draws.fraction();
        match self.config.jitter {
            Jitter::Full => nominal.mul_f64(part),
            Jitter::Equal => nominal.mul_f64(0.5 + part / 2.0),
            Jitter::Additive => nominal.mul_f64(1.0 + part / 2.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn delays(jitter: Jitter, seed: u64, n: usize) -> Vec<Duration> {
        let config = BackoffConfig::new(ms(100), ms(1_000), jitter).unwrap();
        let mut backoff = Backoff::new(config, Seed::new(seed));
        (0..n).map(|_| backoff.note_failure(Instant::ORIGIN)).collect()
    }

    #[test]
    fn absurd_parameters_are_refused_by_name() {
        let new = |initial, max| BackoffConfig::new(ms(initial), ms(max), Jitter::Full).map_err(|e| e.field);
        assert_eq!(new(0, 10), Err("initial"));
        assert_eq!(new(10, 9), Err("max"));
        assert!(new(10, 10).is_ok());
    }

    #[test]
    fn success_starts_over_and_the_next_attempt_has_a_time() {
        let mut backoff = Backoff::new(BackoffConfig::reconnect(), Seed::new(1));
        assert_eq!(backoff.ready_at(), Instant::ORIGIN);
        let now = Instant::after_origin(ms(5_000));
        let first = backoff.note_failure(now);
        assert_eq!(backoff.ready_at(), now + first);
        for _ in 0..100 {
            backoff.note_failure(now);
        }
        assert_eq!(backoff.failures(), 101);
        backoff.reset();
        assert_eq!((backoff.failures(), backoff.ready_at()), (0, Instant::ORIGIN));
        assert!(backoff.note_failure(now) <= ms(100));
    }

    proptest! {
        #[test]
        fn each_jitter_stays_in_its_band(seed: u64) {
            let nominals = [100, 200, 400, 800, 1_000, 1_000].map(ms);
            let bands = [(Jitter::Full, 0.0, 1.0), (Jitter::Equal, 0.5, 1.0), (Jitter::Additive, 1.0, 1.5)];
            for (jitter, low, high) in bands {
                for (delay, nominal) in delays(jitter, seed, 6).into_iter().zip(nominals) {
                    prop_assert!(delay >= nominal.mul_f64(low) && delay <= nominal.mul_f64(high), "{jitter:?} {delay:?}");
                }
            }
        }

        #[test]
        fn the_same_seed_draws_the_same_delays(seed: u64) {
            prop_assert_eq!(delays(Jitter::Full, seed, 8), delays(Jitter::Full, seed, 8));
            prop_assert_ne!(delays(Jitter::Full, seed, 8), delays(Jitter::Full, seed ^ 1, 8));
        }
    }
}
