//! Phi over many members: who is overdue for its own rhythm, said once until it recovers.
//!
//! Inside the core an overdue member is looked at first and suspected only if it does not answer. Used alone, the
//! [`HealthChecker`] suspects it by itself, in the registry it was given.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cluster_failure::{ConfigError, FailureDetector, PhiAccrualDetector};
use cluster_types::{Accusation, Claim, EventKind, Evidence, HealthFault, Instant, Life, NodeId, State};

use crate::registry::{SharedNodeRegistry, Statement};

/// Phi at which a member is overdue: see [`PhiAccrualDetector`] for which "8" this is.
const THRESHOLD: f64 = 8.0;
/// Beats that are remembered, and beats before they are trusted.
const WINDOW: usize = 100;
const MIN_SAMPLES: usize = 5;

/// The rhythm of one member's scheduled beats.
#[derive(Debug, Clone)]
pub(crate) struct Pulse<D = PhiAccrualDetector> {
    detector: D,
    tripped: bool,
}

impl Pulse {
    pub(crate) fn new(period: Duration, now: Instant) -> Self {
        let phi = PhiAccrualDetector::new(THRESHOLD, WINDOW, MIN_SAMPLES).and_then(|phi| phi.with_period(period));
        let phi = phi.unwrap_or_else(|e| unreachable!("constants, and a period above zero: {e}"));
        Self::of(phi.started_at(now))
    }

    /// A scheduled beat came; one is expected every `period`.
    pub(crate) fn beat_of(&mut self, now: Instant, period: Duration) {
        self.detector.set_period(period);
        self.beat(now);
    }

    /// Until then the threshold is not crossed, whatever does not come; [`beat_of`](Self::beat_of) may move it back.
    pub(crate) fn quiet_until(&self) -> Instant {
        self.detector.quiet_until()
    }
}

impl<D: FailureDetector> Pulse<D> {
    const fn of(detector: D) -> Self {
        Self { detector, tripped: false }
    }

    /// A scheduled beat came.
    fn beat(&mut self, now: Instant) {
        self.detector.handle_beat(now);
        self.tripped = false;
    }

    /// Anything else came.
    pub(crate) fn sign(&mut self, now: Instant) {
        self.detector.handle_sign(now);
        self.tripped = false;
    }

    /// The observer itself was away: the silence is its own.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.detector.handle_sign(now);
        self.detector.skip_interval();
    }

    /// Phi in thousandths. Silence without end stays a number.
    pub(crate) fn phi_milli(&self, now: Instant) -> u64 {
        (self.detector.level(now) * 1_000.0) as u64
    }

    /// Phi in thousandths, when it has just crossed the threshold: once until a sign of life.
    pub(crate) fn crossing(&mut self, now: Instant) -> Option<u64> {
        if self.tripped || !self.detector.is_overdue(now) {
            return None;
        }
        self.tripped = true;
        // What was an outage is no part of the rhythm: counted as one, it would hide the next.
        self.detector.skip_interval();
        Some(self.phi_milli(now))
    }
}

/// Settings of a [`HealthChecker`].
#[derive(Debug, Clone, PartialEq)]
pub struct HealthConfig {
    /// Phi at which a member is overdue. Default 8.
    pub threshold: f64,
    /// Beats remembered. Default 100.
    pub window: usize,
    /// Beats before they are trusted. Default 5.
    pub min_samples: usize,
    /// How often a beat is scheduled. Default 1 s.
    pub period: Duration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { threshold: THRESHOLD, window: WINDOW, min_samples: MIN_SAMPLES, period: Duration::from_secs(1) }
    }
}

#[derive(Debug)]
struct Watched<D> {
    life: Life,
    pulse: Pulse<D>,
}

/// Makes the detector of a member that is watched from that moment on.
struct Fresh<D>(Box<dyn Fn(Instant) -> D + Send + Sync>);

impl<D> fmt::Debug for Fresh<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh")
    }
}

/// Phi for each member of a registry, for who has beats and no [`Swim`](crate::Swim).
///
/// Whoever drives it says which beats came ([`note_beat`](Self::note_beat)) and calls [`check`](Self::check) every so often.
#[derive(Debug)]
pub struct HealthChecker<D = PhiAccrualDetector> {
    own: NodeId,
    fresh: Fresh<D>,
    watched: BTreeMap<NodeId, Watched<D>>,
}

