//! Whose fault an error is. A caller who sees an error wants to know one thing first: is it me, the other side, the
//! environment, or a bug in this library? Every public error of the fabric answers through [`Blamed`].

use std::fmt;

/// Who must act so that an error does not happen again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The other side broke the protocol or showed a bad certificate. Nothing to do here but to look at it.
    PeerMisbehaved,
    /// The other side is honest but speaks something else: another version, another cluster.
    PeerIncompatible,
    /// The caller passed something impossible. Fix the call.
    CallerMisused,
    /// The network, the disk, the clock or a limit of the machine. Often passes; retry with back-off.
    EnvironmentFailed,
    /// An invariant of this library does not hold. Please report it.
    OurBug,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerMisbehaved => "the peer misbehaved",
            Self::PeerIncompatible => "the peer is incompatible",
            Self::CallerMisused => "the call was wrong",
            Self::EnvironmentFailed => "the environment failed",
            Self::OurBug => "a bug in this library",
        })
    }
}

/// An error that knows whose fault it is.
pub trait Blamed: std::error::Error {
    /// Who must act.
    fn blame(&self) -> Blame;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blame_is_a_phrase() {
        let all = [
            Blame::PeerMisbehaved,
            Blame::PeerIncompatible,
            Blame::CallerMisused,
            Blame::EnvironmentFailed,
            Blame::OurBug,
        ];
        let phrases = all.map(|blame| blame.to_string()).join(", ");
        assert_eq!(
            phrases,
            "the peer misbehaved, the peer is incompatible, the call was wrong, the environment failed, a bug in this library"
        );
    }
}
