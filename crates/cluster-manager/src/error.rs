//! Why a node did not start or join.

use cluster_pool::{BindError, Fate, PeerError, PkiError, Rejected, TypedError};
use cluster_types::{Blame, Blamed, NodeId};

use crate::config::InvalidConfig;
use crate::join::{JoinReport, SeedOutcome};

/// Why a node did not start. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
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
    /// The state file is there and cannot be read, or cannot be moved out of the way.
    #[error("the state file {} cannot be used: {source}; mend it, or give another path", .path.display())]
    State {
        /// Where it is.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
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
            Self::Bind(_) | Self::Thread(_) | Self::State { .. } => Blame::EnvironmentFailed,
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

/// Why a member was not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// No live member has that name. Nothing was sent.
    #[error("{node} is not a live member of the cluster")]
    NotAMember {
        /// The name.
        node: NodeId,
    },
    /// It is this node's own name. Nothing was sent.
    #[error("that is this node itself")]
    Myself,
    /// The node is shutting down. Nothing was sent.
    #[error("this node is shutting down")]
    ShuttingDown,
    /// The message was not taken, and is handed back.
    #[error(transparent)]
    Rejected(#[from] Box<Rejected>),
    /// The value has no form as bytes. Nothing was sent.
    #[error(transparent)]
    Typed(#[from] TypedError),
    /// The member answered, and what it said cannot be read.
    #[error("the reply of {node}: {source}")]
    Unreadable {
        /// The member.
        node: NodeId,
        /// What is wrong with it.
        source: TypedError,
    },
    /// The request failed, or the peer could not be made.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl MessageError {
    /// What is known of the message or the request.
    #[must_use]
    pub const fn fate(&self) -> Fate {
        match self {
            Self::Peer(error) => error.fate(),
            Self::Unreadable { .. } => Fate::MaybeDelivered,
            Self::NotAMember { .. } | Self::Myself | Self::ShuttingDown | Self::Rejected(_) | Self::Typed(_) => {
                Fate::NotSent
            }
        }
    }
}

impl Blamed for MessageError {
    fn blame(&self) -> Blame {
        match self {
            Self::NotAMember { .. } | Self::Myself | Self::ShuttingDown => Blame::CallerMisused,
            Self::Rejected(e) => e.blame(),
            Self::Typed(e) | Self::Unreadable { source: e, .. } => e.blame(),
            Self::Peer(e) => e.blame(),
        }
    }
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
