//! Settings of a node.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use cluster_gossip::SwimConfig;
use cluster_pool::{PeerConfig, PoolConfig, QuicConfig};
use cluster_types::{Metadata, MetadataError};

/// Which network the cluster lives in: a bundle of defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// A local network. Pauses of 5 s are forgiven; a crash is declared after 6.3 s.
    #[default]
    Lan,
    /// A wide network. Pauses of 10 s are forgiven; a crash is declared after 15 s.
    Wan,
    /// One machine, or a test. Pauses of 1.5 s are forgiven; a crash is declared after 2 s.
    Local,
}

impl Profile {
    /// The word used on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Local => "local",
        }
    }

    pub(crate) const fn swim(self) -> SwimConfig {
        match self {
            Self::Lan => SwimConfig::lan(),
            Self::Wan => SwimConfig::wan(),
            Self::Local => SwimConfig::local(),
        }
    }

    pub(crate) fn quic(self) -> QuicConfig {
        let initial_rtt = match self {
            Self::Lan | Self::Local => Duration::from_millis(50),
            Self::Wan => Duration::from_millis(333),
        };
        QuicConfig { initial_rtt, ..QuicConfig::default() }
    }
}

/// A text that names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a profile: use lan, wan or local")]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let all = [Self::Lan, Self::Wan, Self::Local];
        all.into_iter().find(|profile| profile.as_str() == text).ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

/// Settings of a node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// The UDP address to bind; port 0 picks a free one.
    pub bind: SocketAddr,
    /// The address others are told to dial, where it differs from the bound one: behind a translation, or bound to
    /// 0.0.0.0.
    pub advertise: Option<SocketAddr>,
    /// Settings of the membership core.
    pub swim: SwimConfig,
    /// Settings of the transport.
    pub quic: QuicConfig,
    /// Settings of the pool.
    pub pool: PoolConfig,
    /// Settings of the peers that messages to members go through.
    pub peers: PeerConfig,
    /// What this node says about itself.
    pub metadata: Metadata,
    /// A mistake to plant.
    #[cfg(feature = "planted")]
    pub bug: Option<crate::planted::Bug>,
}

impl ClusterConfig {
    /// The settings of a profile, bound to a free port of 127.0.0.1.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: None,
            swim: profile.swim(),
            quic: profile.quic(),
            // A member may talk to every other; what nobody uses is closed all the same.
            pool: PoolConfig::new().with_max_total(1_024),
            peers: PeerConfig::new(),
            metadata: Metadata::default(),
            #[cfg(feature = "planted")]
            bug: None,
        }
    }

    /// Sets the metadata from pairs.
    ///
    /// # Errors
    /// Empty keys, or more than 64 KiB.
    pub fn set_metadata(&mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Result<(), MetadataError> {
        self.metadata = Metadata::new(pairs)?;
        Ok(())
    }
}