impl HealthChecker {
    /// A checker on node `own`, which it never suspects.
    ///
    /// # Errors
    /// See [`PhiAccrualDetector::new`] and [`PhiAccrualDetector::with_period`].
    pub fn new(own: NodeId, config: &HealthConfig) -> Result<Self, ConfigError> {
        let HealthConfig { threshold, window, min_samples, period } = *config;
        let fresh = PhiAccrualDetector::new(threshold, window, min_samples)?.with_period(period)?;
        Ok(Self::with_detector(own, move |now| fresh.clone().started_at(now)))
    }

    /// Phi of a member now, if it is watched.
    #[must_use]
    pub fn phi(&self, now: Instant, node: &NodeId) -> Option<f64> {
        self.watched.get(node).map(|watched| watched.pulse.detector.phi(now))
    }
}

impl<D: FailureDetector> HealthChecker<D> {
    /// As [`new`](HealthChecker::new), with detectors of one's own: `fresh` makes one for each life of a member, at the moment
    /// from which it is watched. What is reported as phi is the detector's level.
    pub fn with_detector(own: NodeId, fresh: impl Fn(Instant) -> D + Send + Sync + 'static) -> Self {
        Self { own, fresh: Fresh(Box::new(fresh)), watched: BTreeMap::new() }
    }

    /// A scheduled beat of a member came. One that is not watched yet is watched from the next check on.
    pub fn note_beat(&mut self, now: Instant, node: &NodeId) {
        if let Some(watched) = self.watched.get_mut(node) {
            watched.pulse.beat(now);
        }
    }

    /// Anything else authenticated came from a member.
    pub fn note_sign(&mut self, now: Instant, node: &NodeId) {
        if let Some(watched) = self.watched.get_mut(node) {
            watched.pulse.sign(now);
        }
    }

    /// Looks at every live member of the registry. An overdue one is reported (`health_check_failed`, once until it recovers)
    /// and suspected; returns the events that this published.
    ///
    /// A member that somebody else suspects already, another checker for example, is left to them.
    pub fn check(&mut self, now: Instant, registry: &SharedNodeRegistry) -> Vec<EventKind> {
        let table = registry.snapshot();
        let live = |node: &NodeId| table.member(node.as_str()).is_some_and(|member| member.state().is_live());
        self.watched.retain(|node, _| live(node));
        let mut published = Vec::new();
        for member in table.iter().filter(|member| *member.node() != self.own && member.state().is_live()) {
            let life = member.claim.life;
            let fresh = || Watched { life, pulse: Pulse::of((self.fresh.0)(now)) };
            let watched = self.watched.entry(member.node().clone()).or_insert_with(fresh);
            if watched.life != life {
                // What was learnt of a former process says nothing about this one.
                *watched = fresh();
            }
            if member.state() == State::Suspect {
                continue;
            }
            let Some(phi_milli) = watched.pulse.crossing(now) else { continue };
            let fault = HealthFault::Overdue { phi_milli };
            let failed = EventKind::HealthCheckFailed { member: std::sync::Arc::clone(member), fault };
            registry.note(now, failed.clone());
            published.push(failed);
            let claim = Claim { state: State::Suspect, ..member.claim.clone() };
            let evidence = Some(self.evidence(now, member.node()));
            published.extend(registry.apply(now, Statement::about(claim, now, evidence)));
        }
        published
    }

