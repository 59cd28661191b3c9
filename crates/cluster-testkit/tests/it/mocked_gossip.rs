//! Membership with mocks at its edges: what the core asks of its plan and of a watch over processes, what a health checker asks of
//! its detectors, and what they make of the answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_gossip::wire::DatagramKind::{Ack, Gossip, Ping, PingReq};
use cluster_gossip::wire::{Datagram, DatagramKind, DatagramWriter, Update};
use cluster_gossip::{HealthChecker, Output, PeerInfo, SharedNodeRegistry, Statement, Swim, SwimConfig};
use cluster_testkit::mocks::{MockDeathWatch, MockFailureDetector, MockProbePlan};
use cluster_types::{Accusation, Claim, EventKind, HealthFault, Incarnation, Instant, Life, Metadata, NodeId, Seed};

const BOOT_MS: u64 = 1_795_000_000_000;

fn at(ms: u64) -> Instant {
    Instant::after_origin(Duration::from_millis(ms))
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn life(n: u32) -> Life {
    Life::new(BOOT_MS, n)
}

fn claim(name: &str) -> Claim {
    let addr = SocketAddr::from(([10, 0, 0, 1], 1_000 + u16::from(name.as_bytes()[0])));
    Claim::alive(node(name), life(1), Incarnation::from_unix_ms(BOOT_MS), addr)
}

/// A plan in which node "m" watches "x" with "a", and has a turn when the test puts one there.
fn plan(turn: &Arc<Mutex<Option<NodeId>>>) -> MockProbePlan {
    let mut plan = MockProbePlan::new();
    for name in ["m", "a", "b", "x"] {
        plan.expect_set_impaired().return_const(());
        plan.expect_insert()
            .withf(move |_, who, zone| who.as_str() == name && zone.is_empty())
            .times(1..)
            .return_const(());
    }
    plan.expect_settle().return_const(false);
    plan.expect_next_turn().return_const(Instant::END);
    let turn = Arc::clone(turn);
    plan.expect_take_turn().returning(move |_| turn.lock().unwrap().take());
    plan.expect_neighbours().return_const(BTreeSet::from([node("a"), node("x")]));
    plan.expect_is_neighbour().returning(|who| who.as_str() != "b");
    plan.expect_observers_of().returning(|_| vec![node("a"), node("m")]);
    plan.expect_spacing().returning(|who| (who.as_str() == "x").then_some(Duration::from_secs(1)));
    plan
}

/// A core on node "m" with this plan, linked to all others.
fn core(plan: MockProbePlan) -> Swim {
    let (config, own) = (SwimConfig::lan(), claim("m"));
    let mut swim = Swim::with_plan(config, Box::new(plan), own, Metadata::default(), BOOT_MS, Seed::new(1), at(0));
    for name in ["a", "b", "x"] {
        let Claim { node, life, incarnation, addr, .. } = claim(name);
        swim.handle_link_up(at(0), PeerInfo::from(&Claim::alive(node, life, incarnation, addr)));
        let mut writer = DatagramWriter::new(Gossip, 0, None);
        assert!(writer.push(&Update::unproven(claim(name))));
        swim.handle_datagram(at(0), &claim(name).node, &writer.finish());
    }
    sent(&mut swim);
    swim
}

/// The datagrams since the last look that ask something.
fn sent(swim: &mut Swim) -> Vec<(String, DatagramKind, u64)> {
    let mut sent = Vec::new();
    while let Some(output) = swim.poll_output() {
        if let Output::Datagram { to, bytes } = output {
            let datagram = Datagram::decode(&bytes).unwrap();
            if datagram.kind != Gossip {
                sent.push((to.to_string(), datagram.kind, datagram.seq));
            }
        }
    }
    sent
}

#[test]
fn a_core_probes_whom_its_plan_says_through_whom_it_says() {
    let turn = Arc::new(Mutex::new(None));
    let mut plan = plan(&turn);
    plan.expect_helpers_for().withf(|subject| subject.as_str() == "x").times(1).returning(|_| vec![node("a")]);
    let mut swim = core(plan);
    *turn.lock().unwrap() = Some(node("x"));
    swim.handle_timeout(at(1_000));
    let pinged: Vec<(String, DatagramKind)> = sent(&mut swim).into_iter().map(|(to, kind, _)| (to, kind)).collect();
    assert_eq!(pinged, [("x".to_owned(), Ping)]);
    let mut asked = Vec::new();
    while asked.is_empty() {
        let now = swim.next_deadline();
        assert!(now < at(3_000), "a probe that stays unanswered is passed on");
        swim.handle_timeout(now);
        asked = sent(&mut swim);
        asked.retain(|(_, kind, _)| *kind == PingReq);
    }
    let helpers: Vec<&str> = asked.iter().map(|(to, _, _)| to.as_str()).collect();
    assert_eq!(helpers, ["a"], "and not through b, to which there is a link as well");
}

#[test]
fn turns_go_between_the_plan_and_the_wire() {
    let turn = Arc::new(Mutex::new(None));
    let mut plan = plan(&turn);
    plan.expect_turn_of().withf(|_, observer| observer.as_str() == "a").return_const(Duration::from_millis(700));
    let told = |_: &Instant, subject: &NodeId, turn_in: &Duration| {
        subject.as_str() == "x" && *turn_in == Duration::from_millis(250)
    };
    plan.expect_note_told_turn().withf(told).times(1).return_const(());
    let mut swim = core(plan);
    swim.handle_datagram(at(10), &node("a"), &DatagramWriter::new(Ping, 7, None).finish());
    let Some(Output::Datagram { to, bytes }) = swim.poll_output() else { panic!("an answer") };
    let answer = Datagram::decode(&bytes).unwrap();
    assert_eq!((to.as_str(), answer.kind, answer.turn), ("a", Ack, Some(Duration::from_millis(700))));
    swim.handle_datagram(at(20), &node("x"), &DatagramWriter::ack(1, Some(Duration::from_millis(250)), false).finish());
}

/// Whoever knows that a process has ended is believed so far that the member is probed at once: a neighbour, in this life, and
/// nobody else.
#[test]
fn a_death_that_is_known_is_looked_at_at_once() {
    let mut swim = core(plan(&Arc::default()));
    let mut known = vec![("x", 2), ("b", 1), ("stranger", 1), ("x", 1), ("x", 1)];
    let mut watch = MockDeathWatch::new();
    watch.expect_poll_death().times(6).returning(move || known.pop().map(|(name, n)| (node(name), life(n))));
    swim.handle_deaths(at(500), &mut watch);
    let asked: Vec<(String, DatagramKind)> = sent(&mut swim).into_iter().map(|(to, kind, _)| (to, kind)).collect();
    assert_eq!(asked, [("x".to_owned(), Ping)], "one round, however often it is said");
    assert_eq!(swim.member(&node("x")).unwrap().state(), cluster_types::State::Alive, "it is evidence, and no verdict");
}

/// Each life of a member has a detector of its own, which hears of beats and other signs, is asked at each check, and is told when
/// the silence was an outage.
#[test]
fn a_checker_suspects_whom_its_detector_holds_to_be_overdue() {
    let registry = SharedNodeRegistry::new(node("me"));
    registry.apply(at(0), Statement::about(claim("x"), at(0), None));
    let mut checker = HealthChecker::with_detector(node("me"), |now| {
        let mut detector = MockFailureDetector::new();
        detector.expect_handle_beat().withf(|now| *now == at(1_000)).times(1).return_const(());
        detector.expect_handle_sign().withf(|now| *now == at(1_500)).times(1).return_const(());
        detector.expect_is_overdue().returning(|now| now >= at(9_000));
        detector.expect_level().returning(|_| 12.5);
        detector.expect_skip_interval().times(1).return_const(());
        detector.expect_silence().returning(move |asked| asked.since(now));
        detector
    });
    assert_eq!(checker.check(at(500), &registry), []);
    checker.note_beat(at(1_000), &node("x"));
    checker.note_sign(at(1_500), &node("x"));
    assert_eq!(checker.check(at(8_999), &registry), []);
    let events = checker.check(at(9_000), &registry);
    let [
        EventKind::HealthCheckFailed { fault: HealthFault::Overdue { phi_milli: 12_500 }, .. },
        EventKind::Suspected(member, evidence),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((member.node(), evidence.accusation), (&node("x"), Accusation::Phi));
    assert_eq!(evidence.silence, Duration::from_millis(8_500), "since the check that first saw it");
    assert_eq!(checker.check(at(20_000), &registry), [], "once");
}

/// A mock that no test makes is a seam that nobody has tried.
#[test]
fn every_mock_has_a_unit_that_is_tried_with_it() {
    let gathered = include_str!("../../src/mocks.rs");
    let names: BTreeSet<&str> = gathered
        .lines()
        .filter(|line| line.starts_with("pub use"))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| word.starts_with("Mock"))
        .collect();
    assert!(names.contains("MockProbePlan") && names.contains("MockConnection"), "{names:?}");
    let tests = [
        include_str!("mocked.rs"),
        include_str!("mocked_connections.rs"),
        include_str!("mocked_gossip.rs"),
        include_str!("mocked_manager.rs"),
    ];
    let unused: Vec<&&str> =
        names.iter().filter(|name| !tests.iter().any(|test| test.contains(&format!("{name}::new()")))).collect();
    assert!(unused.is_empty(), "no unit is tried with {unused:?}");
}
