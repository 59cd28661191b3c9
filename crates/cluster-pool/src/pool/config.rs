//! The pool's settings.

use std::time::Duration;

use cluster_failure::ConfigError;

/// Settings of a [`ConnectionPool`](super::ConnectionPool).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PoolConfig {
    /// A dial that is not up after this, hello included, has failed. Default 5 s: too low and slow paths never connect;
    /// too high and callers wait for dead peers.
    pub dial_timeout: Duration,
    /// Dials under way at once; more wait. Default 64: a handshake costs about half a millisecond of CPU.
    pub dials_max: usize,
    /// Handshakes of peers under way at once; more are refused visibly, and the peers retry. Default 256.
    pub handshakes_max: usize,
    /// Streams a peer may have served at once on one data link; more wait in the transport. Default 128.
    pub streams_served_max: usize,
    /// Events the owner may be behind. Default 4,096: a burst of gossip from all links of one node.
    pub event_queue_len: usize,
    /// How long a peer's stream may stay without its first whole frame. Default 3 s.
    pub first_frame_timeout: Duration,
    /// Data connections in all, of this side's dialling or the peers'. One more takes the place of the one that has been idle
    /// for longest; where none is idle it is refused. Default 50.
    pub max_total: usize,
    /// Data connections to one peer: the shared one and those of [`open_new`](super::ConnectionPool::open_new). Default 1.
    pub max_per_peer: usize,
    /// Data connections of one client: of everybody who shows that certificate. Default 32: the processes of an application often share
    /// one.
    pub max_per_client: usize,
    /// A data connection that nobody has used for this long is closed. Default 60 s: a handshake saved is half a millisecond of CPU,
    /// a connection kept is tens of kilobytes.
    pub idle_timeout: Duration,
    /// How often idle connections are looked for. Default 30 s.
    pub idle_check_interval: Duration,
    /// A mistake to plant.
    #[cfg(feature = "planted")]
    pub bug: Option<crate::planted::Bug>,
}

/// More of anything than any process can have.
const COUNT_MAX: usize = 1 << 20;

/// Longer than any process waits.
const SPAN_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            dial_timeout: Duration::from_secs(5),
            dials_max: 64,
            handshakes_max: 256,
            streams_served_max: 128,
            event_queue_len: 4_096,
            first_frame_timeout: Duration::from_secs(3),
            max_total: 50,
            max_per_peer: 1,
            max_per_client: 32,
            idle_timeout: Duration::from_secs(60),
            idle_check_interval: Duration::from_secs(30),
            #[cfg(feature = "planted")]
            bug: None,
        }
    }
}

impl PoolConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether a pool can work with them.
    ///
    /// # Errors
    /// The first setting that cannot work, and why.
    pub fn check(&self) -> Result<(), ConfigError> {
        let counts = [
            ("dials_max", self.dials_max, "it must be 1 to 1048576: with 0 nobody is dialled"),
            ("handshakes_max", self.handshakes_max, "it must be 1 to 1048576: with 0 nobody gets in"),
            ("streams_served_max", self.streams_served_max, "it must be 1 to 1048576: with 0 nobody is served"),
            ("event_queue_len", self.event_queue_len, "it must be 1 to 1048576: with 0 nothing is heard"),
            ("max_per_peer", self.max_per_peer, "it must be 1 to 1048576: with 0 no message goes to anybody"),
        ];
        for (field, given, rule) in counts {
            if !(1..=COUNT_MAX).contains(&given) {
                return Err(ConfigError { field, given: given.to_string(), rule });
            }
        }
        let limits = [("max_total", self.max_total), ("max_per_client", self.max_per_client)];
        if let Some((field, given)) = limits.into_iter().find(|(_, given)| *given > COUNT_MAX) {
            return Err(ConfigError { field, given: given.to_string(), rule: "it must be at most 1048576" });
        }
        let spans = [
            ("dial_timeout", self.dial_timeout),
            ("first_frame_timeout", self.first_frame_timeout),
            ("idle_timeout", self.idle_timeout),
            ("idle_check_interval", self.idle_check_interval),
        ];
        for (field, given) in spans {
            if given.is_zero() || given > SPAN_MAX {
                return Err(ConfigError {
                    field,
                    given: format!("{given:?}"),
                    rule: "it must be above zero and at most a year",
                });
            }
        }
        Ok(())
    }

    /// So many data connections in all.
    #[must_use]
    pub const fn with_max_total(mut self, max: usize) -> Self {
        self.max_total = max;
        self
    }

    /// So many data connections to one peer.
    #[must_use]
    pub const fn with_max_per_peer(mut self, max: usize) -> Self {
        self.max_per_peer = max;
        self
    }

    /// Closes what nobody has used for `timeout`, looked for every `interval`.
    #[must_use]
    pub const fn with_idle(mut self, timeout: Duration, interval: Duration) -> Self {
        self.idle_timeout = timeout;
        self.idle_check_interval = interval;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_what_they_are_said_to_be() {
        let config = PoolConfig::new();
        assert_eq!((config.max_total, config.max_per_peer, config.max_per_client), (50, 1, 32));
        assert_eq!((config.dials_max, config.handshakes_max, config.streams_served_max), (64, 256, 128));
        assert_eq!((config.dial_timeout.as_secs(), config.first_frame_timeout.as_secs()), (5, 3));
        assert_eq!((config.idle_timeout.as_secs(), config.idle_check_interval.as_secs()), (60, 30));
        assert!(config.check().is_ok());
    }

    /// What is at its limit works, and what is one beyond it is named.
    #[test]
    fn limits_are_where_they_are_said_to_be() {
        type Count = fn(&mut PoolConfig) -> &mut usize;
        let counts: [(&str, usize, Count); 7] = [
            ("dials_max", 1, |c| &mut c.dials_max),
            ("handshakes_max", 1, |c| &mut c.handshakes_max),
            ("streams_served_max", 1, |c| &mut c.streams_served_max),
            ("event_queue_len", 1, |c| &mut c.event_queue_len),
            ("max_per_peer", 1, |c| &mut c.max_per_peer),
            ("max_total", 0, |c| &mut c.max_total),
            ("max_per_client", 0, |c| &mut c.max_per_client),
        ];
        let with = |count: Count, value: usize| {
            let mut config = PoolConfig::new();
            *count(&mut config) = value;
            config.check().map_err(|error| error.field)
        };
        for (field, least, count) in counts {
            assert_eq!((with(count, least), with(count, 1 << 20)), (Ok(()), Ok(())), "{field}");
            assert_eq!(with(count, (1 << 20) + 1), Err(field));
            if least == 1 {
                assert_eq!(with(count, 0), Err(field));
            }
        }
        type Span = fn(&mut PoolConfig) -> &mut Duration;
        let spans: [(&str, Span); 4] = [
            ("dial_timeout", |c| &mut c.dial_timeout),
            ("first_frame_timeout", |c| &mut c.first_frame_timeout),
            ("idle_timeout", |c| &mut c.idle_timeout),
            ("idle_check_interval", |c| &mut c.idle_check_interval),
        ];
        let year = Duration::from_secs(31_536_000);
        for (field, span) in spans {
            for (value, works) in [
                (Duration::from_nanos(1), true),
                (year, true),
                (Duration::ZERO, false),
                (year + Duration::from_nanos(1), false),
            ] {
                let mut config = PoolConfig::new();
                *span(&mut config) = value;
                assert_eq!(config.check().map_err(|error| error.field), if works { Ok(()) } else { Err(field) });
            }
        }
    }
}
