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

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one phase went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct ShutdownReport {
    /// The six phases, in order.
    pub phases: Vec<PhaseReport>,
}

/// What a shutdown was cut short in. Everything is closed all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shutdown was cut short in: {}", words(.report))]
pub struct ShutdownError {
    /// How each phase went.
    pub report: ShutdownReport,
}

fn words(report: &ShutdownReport) -> String {
    let cut = report.phases.iter().filter(|phase| !phase.ok);
    cut.map(|phase| format!("{} (after {} ms)", phase.phase.as_str(), phase.took.as_millis()))
        .collect::<Vec<_>>()
        .join(", ")
}

impl cluster_types::Blamed for ShutdownError {
    fn blame(&self) -> cluster_types::Blame {
        cluster_types::Blame::EnvironmentFailed
    }
}

impl ShutdownReport {
    /// Itself, if it is [clean](Self::is_clean).
    ///
    /// # Errors
    /// A phase was cut short: streams that were still open were ended, or members did not acknowledge the farewell.
    pub fn into_result(self) -> Result<Self, ShutdownError> {
        if self.is_clean() { Ok(self) } else { Err(ShutdownError { report: self }) }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cut: &[Phase]) -> ShutdownReport {
        let phase = |(i, phase): (usize, Phase)| PhaseReport {
            phase,
            took: Duration::from_millis(i as u64 * 100),
            ok: !cut.contains(&phase),
            acks: (phase == Phase::Leave).then_some((2, 3)),
        };
        ShutdownReport { phases: Phase::ALL.into_iter().enumerate().map(phase).collect() }
    }

    #[test]
    fn a_report_reads_as_a_table_and_what_was_cut_short_is_an_error() {
        assert!(report(&[]).into_result().is_ok());
        let cut = report(&[Phase::Leave, Phase::Connections]);
        let error = cut.clone().into_result().unwrap_err();
        assert_eq!(error.report, cut);
        insta::assert_snapshot!(format!("{cut}\n{error}"));
    }
}
