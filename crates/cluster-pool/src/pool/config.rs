//! The pool's settings.

use std::time::Duration;

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
    /// A mistake to plant.
    #[cfg(feature = "planted")]
    pub bug: Option<crate::planted::Bug>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            dial_timeout: Duration::from_secs(5),
            dials_max: 64,
            handshakes_max: 256,
            streams_served_max: 128,
            event_queue_len: 4_096,
            first_frame_timeout: Duration::from_secs(3),
            #[cfg(feature = "planted")]
            bug: None,
        }
    }
}
