//! Phi against an independent tool, against its promises, and against theory over a million beats.

use std::time::Duration;

use cluster_types::{Instant, Seed};
use proptest::prelude::*;

use super::PhiAccrualDetector;
use crate::detector::FailureDetector;
use crate::normal::tail_log10;

/// Lines of `z phi`, made by `reference.py` with mpmath at 50 digits.
const TAIL: &str = include_str!("reference_tail.txt");
/// Lines of `threshold probability`, made by `reference.py` with scipy: mistakes with a window of 100.
const MISTAKES: &str = include_str!("reference_mistakes.txt");

fn pairs(text: &str) -> impl Iterator<Item = (f64, f64)> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut numbers = line.split_whitespace().map(|n| n.parse().expect("a number"));
        (numbers.next().expect("a first"), numbers.next().expect("a second"))
    })
}

fn at(seconds: f64) -> Instant {
    Instant::after_origin(Duration::from_secs_f64(seconds))
}

fn detector() -> PhiAccrualDetector {
    PhiAccrualDetector::new(8.0, 100, 5).expect("the customary values")
}

/// After beats at these moments.
fn beaten(moments: impl IntoIterator<Item = f64>) -> PhiAccrualDetector {
    let mut detector = detector();
    moments.into_iter().for_each(|moment| detector.handle_beat(at(moment)));
    detector
}

#[test]
fn test_phi_reference_values() {
    let mut checked = 0;
    for (z, expected) in pairs(TAIL) {
        let error = (tail_log10(z) - expected).abs() / expected;
        assert!(error < 1e-9, "z = {z}: {} against {expected}", tail_log10(z));
        checked += 1;
    }
    assert!(checked > 200, "the table is there");
}

#[test]
fn test_phi_threshold_detection() {
    let detector = beaten((0..20).map(f64::from));
    assert!(detector.phi(at(19.0)) < 1.0);
    assert!(detector.phi(at(20.0)) < 1.0);
    assert!(!detector.is_overdue(at(20.0)));
    assert!(detector.phi(at(24.0)) > 5.0);
    assert!(detector.is_overdue(at(24.0)));
}

/// The number in the page above: phi 8 is mean + 5.6 deviations, of which the floor is a quarter of a second here.
#[test]
fn phi_eight_is_at_the_silence_that_the_page_says() {
    let detector = beaten((0..50).map(f64::from));
    assert!(!detector.is_overdue(at(49.0 + 1.0 + 5.61 * 0.25)));
    assert!(detector.is_overdue(at(49.0 + 1.0 + 5.62 * 0.25)));
    assert!((detector.level(at(51.0)) - detector.phi(at(51.0))).abs() < f64::EPSILON);
    assert!((detector.threshold() - 8.0).abs() < f64::EPSILON);
}

proptest! {
    /// Whatever the rhythm: not overdue for as long as that is said, and not much longer quiet than that.
    #[test]
    fn nobody_is_overdue_before_it_is_said(
        gaps in prop::collection::vec(0.01_f64..4.0, 0..40), period in 0.5_f64..20.0,
    ) {
        let mut detector = detector().with_period(Duration::from_secs_f64(period)).unwrap();
        let mut now = 0.0;
        for gap in gaps {
            now += period * gap;
            detector.handle_beat(at(now));
            let quiet_until = detector.quiet_until();
            prop_assert!(!detector.is_overdue(quiet_until), "{detector:?}");
            let silence = detector.silence(quiet_until).as_secs_f64();
            prop_assert!(detector.is_overdue(at(now + silence * 1.01 + 1e-6)), "{silence} s");
        }
    }

    /// A lower threshold promises nothing.
    #[test]
    fn other_thresholds_are_looked_at_always(threshold in 0.1_f64..7.9) {
        let detector = PhiAccrualDetector::new(threshold, 100, 5).unwrap().started_at(at(7.0));
        prop_assert_eq!(detector.quiet_until(), at(7.0));
    }
}

#[test]
fn test_phi_with_no_heartbeats() {
    let detector = detector().started_at(at(100.0));
    let levels: Vec<f64> = (0..10).map(|s| detector.phi(at(100.0 + f64::from(s)))).collect();
    assert!(levels[0] < 0.02, "{levels:?}");
    assert!(levels.windows(2).all(|pair| pair[1] > pair[0]), "{levels:?}");
    // Mean 1 s and deviation 0.5 s until there are samples: z = 4 at 3 s, by the table of the normal distribution.
    assert!((levels[3] - 4.4993).abs() < 1e-3, "{levels:?}");
}

#[test]
fn few_samples_are_not_trusted_yet() {
    // Four intervals of 3 s are not five: a second is still expected.
    let four = beaten((0..5).map(|i| f64::from(i) * 3.0));
    let five = beaten((0..6).map(|i| f64::from(i) * 3.0));
    assert!(four.phi(at(12.0 + 3.0)) > 4.0);
    assert!(five.phi(at(15.0 + 3.0)) < 0.5);
}

