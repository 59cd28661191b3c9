//! Settings of the membership core, checked once. Presets for a local network, a wide one, and one machine.

use std::time::Duration;

use cluster_failure::{ConfigError, PauseBudget};

/// Observers of each member, and about as many members each observes: the monitoring graph's K.
pub const OBSERVERS: usize = 10;

/// Checked settings of [`Swim`](crate::Swim).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SwimConfig {
    /// Silence that is forgiven, and the probe period of a subject. Too short and pauses are punished as crashes; too long
    /// and crashes are found late.
    pub budget: PauseBudget,
    /// A direct probe is overdue after this at the latest (500 ms in `lan`, 200 ms in `local`, 2 s in `wan`); the measured round trip shortens it, down to
    /// `probe_timeout_min`. Too low: indirect probes for nothing. Too high: later suspicion.
    pub probe_timeout: Duration,
    /// See `probe_timeout`. Default 200 ms: a loaded scheduler answers late, not never.
    pub probe_timeout_min: Duration,
    /// How often queued updates go out to `gossip_fanout` peers, while there are any. Default 200 ms.
    pub gossip_interval: Duration,
    /// Peers told at each tick. Default 3.
    pub gossip_fanout: usize,
    /// How often the whole view is compared with one peer. Default 30 s.
    pub sync_interval: Duration,
    /// Observers of each member. Default 10; every node where there are fewer.
    pub observers: usize,
    /// Who watches whom. Default [`PlanKind::Rings`].
    pub plan: PlanKind,
    /// How long a member that failed or left is remembered. Default 72 h. Too short, and a long weekend's outage makes
    /// strangers of members.
    pub reap_after: Duration,
    /// For how long a member that goes on saying what cannot be true is not listened to. Default 60 s. What it says of itself, and that it is
    /// there, always counts.
    pub mute: Duration,
    /// A mistake to plant.
    #[cfg(feature = "planted")]
    pub bug: Option<crate::planted::Bug>,
}

/// Which [`ProbePlan`](crate::ProbePlan) to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlanKind {
    /// The bounded monitoring graph with turns: constant cost per node.
    #[default]
    Rings,
    /// SWIM as published: everybody probes everybody, one a period.
    RoundRobin,
}

/// Longer than any cluster is left alone.
const SPAN_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// More of them than this are no rings any more.
const COUNT_MAX: usize = 256;

/// Shorter than this a loop has nothing else to do.
const TIMER_MIN: Duration = Duration::from_millis(10);

impl SwimConfig {
    /// A local network: P = 6.3 s, each member probed once a second.
    #[must_use]
    pub const fn lan() -> Self {
        Self::preset(PauseBudget::lan(), 500)
    }

    /// A wide network: P = 15 s, each member probed every three seconds.
    #[must_use]
    pub const fn wan() -> Self {
        Self::preset(PauseBudget::wan(), 2_000)
    }

    /// One machine, or a test: P = 2 s, each member probed five times a second.
    #[must_use]
    pub const fn local() -> Self {
        Self::preset(PauseBudget::local(), 200)
    }

    const fn preset(budget: PauseBudget, probe_timeout_ms: u64) -> Self {
        Self {
            budget,
            probe_timeout: Duration::from_millis(probe_timeout_ms),
            probe_timeout_min: Duration::from_millis(200),
            gossip_interval: Duration::from_millis(200),
            gossip_fanout: 3,
            sync_interval: Duration::from_secs(30),
            observers: OBSERVERS,
            plan: PlanKind::Rings,
            reap_after: Duration::from_secs(72 * 60 * 60),
            mute: Duration::from_secs(60),
            #[cfg(feature = "planted")]
            bug: None,
        }
    }

    /// Checks the fields against each other.
    ///
    /// # Errors
    /// The first field that cannot work, and why.
    pub fn check(self) -> Result<Self, ConfigError> {
        let fail = |field, given: String, rule| Err(ConfigError { field, given, rule });
        if !(1..=COUNT_MAX).contains(&self.observers) {
            return fail("observers", self.observers.to_string(), "it must be 1 to 256: somebody must look");
        }
        if !(1..=COUNT_MAX).contains(&self.gossip_fanout) {
            return fail(
                "gossip_fanout",
                self.gossip_fanout.to_string(),
                "it must be 1 to 256: news must go somewhere",
            );
        }
        let spans = [
            ("probe_timeout", self.probe_timeout),
            ("gossip_interval", self.gossip_interval),
            ("sync_interval", self.sync_interval),
            ("reap_after", self.reap_after),
        ];
        if let Some((field, given)) = spans.into_iter().find(|(_, given)| *given > SPAN_MAX) {
            return fail(field, format!("{given:?}"), "it must be at most ten years");
        }
        if self.reap_after < self.budget.total() * 10 {
            let given = format!("{:?}", self.reap_after);
            return fail("reap_after", given, "it must be ten pause budgets at least, or a partition makes strangers");
        }
        for (field, timer) in [("gossip_interval", self.gossip_interval), ("sync_interval", self.sync_interval)] {
            if timer < TIMER_MIN {
                return fail(
                    field,
                    format!("{timer:?}"),
                    "it must be at least 10 ms: a timer that is shorter hardly sleeps",
                );
            }
        }
        if self.probe_timeout.is_zero() || self.probe_timeout_min > self.probe_timeout {
            let given = format!("{:?} with a minimum of {:?}", self.probe_timeout, self.probe_timeout_min);
            return fail("probe_timeout", given, "it must be above zero and not below probe_timeout_min");
        }
        if self.budget.period() < TIMER_MIN {
            return fail("period", format!("{:?}", self.budget.period()), "it must be at least 10 ms");
        }
        if self.probe_timeout > self.budget.period() {
            let given = format!("{:?} with a period of {:?}", self.probe_timeout, self.budget.period());
            return fail("probe_timeout", given, "it must not be longer than the probe period");
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_absurd_values_are_named() {
        for preset in [SwimConfig::lan(), SwimConfig::wan(), SwimConfig::local()] {
            assert_eq!(preset.clone().check(), Ok(preset));
        }
        let field = |change: fn(&mut SwimConfig)| {
            let mut config = SwimConfig::lan();
            change(&mut config);
            config.check().unwrap_err().field
        };
        assert_eq!(field(|c| c.observers = 0), "observers");
        assert_eq!(field(|c| c.gossip_fanout = 0), "gossip_fanout");
        assert_eq!(field(|c| c.reap_after = Duration::from_secs(62)), "reap_after");
        assert_eq!(field(|c| c.gossip_interval = Duration::ZERO), "gossip_interval");
        assert_eq!(field(|c| c.sync_interval = Duration::ZERO), "sync_interval");
        assert_eq!(field(|c| c.sync_interval = SPAN_MAX * 2), "sync_interval");
        assert_eq!(field(|c| c.probe_timeout = Duration::ZERO), "probe_timeout");
        assert_eq!(field(|c| c.probe_timeout = Duration::from_millis(199)), "probe_timeout");
        assert_eq!(field(|c| c.probe_timeout = Duration::from_millis(1_001)), "probe_timeout");
    }
}
