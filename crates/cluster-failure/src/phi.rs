//! Phi accrual (Hayashibara, Defago, Yared, Katayama: "The phi accrual failure detector", 2004): not "dead or alive", but
//! how improbable the present silence would be if the node lived.
//!
//! `phi = -log10(P(a beat is later than this))` under a normal distribution fitted to the last beats. Phi 1 is wrong one
//! time in ten, phi 2 one in a hundred.
//!
//! # Which "phi 8" this is
//! Numbers of different systems do not compare. Here phi 8 is the mean + 5.6 deviations of a normal distribution, and the
//! deviation is never taken below a quarter of the mean: with steady beats of 1 s that is 2.4 s of silence. Akka adds an
//! acceptable pause to the mean and approximates the tail by a logistic function. Cassandra uses an exponential
//! distribution, whose phi 8 is 18.4 means. A threshold carried over from elsewhere means something else here.

use std::time::Duration;

use cluster_types::Instant;

use crate::arrival::ArrivalWindow;
use crate::config::ConfigError;
use crate::detector::FailureDetector;
use crate::normal::tail_log10;

/// The phi accrual detector of one node. Constant time and no allocation per beat and per question.
#[derive(Debug, Clone)]
pub struct PhiAccrualDetector {
    threshold: f64,
    min_samples: usize,
    period: Duration,
    floor: DeviationFloor,
    window: ArrivalWindow,
    last_beat: Option<Instant>,
    last_heard: Instant,
}

/// The deviation is never taken to be smaller: a node that was punctual a hundred times may still be late once.
#[derive(Debug, Clone, Copy, PartialEq)]
struct DeviationFloor {
    least: Duration,
    of_mean: f64,
}

impl PhiAccrualDetector {
    /// A detector that is overdue at `threshold`, learns from the last `window` beats, and trusts them from `min_samples`
    /// on. Beats are expected every second unless [`with_period`](Self::with_period) says otherwise.
    ///
    /// # Errors
    /// A threshold that is not a positive number, a window below 2, or more `min_samples` than the window holds.
    pub fn new(threshold: f64, window: usize, min_samples: usize) -> Result<Self, ConfigError> {
        const WINDOW_MAX: usize = 65_536;
        if !(threshold.is_finite() && threshold > 0.0) {
            return Err(ConfigError::new("threshold", threshold, "it must be a positive number; 8 is customary"));
        }
        if !(2..=WINDOW_MAX).contains(&window) {
            return Err(ConfigError::new("window", window, "it must be 2 to 65536 beats: a deviation needs two"));
        }
        if !(2..=window).contains(&min_samples) {
            return Err(ConfigError::new("min_samples", min_samples, "it must be at least 2 and fit the window"));
        }
        Ok(Self {
            threshold,
            min_samples,
            period: Duration::from_secs(1),
            floor: DeviationFloor { least: Duration::from_millis(100), of_mean: 0.25 },
            window: ArrivalWindow::new(window),
            last_beat: None,
            last_heard: Instant::ORIGIN,
        })
    }

    /// Expects a beat every `period`.
    ///
    /// # Errors
    /// A period of zero.
    pub fn with_period(mut self, period: Duration) -> Result<Self, ConfigError> {
        if period.is_zero() {
            return Err(ConfigError::new("period", period, "it must be above zero: beats take time"));
        }
        self.set_period(period);
        Ok(self)
    }

    /// Counts the first silence from `now`, the moment of creation.
    #[must_use]
    pub const fn started_at(mut self, now: Instant) -> Self {
        self.last_heard = now;
        self
    }

    /// Changes the floor of the deviation: the larger of `least` and `of_mean` times the mean. Zero for both takes it away.
    ///
    /// # Errors
    /// A fraction that is negative or not a number.
    pub fn with_deviation_floor(mut self, least: Duration, of_mean: f64) -> Result<Self, ConfigError> {
        if !(of_mean.is_finite() && of_mean >= 0.0) {
            return Err(ConfigError::new("of_mean", of_mean, "it must be a fraction of the mean, 0 or above"));
        }
        self.floor = DeviationFloor { least, of_mean };
        Ok(self)
    }

    /// The schedule has changed: what was learnt of the old one says nothing about the new one.
    pub fn set_period(&mut self, period: Duration) {
        if period != self.period && !period.is_zero() {
            self.period = period;
            self.window.clear();
            self.last_beat = None;
        }
    }

    /// The interval under way says nothing about the rhythm: an outage lay in it, or the observer itself was away. The next
    /// beat begins a new one.
    pub const fn skip_interval(&mut self) {
        self.last_beat = None;
    }

    /// The threshold.
    #[must_use]
    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Since anything authenticated was heard, or since it was created.
    #[must_use]
    pub const fn silence(&self, now: Instant) -> Duration {
        now.since(self.last_heard)
    }

    /// Suspicion of the silence at `now`: finite, and never falling while the silence lasts.
    #[must_use]
    pub fn phi(&self, now: Instant) -> f64 {
        let (mean, deviation) = self.expectation();
        tail_log10((seconds(now.since(self.last_heard)) - mean) / deviation)
    }

    /// Until then the present silence is not overdue for certain: whoever watches many need not look before. A sign of life moves it on; a
    /// beat may move it back as well, for it changes what is expected.
    #[must_use]
    pub fn quiet_until(&self) -> Instant {
        let (mean, deviation) = self.expectation();
        let silence = if self.threshold >= CUSTOMARY { mean + CUSTOMARY_DEVIATIONS * deviation } else { 0.0 };
        // No expectation is so long that it would not fit; one that is not above zero is none.
        self.last_heard + Duration::try_from_secs_f64(silence).unwrap_or_default()
    }

    /// Mean and deviation of the interval between beats, in seconds.
    fn expectation(&self) -> (f64, f64) {
        let period = seconds(self.period);
        if self.window.len() < self.min_samples {
            return (period, period * 0.5);
        }
        let mean = period + self.window.mean_us() * 1e-6;
        let floor = seconds(self.floor.least).max(self.floor.of_mean * mean);
        // A nanosecond stands in for no deviation at all, so that nothing is divided by zero.
        (mean, (self.window.deviation_us() * 1e-6).max(floor).max(1e-9))
    }
}

/// The customary threshold, and deviations above the mean at which phi is certainly still below it: phi of 5.6 is 7.97.
const CUSTOMARY: f64 = 8.0;
const CUSTOMARY_DEVIATIONS: f64 = 5.6;

/// Seconds by multiplication: `Duration::as_secs_f64` divides, which is most of what a question would cost.
fn seconds(span: Duration) -> f64 {
    span.as_secs() as f64 + f64::from(span.subsec_nanos()) * 1e-9
}

impl FailureDetector for PhiAccrualDetector {
    fn handle_beat(&mut self, now: Instant) {
        if self.last_beat.is_some_and(|last| now < last) {
            return;
        }
        if let Some(last) = self.last_beat {
            let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            self.window.push(micros(now.since(last)).saturating_sub(micros(self.period)));
        }
        self.last_beat = Some(now);
        self.handle_sign(now);
    }

    fn handle_sign(&mut self, now: Instant) {
        self.last_heard = self.last_heard.max(now);
    }

    fn skip_interval(&mut self) {
        Self::skip_interval(self);
    }

    fn silence(&self, now: Instant) -> Duration {
        Self::silence(self, now)
    }

    fn level(&self, now: Instant) -> f64 {
        self.phi(now)
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.phi(now) >= self.threshold
    }
}

#[cfg(test)]
mod tests;
