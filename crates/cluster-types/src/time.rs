//! Time without a clock. [`Instant`] has no `now()`: whoever drives a core reads the one clock and passes it in, so that a
//! test, the simulated world and production run the same code.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point on the monotonic clock of one process, in nanoseconds since an origin that the driver chose.
///
/// Arithmetic saturates: 584 years fit, and time that seems to go backwards yields a span of zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The driver's origin.
    pub const ORIGIN: Self = Self(0);

    /// Where the clock of a process starts: eight days after the origin, for longer than that nobody remembers anything. What others say of the
    /// past, "silent for seven seconds", "gone for two days", has its place on the clock of a process that began a moment ago; before the origin
    /// it would have none.
    pub const START: Self = Self(8 * 24 * 3_600 * 1_000_000_000);

    /// Later than anything that happens: the deadline of nothing.
    pub const END: Self = Self(u64::MAX);

    /// The point `since_origin` after the origin.
    #[must_use]
    pub fn after_origin(since_origin: Duration) -> Self {
        Self::ORIGIN + since_origin
    }

    /// The span from the origin to this point.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The span from the start of the process to this point, zero before it.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.since(Self::START)
    }

    /// The span from `earlier` to this point, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", self.since_origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_in_both_directions() {
        let second = Instant::after_origin(Duration::from_secs(1));
        assert_eq!(second.since(Instant::ORIGIN), Duration::from_secs(1));
        assert_eq!(Instant::ORIGIN.since(second), Duration::ZERO);
        assert_eq!(Instant::ORIGIN - Duration::from_secs(9), Instant::ORIGIN);
        assert_eq!(second - Duration::from_millis(400), Instant::after_origin(Duration::from_millis(600)));
        let mut later = second;
        later += Duration::from_millis(250);
        assert_eq!(later.since(second), Duration::from_millis(250));
        assert_eq!(format!("{later:?}"), "+1.25s");
        let end = second + Duration::MAX;
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(end, Instant::END);
    }
}