#[test]
fn test_phi_with_varying_intervals() {
    let mut detector = detector();
    let mut now = 0.0;
    for interval in [1.0, 1.5, 0.8, 1.2].repeat(6) {
        assert!(detector.phi(at(now + interval)) < 2.0, "a spike at {now}");
        now += interval;
        detector.handle_beat(at(now));
    }
}

#[test]
fn test_phi_recovery_after_failure() {
    let mut detector = beaten((0..20).map(f64::from));
    assert!(detector.is_overdue(at(30.0)));
    detector.handle_beat(at(30.0));
    assert!(!detector.is_overdue(at(30.0)));
    assert!(detector.phi(at(31.0)) < 1.0);
}

/// Beats of 300 ms: the floor is a quarter of the mean, or 100 ms where that is more.
#[test]
fn the_deviation_has_two_floors() {
    let beaten_every = |period: f64| {
        let period_of = Duration::from_secs_f64(period);
        let mut detector = detector().with_period(period_of).expect("a period");
        (0..20).for_each(|i| detector.handle_beat(at(f64::from(i) * period)));
        // Silence of mean + 2 deviations has a phi of 1.6430 by the table of the normal distribution.
        move |deviation: f64| (detector.phi(at(19.0 * period + period + 2.0 * deviation)) - 1.6430).abs() < 1e-3
    };
    assert!(beaten_every(0.3)(0.1));
    assert!(beaten_every(2.0)(0.5));
}

#[test]
fn two_beats_at_one_moment_are_two_beats() {
    let mut detector = detector();
    detector.handle_beat(at(1.0));
    detector.handle_beat(at(1.0));
    assert_eq!((detector.window.len(), detector.window.mean_us()), (1, -1e6));
}

#[test]
fn other_packets_prove_life_but_teach_no_rhythm() {
    let mut with_traffic = beaten((0..20).map(f64::from));
    for i in 0..1_000 {
        with_traffic.handle_sign(at(19.0 + f64::from(i) / 1_000.0));
    }
    // A quiet second after a flood is not alarming, and neither are two.
    assert!(with_traffic.phi(at(20.999)) < 0.5);
    let quiet = beaten((0..20).map(f64::from));
    assert!(quiet.phi(at(20.999)) > with_traffic.phi(at(20.999)));
}

#[test]
fn a_changed_period_starts_the_learning_over() {
    let mut detector = beaten((0..20).map(f64::from));
    detector.set_period(Duration::from_secs(10));
    assert!(detector.phi(at(19.0 + 10.0)) < 1.0);
    detector.set_period(Duration::from_secs(10));
    detector.set_period(Duration::ZERO);
    assert!(detector.phi(at(19.0 + 10.0)) < 1.0, "the same period, or none, changes nothing");
    // The first beat after the change is no sample: nobody knows when it was due.
    detector.handle_beat(at(31.0));
    assert!(detector.window.is_empty());
    detector.handle_beat(at(41.0));
    assert_eq!(detector.window.len(), 1);
    assert_eq!(detector.window.mean_us(), 0.0);
}

#[test]
fn time_that_goes_backwards_changes_nothing() {
    let mut detector = beaten((0..20).map(f64::from));
    let before = detector.phi(at(21.0));
    detector.handle_beat(at(3.0));
    detector.handle_sign(at(4.0));
    assert_eq!(detector.phi(at(21.0)).to_bits(), before.to_bits());
    assert!(detector.phi(at(1.0)).is_finite());
}

#[test]
fn absurd_parameters_cannot_be_constructed() {
    let field = |threshold, window, min| PhiAccrualDetector::new(threshold, window, min).map_err(|e| e.field).err();
    for threshold in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(field(threshold, 100, 5), Some("threshold"));
    }
    for window in [0, 1, 65_537] {
        assert_eq!(field(8.0, window, 2), Some("window"));
    }
    for min in [0, 1, 101] {
        assert_eq!(field(8.0, 100, min), Some("min_samples"));
    }
    assert_eq!(field(8.0, 2, 2), None);
    assert_eq!(field(f64::MIN_POSITIVE, 65_536, 65_536), None);
    assert_eq!(detector().with_period(Duration::ZERO).map_err(|e| e.field).err(), Some("period"));
    for fraction in [-0.1, f64::NAN, f64::INFINITY] {
        let floored = detector().with_deviation_floor(Duration::ZERO, fraction);
        assert_eq!(floored.map_err(|e| e.field).err(), Some("of_mean"));
    }
    assert!(detector().with_deviation_floor(Duration::ZERO, 0.0).is_ok());
}

#[test]
fn a_beat_without_any_deviation_is_still_finite() {
    let mut punctual = detector().with_deviation_floor(Duration::ZERO, 0.0).expect("no floor");
    (0..50).for_each(|i| punctual.handle_beat(at(f64::from(i))));
    let phi = punctual.phi(at(1e6));
    assert!(phi.is_finite() && phi > 1e9, "{phi}");
    assert!(punctual.phi(Instant::END).is_finite());
}

