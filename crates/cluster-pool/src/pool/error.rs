//! Why a dial or a call to the pool failed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_types::{Blame, Blamed, NodeId};

use crate::hello::HelloError;
use crate::transport::ConnectError;

/// Why a dial produced no link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A connection, but no agreement.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// Not up in time. Safe to retry.
    #[error("no link to {addr} within {patience:?}: it is down, unreachable, or drops what this node sends")]
    Timeout {
        /// The address dialled.
        addr: SocketAddr,
        /// How long was waited.
        patience: Duration,
    },
    /// Whoever answered at the address has all the connections it may have.
    #[error("{current} of {max} connections to whoever answered there are in use")]
    Full {
        /// Connections there are.
        current: usize,
        /// Connections there may be.
        max: usize,
    },
    /// The pool is closing.
    #[error("this node is shutting down")]
    Closing,
}

impl Blamed for DialError {
    fn blame(&self) -> Blame {
        match self {
            Self::Connect(e) => e.blame(),
            Self::Hello(e) => e.blame(),
            Self::Timeout { .. } => Blame::EnvironmentFailed,
            Self::Closing | Self::Full { .. } => Blame::CallerMisused,
        }
    }
}

impl DialError {
    /// The whole story in one line: this error and everything under it.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// Why the pool gave no link.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The peer could not be dialled; nothing was sent. Safe to retry.
    #[error("no link to {node} at {addr}")]
    Dial {
        /// The peer.
        node: NodeId,
        /// The address tried.
        addr: SocketAddr,
        /// Why; shared by everybody who waited for the same dial.
        source: Arc<DialError>,
    },
    /// Nobody could be dialled at an address; nothing was sent. Safe to retry.
    #[error("no link to {addr}")]
    DialAt {
        /// The address tried.
        addr: SocketAddr,
        /// Why; shared by everybody who waited for the same dial.
        source: Arc<DialError>,
    },
    /// There are as many connections as there may be, to this peer or in all, and none is idle; nothing was sent. Safe to retry
    /// later.
    #[error("the pool is full: {current} of {max} connections are in use")]
    PoolFull {
        /// Connections there are.
        current: usize,
        /// Connections there may be.
        max: usize,
    },
    /// No live member has that name; nothing was sent.
    #[error("{node} is not a live member of the cluster")]
    NotAMember {
        /// The name.
        node: NodeId,
    },
    /// The pool is closing.
    #[error("the pool is closing")]
    Closing,
}

impl Blamed for PoolError {
    fn blame(&self) -> Blame {
        match self {
            Self::Dial { source, .. } | Self::DialAt { source, .. } => source.blame(),
            Self::NotAMember { .. } | Self::Closing | Self::PoolFull { .. } => Blame::CallerMisused,
        }
    }
}
