//! The window of arrivals: how late the last beats were, with their mean and deviation, in constant time and without
//! allocation. Sums are whole microseconds in integers, so that a million beats leave no rounding behind.

/// The latenesses of the last beats, in microseconds against the expected moment; early is negative.
#[derive(Debug, Clone)]
pub struct ArrivalWindow {
    samples: Box<[i64]>,
    len: usize,
    next: usize,
    sum: i64,
    sum_of_squares: i128,
}

/// Latenesses are cut at a year, far beyond any clock that works: 65,536 of them sum up to 2.1e18, and an `i64` holds 9.2e18.
const LATENESS_MAX_US: i64 = 31_557_600_000_000;

impl ArrivalWindow {
    /// A window of `capacity` beats; at least 2, for a deviation needs two.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let samples = vec![0; capacity.max(2)].into_boxed_slice();
        Self { samples, len: 0, next: 0, sum: 0, sum_of_squares: 0 }
    }

    /// Adds a lateness; the oldest one leaves a full window.
    pub fn push(&mut self, lateness_us: i64) {
        let sample = lateness_us.clamp(-LATENESS_MAX_US, LATENESS_MAX_US);
        let oldest = std::mem::replace(&mut self.samples[self.next], sample);
        if self.len == self.samples.len() {
            self.sum -= oldest;
            self.sum_of_squares -= i128::from(oldest) * i128::from(oldest);
        } else {
            self.len += 1;
        }
        self.sum += sample;
        self.sum_of_squares += i128::from(sample) * i128::from(sample);
        self.next = (self.next + 1) % self.samples.len();
    }

    /// Forgets every beat.
    pub const fn clear(&mut self) {
        (self.len, self.next, self.sum, self.sum_of_squares) = (0, 0, 0, 0);
    }

    /// How many beats are in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Mean lateness in microseconds, 0 for an empty window.
    #[must_use]
    pub fn mean_us(&self) -> f64 {
        if self.len == 0 { 0.0 } else { self.sum as f64 / self.len as f64 }
    }

    /// Sample deviation (with n - 1) in microseconds, 0 below two beats.
    #[must_use]
    pub fn deviation_us(&self) -> f64 {
        if self.len < 2 {
            return 0.0;
        }
        // n * sum of squares - (sum)^2 is exact in integers and never negative.
        let scatter = self.len as i128 * self.sum_of_squares - i128::from(self.sum) * i128::from(self.sum);
        let n = self.len as f64;
        (scatter as f64 / (n * (n - 1.0))).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_window_is_neutral_and_clearing_empties() {
        let mut window = ArrivalWindow::new(3);
        assert!(window.is_empty());
        assert_eq!((window.mean_us(), window.deviation_us()), (0.0, 0.0));
        window.push(5);
        assert!(!window.is_empty());
        assert_eq!((window.len(), window.mean_us(), window.deviation_us()), (1, 5.0, 0.0));
        window.push(9);
        window.clear();
        assert_eq!((window.len(), window.mean_us(), window.deviation_us()), (0, 0.0, 0.0));
        window.push(7);
        assert_eq!((window.len(), window.mean_us()), (1, 7.0));
    }

    #[test]
    fn absurd_latenesses_are_cut_and_do_not_overflow() {
        for capacity in [0, 65_536] {
            let mut window = ArrivalWindow::new(capacity);
            window.push(i64::MIN);
            assert_eq!(window.mean_us(), -LATENESS_MAX_US as f64);
            for _ in 0..capacity.max(2) {
                window.push(i64::MAX);
            }
            assert_eq!(window.mean_us(), LATENESS_MAX_US as f64);
            assert_eq!(window.deviation_us(), 0.0);
        }
    }

    proptest! {
        /// Against the textbook formula over the last `capacity` samples.
        #[test]
        fn mean_and_deviation_are_those_of_the_last_samples(
            capacity in 2usize..20, samples in prop::collection::vec(-5_000_000i64..5_000_000, 1..60),
        ) {
            let mut window = ArrivalWindow::new(capacity);
            samples.iter().for_each(|&sample| window.push(sample));
            let last = &samples[samples.len().saturating_sub(capacity)..];
            let n = last.len() as f64;
            let mean = last.iter().sum::<i64>() as f64 / n;
            let scatter: f64 = last.iter().map(|&s| (s as f64 - mean).powi(2)).sum();
            let deviation = if last.len() < 2 { 0.0 } else { (scatter / (n - 1.0)).sqrt() };
            prop_assert_eq!(window.len(), last.len());
            prop_assert!((window.mean_us() - mean).abs() < 1e-6);
            prop_assert!((window.deviation_us() - deviation).abs() < 1e-3, "{} {}", window.deviation_us(), deviation);
        }
    }
}
