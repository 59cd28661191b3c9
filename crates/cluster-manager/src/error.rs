//! Why a node did not start or join.

use cluster_failure::ConfigError;
use cluster_pool::{BindError, PkiError};
use cluster_types::{Blame, Blamed};

use crate::join::{JoinReport, SeedOutcome};

/// Why a node did not start. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be bound, or the credentials cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The credentials could not be loaded or issued.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The credentials are not a member's.
    #[error("{identity} is not a member's identity: a client cannot be a node")]
    NotANode {
        /// Whose credentials they are.
        identity: String,
    },
    /// The address that others would be told to dial cannot be dialled.
    #[error(
        "{addr} cannot be dialled by others: bound to every interface, a node must be told which address to advertise"
    )]
    NotDialable {
        /// The address.
        addr: std::net::SocketAddr,
    },
    /// The system refused a thread or a runtime.
    #[error("the I/O thread cannot be started")]
    Thread(#[source] std::io::Error),
}

impl Blamed for StartError {
    fn blame(&self) -> Blame {
        match self {
            Self::Config(e) => e.blame(),
            Self::Pki(e) => e.blame(),
            Self::Bind(_) | Self::Thread(_) => Blame::EnvironmentFailed,
            Self::NotANode { .. } | Self::NotDialable { .. } => Blame::CallerMisused,
        }
    }
}

/// Why a node did not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No seed let it in. Safe to retry.
    #[error("no seed let this node in: {}", reasons(.report))]
    AllFailed {
        /// Each seed, and why not.
        report: JoinReport,
    },
    /// The node is shutting down, or has lost its name.
    #[error("this node is shutting down")]
    ShuttingDown,
}

fn reasons(report: &JoinReport) -> String {
    let reason = |(seed, outcome): &(String, SeedOutcome)| match outcome {
        SeedOutcome::Failed(reason) => format!("{seed}: {reason}"),
        SeedOutcome::Joined(_) | SeedOutcome::Unsettled => seed.clone(),
    };
    report.seeds.iter().map(reason).collect::<Vec<_>>().join("; ")
}

impl Blamed for JoinError {
    fn blame(&self) -> Blame {
        match self {
            Self::AllFailed { .. } => Blame::EnvironmentFailed,
            Self::ShuttingDown => Blame::CallerMisused,
        }
    }
}
