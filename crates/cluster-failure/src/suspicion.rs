//! The pause budget: when silence is enough to declare a node failed.
//!
//! A crashed node and a paused one (a stopped process, a stalled disk, a frozen virtual machine) look alike: silent. All
//! observers see the same silence, so asking more of them cures a faulty *observer*, never a pause. What cures a pause is
//! time: no verdict by silence before P, the longest pause to forgive plus one probe period plus the time a woken node needs
//! to say so. Votes decide whether P is enough: many observers that say the same need no more, few need twice or six times.

use std::time::Duration;

use cluster_types::Instant;

use crate::config::ConfigError;

/// Everything known about one silent node, as far as judging needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Last authenticated sign of life at any voter.
    pub last_sign: Instant,
    /// When the first probe that stayed unanswered was sent.
    pub first_unanswered: Instant,
    /// Observers that probed in vain and said so, the judge included.
    pub explicit_votes: usize,
    /// Observers that said nothing and are suspected or failed themselves: they may be silent for the same reason as the
    /// subject. They count only beside two explicit votes.
    pub impaired_observers: usize,
    /// Live observers of the subject, at most K.
    pub observers: usize,
    /// The judge has heard nobody at all for as long as a verdict takes: there is nobody whose vote it could wait for.
    pub alone: bool,
}

/// How many of the observers must accuse for the short deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VoteRule {
    /// Two thirds, rounded up; three make the medium deadline. A minority that is cut off or slow convicts nobody quickly.
    #[default]
    TwoThirds,
    /// One is enough, as in SWIM without Lifeguard. For comparison.
    One,
    /// All of them. For comparison: one observer that is gone as well delays every verdict.
    All,
}

impl VoteRule {
    /// The thresholds for a number of live observers (at least one is assumed).
    #[must_use]
    pub const fn needed(self, observers: usize) -> Votes {
        let two_thirds = Votes::needed(observers);
        match self {
            Self::TwoThirds => two_thirds,
            Self::One => Votes { short: 1, medium: 1 },
            Self::All => Votes { short: if observers == 0 { 1 } else { observers }, ..two_thirds },
        }
    }
}

/// How many votes make which deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Votes {
    /// From here on the deadline is P: two thirds of the observers, rounded up.
    pub short: usize,
    /// From here on it is 2P: three, or all observers where there are fewer. Below, it is 6P.
    pub medium: usize,
}

impl Votes {
    /// The thresholds for a number of live observers (at least one is assumed).
    #[must_use]
    pub const fn needed(observers: usize) -> Self {
        let observers = if observers == 0 { 1 } else { observers };
        Self { short: (2 * observers).div_ceil(3), medium: if observers < 3 { observers } else { 3 } }
    }
}

/// What the judge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not before `until`, if the evidence stays as it is.
    Wait {
        /// The earliest moment of a verdict.
        until: Instant,
    },
    /// Silent for long enough in the eyes of enough observers.
    Failed,
}

/// P and its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PauseBudget {
    pause: Duration,
    period: Duration,
    wake: Duration,
    votes: VoteRule,
}

impl PauseBudget {
    const PART_MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// P = pause + period + wake: the longest pause to forgive, the probe period of a subject, and the time a woken node
    /// needs to be heard.
    ///
    /// # Errors
    /// A part of more than a day, or a period or wake of zero: a node could be declared failed before it had a chance to answer.
    pub fn new(pause: Duration, period: Duration, wake: Duration) -> Result<Self, ConfigError> {
        const RULE: &str = "it must be above zero, or a healthy node has no time to answer";
        if period.is_zero() {
            return Err(ConfigError::new("period", period, RULE));
        }
        if wake.is_zero() {
            return Err(ConfigError::new("wake", wake, RULE));
        }
        for (field, given) in [("pause", pause), ("period", period), ("wake", wake)] {
            if given > Self::PART_MAX {
                return Err(ConfigError::new(
                    field,
                    given,
                    "it must be at most a day: nobody waits longer for a verdict",
                ));
            }
        }
        Ok(Self { pause, period, wake, votes: VoteRule::TwoThirds })
    }

