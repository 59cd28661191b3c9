//! Why a client has no connection, or what it did failed.

use std::net::SocketAddr;

use cluster_types::{Blame, Blamed};

use crate::pool::PoolError;
use crate::quic::BindError;

/// Why a host could not be reached.
#[derive(Debug)]
#[non_exhaustive]
pub struct HostFailure {
    /// As it stands in the list.
    pub host: String,
    /// Where it is.
    pub addr: SocketAddr,
    /// Why.
    pub source: PoolError,
}

impl HostFailure {
    fn words(&self) -> String {
        let (PoolError::Dial { source, .. } | PoolError::DialAt { source, .. }) = &self.source else {
            return self.source.to_string();
        };
        source.chain()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The list of hosts is empty.
    #[error("the list of hosts is empty: give at least one, as NAME:PORT or ADDRESS:PORT")]
    NoHosts,
    /// None of the hosts has an address.
    #[error("none of the hosts can be found: {}", failures.join("; "))]
    NothingFound {
        /// Each, and why.
        failures: Vec<String>,
    },
    /// The credentials are not a client's.
    #[error("{identity} is not a client's identity: issue a certificate for cluster://CLUSTER/client/NAME")]
    NotAClient {
        /// Whose they are.
        identity: String,
    },
    /// A setting makes no sense.
    #[error("the settings cannot work: {reason}")]
    Config {
        /// Which and why.
        reason: String,
    },
    /// No port can be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system has no randomness.
    #[error("the system has no randomness: {reason}")]
    Randomness {
        /// What it says.
        reason: String,
    },
    /// No host could be reached. Safe to retry.
    #[error("no host can be reached: {}", all_of(failures))]
    AllFailed {
        /// Each, and why.
        failures: Vec<HostFailure>,
    },
    /// The manager was closed.
    #[error("the manager was closed")]
    Closed,
}

fn all_of(failures: &[HostFailure]) -> String {
    let words = failures.iter().map(|failure| format!("{} ({}): {}", failure.host, failure.addr, failure.words()));
    words.collect::<Vec<_>>().join("; ")
}

impl Blamed for ClientError {
    fn blame(&self) -> Blame {
        match self {
            Self::NoHosts | Self::NotAClient { .. } | Self::Config { .. } | Self::Closed => Blame::CallerMisused,
            Self::NothingFound { .. } | Self::Bind(_) | Self::Randomness { .. } | Self::AllFailed { .. } => {
                Blame::EnvironmentFailed
            }
        }
    }
}

/// Why something failed in spite of all attempts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError<E> {
    /// There was no connection for the last attempt.
    #[error("no connection after {attempts} attempts")]
    NoConnection {
        /// Attempts made.
        attempts: u32,
        /// Why there was none.
        source: ClientError,
    },
    /// The last attempt failed.
    #[error("failed after {attempts} attempts")]
    Operation {
        /// Attempts made.
        attempts: u32,
        /// What it says.
        source: E,
    },
}
