//! Mistakes that can be planted into the core, to see that the simulations find them. Only with feature `planted`; a build
//! without it holds none of this.

use crate::config::SwimConfig;

/// A mistake in the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Accusations of oneself are not refuted.
    SkipRefutation,
    /// An equal incarnation replaces what is held, whatever it says.
    AcceptEqualIncarnation,
    /// Every other member never gets a place on the rings.
    RingMissesMember,
    /// A farewell waits until views are compared: nobody is told directly, and it is no news.
    StarvedLeave,
    /// Verdicts fall two seconds early.
    VerdictBeforeP,
    /// A node that was stopped takes the time it was away for the silence of the others.
    WakingAccuses,
    /// Equal views have different roots.
    RootsNeverMatch,
    /// One accuser is enough for a verdict after P.
    OneVoteConvicts,
    /// A change of metadata is told to nobody.
    MetadataNotTold,
    /// Some are remembered at another address than theirs.
    WrongAddress,
    /// What is known changes, and no event says so.
    EventsLost,
    /// A refutation is said once, whoever heard it.
    RefutesOnce,
    /// Who learns of a suspect counts its silence from then.
    NewcomerPutsOff,
    /// Accusations count whoever signed them.
    BelievesVotes,
    /// Whoever is said to have left is held to have left.
    BelievesFarewells,
    /// A node gives up its name because others speak of an older process.
    NameLostUnseen,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::SkipRefutation,
        Self::AcceptEqualIncarnation,
        Self::RingMissesMember,
        Self::StarvedLeave,
        Self::VerdictBeforeP,
        Self::WakingAccuses,
        Self::RootsNeverMatch,
        Self::OneVoteConvicts,
        Self::MetadataNotTold,
        Self::WrongAddress,
        Self::EventsLost,
        Self::RefutesOnce,
        Self::NewcomerPutsOff,
        Self::BelievesVotes,
        Self::BelievesFarewells,
        Self::NameLostUnseen,
    ];

    /// Those that the engine of a small cluster shows, the first ones; the others need the whole stack, or a day of their own.
    pub const IN_THE_ENGINE: &[Self] = Self::ALL.split_at(7).0;
}

impl SwimConfig {
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
