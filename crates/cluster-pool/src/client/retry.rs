//! What may be done again.

use cluster_types::{Blame, Blamed};

use crate::peer::{Fate, PeerError};

/// What is done again when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// What certainly did not happen over there.
    WhenUnsent,
    /// Everything: to do it twice is as good as once.
    Always,
}

/// An error that knows whether anything happened over there.
pub trait MaybeUnsent {
    /// Whether certainly nothing did.
    fn is_unsent(&self) -> bool;

    /// Whether it would fail everywhere and always, for what was asked makes no sense.
    fn is_callers_fault(&self) -> bool {
        false
    }
}

impl MaybeUnsent for PeerError {
    fn is_unsent(&self) -> bool {
        self.fate() == Fate::NotSent
    }

    fn is_callers_fault(&self) -> bool {
        self.blame() == Blame::CallerMisused
    }
}
