//! The one place that reads the clocks. It follows tokio's clock, so a paused runtime pauses the cluster's time with it.

use std::time::{Duration, UNIX_EPOCH};

use cluster_types::Instant;

use crate::host::WallClock;

/// A process's monotonic clock, which stands at [`Instant::START`] when the process starts, and the wall clock at that moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: tokio::time::Instant,
    start_unix_ms: u64,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start(wall: &dyn WallClock) -> Self {
        Self { start: tokio::time::Instant::now(), start_unix_ms: wall.unix_ms() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::START + self.start.elapsed()
    }

    /// The wall clock at the start, in milliseconds since 1970.
    pub(crate) const fn start_unix_ms(&self) -> u64 {
        self.start_unix_ms
    }

    /// The wall clock at [`Instant::ORIGIN`], where no process was yet.
    pub(crate) fn origin_unix_ms(&self) -> u64 {
        let before = Instant::START.since_origin().as_millis();
        self.start_unix_ms.saturating_sub(u64::try_from(before).unwrap_or(u64::MAX))
    }

    /// The moment to sleep until.
    pub(crate) fn at(&self, instant: Instant) -> tokio::time::Instant {
        // A century from now stands for never: beyond it, the runtime's own arithmetic would overflow.
        let since = instant.since_start().min(Duration::from_secs(3_155_760_000));
        self.start + since
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
