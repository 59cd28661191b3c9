//! Where others may be found, asked again and again: a fixed list, DNS records, a file that something else writes, or one's own.
//!
//! A seed list is read once; a discovery is asked for as long as the node lives. Whoever it names who is no member yet is joined
//! through. So a node that starts before the others finds them when they come, and two clusters that formed apart become one.

#[cfg(feature = "dns")]
mod dns;
mod file;
mod search;
mod strangers;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use cluster_types::{Blame, Blamed};

use crate::join::{Seed, SeedError};

#[cfg(feature = "dns")]
pub use dns::DnsDiscovery;
pub use file::FileDiscovery;
pub use search::DiscoveryStatus;
pub(crate) use search::{Ground, Searches};

/// Finds where others may be.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Discovery: Send + Sync + fmt::Debug {
    /// What it asks, in a few words, for reports: `dns db.internal:7946`.
    fn describe(&self) -> String;

    /// Everybody there is, in any order; this node itself and members that are known may be among them. Nobody is an answer, too.
    /// Given up after 10 s.
    ///
    /// # Errors
    /// It cannot tell. It is asked again; whoever was found before stays known.
    async fn find(&self) -> Result<Vec<Seed>, DiscoveryError>;

    /// How long to wait before asking again, while there is company. While this node is alone, it asks after 1 s, then more and more
    /// rarely, up to this.
    fn period(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// What it found and left out of its answers because there was too much of it, since this was last asked. Nothing, where it leaves
    /// nothing out.
    fn take_left_out(&self) -> usize {
        0
    }
}

/// Why a discovery found nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// Whoever is asked did not answer, or said that there is no such thing.
    #[error("{what}: {reason}")]
    Unavailable {
        /// What was asked.
        what: String,
        /// What came of it.
        reason: String,
    },
    /// The answer is not what it should be.
    #[error("{what}: {source}")]
    Malformed {
        /// Where, with its line where there are lines.
        what: String,
        /// What is wrong with it.
        source: SeedError,
    },
}

impl Blamed for DiscoveryError {
    fn blame(&self) -> Blame {
        Blame::EnvironmentFailed
    }
}

/// A list that does not change. Unlike the seeds of a [`join`](crate::Cluster::join), it is gone through for as long as the node lives.
#[derive(Debug, Clone)]
pub struct FixedDiscovery(Vec<Seed>);

impl FixedDiscovery {
    /// These.
    pub fn new(seeds: impl IntoIterator<Item = impl Into<Seed>>) -> Self {
        Self(seeds.into_iter().map(Into::into).collect())
    }
}

#[async_trait]
impl Discovery for FixedDiscovery {
    fn describe(&self) -> String {
        let shown: Vec<String> = self.0.iter().take(3).map(ToString::to_string).collect();
        let more = if self.0.len() > shown.len() {
            format!(" and {} more", self.0.len() - shown.len())
        } else {
            String::new()
        };
        format!("seeds {}{more}", shown.join(", "))
    }

    async fn find(&self) -> Result<Vec<Seed>, DiscoveryError> {
        Ok(self.0.clone())
    }
}
