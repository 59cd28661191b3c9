//! A peer's settings.

use std::time::Duration;

use cluster_failure::{BackoffConfig, BreakerConfig};

use super::message::Priority;
use super::queue::{Bounds, ENTRY, Overflow};

/// Settings of a [`Peer`](super::Peer).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeerConfig {
    /// Messages that wait at most, 1 or more. Default 100: more hide a peer that is gone, fewer do not outlast a reconnect.
    pub queue_len_max: usize,
    /// Bytes that wait at most, with 64 for each message beside its body. Default 4 MiB.
    pub queue_bytes_max: usize,
    /// No message waits for longer, whatever its own time to live. Default 60 s.
    pub queue_age_max: Duration,
    /// What happens to a message for which there is no room. Default: the oldest makes room.
    pub overflow: Overflow,
    /// The longest body, in bytes. Default 1 MiB, which is what a receiver accepts; longer things go on streams.
    pub message_len_max: usize,
    /// Requests under way at once; more wait within their deadline. Default 64.
    pub requests_max: usize,
    /// Delays between attempts to connect. Default 100 ms to 30 s.
    pub backoff: BackoffConfig,
    /// When to stop trying for a while. Default: after five failures in a row, for 30 s and more.
    pub breaker: BreakerConfig,
    /// The streams of the messages are closed after so long without one, so that the pool may find the link idle. Default 10 s.
    pub rest_after: Duration,
    /// Seeds the jitter of the delays. Two peers of one owner need two.
    pub seed: u64,
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self {
            queue_len_max: 100,
            queue_bytes_max: 4 * 1024 * 1024,
            queue_age_max: Duration::from_secs(60),
            overflow: Overflow::DropOldest,
            message_len_max: MESSAGE_LEN_MAX,
            requests_max: 64,
            backoff: BackoffConfig::reconnect(),
            breaker: BreakerConfig::dialling(),
            rest_after: Duration::from_secs(10),
            seed: 0,
        }
    }
}

/// Longer than any process waits.
const SPAN_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// More of anything than any process can have.
const COUNT_MAX: usize = 1 << 20;

/// The longest message that a receiver accepts, and the longest reply that a requester does.
pub const MESSAGE_LEN_MAX: usize = 1024 * 1024;

/// A setting with which a peer cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {reason}")]
pub struct PeerConfigError {
    /// Which one.
    pub field: &'static str,
    /// What it is.
    pub value: String,
    /// Why it cannot work.
    pub reason: &'static str,
}

impl PeerConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For much traffic: a thousand messages and 64 MiB may wait.
    #[must_use]
    pub fn bulk() -> Self {
        Self { queue_len_max: 1_000, queue_bytes_max: 64 * 1024 * 1024, ..Self::default() }
    }

    /// So much may wait: messages, and bytes.
    #[must_use]
    pub const fn with_queue(mut self, len_max: usize, bytes_max: usize) -> Self {
        self.queue_len_max = len_max;
        self.queue_bytes_max = bytes_max;
        self
    }

    /// What happens to a message for which there is no room.
    #[must_use]
    pub const fn with_overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Seeds the jitter.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Says whether a peer can work with them.
    ///
    /// # Errors
    /// The first setting that cannot work, and why.
    pub fn check(&self) -> Result<(), PeerConfigError> {
        let wrong = |field, value: String, reason| Err(PeerConfigError { field, value, reason });
        if self.queue_len_max == 0 {
            return wrong("queue_len_max", "0".into(), "it must be at least 1, or nothing can be sent");
        }
        if !(1..=MESSAGE_LEN_MAX).contains(&self.message_len_max) {
            let value = self.message_len_max.to_string();
            return wrong("message_len_max", value, "it must be 1 to 1048576, which is what receivers accept");
        }
        if self.queue_bytes_max < self.message_len_max + ENTRY {
            let value = self.queue_bytes_max.to_string();
            return wrong("queue_bytes_max", value, "it must hold a message of message_len_max and 64 bytes");
        }
        if !(1..=COUNT_MAX).contains(&self.requests_max) {
            let value = self.requests_max.to_string();
            return wrong("requests_max", value, "it must be 1 to 1048576: with 0 no request can be made");
        }
        if self.rest_after.is_zero() {
            return wrong("rest_after", "0s".into(), "it must be above zero, or a link is let go before it is used");
        }
        if self.queue_age_max.is_zero() {
            return wrong("queue_age_max", "0s".into(), "it must be above zero, or every message expires at once");
        }
        for (field, given) in [("queue_age_max", self.queue_age_max), ("rest_after", self.rest_after)] {
            if given > SPAN_MAX {
                return wrong(field, format!("{given:?}"), "it must be at most a year");
            }
        }
        if self.queue_len_max > COUNT_MAX {
            return wrong("queue_len_max", self.queue_len_max.to_string(), "it must be at most 1048576");
        }
        Ok(())
    }

    pub(super) const fn bounds(&self) -> Bounds {
        Bounds { len_max: self.queue_len_max, bytes_max: self.queue_bytes_max, age_max: self.queue_age_max }
    }
}

