//! Rhythm and health: overdue members, unwell applications, the second ping, and looking at who is accused.

use cluster_gossip::Output;
use cluster_gossip::wire::DatagramKind::{Ack, Gossip, Ping, PingReq};
use cluster_gossip::wire::DatagramWriter;
use cluster_types::{EventKind, HealthFault};

use crate::hand::{Hand, alive, ms, node};

fn faults(hand: &mut Hand) -> Vec<(String, HealthFault)> {
    let fault = |output| match output {
        Output::Event(EventKind::HealthCheckFailed { member, fault }) => Some((member.node().to_string(), fault)),
        _ => None,
    };
    hand.read().into_iter().filter_map(fault).collect()
}

/// Between two members an observer's beat is a second, so phi says it before the verdict does.
#[test]
fn an_overdue_member_is_reported_once_until_it_is_back() {
    let mut hand = Hand::with(&["x"]);
    hand.pass(ms(20_000), &["x"]);
    assert_eq!(faults(&mut hand), []);
    hand.pass(ms(5_000), &[]);
    let said = faults(&mut hand);
    let [(who, HealthFault::Overdue { phi_milli })] = &said[..] else { panic!("{said:?}") };
    assert!(who == "x" && *phi_milli >= 8_000, "{said:?}");
    hand.receive("x", Gossip, 0, None, &[]);
    hand.pass(ms(10_000), &["x"]);
    assert_eq!(faults(&mut hand), []);
    hand.pass(ms(5_000), &[]);
    assert_eq!(faults(&mut hand).len(), 1, "a new silence is a new failure");
}

#[test]
fn an_unwell_application_is_reported_once_until_it_is_well() {
    let mut hand = Hand::with(&["a", "b"]);
    let ack = |hand: &mut Hand, unwell| {
        let bytes = DatagramWriter::ack(1, None, unwell).finish();
        hand.swim.handle_datagram(hand.now, &node("a"), &bytes);
        faults(hand)
    };
    assert_eq!(ack(&mut hand, false), []);
    assert_eq!(ack(&mut hand, true), [("a".to_owned(), HealthFault::Unwell)]);
    assert_eq!(ack(&mut hand, true), []);
    assert_eq!(ack(&mut hand, false), []);
    assert_eq!(ack(&mut hand, true).len(), 1);
}

#[test]
fn a_node_that_is_not_well_says_so_when_it_answers() {
    let mut hand = Hand::with(&["a"]);
    for (well, unwell) in [(true, false), (false, true), (true, false)] {
        hand.swim.set_application_health(well);
        hand.receive("a", Ping, 7, None, &[]);
        let (_, answer) = hand.sent().remove(0);
        assert_eq!((answer.kind, answer.seq, answer.unwell), (Ack, 7, unwell));
    }
}

/// The only observer of "m" hears in each answer that its next turn is a second away; one of three, that it is up to three.
#[test]
fn an_answer_deals_the_next_turn() {
    for (peers, round) in [(vec!["a"], 1_000), (vec!["a", "b", "c"], 3_000)] {
        let mut hand = Hand::with(&peers);
        hand.pass(ms(12_345), &peers);
        hand.read();
        let mut turns: Vec<u128> = Vec::new();
        for peer in &peers {
            hand.receive(peer, Ping, 7, None, &[]);
            let (_, answer) = hand.sent().remove(0);
            turns.push(answer.turn.expect("an observer has turns").as_millis());
        }
        turns.sort_unstable();
        assert!(turns[0] >= 500 && turns[turns.len() - 1] <= round + 500, "{turns:?}");
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == 1_000), "a second apart: {turns:?}");
        hand.receive("stranger", Ping, 7, None, &[]);
        assert!(hand.sent().iter().all(|(_, answer)| answer.turn.is_none()));
    }
}

#[test]
fn a_ping_is_repeated_before_the_others_are_asked() {
    let mut hand = Hand::with(&["a", "b"]);
    let (target, seq) = loop {
        hand.step();
        if let Some((to, ping)) = hand.sent().into_iter().find(|(_, d)| d.kind == Ping) {
            break (to, ping.seq);
        }
    };
    let other = if target == "a" { "b" } else { "a" };
    hand.pass(ms(249), &[other]);
    assert!(hand.sent().iter().all(|(to, _)| *to != target));
    hand.pass(ms(1), &[other]);
    let again: Vec<_> = hand.sent().into_iter().filter(|(to, _)| *to == target).collect();
    assert_eq!(again.iter().map(|(_, d)| (d.kind, d.seq)).collect::<Vec<_>>(), [(Ping, seq)]);
    hand.receive(&target, Ack, seq, None, &[]);
    hand.pass(ms(500), &["a", "b"]);
    assert!(hand.sent().iter().all(|(_, datagram)| datagram.kind != PingReq), "the second one was answered");
    assert_eq!(hand.swim.stats().unanswered, 0);
}

#[test]
fn late_turns_are_this_nodes_own_trouble() {
    let mut hand = Hand::with(&["a", "b"]);
    hand.pass(ms(5_000), &["a", "b"]);
    let mut late_by = |late| {
        hand.now = hand.now.max(hand.swim.next_deadline()) + ms(late);
        hand.swim.handle_timeout(hand.now);
        let score = hand.swim.local_health().score();
        hand.read();
        score
    };
    assert_eq!(late_by(99), 0);
    assert_eq!(late_by(100), 1);
    assert_eq!(late_by(240), 2, "a point at a time, however late");
    hand.now += ms(5_000);
    hand.swim.handle_gap(hand.now, ms(5_000));
    hand.swim.handle_timeout(hand.now);
    assert_eq!(hand.swim.local_health().score(), 3, "a gap is counted once");
}

/// A suspicion is a request: every observer of the accused probes it at once and not at its turn.
#[test]
fn whoever_observes_the_accused_probes_it_at_once() {
    let mut hand = Hand::with(&["a", "b", "x"]);
    hand.pass(ms(10_000), &["a", "b", "x"]);
    hand.read();
    hand.hear_vote("a", alive("x"), "a", ms(1_000));
    let pinged = |hand: &mut Hand| hand.sent().iter().filter(|(to, d)| to == "x" && d.kind == Ping).count();
    assert_eq!(pinged(&mut hand), 1);
    hand.hear_vote("b", alive("x"), "b", ms(1_000));
    assert_eq!(pinged(&mut hand), 0, "once for each suspicion");
}
