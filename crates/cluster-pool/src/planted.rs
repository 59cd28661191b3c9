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
    /// A dial belongs to the caller who asked for it first: when he goes, it goes, and whoever waits is not told.
    CallerTakesDialWithHim,
    /// A dial that fails keeps a place.
    PermitLeak,
    /// A message that could not be written is sent after the ones that were sent after it.
    ReorderAfterReconnect,
    /// A stream that is given up looks as if it had been finished.
    CancelLooksComplete,
    /// A message that is handed back at once, for lack of room, is not counted.
    RejectedUncounted,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::KeepLoser,
        Self::DropLoserStreams,
        Self::EndHitsSuccessor,
        Self::CallerTakesDialWithHim,
        Self::PermitLeak,
        Self::ReorderAfterReconnect,
        Self::CancelLooksComplete,
        Self::RejectedUncounted,
    ];
}

impl PoolConfig {
    /// Whether a mistake is planted.
    #[cfg(feature = "planted")]
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Which mistake is planted.
    #[cfg(feature = "planted")]
    pub(crate) const fn planted(&self) -> Option<Bug> {
        self.bug
    }

    /// None is.
    #[cfg(not(feature = "planted"))]
    pub(crate) const fn planted(&self) -> Option<Bug> {
        None
    }

    /// None is.
    #[cfg(not(feature = "planted"))]
    pub(crate) const fn has(&self, _bug: Bug) -> bool {
        false
    }
}
