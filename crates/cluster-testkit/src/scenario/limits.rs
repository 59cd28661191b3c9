//! How little a node may hold: what is usually large enough to be out of reach becomes so small that it is reached.

use std::time::Duration;

use cluster_manager::{ClusterConfig, Profile};
use cluster_pool::Overflow;
use serde::{Deserialize, Serialize};

/// Bounds of every node of a scenario; the usual ones where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// Data connections of a node in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<usize>,
    /// For how many milliseconds a data connection that nobody uses is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// Messages that wait before one peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<usize>,
    /// Whether a message for which there is no room is refused; the oldest makes room otherwise.
    pub refuse: bool,
    /// Requests to one peer that are under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<usize>,
    /// Handshakes of others that are under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes: Option<usize>,
    /// How many milliseconds a node takes for each message and each request of the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handling_ms: Option<u64>,
}

impl Limits {
    pub(crate) fn apply(&self, config: &mut ClusterConfig) {
        let Self { links, idle_ms, queue, refuse, requests, handshakes, handling_ms: _ } = self;
        let (pool, peers) = (&mut config.pool, &mut config.peers);
        links.iter().for_each(|max| pool.max_total = *max);
        idle_ms.iter().map(|ms| Duration::from_millis(*ms)).for_each(|idle| {
            pool.idle_timeout = idle;
            pool.idle_check_interval = idle / 2;
        });
        queue.iter().for_each(|max| peers.queue_len_max = *max);
        if *refuse {
            peers.overflow = Overflow::Refuse;
        }
        requests.iter().for_each(|max| peers.requests_max = *max);
        handshakes.iter().for_each(|max| pool.handshakes_max = *max);
    }

    /// How long a node takes for a message or a request.
    pub(crate) fn handling(&self) -> Duration {
        Duration::from_millis(self.handling_ms.unwrap_or(0))
    }

    /// Whether nodes can work within them.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut config = ClusterConfig::new(Profile::Lan);
        self.apply(&mut config);
        config.check().map_err(|error| format!("with these limits no node starts: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_no_node_can_have_are_named_and_none_are_not_written() {
        assert_eq!(Limits::default().check(), Ok(()));
        let none = Limits { queue: Some(0), ..Limits::default() };
        assert!(none.check().is_err_and(|why| why.contains("queue_len_max")), "{:?}", none.check());
        assert_eq!(serde_json::to_string(&Limits::default()).unwrap(), r#"{"refuse":false}"#);
        let some = Limits { links: Some(2), refuse: true, ..Limits::default() };
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), some, "{text}");
    }
}
