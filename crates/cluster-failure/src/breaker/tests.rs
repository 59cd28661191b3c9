//! The breaker's promises: when it opens, whom it lets through, what it ignores.

use super::*;
use BreakerState::{Closed, HalfOpen, Open};
use Outcome::{Failure, Success};
use proptest::prelude::*;

fn at(s: u64) -> Instant {
    Instant::after_origin(Duration::from_secs(s))
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::new(BreakerConfig::dialling())
}

/// One attempt from permit to outcome; the transitions of both.
fn attempt(breaker: &mut CircuitBreaker, now: Instant, outcome: Outcome) -> Vec<(BreakerState, BreakerState)> {
    let (permit, asked) = breaker.permit(now);
    let ended = permit.ok().and_then(|permit| breaker.handle_outcome(now, permit, outcome));
    [asked, ended].into_iter().flatten().map(|t| (t.from, t.to)).collect()
}

fn fail(breaker: &mut CircuitBreaker, now: Instant, times: usize) {
    for _ in 0..times {
        attempt(breaker, now, Failure);
    }
}

fn opened(now: Instant) -> CircuitBreaker {
    let mut breaker = breaker();
    fail(&mut breaker, now, 5);
    assert_eq!(breaker.state(), Open);
    breaker
}

#[test]
fn five_failures_in_a_row_open_it_and_a_success_between_does_not_let_them() {
    let mut breaker = breaker();
    fail(&mut breaker, at(0), 4);
    attempt(&mut breaker, at(0), Success);
    fail(&mut breaker, at(0), 4);
    assert_eq!(breaker.state(), Closed);
    assert_eq!(attempt(&mut breaker, at(1), Failure), [(Closed, Open)]);
    assert_eq!(breaker.retry_at(), Some(at(31)));
}

/// A breaker that opens at 30 % of the last twenty, and never for failures in a row.
fn by_rate() -> CircuitBreaker {
    let ten = Duration::from_secs(10);
    CircuitBreaker::new(BreakerConfig::new(1_000, 0.3, ten, ten, 1).unwrap())
}

#[test]
fn the_failure_rate_over_the_last_twenty_opens_it() {
    let mut breaker = by_rate();
    for i in 1..=20 {
        assert_eq!(attempt(&mut breaker, at(0), if i % 4 == 0 { Failure } else { Success }), [], "5 of 20 are 25 %");
    }
    assert_eq!(attempt(&mut breaker, at(0), Failure), [(Closed, Open)], "6 of the last 20 are 30 %");
}

#[test]
fn what_has_left_the_window_is_forgotten_and_a_success_never_opens_it() {
    let mut breaker = by_rate();
    for _ in 0..19 {
        assert_eq!(attempt(&mut breaker, at(0), Failure), [], "no rate before there are twenty");
    }
    // The twentieth makes a rate of 95 %, but it went well; and so on until five failures are left.
    for _ in 0..14 {
        assert_eq!(attempt(&mut breaker, at(0), Success), []);
    }
    assert_eq!(attempt(&mut breaker, at(0), Success), []);
    for _ in 0..5 {
        assert_eq!(attempt(&mut breaker, at(0), Failure), [], "each new failure pushes an old one out");
    }
    assert_eq!(attempt(&mut breaker, at(0), Failure), [(Closed, Open)]);
}

#[test]
fn while_open_it_refuses_and_says_until_when() {
    let mut breaker = opened(at(0));
    let (permit, transition) = breaker.permit(at(29));
    assert_eq!(permit.unwrap_err(), Refused { retry_at: Some(at(30)) });
    assert_eq!(transition, None);
}

#[test]
fn after_cooling_down_exactly_one_trial_is_let_through() {
    let mut breaker = opened(at(0));
    let (first, transition) = breaker.permit(at(30));
    assert_eq!(transition, Some(Transition { from: Open, to: HalfOpen }));
    assert_eq!(breaker.retry_at(), None);
    assert_eq!(breaker.permit(at(30)).0.unwrap_err(), Refused { retry_at: None });
    // The trial is cancelled: its right goes to the next one.
    drop(first);
    let (second, transition) = breaker.permit(at(31));
    assert_eq!(transition, None);
    assert!(breaker.permit(at(31)).0.is_err());
    let ended = breaker.handle_outcome(at(31), second.unwrap(), Success);
    assert_eq!(ended, Some(Transition { from: HalfOpen, to: Closed }));
    assert!(breaker.permit(at(31)).0.is_ok() && breaker.permit(at(31)).0.is_ok());
}

#[test]
fn the_number_of_trials_is_the_configured_one() {
    let ten = Duration::from_secs(10);
    let mut breaker = CircuitBreaker::new(BreakerConfig::new(1, 1.0, ten, ten, 3).unwrap());
    fail(&mut breaker, at(0), 1);
    let trials: Vec<_> = (0..4).map(|_| breaker.permit(at(10)).0).collect();
    assert_eq!(trials.iter().filter(|trial| trial.is_ok()).count(), 3);
}

