//! The circuit breaker: after enough failures nobody tries for a while, then a few try for all.
//!
//! A plain value with `now` passed in. Attempts hold permits that return themselves when they are dropped, so a cancelled
//! trial never blocks the next one; what comes back for an earlier state of the breaker is ignored. (Nygard: "Release It!",
//! 2007, chapter 5.)

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cluster_types::Instant;

use crate::config::ConfigError;

/// Outcomes that the failure rate is taken over.
const RATE_WINDOW: u32 = 20;

/// Checked settings of a [`CircuitBreaker`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerConfig {
    failures: u32,
    failure_rate: f64,
    cool_down: Duration,
    cool_down_max: Duration,
    trials: u32,
}

impl BreakerConfig {
    /// Opens after `failures` in a row, or when `failure_rate` (0 to 1) of the last 20 failed; stays open for `cool_down`,
    /// doubling up to `cool_down_max` while trials fail; admits `trials` at once when half open.
    ///
    /// # Errors
    /// Names the field that cannot work.
    pub fn new(
        failures: u32,
        failure_rate: f64,
        cool_down: Duration,
        cool_down_max: Duration,
        trials: u32,
    ) -> Result<Self, ConfigError> {
        if failures == 0 {
            return Err(ConfigError::new("failures", failures, "it must be at least 1, or it is open before it began"));
        }
        if !(failure_rate > 0.0 && failure_rate <= 1.0) {
            return Err(ConfigError::new("failure_rate", failure_rate, "it must be above 0 and at most 1"));
        }
        if cool_down.is_zero() {
            return Err(ConfigError::new("cool_down", cool_down, "it must be above zero, or it never holds"));
        }
        if cool_down_max < cool_down {
            return Err(ConfigError::new("cool_down_max", cool_down_max, "it must not be below cool_down"));
        }
        if cool_down_max > Duration::from_secs(24 * 60 * 60) {
            return Err(ConfigError::new("cool_down_max", cool_down_max, "it must be at most a day"));
        }
        if trials == 0 {
            return Err(ConfigError::new("trials", trials, "it must be at least 1, or it never closes again"));
        }
        Ok(Self { failures, failure_rate, cool_down, cool_down_max, trials })
    }

    /// Five failures in a row or half of the last 20; 30 s, growing to 5 min; one trial.
    #[must_use]
    pub const fn dialling() -> Self {
        let (cool_down, cool_down_max) = (Duration::from_secs(30), Duration::from_secs(300));
        Self { failures: 5, failure_rate: 0.5, cool_down, cool_down_max, trials: 1 }
    }
}

/// What a breaker does with attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets them through.
    Closed,
    /// Refuses them.
    Open,
    /// Lets a few through, to see.
    HalfOpen,
}

/// A change of state: an event and a metric for the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: BreakerState,
    /// After.
    pub to: BreakerState,
}

/// Attempts are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct Refused {
    /// When asking again is worth while; `None` when it depends on trials under way.
    pub retry_at: Option<Instant>,
}

/// The right to one attempt. Give it back with the outcome; dropped, it counts as no attempt at all.
#[must_use = "a permit that is dropped gives its place back"]
pub struct Permit {
    generation: u64,
    /// Trials under way, counted down when a trial's permit goes.
    trial: Option<Arc<AtomicU32>>,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("trial", &self.trial.is_some()).finish_non_exhaustive()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(trials) = &self.trial {
            trials.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// Badly.
    Failure,
}

#[derive(Debug)]
enum Phase {
    Closed { in_a_row: u32, last: Last },
    Open { until: Instant },
    HalfOpen { trials: Arc<AtomicU32> },
}

/// The last outcomes, a bit each, failures set.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    bits: u32,
    count: u32,
}

impl Last {
    fn push(&mut self, outcome: Outcome) {
        const MASK: u32 = (1 << RATE_WINDOW) - 1;
        self.bits = ((self.bits << 1) | u32::from(outcome == Outcome::Failure)) & MASK;
        self.count = (self.count + 1).min(RATE_WINDOW);
    }

