//! Joins and searches of one engine, by hand.

use super::*;
use cluster_types::Incarnation;

fn at(ms: u64) -> Instant {
    Instant::after_origin(Duration::from_millis(ms))
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn engine() -> Engine {
    let own = Claim::alive("m".parse().unwrap(), Life::new(1, 1), Incarnation::from_unix_ms(1), addr(1));
    let cluster = "test".parse().unwrap();
    Engine::new(SwimConfig::lan(), &cluster, own, Metadata::default(), 1, Seed::new(1), at(0))
}

/// Whom it wants to dial now, and what it tells of.
fn read(engine: &mut Engine) -> (Vec<u16>, Vec<&'static str>) {
    let (mut dials, mut told) = (Vec::new(), Vec::new());
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Dial(target) => dials.push(target.addr.port()),
            Output::Event(kind) => told.push(kind.as_str()),
            Output::JoinDone(_) => told.push("done"),
            _ => {}
        }
    }
    (dials, told)
}

fn fail(engine: &mut Engine, now: Instant, port: u16, failure: DialFailure) {
    engine.handle_dialled(now, &DialTarget { addr: addr(port), node: None }, Err(failure));
}

fn no_answer() -> DialFailure {
    DialFailure::Reason("no answer".into())
}

/// What a discovery finds while another place is being tried is tried next, and not lost.
#[test]
fn what_is_found_during_a_search_is_tried_after_it() {
    let mut engine = engine();
    engine.discovered(at(0), vec![JoinSeed::Addr(addr(2))]);
    assert_eq!(read(&mut engine), (vec![2], vec![]));
    engine.discovered(at(1), vec![JoinSeed::Addr(addr(3))]);
    assert_eq!(read(&mut engine), (vec![], vec![]));
    fail(&mut engine, at(5_000), 2, no_answer());
    engine.handle_timeout(at(5_000));
    assert_eq!(read(&mut engine), (vec![3], vec!["join_failed"]), "alone, each place where nobody is is news");
    assert!(engine.health().joining);
}

/// A join of the owner's ends as if nothing had been found, and what was found comes after it.
#[test]
fn a_join_under_way_ends_with_its_own_seeds() {
    let mut engine = engine();
    engine.join(at(0), vec![JoinSeed::Addr(addr(2))], false);
    engine.discovered(at(1), vec![JoinSeed::Addr(addr(3))]);
    assert_eq!(read(&mut engine).0, [2]);
    fail(&mut engine, at(5_000), 2, no_answer());
    engine.handle_timeout(at(5_000));
    let (dials, told) = read(&mut engine);
    assert_eq!((dials, told), (vec![3], vec!["done", "join_failed"]));
}

/// A node that finds nobody but itself is the first one, and ready.
#[test]
fn finding_oneself_is_finding_nobody() {
    let mut engine = engine();
    engine.discovered(at(0), vec![JoinSeed::Addr(addr(9))]);
    assert!(engine.health().joining);
    fail(&mut engine, at(10), 9, DialFailure::Myself);
    assert!(!engine.health().joining && engine.health().is_ready());
}

/// What is found during a join without an end waits for it, so many places at most; of more, the engine says how many there were. A
/// name that leads to too many places is no different.
#[test]
fn places_beyond_those_that_may_wait_are_counted() {
    let place = |n: u16| JoinSeed::Addr(SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 7)));
    let mut engine = engine();
    engine.join(at(0), vec!["db:7".parse().unwrap()], false);
    engine.discovered(at(1), (0..4_096).map(place).collect());
    engine.discovered(at(2), vec![place(0), place(4_095)]);
    assert_eq!(engine.health().places_left_out, 0);
    engine.discovered(at(3), (4_096..4_100).map(place).collect());
    assert_eq!(engine.health().places_left_out, 4);
    engine.handle_resolved(at(4), "db:7", Ok((1..=18).map(addr).collect()));
    assert_eq!(engine.health().places_left_out, 6, "sixteen of a name are dialled");
    // A join that goes on takes what is found along, up to a limit.
    let mut patient = self::engine();
    patient.join(at(0), vec![place(0)], true);
    patient.discovered(at(1), (0..4_100).map(place).collect());
    assert_eq!(patient.health().places_left_out, 4);
}
