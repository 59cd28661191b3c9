//! The one place that reads the clocks. It follows tokio's clock, so a paused runtime pauses the cluster's time with it.

use std::time::{Duration, UNIX_EPOCH};

use cluster_types::Instant;

use crate::host::WallClock;

/// A process's monotonic clock with its origin, and the wall clock at that origin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
    origin_unix_ms: u64,
}

impl Clock {
    /// A clock whose origin is now.
    pub(crate) fn start(wall: &dyn WallClock) -> Self {
        Self { origin: tokio::time::Instant::now(), origin_unix_ms: wall.unix_ms() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::after_origin(self.origin.elapsed())
    }

    /// The wall clock at the origin, in milliseconds since 1970.
    pub(crate) const fn origin_unix_ms(&self) -> u64 {
        self.origin_unix_ms
    }

    /// The moment to sleep until.
    pub(crate) fn at(&self, instant: Instant) -> tokio::time::Instant {
        // A century from now stands for never: beyond it, the runtime's own arithmetic would overflow.
        let since = instant.since_origin().min(Duration::from_secs(3_155_760_000));
        self.origin + since
    }
}

/// The system's.
#[derive(Debug)]
pub(crate) struct SystemWallClock;

impl WallClock for SystemWallClock {
    fn unix_ms(&self) -> u64 {
        unix_ms()
    }
}

/// Milliseconds since 1970, zero before.
pub(crate) fn unix_ms() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