    /// The failure rate, once there are enough outcomes to speak of one.
    fn rate(self) -> Option<f64> {
        (self.count == RATE_WINDOW).then(|| f64::from(self.bits.count_ones()) / f64::from(RATE_WINDOW))
    }
}

/// The breaker of one thing that may fail.
#[derive(Debug)]
pub struct CircuitBreaker {
    config: BreakerConfig,
    phase: Phase,
    generation: u64,
    /// How long it will stay open the next time.
    next_cool_down: Duration,
}

impl CircuitBreaker {
    /// Closed.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        Self { next_cool_down: config.cool_down, config, phase: closed(), generation: 0 }
    }

    /// What it does with attempts. A breaker that has cooled down is open until somebody asks.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// When an open breaker lets a trial through; `None` when it is not open.
    #[must_use]
    pub const fn retry_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// Asks for an attempt. The transition, if asking caused one, comes beside the answer.
    ///
    /// # Errors
    /// It is open, or half open with all its trials under way.
    pub fn permit(&mut self, now: Instant) -> (Result<Permit, Refused>, Option<Transition>) {
        let mut transition = None;
        if self.retry_at().is_some_and(|until| now >= until) {
            transition = Some(self.enter(Phase::HalfOpen { trials: Arc::default() }));
        }
        let granted = match &self.phase {
            Phase::Closed { .. } => Ok(Permit { generation: self.generation, trial: None }),
            Phase::Open { until } => Err(Refused { retry_at: Some(*until) }),
            Phase::HalfOpen { trials } if trials.load(Ordering::Acquire) >= self.config.trials => {
                Err(Refused { retry_at: None })
            }
            Phase::HalfOpen { trials } => {
                trials.fetch_add(1, Ordering::AcqRel);
                Ok(Permit { generation: self.generation, trial: Some(Arc::clone(trials)) })
            }
        };
        (granted, transition)
    }

    /// An attempt ended. The permit of an earlier generation changes nothing: the world has moved on.
    pub fn handle_outcome(&mut self, now: Instant, permit: Permit, outcome: Outcome) -> Option<Transition> {
        if permit.generation != self.generation {
            return None;
        }
        drop(permit);
        match (&mut self.phase, outcome) {
            (Phase::Closed { in_a_row, last }, _) => {
                last.push(outcome);
                *in_a_row = if outcome == Outcome::Failure { *in_a_row + 1 } else { 0 };
                let too_many = *in_a_row >= self.config.failures;
                let too_often = last.rate().is_some_and(|rate| rate >= self.config.failure_rate);
                (too_many || (too_often && outcome == Outcome::Failure)).then(|| self.open(now))
            }
            (Phase::HalfOpen { .. }, Outcome::Failure) => Some(self.open(now)),
            (Phase::HalfOpen { .. }, Outcome::Success) => self.close(),
            // No permit of this generation was given while open.
            (Phase::Open { .. }, _) => None,
        }
    }

    /// The thing has proven that it works by itself: an inbound link, an `alive`, a new life. Closes at once.
    pub fn close(&mut self) -> Option<Transition> {
        self.next_cool_down = self.config.cool_down;
        if self.state() == BreakerState::Closed {
            self.phase = closed();
            return None;
        }
        Some(self.enter(closed()))
    }

    fn open(&mut self, now: Instant) -> Transition {
        let until = now + self.next_cool_down;
        self.next_cool_down = self.next_cool_down.saturating_mul(2).min(self.config.cool_down_max);
        self.enter(Phase::Open { until })
    }

    fn enter(&mut self, phase: Phase) -> Transition {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        Transition { from, to: self.state() }
    }
}

const fn closed() -> Phase {
    Phase::Closed { in_a_row: 0, last: Last { bits: 0, count: 0 } }
}

#[cfg(test)]
mod tests;
