//! Who makes no new links for a while, whatever its paths: its certificate is over, or the names that it was told are not known. What is
//! linked stays so.

use cluster_types::EventKind;

use super::finding::{Finding, Findings};
use super::story::{ms, short, subject};
use super::truth::{Span, Truth};
use crate::scenario::{Act, Scenario};
use crate::world::Reported;

const NEVER: u64 = u64::MAX;

/// After a new certificate a link is dialled within this: the longest back-off (10 s), and what a dial may take that had begun before (5 s).
const DIALS_AGAIN_MS: u64 = 15_000;

/// After names are known again they are looked up within this: what a lookup may take that had begun before (5 s), and the longest back-off of
/// a join (2 s).
const LOOKS_AGAIN_MS: u64 = 7_000;

/// How late the end of a certificate may show: times in it are whole seconds, and a handshake that was over in time is reported afterwards.
const REPORTED_MS: u64 = 3_000;

/// Clocks that are wrong are so by less.
const CLOCKS_WITHIN_S: u64 = 3_600;

/// One node that makes no new links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) node: usize,
    pub(super) span: Span,
}

/// All of a scenario.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// While new links need not come up.
    pub(super) excused: Vec<Lock>,
    /// While the certificate is over: none may come up.
    pub(super) expired: Vec<Lock>,
}

