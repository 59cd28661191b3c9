//! Settings of a node: presets, a check, and how they stand in a file.

pub mod file;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use cluster_failure::ConfigError;
use cluster_gossip::SwimConfig;
use cluster_pool::{PeerConfig, PoolConfig, QuicConfig};
use cluster_types::{Blame, Blamed, Facts, Metadata, MetadataError};
use serde::{Deserialize, Deserializer};

pub use file::{FileError, Tuning};

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

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[{section}] {field} = {given}: {rule}")]
#[non_exhaustive]
pub struct InvalidConfig {
    /// Which part of the settings: `membership`, `links`, `pool`, `peers` or `meta`.
    pub section: &'static str,
    /// Which one of them.
    pub field: &'static str,
    /// What it is.
    pub given: String,
    /// What is allowed, and why.
    pub rule: String,
}

impl InvalidConfig {
    /// Puts an error into its part.
    pub(crate) fn under(section: &'static str) -> impl Fn(ConfigError) -> Self {
        move |ConfigError { field, given, rule }| Self { section, field, given, rule: rule.to_owned() }
    }
}

impl Blamed for InvalidConfig {
    fn blame(&self) -> Blame {
        Blame::CallerMisused
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
    /// Which features this node knows; default none. It tells all members, and is told by the events `feature_on` and
    /// `feature_off` when all of them know one. See [`features`](crate::ClusterBuilder::features).
    pub facts: Facts,
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
            facts: Facts::NONE,
            #[cfg(feature = "planted")]
            bug: None,
        }
    }

    /// Everything that cannot work, a setting at a time for each part.
    #[must_use]
    pub fn problems(&self) -> Vec<InvalidConfig> {
        let swim = self.swim.clone().check().err().map(InvalidConfig::under("membership"));
        let quic = self.quic.check().err().map(InvalidConfig::under("links"));
        let pool = self.pool.check().err().map(InvalidConfig::under("pool"));
        let peers = self.peers.check().err().map(|e| InvalidConfig {
            section: "peers",
            field: e.field,
            given: e.value,
            rule: e.reason.to_owned(),
        });
        [swim, quic, pool, peers].into_iter().flatten().collect()
    }

    /// Says whether the settings can work.
    ///
    /// # Errors
    /// The first of [`problems`](Self::problems).
    pub fn check(&self) -> Result<(), InvalidConfig> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
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
