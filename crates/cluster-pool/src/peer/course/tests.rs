//! The course by hand, and in any order of things.

use super::*;
use proptest::prelude::*;

fn at(ms: u64) -> Instant {
    Instant::after_origin(Duration::from_millis(ms))
}

fn course() -> Course {
    Course::new(&PeerConfig::default())
}

const FIRST: Life = Life::from_raw(1 << 20);
const SECOND: Life = Life::from_raw(2 << 20);

/// Fails attempts, each at the moment it may be made, until the course says something else than to wait for the back-off.
fn fail(course: &mut Course, mut now: Instant, times: usize) -> Instant {
    for _ in 0..times {
        while let Next::Wait(until) = course.next(now, true) {
            now = until;
        }
        assert_eq!(course.state(), PeerState::Connecting);
        course.handle_failed(now, "no answer".into());
    }
    now
}

#[test]
fn nothing_is_dialled_until_something_is_wanted() {
    let mut course = course();
    assert_eq!((course.next(at(0), false), course.state()), (Next::Rest, PeerState::Idle));
    assert_eq!((course.next(at(1), true), course.state()), (Next::Dial, PeerState::Connecting));
    course.handle_connected(at(2), FIRST);
    assert_eq!((course.state(), course.life()), (PeerState::Connected, Some(FIRST)));
    assert_eq!(course.take_events(), [PeerEvent::Connected { life: FIRST }]);
}

#[test]
fn five_failures_open_the_breaker_and_a_sign_of_life_closes_it() {
    let mut course = course();
    let now = fail(&mut course, at(0), 5);
    let retry_in: Vec<Duration> = course
        .take_events()
        .into_iter()
        .filter_map(|e| if let PeerEvent::ConnectFailed { retry_in, .. } = e { Some(retry_in) } else { None })
        .collect();
    // Equal jitter of 100, 200, 400, 800 ms, then the breaker's 30 s.
    for (retry_in, nominal) in retry_in.iter().zip([100, 200, 400, 800]) {
        let nominal = Duration::from_millis(nominal);
        assert!((nominal / 2..=nominal).contains(retry_in), "{retry_in:?} for {nominal:?}");
    }
    assert_eq!(retry_in[4], Duration::from_secs(30));
    assert_eq!(course.breaker(), BreakerState::Open);
    let until = now + Duration::from_secs(30);
    let mut asked = now + Duration::from_secs(10);
    while let Next::Wait(next) = course.next(asked, true) {
        asked = next;
        if next == until {
            break;
        }
    }
    assert_eq!((asked, course.state()), (until, PeerState::BreakerOpen));
    course.handle_alive();
    assert_eq!(course.breaker(), BreakerState::Closed);
    assert_eq!(course.next(asked, true), Next::Dial);
}

#[test]
fn one_that_accepts_and_closes_is_not_dialled_in_a_loop() {
    let mut course = course();
    let mut now = at(0);
    let mut waited = Vec::new();
    for _ in 0..4 {
        if let Next::Wait(until) = course.next(now, true) {
            waited.push(until.since(now));
            now = until;
            assert_eq!(course.next(now, true), Next::Dial);
        }
        course.handle_connected(now, FIRST);
        course.handle_disconnected(now, "closed by the peer".into(), false);
    }
    assert!(waited.len() == 3 && waited.windows(2).all(|w| w[0] < w[1]), "{waited:?}");
    // An answer proves the link: the next one starts over.
    while let Next::Wait(until) = course.next(now, true) {
        now = until;
    }
    course.handle_connected(now, FIRST);
    course.handle_proof();
    course.handle_disconnected(now, "closed by the peer".into(), false);
    assert_eq!((course.failures(), course.next(now, true)), (0, Next::Dial));
}

#[test]
fn another_life_is_told_once() {
    let mut course = course();
    for (life, told) in [(FIRST, None), (FIRST, None), (SECOND, Some((FIRST, SECOND))), (SECOND, None)] {
        course.next(at(0), true);
        course.handle_connected(at(0), life);
        course.handle_proof();
        course.handle_disconnected(at(0), "gone".into(), true);
        let restarted = course.take_events().into_iter().find_map(|e| match e {
            PeerEvent::Restarted { from, to } => Some((from, to)),
            _ => None,
        });
        assert_eq!(restarted, told);
    }
}

