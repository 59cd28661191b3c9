//! Mistakes that can be planted into the pool, to see that the simulations find them. Only with feature `planted`; a build
//! without it holds none of this.

use crate::pool::PoolConfig;

/// A mistake in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A link that lost against another is never closed.
    KeepLoser,
    /// A link that lost against another is closed with its streams.
    DropLoserStreams,
    /// The end of a link takes its successor out of the pool.
    EndHitsSuccessor,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::KeepLoser, Self::DropLoserStreams, Self::EndHitsSuccessor];
}

impl PoolConfig {
    /// Whether a mistake is planted.
    #[cfg(feature = "planted")]
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// None is.
    #[cfg(not(feature = "planted"))]
    pub(crate) const fn has(&self, _bug: Bug) -> bool {
        false
    }
}
