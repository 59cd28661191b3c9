//! Mistakes that can be planted into the loop, to see that the simulations find them. Only with feature `planted`; a build
//! without it holds none of this.

use crate::config::ClusterConfig;

/// A mistake in the assembly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The membership core is not told that a link is gone.
    ForgetLinkDown,
    /// A node that is told to leave stops without a word.
    SkipFarewell,
    /// Whoever was declared failed is not dialled any more.
    NeverReconnect,
    /// What peers answer to requests never reaches the core.
    LoseAnswers,
    /// The state file is neither read nor written.
    RememberNobody,
    /// A state file that cannot be read as a whole is taken for none, and written over.
    OverwriteDamaged,
    /// After a writing that failed the state file is not written any more.
    DiskErrorEndsMemory,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ForgetLinkDown,
        Self::SkipFarewell,
        Self::NeverReconnect,
        Self::LoseAnswers,
        Self::RememberNobody,
        Self::OverwriteDamaged,
        Self::DiskErrorEndsMemory,
    ];
}

impl ClusterConfig {
    /// The mistake that is planted.
    #[cfg(feature = "planted")]
    pub(crate) const fn planted(&self) -> Option<Bug> {
        self.bug
    }

    /// None is.
    #[cfg(not(feature = "planted"))]
    pub(crate) const fn planted(&self) -> Option<Bug> {
        None
    }
}