#[test]
fn what_comes_after_closing_changes_nothing() {
    let mut course = course();
    course.next(at(0), true);
    course.handle_close();
    assert_eq!(course.take_events(), [PeerEvent::Closed]);
    course.handle_close();
    course.handle_connected(at(1), FIRST);
    course.handle_failed(at(1), "late".into());
    course.handle_disconnected(at(1), "late".into(), false);
    assert_eq!((course.next(at(2), true), course.state()), (Next::Stop, PeerState::Closed));
    assert!(course.take_events().is_empty());
}

/// This side's own limits are no failures of the peer's.
#[test]
fn what_was_not_even_tried_waits_and_leaves_the_breaker_alone() {
    let mut course = course();
    let mut now = at(0);
    for _ in 0..10 {
        while let Next::Wait(until) = course.next(now, true) {
            now = until;
        }
        course.handle_not_tried(now, "the pool is full".into());
    }
    assert_eq!((course.breaker(), course.failures()), (BreakerState::Closed, 10));
}

/// A link is there, or on its way: whatever the driver asks for then, nothing is dialled and nothing forgotten.
#[test]
fn a_dial_while_connected_or_connecting_is_none() {
    let mut course = course();
    assert_eq!(course.next(at(0), true), Next::Dial);
    for wanted in [true, false] {
        assert_eq!((course.next(at(1), wanted), course.state()), (Next::Rest, PeerState::Connecting));
    }
    course.handle_connected(at(2), FIRST);
    for wanted in [true, false] {
        assert_eq!((course.next(at(60_000), wanted), course.life()), (Next::Rest, Some(FIRST)));
    }
    course.handle_failed(at(60_001), "of an attempt that was never made".into());
    course.handle_not_tried(at(60_001), "nor this one".into());
    assert_eq!((course.life(), course.failures()), (Some(FIRST), 0));
    assert_eq!(course.take_events(), [PeerEvent::Connected { life: FIRST }]);
    // One that comes up beside it takes its place, and both are told in order.
    course.handle_connected(at(60_002), SECOND);
    let over = PeerEvent::Disconnected { reason: "another link took its place".into() };
    let restarted = PeerEvent::Restarted { from: FIRST, to: SECOND };
    assert_eq!(course.take_events(), [over, restarted, PeerEvent::Connected { life: SECOND }]);
}

/// What is asked of a course in any order; spans in milliseconds come beside it.
#[derive(Debug, Clone, Copy)]
enum Step {
    Next { wanted: bool },
    Connected { life: Life },
    Proof,
    Failed,
    NotTried,
    Lost { orderly: bool },
    Rested,
    Alive,
    Close,
}

fn any_step() -> impl Strategy<Value = Step> {
    // Closing ends everything: seldom.
    prop_oneof![
        8 => any::<bool>().prop_map(|unwanted| Step::Next { wanted: !unwanted }),
        6 => prop_oneof![Just(FIRST), Just(SECOND)].prop_map(|life| Step::Connected { life }),
        1 => Just(Step::Proof),
        4 => Just(Step::Failed),
        1 => Just(Step::NotTried),
        3 => any::<bool>().prop_map(|orderly| Step::Lost { orderly }),
        1 => Just(Step::Rested),
        1 => Just(Step::Alive),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Step::Close } else { Step::Proof }),
    ]
}

/// Asks for the next step, and says what is wrong with the answer.
fn next_is_right(course: &mut Course, now: Instant, wanted: bool) -> Result<(), TestCaseError> {
    let (before, ready_at, life) = (course.state(), course.retry_at(), course.life());
    let busy = matches!(before, PeerState::Connecting | PeerState::Connected);
    match course.next(now, wanted) {
        Next::Dial => {
            prop_assert!(wanted && !busy && before != PeerState::Closed, "a dial while {before}");
            prop_assert!(ready_at.is_none_or(|at| now >= at), "before its time");
            prop_assert_eq!(course.state(), PeerState::Connecting);
        }
        Next::Wait(until) => prop_assert!(until > now && !busy),
        Next::Rest => prop_assert!(busy || !wanted, "nothing is done while {before}, and it is wanted"),
        Next::Stop => prop_assert_eq!(before, PeerState::Closed),
    }
    prop_assert!(!busy || (course.state(), course.life()) == (before, life), "{before} was forgotten");
    Ok(())
}