impl Locks {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let mut locks = Self::default();
        locks.note_certificates(scenario);
        if scenario.names {
            locks.note_names(scenario);
        }
        locks
    }

    /// Each certificate lasts as long as was said, or until the next one.
    fn note_certificates(&mut self, scenario: &Scenario) {
        let steps = &scenario.steps;
        let is_wrong = |act: &Act| matches!(act, Act::StepWallClock { .. } | Act::Drift { .. });
        let clocks_are_wrong = steps.iter().any(|step| is_wrong(&step.act));
        for (n, step) in steps.iter().enumerate() {
            let Act::Rotate { node, valid_s } = step.act else { continue };
            let next = steps[n + 1..].iter().find(|later| match later.act {
                Act::Rotate { node: other, .. } | Act::Wipe(other) => node == other,
                _ => false,
            });
            let (over, renewed) =
                (step.at_ms.saturating_add(valid_s.saturating_mul(1_000)), next.map_or(NEVER, |next| next.at_ms));
            let certain = Span { from: over, to: renewed };
            // By a clock that is wrong it may be over at once.
            let from =
                if clocks_are_wrong && valid_s <= CLOCKS_WITHIN_S { step.at_ms } else { over.saturating_sub(1_000) };
            if from < renewed.min(scenario.until_ms) {
                let to = renewed.saturating_add(DIALS_AGAIN_MS);
                self.excused.push(Lock { node, span: Span { from, to } });
            }
            if !clocks_are_wrong && certain.from < certain.to {
                self.expired.push(Lock { node, span: certain });
            }
        }
    }

    /// Whoever starts while something is wrong with names may find nobody until nothing is.
    fn note_names(&mut self, scenario: &Scenario) {
        let mut wrong_since: Option<usize> = None;
        for step in &scenario.steps {
            match &step.act {
                Act::Names(None) => {
                    let first = wrong_since.take().unwrap_or(self.excused.len());
                    self.excused[first..].iter_mut().for_each(|lock| lock.span.to = step.at_ms + LOOKS_AGAIN_MS);
                }
                Act::Names(Some(_)) => wrong_since = wrong_since.or(Some(self.excused.len())),
                Act::Start { node, seeds } | Act::StartAt { node, seeds, .. }
                    if wrong_since.is_some() && !seeds.is_empty() =>
                {
                    self.excused.push(Lock { node: *node, span: Span { from: step.at_ms, to: NEVER } });
                }
                _ => {}
            }
        }
    }

    /// Nobody links anew with a certificate that is over.
    pub(super) fn check(&self, truth: &Truth, reports: &[Reported], findings: &mut Findings) {
        for reported in reports {
            let (EventKind::LinkUp { .. }, Some(about)) = (&reported.kind, subject(reported)) else { continue };
            let (by, at) = (reported.by, ms(reported));
            let concerns = |lock: &&Lock| [by, about].contains(&lock.node) && lock.span.contains(at);
            for lock in self.expired.iter().filter(concerns) {
                let late = REPORTED_MS + truth.allowance(lock.span.from, at);
                let awake = [by, about].iter().all(|node| truth.is_up_between(*node, lock.span.from, at));
                if awake && at > lock.span.from + late {
                    let what = format!(
                        "at {:.3} s node {by}: {}, and the certificate of {} was over at {:.3} s",
                        at as f64 / 1e3,
                        short(&reported.kind),
                        lock.node,
                        lock.span.from as f64 / 1e3
                    );
                    findings.add(
                        Finding::new("nobody links with a certificate that is over", what).at(at).by(by).about(about),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::NameFault;
    use crate::world::name_of;
    use cluster_types::{Incarnation, Instant};
    use std::time::Duration;

    const fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn spans(locks: &[Lock]) -> Vec<(usize, u64, u64)> {
        locks.iter().map(|lock| (lock.node, lock.span.from, lock.span.to)).collect()
    }

    fn certificates() -> Scenario {
        Scenario::new("x")
            .cluster(3)
            .at(s(10), Act::Rotate { node: 1, valid_s: 5 })
            .at(s(12), Act::Rotate { node: 2, valid_s: 3_600 })
            .at(s(40), Act::Rotate { node: 1, valid_s: 3_600 })
            .then_quiet(s(60))
    }

    #[test]
    fn a_certificate_that_is_over_excuses_until_its_successor_had_time() {
        let locks = Locks::of(&certificates());
        assert_eq!(spans(&locks.excused), [(1, 14_000, 55_000)]);
        assert_eq!(spans(&locks.expired)[0], (1, 15_000, 40_000));
        // By another clock it may be over at once, and nobody can say that it is.
        let wrong = Locks::of(&certificates().at(s(1), Act::StepWallClock { node: 0, by_ms: 1 }));
        assert_eq!((spans(&wrong.excused)[0], wrong.expired.len()), ((1, 10_000, 55_000), 0));
        // A new certificate comes with a new disk, too.
        let wiped = Scenario::new("x").cluster(2).at(s(10), Act::Rotate { node: 1, valid_s: 5 });
        let wiped = wiped.at(s(20), Act::Crash(1)).at(s(20), Act::Wipe(1)).then_quiet(s(60));
        assert_eq!(spans(&Locks::of(&wiped).expired), [(1, 15_000, 20_000)]);
    }

    #[test]
    fn who_starts_while_names_are_not_known_is_excused() {
        let names = Scenario::new("x")
            .cluster(2)
            .at(s(10), Act::Names(Some(NameFault::Hang)))
            .at(s(11), Act::Start { node: 2, seeds: vec![0] })
            .at(s(12), Act::Start { node: 3, seeds: vec![] })
            .at(s(20), Act::Names(None))
            .at(s(21), Act::Start { node: 4, seeds: vec![0] })
            .then_quiet(s(60));
        assert!(Locks::of(&names).excused.is_empty(), "seeds are addresses");
        let locks = Locks::of(&Scenario { names: true, ..names });
        assert_eq!(spans(&locks.excused), [(2, 11_000, 27_000)]);
    }

    #[test]
    fn a_link_that_comes_up_with_a_certificate_that_is_over_is_found() {
        let scenario = certificates();
        let (truth, locks) = (Truth::of(&scenario), Locks::of(&scenario));
        let found = |at_s: u64, by: usize, about: usize| {
            let at = Instant::after_origin(s(at_s));
            let (node, addr) = (name_of(about), ([10, 0, 0, 1], 1).into());
            let kind = EventKind::LinkUp { node, incarnation: Incarnation::from_raw(1), addr };
            let mut findings = Findings::default();
            locks.check(&truth, &[Reported { at, by, kind }], &mut findings);
            findings.0.len()
        };
        assert_eq!(
            [found(14, 0, 1), found(17, 0, 1), found(20, 0, 1), found(20, 1, 2), found(41, 1, 0)],
            [0, 0, 1, 1, 0]
        );
        assert_eq!(found(20, 0, 2), 0, "of two others");
    }
}
