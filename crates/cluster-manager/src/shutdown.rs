//! Shutdown: six phases in a fixed order, each with a limit, each reported.

use std::fmt;
use std::time::Duration;

/// A step of the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Goodbye is said to every linked member and acknowledged. At most 5 s.
    Leave,
    /// The membership loop stops.
    Gossip,
    /// The health checker stops.
    Health,
    /// Open streams finish (at most 2 s), then every connection and the socket close.
    Connections,
    /// The registry forgets its members.
    Registry,
    /// The event channel closes: subscribers read what is left, then the end.
    Events,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 6] =
        [Self::Leave, Self::Gossip, Self::Health, Self::Connections, Self::Registry, Self::Events];

    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leave => "leave",
            Self::Gossip => "gossip",
            Self::Health => "health",
            Self::Connections => "connections",
            Self::Registry => "registry",
            Self::Events => "events",
        }
    }

    /// The longest it may take.
    pub(crate) const fn limit(self) -> Duration {
        match self {
            Self::Leave => Duration::from_secs(5),
            Self::Connections => Duration::from_secs(2),
            Self::Gossip | Self::Health | Self::Registry | Self::Events => Duration::from_millis(250),
        }
    }
}

/// How one phase went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseReport {
    /// Which.
    pub phase: Phase,
    /// How long it took.
    pub took: Duration,
    /// Whether it ended by itself, within its limit.
    pub ok: bool,
    /// For the leave: how many members acknowledged, of how many that were told.
    pub acks: Option<(usize, usize)>,
}

/// How a shutdown went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShutdownReport {
    /// The six phases, in order.
    pub phases: Vec<PhaseReport>,
}

impl ShutdownReport {
    /// Whether every phase ended by itself.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.phases.iter().all(|phase| phase.ok)
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for PhaseReport { phase, took, ok, acks } in &self.phases {
            let how = if *ok { "done" } else { "cut short" };
            write!(f, "{:<12} {how:<10} {:>6} ms", phase.as_str(), took.as_millis())?;
            if let Some((heard, told)) = acks {
                write!(f, "  {heard} of {told} members acknowledged")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