proptest! {
    /// Finite for any silence, and never falling.
    #[test]
    fn phi_is_finite_and_monotone(
        intervals in prop::collection::vec(0.001f64..10.0, 0..40), silences in prop::collection::vec(0.0f64..1e7, 2..20),
    ) {
        let mut now = 0.0;
        let mut detector = detector();
        for interval in intervals {
            now += interval;
            detector.handle_beat(at(now));
        }
        let mut sorted = silences;
        sorted.sort_by(f64::total_cmp);
        let levels: Vec<f64> = sorted.iter().map(|s| detector.phi(at(now + s))).collect();
        prop_assert!(levels.iter().all(|phi| phi.is_finite() && *phi >= 0.0), "{levels:?}");
        prop_assert!(levels.windows(2).all(|pair| pair[0] <= pair[1]), "{levels:?}");
    }
}

/// Normal deviates (Box and Muller) from a counter-based seed.
struct Normal(cluster_types::seed::Draws);

impl Normal {
    fn new(seed: u64) -> Self {
        Self(Seed::new(seed).stream())
    }

    fn next(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.fraction()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.0.fraction()).cos()
    }
}

/// Beats of 10 s with a deviation of 1 s: far from zero, so that the truncation at zero is never seen.
const MEAN: f64 = 10.0;

fn unfloored() -> PhiAccrualDetector {
    let ten = Duration::from_secs_f64(MEAN);
    let detector = PhiAccrualDetector::new(8.0, 100, 100).and_then(|d| d.with_period(ten));
    detector.and_then(|d| d.with_deviation_floor(Duration::ZERO, 0.0)).expect("valid")
}

/// What is counted at every beat, for each threshold: `score(phi at arrival, deviate) -> weight`; returns mean and its
/// standard error from a thousand batches, since neighbouring beats share most of their window.
fn batch_means(beats: usize, seed: u64, score: impl Fn(&PhiAccrualDetector, Instant, f64) -> f64) -> (f64, f64) {
    const BATCHES: usize = 1_000;
    let mut normal = Normal::new(seed);
    let mut detector = unfloored();
    let mut now = at(0.0);
    detector.handle_beat(now);
    let mut beat = |detector: &mut PhiAccrualDetector| {
        let deviate = normal.next();
        let scored = score(detector, now, deviate);
        now += Duration::from_secs_f64(MEAN + deviate);
        detector.handle_beat(now);
        scored
    };
    (0..100).for_each(|_| {
        beat(&mut detector);
    });
    let size = beats / BATCHES;
    let means: Vec<f64> =
        (0..BATCHES).map(|_| (0..size).map(|_| beat(&mut detector)).sum::<f64>() / size as f64).collect();
    let mean = means.iter().sum::<f64>() / BATCHES as f64;
    let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (BATCHES - 1) as f64;
    (mean, (variance / BATCHES as f64).sqrt())
}

/// Two-sided 99.9 % of the normal distribution.
const BAND: f64 = 3.29;

#[test]
fn test_phi_statistical_properties() {
    for (threshold, probability) in pairs(MISTAKES).filter(|(threshold, _)| *threshold <= 4.0) {
        let mistake = |detector: &PhiAccrualDetector, last: Instant, deviate: f64| {
            f64::from(detector.phi(last + Duration::from_secs_f64(MEAN + deviate)) >= threshold)
        };
        let (rate, error) = batch_means(1_000_000, threshold as u64, mistake);
        assert!((rate - probability).abs() < BAND * error, "phi {threshold}: {rate} +- {error} against {probability}");
        assert!(error < probability / 5.0, "the band of phi {threshold} is narrow enough to mean something");
    }
}

/// Mistakes beyond phi 4 are too rare to wait for: the arrival is drawn from a distribution moved out to the threshold, and
/// each mistake is weighted by how much rarer it is in truth.
#[test]
fn mistakes_beyond_phi_four_are_as_rare_as_theory_says() {
    for (threshold, probability) in pairs(MISTAKES).filter(|(threshold, _)| *threshold > 4.0) {
        let shift = (2.0 * threshold * std::f64::consts::LN_10).sqrt() * 0.9;
        let mistake = |detector: &PhiAccrualDetector, last: Instant, deviate: f64| {
            let moved = deviate + shift;
            let weight = (-shift * moved + shift * shift / 2.0).exp();
            let late = detector.phi(last + Duration::from_secs_f64(MEAN + moved)) >= threshold;
            if late { weight } else { 0.0 }
        };
        let (rate, error) = batch_means(1_000_000, 100 + threshold as u64, mistake);
        assert!((rate - probability).abs() < BAND * error, "phi {threshold}: {rate} +- {error} against {probability}");
        assert!(error < probability / 5.0, "the band of phi {threshold}: {error} of {probability}");
    }
}

#[test]
fn an_interval_that_is_skipped_teaches_nothing() {
    let mut skipped = beaten((0..20).map(f64::from));
    let mut learnt = skipped.clone();
    // An outage of a minute lay between two beats.
    skipped.skip_interval();
    for detector in [&mut skipped, &mut learnt] {
        detector.handle_beat(at(80.0));
        detector.handle_beat(at(81.0));
    }
    assert!(skipped.phi(at(86.0)) > 5.0, "as ever after five seconds of silence");
    assert!(learnt.phi(at(86.0)) < 1.0, "counted as one, the minute hides the next outage");
}