proptest! {
    /// In any order of things, also such as meet a link that is up: a dial is begun only where none is under way and no link is
    /// there, never before its time, and every link that is told to be up is told to be over before the next.
    #[test]
    fn never_connecting_and_connected(steps in prop::collection::vec((any_step(), 0u64..5_000), 1..100)) {
        let mut course = course();
        let (mut now, mut up) = (at(0), false);
        for (step, after) in steps {
            now += Duration::from_millis(after);
            match step {
                Step::Next { wanted } => next_is_right(&mut course, now, wanted)?,
                Step::Connected { life } => course.handle_connected(now, life),
                Step::Proof => course.handle_proof(),
                Step::Failed => course.handle_failed(now, "no".into()),
                Step::NotTried => course.handle_not_tried(now, "no room".into()),
                Step::Lost { orderly } => course.handle_disconnected(now, "over".into(), orderly),
                Step::Rested => course.handle_rested(),
                Step::Alive => course.handle_alive(),
                Step::Close => course.handle_close(),
            }
            for event in course.take_events() {
                match event {
                    PeerEvent::Connected { .. } => { prop_assert!(!up, "up twice"); up = true; }
                    PeerEvent::Disconnected { .. } => { prop_assert!(up, "over twice"); up = false; }
                    // A link at rest is told no more: that it is over is told by what comes of the next dial.
                    PeerEvent::ConnectFailed { .. } | PeerEvent::Restarted { .. } => up = false,
                    _ => {}
                }
            }
            prop_assert!(up || course.state() != PeerState::Connected, "a link that nobody was told of");
        }
    }
}

#[test]
fn states_have_words_of_their_own() {
    let words = [
        (PeerState::Idle, "idle"),
        (PeerState::BackingOff, "backing off"),
        (PeerState::BreakerOpen, "breaker open"),
        (PeerState::Connecting, "connecting"),
        (PeerState::Connected, "connected"),
        (PeerState::Closed, "closed"),
    ];
    words.iter().for_each(|(state, word)| assert_eq!(state.as_str(), *word));
}

#[test]
fn the_last_error_is_kept_until_a_link_proves_itself() {
    let mut course = course();
    assert_eq!((course.last_error(), course.failures(), course.retry_at()), (None, 0, None));
    let now = fail(&mut course, at(0), 1);
    assert_eq!((course.last_error(), course.failures()), (Some("no answer"), 1));
    // Before its time no attempt is made, and at its time one is.
    let Next::Wait(until) = course.next(now, true) else { panic!("it waits") };
    assert_eq!((course.retry_at(), course.state()), (Some(until), PeerState::BackingOff));
    assert_eq!(course.next(until, true), Next::Dial);
    course.handle_connected(until, FIRST);
    assert_eq!(course.last_error(), Some("no answer"), "a link alone proves nothing");
    course.handle_proof();
    assert_eq!((course.last_error(), course.failures()), (None, 0));
}

/// Nobody wants anything any more while it waits: it waits on, and then rests.
#[test]
fn who_waits_and_is_not_wanted_rests_after_its_time() {
    let mut course = course();
    let now = fail(&mut course, at(0), 1);
    let Next::Wait(until) = course.next(now, true) else { panic!("it waits") };
    assert_eq!(course.next(now, false), Next::Wait(until));
    assert_eq!((course.next(until, false), course.state()), (Next::Rest, PeerState::Idle));
}

/// A link that is let go for lack of anything to say is no loss: nothing is told, and it is wanted again at once.
#[test]
fn a_link_at_rest_is_neither_lost_nor_told() {
    let mut course = course();
    assert_eq!(course.next(at(0), true), Next::Dial);
    course.handle_connected(at(1), FIRST);
    course.take_events();
    course.handle_rested();
    assert_eq!((course.state(), course.life()), (PeerState::Idle, None));
    assert_eq!(course.next(at(2), false), Next::Rest);
    assert_eq!(course.next(at(3), true), Next::Dial);
    course.handle_connected(at(4), FIRST);
    assert_eq!(course.take_events(), [], "the same life: it went on");
    course.handle_rested();
    assert_eq!(course.next(at(5), true), Next::Dial);
    course.handle_connected(at(6), SECOND);
    let restarted = PeerEvent::Restarted { from: FIRST, to: SECOND };
    assert_eq!(course.take_events(), [restarted, PeerEvent::Connected { life: SECOND }]);
}
