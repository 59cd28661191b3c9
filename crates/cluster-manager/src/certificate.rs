//! For how long this node's certificate is still accepted: a node whose certificate is over keeps its links, and makes no new ones.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_pool::Credentials;

use crate::host::WallClock;

/// The credentials in use, and when they end.
#[derive(Debug)]
pub(crate) struct Certificate {
    wall_clock: Arc<dyn WallClock>,
    /// Held to look or to replace.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    credentials: Credentials,
    /// In seconds since 1970, where it was looked up already: that takes some dozen checks of a signature.
    until: Option<u64>,
}

impl Certificate {
    pub(crate) const fn new(credentials: Credentials, wall_clock: Arc<dyn WallClock>) -> Self {
        Self { wall_clock, state: Mutex::new(State { credentials, until: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Others are in use from now on.
    pub(crate) fn set(&self, credentials: Credentials) {
        *self.state() = State { credentials, until: None };
    }

    /// Zero when they are over, or have not begun.
    pub(crate) fn left(&self) -> Duration {
        let now = self.wall_clock.unix_ms() / 1_000;
        let mut state = self.state();
        if state.until.is_none() {
            // What is not valid now may be later: it is asked again.
            state.until = state.credentials.valid_until(now);
        }
        Duration::from_secs(state.until.map_or(0, |until| until.saturating_sub(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_pool::Authority;
    use cluster_pool::identity::authority::Validity;
    use std::sync::atomic::{AtomicU64, Ordering};

    const NOW: u64 = 1_795_000_000;

    #[derive(Debug)]
    struct Clock(AtomicU64);

    impl WallClock for Clock {
        fn unix_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed) * 1_000
        }
    }

    #[test]
    fn what_is_left_falls_to_nothing_and_is_renewed() {
        let authority = Authority::generate("test".parse().unwrap(), NOW).unwrap();
        let days = |from, days| authority.issue(&"a".parse().unwrap(), Validity::days(from, days)).unwrap();
        let clock = Arc::new(Clock(AtomicU64::new(NOW)));
        let certificate = Certificate::new(days(NOW, 2), Arc::clone(&clock) as _);
        let left = |seconds: u64| {
            clock.0.store(NOW + seconds, Ordering::Relaxed);
            certificate.left().as_secs()
        };
        assert!((2 * 86_400 - 1..=2 * 86_400).contains(&left(0)), "{}", left(0));
        assert!((86_399..=86_400).contains(&left(86_400)));
        assert_eq!(left(2 * 86_400 + 1), 0);
        certificate.set(days(NOW + 2 * 86_400, 30));
        assert!((29 * 86_400..=30 * 86_400).contains(&left(2 * 86_400 + 1)));
        // One that begins only tomorrow is none today, and is one then.
        certificate.set(days(NOW + 20 * 86_400, 30));
        assert_eq!(left(0), 0);
        assert!(left(25 * 86_400) > 20 * 86_400);
    }
}
