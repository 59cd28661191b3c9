//! The seam of failure detectors: what they are told, and what they say. A detector gives evidence; the verdict is
//! [`PauseBudget`](crate::PauseBudget)'s.

use std::fmt;
use std::time::Duration;

use cluster_types::{Instant, Life, NodeId};

use crate::config::ConfigError;

/// Watches one node.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait FailureDetector: fmt::Debug + Send {
    /// A scheduled beat arrived: what the detector learns its expectation from. Time that goes backwards changes nothing.
    fn handle_beat(&mut self, now: Instant);
    /// Anything authenticated arrived. It proves life, but says nothing about the rhythm of beats.
    fn handle_sign(&mut self, now: Instant);
    /// The interval under way says nothing about the rhythm: an outage lay in it, or the observer itself was away.
    fn skip_interval(&mut self);
    /// Since anything was heard, or since the detector was made.
    fn silence(&self, now: Instant) -> Duration;
    /// How suspicious the silence is, from 0; [`is_overdue`](Self::is_overdue) compares it with the threshold.
    fn level(&self, now: Instant) -> f64;
    /// Whether the silence has passed the threshold.
    fn is_overdue(&self, now: Instant) -> bool;
}

/// Overdue after a fixed span without a sign: the plain detector to compare others with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedTimeout {
    timeout: Duration,
    last_heard: Instant,
}

impl FixedTimeout {
    /// Watches from `now` on.
    ///
    /// # Errors
    /// A time-out of zero: everybody would be overdue at once.
    pub fn new(timeout: Duration, now: Instant) -> Result<Self, ConfigError> {
        if timeout.is_zero() {
            return Err(ConfigError::new("timeout", timeout, "it must be above zero, or everybody is overdue at once"));
        }
        Ok(Self { timeout, last_heard: now })
    }
}

impl FailureDetector for FixedTimeout {
    fn handle_beat(&mut self, now: Instant) {
        self.handle_sign(now);
    }

    fn handle_sign(&mut self, now: Instant) {
        self.last_heard = self.last_heard.max(now);
    }

    /// It knows no rhythm.
    fn skip_interval(&mut self) {}

    fn silence(&self, now: Instant) -> Duration {
        now.since(self.last_heard)
    }

    /// Silence in time-outs: 1 is the threshold.
    fn level(&self, now: Instant) -> f64 {
        self.silence(now).as_secs_f64() / self.timeout.as_secs_f64()
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.silence(now) >= self.timeout
    }
}

/// Evidence that is not silence: somebody who knows that a process has ended, such as the kernel it ran on. Nobody
/// implements it yet. Like a link that ends, what it says is a reason to look at once, and no verdict: the membership core
/// takes it so.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait DeathWatch: fmt::Debug + Send {
    /// The next process known to have ended, `None` when there is none.
    fn poll_death(&mut self) -> Option<(NodeId, Life)>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    #[test]
    fn a_fixed_timeout_is_overdue_exactly_at_its_span() {
        let mut detector = FixedTimeout::new(Duration::from_secs(2), at(500)).unwrap();
        assert!(!detector.is_overdue(at(2_499)));
        assert!(detector.is_overdue(at(2_500)));
        assert!((detector.level(at(1_500)) - 0.5).abs() < 1e-12);
        detector.handle_beat(at(3_000));
        detector.handle_sign(at(1_000));
        assert!(!detector.is_overdue(at(4_999)), "time that goes backwards changes nothing");
        detector.handle_sign(at(5_000));
        assert!(!detector.is_overdue(at(6_999)));
    }

    #[test]
    fn a_timeout_of_zero_is_refused() {
        assert_eq!(FixedTimeout::new(Duration::ZERO, at(0)).unwrap_err().field, "timeout");
    }
}