#[test]
fn a_failed_trial_doubles_the_cool_down_up_to_its_maximum() {
    let mut breaker = opened(at(0));
    let mut spans = Vec::new();
    for _ in 0..6 {
        let now = breaker.retry_at().unwrap();
        assert_eq!(attempt(&mut breaker, now, Failure), [(Open, HalfOpen), (HalfOpen, Open)]);
        spans.push(breaker.retry_at().unwrap().since(now).as_secs());
    }
    assert_eq!(spans, [60, 120, 240, 300, 300, 300]);
    let now = breaker.retry_at().unwrap();
    attempt(&mut breaker, now, Success);
    fail(&mut breaker, now, 5);
    assert_eq!(breaker.retry_at(), Some(now + Duration::from_secs(30)), "a success starts over");
}

#[test]
fn late_answers_of_an_older_generation_are_ignored() {
    let mut breaker = breaker();
    let late: Vec<Permit> = (0..3).map(|_| breaker.permit(at(0)).0.unwrap()).collect();
    fail(&mut breaker, at(0), 5);
    let mut late = late.into_iter();
    assert_eq!(breaker.handle_outcome(at(1), late.next().unwrap(), Success), None);
    assert_eq!(breaker.state(), Open);
    let (trial, _) = breaker.permit(at(30));
    assert_eq!(breaker.handle_outcome(at(30), late.next().unwrap(), Failure), None);
    assert_eq!(breaker.state(), HalfOpen);
    breaker.handle_outcome(at(30), trial.unwrap(), Success);
    assert_eq!(breaker.handle_outcome(at(31), late.next().unwrap(), Failure), None);
    fail(&mut breaker, at(31), 4);
    assert_eq!(breaker.state(), Closed, "the late failure was not counted as a fifth");
}

#[test]
fn a_sign_of_life_closes_it_at_once() {
    let mut breaker = opened(at(0));
    assert_eq!(breaker.close(), Some(Transition { from: Open, to: Closed }));
    assert_eq!(breaker.close(), None);
    assert!(breaker.permit(at(1)).0.is_ok());
    fail(&mut breaker, at(1), 4);
    assert_eq!(breaker.close(), None, "closed already, but the failures are forgotten");
    fail(&mut breaker, at(1), 4);
    assert_eq!(breaker.state(), Closed);
    fail(&mut breaker, at(2), 1);
    assert_eq!(breaker.retry_at(), Some(at(32)), "the growth of the cool-down is forgotten, too");
}

#[test]
fn absurd_settings_are_refused_by_name() {
    let s = Duration::from_secs;
    let field =
        |failures, rate, cool, max, trials| BreakerConfig::new(failures, rate, cool, max, trials).map_err(|e| e.field);
    assert_eq!(field(0, 0.5, s(1), s(1), 1), Err("failures"));
    for rate in [0.0, -1.0, 1.1, f64::NAN] {
        assert_eq!(field(1, rate, s(1), s(1), 1), Err("failure_rate"));
    }
    assert_eq!(field(1, 1.0, s(0), s(1), 1), Err("cool_down"));
    assert_eq!(field(1, 1.0, s(2), s(1), 1), Err("cool_down_max"));
    assert_eq!(field(1, 1.0, s(1), s(1), 0), Err("trials"));
    assert_eq!(BreakerConfig::new(5, 0.5, s(30), s(300), 1), Ok(BreakerConfig::dialling()));
}

#[test]
fn permits_and_refusals_show_what_they_are() {
    let (permit, _) = breaker().permit(at(0));
    assert_eq!(format!("{:?}", permit.unwrap()), "Permit { trial: false, .. }");
    assert_eq!(Refused { retry_at: None }.to_string(), "the circuit breaker is open");
}

proptest! {
    /// Whatever happens: trials under way never exceed the limit, an open breaker grants nothing before its time, and every
    /// transition is one of the four that exist.
    #[test]
    fn any_sequence_keeps_the_rules(steps in prop::collection::vec((0u8..6, 0u64..40), 1..200)) {
        let mut breaker = breaker();
        let (mut now, mut held) = (0, Vec::new());
        for (step, wait) in steps {
            now += wait;
            let before = breaker.state();
            let mut transitions = Vec::new();
            match step {
                0 | 1 => {
                    let opens_at = breaker.retry_at();
                    let (granted, transition) = breaker.permit(at(now));
                    transitions.extend(transition);
                    prop_assert!(granted.is_err() || opens_at.is_none_or(|until| at(now) >= until));
                    held.extend(granted.ok());
                }
                2 | 3 => transitions.extend(held.pop().and_then(|p| breaker.handle_outcome(at(now), p, Failure))),
                4 => transitions.extend(held.pop().and_then(|p| breaker.handle_outcome(at(now), p, Success))),
                _ => { held.pop(); }
            }
            let trials = held.iter().filter(|p| p.trial.is_some() && p.generation == breaker.generation).count();
            prop_assert!(trials <= 1);
            for Transition { from, to } in transitions {
                prop_assert_eq!(from, before);
                prop_assert_eq!(to, breaker.state());
                prop_assert!(matches!((from, to), (Closed, Open) | (Open, HalfOpen) | (HalfOpen, Open | Closed)));
            }
        }
    }
}