/// Messages of one priority that may be on their way without an answer of the receiver's, and their bytes: enough for 100 ms at
/// 600 messages/s, or 2.5 MB/s, and few enough that a receiver that stalls holds up only its own.
pub(super) const IN_FLIGHT_LEN_MAX: usize = 64;
pub(super) const IN_FLIGHT_BYTES_MAX: usize = 256 * 1024;

/// What a priority is called.
pub(super) const fn word_of(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_what_they_are_said_to_be() {
        let ordinary = PeerConfig::new();
        assert_eq!((ordinary.queue_len_max, ordinary.queue_bytes_max), (100, 4_194_304));
        assert_eq!((ordinary.message_len_max, ordinary.requests_max), (1_048_576, 64));
        assert_eq!((ordinary.queue_age_max.as_secs(), ordinary.rest_after.as_secs()), (60, 10));
        let bulk = PeerConfig::bulk();
        assert_eq!((bulk.queue_len_max, bulk.queue_bytes_max), (1_000, 67_108_864));
        for config in [ordinary, bulk, PeerConfig::new().with_queue(1, MESSAGE_LEN_MAX + ENTRY)] {
            assert_eq!(config.check(), Ok(()));
        }
        assert_eq!(Priority::ALL.map(word_of), ["high", "normal", "low"]);
    }

    /// What is at its limit works, and what is one beyond it is named.
    #[test]
    fn limits_are_where_they_are_said_to_be() {
        let year = Duration::from_secs(31_536_000);
        let good = |change: fn(&mut PeerConfig, Duration)| {
            let mut config = PeerConfig::new();
            change(&mut config, year);
            assert_eq!(config.check(), Ok(()));
        };
        let bad = |field: &str, change: fn(&mut PeerConfig, Duration)| {
            let mut config = PeerConfig::new();
            change(&mut config, year);
            assert_eq!(config.check().unwrap_err().field, field);
        };
        good(|c, _| c.queue_len_max = 1);
        good(|c, _| c.queue_len_max = 1 << 20);
        bad("queue_len_max", |c, _| c.queue_len_max = 0);
        bad("queue_len_max", |c, _| c.queue_len_max = (1 << 20) + 1);
        good(|c, _| c.message_len_max = 1);
        bad("message_len_max", |c, _| c.message_len_max = (1 << 20) + 1);
        good(|c, _| c.queue_bytes_max = (1 << 20) + ENTRY);
        bad("queue_bytes_max", |c, _| c.queue_bytes_max = (1 << 20) + ENTRY - 1);
        good(|c, _| c.requests_max = 1 << 20);
        bad("requests_max", |c, _| c.requests_max = (1 << 20) + 1);
        bad("requests_max", |c, _| c.requests_max = 0);
        good(|c, year| c.queue_age_max = year);
        good(|c, year| c.rest_after = year);
        bad("queue_age_max", |c, year| c.queue_age_max = year + Duration::from_nanos(1));
        bad("rest_after", |c, year| c.rest_after = year + Duration::from_nanos(1));
        bad("queue_age_max", |c, _| c.queue_age_max = Duration::ZERO);
        bad("rest_after", |c, _| c.rest_after = Duration::ZERO);
    }
}