    const fn from_ms(pause: u64, period: u64, wake: u64) -> Self {
        let ms = Duration::from_millis;
        Self { pause: ms(pause), period: ms(period), wake: ms(wake), votes: VoteRule::TwoThirds }
    }

    /// The same budget with another rule for votes.
    #[must_use]
    pub const fn with_votes(mut self, votes: VoteRule) -> Self {
        self.votes = votes;
        self
    }

    /// The rule for votes.
    #[must_use]
    pub const fn votes(&self) -> VoteRule {
        self.votes
    }

    /// P = 6.3 s: 5 s pause, 1 s period, 0.3 s wake.
    #[must_use]
    pub const fn lan() -> Self {
        Self::from_ms(5_000, 1_000, 300)
    }

    /// P = 2 s: 1.5 s pause, 0.2 s period, 0.3 s wake. For tests and one machine.
    #[must_use]
    pub const fn local() -> Self {
        Self::from_ms(1_500, 200, 300)
    }

    /// P = 15 s: 10 s pause, 3 s period, 2 s wake.
    #[must_use]
    pub const fn wan() -> Self {
        Self::from_ms(10_000, 3_000, 2_000)
    }

    /// P.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.pause + self.period + self.wake
    }

    /// The longest pause that is forgiven.
    #[must_use]
    pub const fn pause(&self) -> Duration {
        self.pause
    }

    /// The time that a woken node has to be heard.
    #[must_use]
    pub const fn wake(&self) -> Duration {
        self.wake
    }

    /// The probe period it was made for.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Whether there are the votes for the short deadline, P.
    #[must_use]
    pub fn has_votes(&self, case: &Case) -> bool {
        multiple(self.votes, case) == 1
    }

    /// The moment from which [`judge`](Self::judge) says `Failed`, if the evidence stays as it is.
    #[must_use]
    pub fn deadline(&self, case: &Case) -> Instant {
        let span = self.total() * multiple(self.votes, case);
        let by_silence = case.last_sign + span;
        let by_probe = case.first_unanswered + span.saturating_sub(self.period);
        by_silence.max(by_probe)
    }

    /// The one verdict by silence.
    #[must_use]
    pub fn judge(&self, case: &Case, now: Instant) -> Verdict {
        let until = self.deadline(case);
        if now >= until { Verdict::Failed } else { Verdict::Wait { until } }
    }
}

