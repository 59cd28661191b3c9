//! A client's settings.

use std::time::Duration;

use cluster_failure::{Backoff, BackoffConfig, Jitter};
use cluster_types::Seed;

use super::error::ClientError;
use crate::pool::PoolConfig;

/// Which host is next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Each in its turn.
    RoundRobin,
    /// Of two that are drawn, the one with less to do; failures count as work. Evens out slow hosts and fast ones (Mitzenmacher, "The
    /// power of two choices in randomized load balancing", 2001).
    #[default]
    PowerOfTwoChoices,
}

/// Settings of a [`ConnectionManager`](super::ConnectionManager).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// The hosts, as `NAME:PORT` or `ADDRESS:PORT`. A name may stand for several.
    pub hosts: Vec<String>,
    /// Which host is next. Default: the power of two choices.
    pub policy: Policy,
    /// How often something is tried again. Default 3.
    pub max_retries: u32,
    /// The delay before the first of them; each next one is twice as long, up to 10 s, all times 1 to 1.5. Default 100 ms.
    pub retry_delay: Duration,
    /// For how long a host is avoided that failed once; twice as long each time that it fails again, up to a minute. Default 1 s.
    pub avoid: Duration,
    /// How long an answer about a name is good for. Default 30 s.
    pub resolve_interval: Duration,
    /// Settings of the pool under it: how many connections, how long they may be idle.
    pub pool: PoolConfig,
}

/// Nobody waits for longer between two attempts.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(10);

/// No host is avoided for longer.
pub(super) const AVOID_MAX: Duration = Duration::from_secs(60);

impl ConnectionConfig {
    /// These hosts, and the defaults.
    pub fn new(hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            hosts: hosts.into_iter().map(Into::into).collect(),
            policy: Policy::default(),
            max_retries: 3,
            retry_delay: Duration::from_millis(100),
            avoid: Duration::from_secs(1),
            resolve_interval: Duration::from_secs(30),
            pool: PoolConfig::default(),
        }
    }

    /// Which host is next.
    #[must_use]
    pub const fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How often something is tried again.
    #[must_use]
    pub const fn with_max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        if self.hosts.is_empty() {
            return Err(ClientError::NoHosts);
        }
        self.pool.check().map_err(|e| ClientError::Config { reason: format!("pool: {e}") })?;
        self.retry_config().map(drop)
    }

    fn retry_config(&self) -> Result<BackoffConfig, ClientError> {
        BackoffConfig::new(self.retry_delay, RETRY_DELAY_MAX, Jitter::Additive)
            .map_err(|e| ClientError::Config { reason: format!("retry_delay: {e}") })
    }

    pub(super) fn delays(&self, seed: Seed) -> Backoff {
        // Checked when the manager was made.
        Backoff::new(self.retry_config().unwrap_or(BackoffConfig::reconnect()), seed)
    }
}
