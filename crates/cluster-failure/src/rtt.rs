//! Round-trip estimate: smoothed mean and variation, as in RFC 6298, yielding a time-out that follows the path.

use std::time::Duration;

/// Smoothed round-trip time (gain 1/8) and variation (gain 1/4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RttEstimator {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl RttEstimator {
    /// Adds a measured round trip.
    pub fn note_sample(&mut self, rtt: Duration) {
        let Some(smoothed) = self.smoothed else {
            self.smoothed = Some(rtt);
            self.variation = rtt / 2;
            return;
        };
        self.variation = self.variation.mul_f64(0.75) + smoothed.abs_diff(rtt).mul_f64(0.25);
        self.smoothed = Some(smoothed.mul_f64(0.875) + rtt.mul_f64(0.125));
    }

    /// The smoothed round trip, `None` before the first sample.
    #[must_use]
    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// A time-out: smoothed + 4 variations, but no less than `floor` and no more than `ceiling`; `ceiling` before the first
    /// sample.
    #[must_use]
    pub fn timeout(&self, floor: Duration, ceiling: Duration) -> Duration {
        match self.smoothed {
            Some(smoothed) => smoothed.saturating_add(self.variation.saturating_mul(4)).max(floor).min(ceiling),
            None => ceiling,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_steady_path_converges_to_its_round_trip() {
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.timeout(ms(10), ms(500)), ms(500));
        rtt.note_sample(ms(80));
        assert_eq!(rtt.timeout(ms(10), ms(500)), ms(80 + 4 * 40), "RFC 6298: variation starts at half");
        for _ in 0..100 {
            rtt.note_sample(ms(20));
        }
        let smoothed = rtt.smoothed().unwrap();
        assert!(smoothed.abs_diff(ms(20)) < Duration::from_micros(10), "{smoothed:?}");
        let timeout = rtt.timeout(ms(1), ms(500));
        assert!(timeout >= smoothed && timeout < ms(21), "{timeout:?}");
    }

    #[test]
    fn one_step_follows_the_gains_of_the_rfc() {
        let mut rtt = RttEstimator::default();
        rtt.note_sample(ms(100));
        rtt.note_sample(ms(180));
        assert_eq!(rtt.smoothed(), Some(ms(110)), "7/8 of 100 + 1/8 of 180");
        assert_eq!(rtt.timeout(ms(1), ms(10_000)), ms(110) + Duration::from_micros(4 * 57_500));
    }

    #[test]
    fn floor_and_ceiling_hold() {
        let mut rtt = RttEstimator::default();
        rtt.note_sample(Duration::from_micros(50));
        assert_eq!(rtt.timeout(ms(5), ms(500)), ms(5));
        rtt.note_sample(Duration::from_secs(9));
        assert_eq!(rtt.timeout(ms(5), ms(500)), ms(500));
    }
}