    fn evidence(&self, now: Instant, node: &NodeId) -> Evidence {
        let silence = self.watched.get(node).map(|watched| watched.pulse.detector.silence(now)).unwrap_or_default();
        Evidence { accusers: vec![self.own.clone()], votes_needed: 1, silence, ..Evidence::bare(Accusation::Phi) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::{Claim, Incarnation};

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn alive(incarnation: u64, life: u32) -> Claim {
        Claim::alive(node("x"), Life::new(1, life), Incarnation::from_raw(incarnation), "10.0.0.1:1".parse().unwrap())
    }

    fn registry() -> SharedNodeRegistry {
        let registry = SharedNodeRegistry::new(node("me"));
        registry.apply(at(0), Statement::about(alive(1, 1), at(0), None));
        registry
    }

    fn checker() -> HealthChecker {
        HealthChecker::new(node("me"), &HealthConfig::default()).unwrap()
    }

    /// Beats once a second until `until`, checking at each; returns what was published.
    fn beat(checker: &mut HealthChecker, registry: &SharedNodeRegistry, from: u64, until: u64) -> Vec<EventKind> {
        let mut published = Vec::new();
        for second in from..until {
            checker.note_beat(at(second * 1_000), &node("x"));
            published.extend(checker.check(at(second * 1_000), registry));
        }
        published
    }

    #[test]
    fn test_event_emission_on_phi_threshold() {
        let (registry, mut checker) = (registry(), checker());
        assert_eq!(checker.check(at(0), &registry), []);
        assert_eq!(beat(&mut checker, &registry, 1, 20), []);
        assert_eq!(checker.check(at(21_000), &registry), [], "phi 8 of steady seconds is at 2.4 s");
        let events = checker.check(at(22_000), &registry);
        let words: Vec<&str> = events.iter().map(EventKind::as_str).collect();
        assert_eq!(words, ["health_check_failed", "suspected"]);
        let EventKind::HealthCheckFailed { member, fault: HealthFault::Overdue { phi_milli } } = &events[0] else {
            panic!("{events:?}")
        };
        assert_eq!(member.node(), &node("x"));
        assert!((8_000..100_000).contains(phi_milli), "{phi_milli}");
        let EventKind::Suspected(_, evidence) = &events[1] else { panic!("{events:?}") };
        assert_eq!((evidence.accusation, evidence.silence), (Accusation::Phi, Duration::from_secs(3)));
        assert_eq!(evidence.accusers, [node("me")]);
        assert_eq!(checker.check(at(60_000), &registry), [], "once until recovery");
        // It refutes and beats again; the next silence is a new failure.
        registry.apply(at(60_000), Statement::about(alive(2, 1), at(60_000), None));
        assert_eq!(beat(&mut checker, &registry, 61, 70), []);
        let again: Vec<&str> = checker.check(at(300_000), &registry).iter().map(EventKind::as_str).collect();
        assert_eq!(again, ["health_check_failed", "suspected"]);
    }

    #[test]
    fn test_health_checker_shared_registry() {
        let registry = registry();
        let (mut one, mut other) = (checker(), checker());
        assert!(one.check(at(0), &registry).is_empty() && other.check(at(0), &registry).is_empty());
        for second in 1..20 {
            one.note_beat(at(second * 1_000), &node("x"));
            other.note_beat(at(second * 1_000), &node("x"));
        }
        assert_eq!(one.check(at(30_000), &registry).len(), 2);
        assert_eq!(registry.snapshot().member("x").unwrap().state(), State::Suspect);
        assert_eq!(other.check(at(30_000), &registry), [], "the other sees that it is suspect already");
        registry.apply(at(31_000), Statement::about(alive(2, 1), at(31_000), None));
        let words: Vec<&str> = other.check(at(31_000), &registry).iter().map(EventKind::as_str).collect();
        assert_eq!(words, ["health_check_failed", "suspected"], "and that it is not any more");
    }

    #[test]
    fn a_new_life_is_learnt_anew_and_who_went_is_forgotten() {
        let (registry, mut checker) = (registry(), checker());
        beat(&mut checker, &registry, 0, 10);
        registry.apply(at(20_000), Statement::about(alive(9, 2), at(20_000), None));
        assert_eq!(checker.check(at(20_000), &registry), [], "its silence counts from its start");
        assert!(checker.phi(at(20_000), &node("x")).unwrap() < 0.02);
        let left = Claim { state: State::Left, ..alive(9, 2) };
        registry.apply(at(21_000), Statement::about(left, at(21_000), None));
        assert_eq!(checker.check(at(90_000), &registry), []);
        assert_eq!(checker.phi(at(90_000), &node("x")), None);
    }

    #[test]
    fn other_packets_put_it_off_and_absurd_settings_are_refused() {
        let (registry, mut checker) = (registry(), checker());
        beat(&mut checker, &registry, 0, 10);
        for second in 10..30 {
            checker.note_sign(at(second * 1_000), &node("x"));
            assert_eq!(checker.check(at(second * 1_000 + 900), &registry), []);
        }
        checker.note_sign(at(1), &node("stranger"));
        checker.note_beat(at(1), &node("stranger"));
        assert_eq!(checker.phi(at(1), &node("stranger")), None);
        let absurd = HealthConfig { threshold: 0.0, ..HealthConfig::default() };
        assert_eq!(HealthChecker::new(node("me"), &absurd).unwrap_err().field, "threshold");
    }
}