fn multiple(rule: VoteRule, case: &Case) -> u32 {
    let needed = rule.needed(case.observers);
    let impaired = if case.explicit_votes >= 2 { case.impaired_observers } else { 0 };
    let votes = case.explicit_votes + impaired;
    if case.alone || votes >= needed.short {
        1
    } else if votes >= needed.medium {
        2
    } else {
        6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const K: usize = 10;

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    fn case(explicit_votes: usize, impaired_observers: usize, observers: usize) -> Case {
        Case {
            last_sign: at(1_000),
            first_unanswered: at(1_900),
            explicit_votes,
            impaired_observers,
            observers,
            alone: false,
        }
    }

    /// SWIM-7's table: votes for P, 2P and 6P by cluster size.
    #[test]
    fn votes_by_cluster_size() {
        let rows = [2usize, 3, 5, 7, 11, 22, 100].map(|n| {
            let observers = K.min(n - 1);
            let Votes { short, medium } = Votes::needed(observers);
            (n, observers, short, medium)
        });
        // n, observers, ceil(2/3 of them), min(3, observers): worked out by hand.
        let by_hand =
            [(2, 1, 1, 1), (3, 2, 2, 2), (5, 4, 3, 3), (7, 6, 4, 3), (11, 10, 7, 3), (22, 10, 7, 3), (100, 10, 7, 3)];
        assert_eq!(rows, by_hand);
    }

    #[test]
    fn many_votes_make_p_some_make_two_p_few_make_six_p() {
        let budget = PauseBudget::lan();
        let after = |explicit, impaired| budget.deadline(&case(explicit, impaired, 10)).since(at(1_000)).as_millis();
        assert_eq!([after(10, 0), after(7, 0)], [6_300, 6_300]);
        assert_eq!([after(6, 0), after(3, 0)], [12_600, 12_600]);
        assert_eq!([after(2, 0), after(1, 0), after(0, 0)], [37_800, 37_800, 37_800]);
    }

    #[test]
    fn impaired_observers_count_only_beside_two_explicit_votes() {
        let budget = PauseBudget::lan();
        assert!(budget.deadline(&case(1, 9, 10)) > budget.deadline(&case(2, 5, 10)));
        assert_eq!(budget.deadline(&case(2, 5, 10)), at(7_300));
        assert_eq!(budget.deadline(&case(2, 4, 10)), at(1_000 + 12_600));
    }

    /// There is nobody whose vote it could wait for; and the time is what it is.
    #[test]
    fn who_hears_nobody_needs_no_votes_and_no_less_time() {
        let budget = PauseBudget::lan();
        let alone = Case { alone: true, ..case(1, 9, 10) };
        assert!(budget.has_votes(&alone) && !budget.has_votes(&case(1, 9, 10)) && budget.has_votes(&case(7, 0, 10)));
        assert_eq!(budget.deadline(&alone), at(7_300));
    }

    #[test]
    fn other_rules_need_one_vote_or_all() {
        let after = |rule, explicit| {
            let budget = PauseBudget::lan().with_votes(rule);
            budget.deadline(&case(explicit, 0, 10)).since(at(1_000)).as_millis()
        };
        assert_eq!([1, 10].map(|votes| after(VoteRule::One, votes)), [6_300, 6_300]);
        assert_eq!([2, 3, 9, 10].map(|votes| after(VoteRule::All, votes)), [37_800, 12_600, 12_600, 6_300]);
        assert_eq!(VoteRule::All.needed(0).short, 1);
        assert_eq!(PauseBudget::lan().votes(), VoteRule::TwoThirds);
    }

    #[test]
    fn a_late_first_probe_delays_the_verdict() {
        let late = Case { first_unanswered: at(4_000), ..case(10, 0, 10) };
        assert_eq!(PauseBudget::lan().deadline(&late), at(4_000 + 5_300));
    }

    #[test]
    fn the_verdict_falls_exactly_at_the_deadline() {
        let budget = PauseBudget::lan();
        assert_eq!(budget.judge(&case(7, 0, 10), at(7_299)), Verdict::Wait { until: at(7_300) });
        assert_eq!(budget.judge(&case(7, 0, 10), at(7_300)), Verdict::Failed);
    }

    #[test]
    fn presets_add_up_and_absurd_parts_are_refused() {
        let totals = [PauseBudget::lan(), PauseBudget::local(), PauseBudget::wan()].map(|b| b.total().as_millis());
        assert_eq!(totals, [6_300, 2_000, 15_000]);
        let second = Duration::from_secs(1);
        let error = PauseBudget::new(second, Duration::ZERO, second).unwrap_err();
        assert!(error.to_string().starts_with("period = 0ns is not allowed"), "{error}");
        assert!(PauseBudget::new(second, second, Duration::ZERO).is_err());
        let checked = PauseBudget::new(Duration::from_secs(5), second, Duration::from_millis(300));
        assert_eq!(checked, Ok(PauseBudget::lan()));
    }

    proptest! {
        /// The two floors hold for any evidence, and more votes never delay a verdict.
        #[test]
        fn never_before_p_and_monotone_in_votes(
            last in 0u64..100_000, first in 0u64..100_000,
            votes in 0usize..12, impaired in 0usize..12, observers in 0usize..12, alone: bool,
        ) {
            let budget = PauseBudget::lan();
            let case = Case {
                last_sign: at(last), first_unanswered: at(first),
                explicit_votes: votes, impaired_observers: impaired, observers, alone,
            };
            let deadline = budget.deadline(&case);
            prop_assert!(deadline >= case.last_sign + budget.total());
            prop_assert!(deadline >= case.first_unanswered + (budget.total() - budget.period()));
            let one_more = Case { explicit_votes: votes + 1, ..case };
            prop_assert!(budget.deadline(&one_more) <= deadline);
            let later = Case { last_sign: at(last + 1), ..case };
            prop_assert!(budget.deadline(&later) >= deadline);
        }
    }
}
