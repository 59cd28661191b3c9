//! Probe rounds: direct, through others, over a stream; helping; what the gap rule voids.

use cluster_gossip::wire::DatagramKind::{Ack, Gossip, Nack, Ping, PingReq, Relayed};
use cluster_gossip::wire::{Datagram, DatagramKind, Request};
use cluster_gossip::{Output, Statement};
use cluster_types::{Accusation, Instant, State};

use crate::hand::{Hand, ms};

/// Steps to the next ping: whom, and its number.
fn next_ping(hand: &mut Hand) -> (String, u64) {
    for _ in 0..1_000 {
        hand.step();
        if let Some((to, datagram)) = hand.sent().into_iter().find(|(_, d)| d.kind == Ping) {
            return (to, datagram.seq);
        }
    }
    panic!("no ping in a thousand steps");
}

/// Everybody of these but one.
fn but<'a>(names: &[&'a str], target: &str) -> Vec<&'a str> {
    names.iter().copied().filter(|name| *name != target).collect()
}

fn of_kind(sent: &[(String, Datagram)], kind: DatagramKind) -> Vec<String> {
    sent.iter().filter(|(_, datagram)| datagram.kind == kind).map(|(to, _)| to.clone()).collect()
}

fn suspicions(statements: &[Statement]) -> Vec<String> {
    let suspect = |s: &&Statement| s.claim().state == State::Suspect;
    statements.iter().filter(suspect).map(|s| s.claim().node.to_string()).collect()
}

#[test]
fn a_refused_send_asks_the_others_at_once_and_is_part_of_the_evidence() {
    let names = ["a", "b", "c"];
    let mut hand = Hand::with(&names);
    let refused: cluster_types::NodeId = "a".parse().unwrap();
    hand.swim.handle_send_refused(hand.now, &refused);
    let asked = of_kind(&hand.sent(), PingReq);
    assert_eq!(asked, ["b", "c"], "before any time has passed");
    // A refusal is no vote: nobody is accused while the others have time to answer.
    let outputs = hand.read();
    assert!(!outputs.iter().any(|o| matches!(o, Output::Publish(_))), "{outputs:?}");
    hand.pass(ms(600), &["b", "c"]);
    let outputs = hand.read();
    let statement = outputs.iter().find_map(|o| if let Output::Publish(s) = o { Some(s) } else { None }).unwrap();
    assert!(statement.evidence.as_ref().unwrap().send_refused);

    // Whoever is heard again starts with a clean sheet.
    let mut hand = Hand::with(&names);
    hand.swim.handle_send_refused(hand.now, &refused);
    hand.receive("a", Gossip, 0, None, &[]);
    let heard = hand.now;
    while hand.now < heard + ms(5_000) {
        hand.pass(ms(100), &["b", "c"]);
        let outputs = hand.read();
        let suspicion = outputs.iter().find_map(|o| if let Output::Publish(s) = o { Some(s) } else { None });
        if let Some(statement) = suspicion {
            assert!(!statement.evidence.as_ref().unwrap().send_refused);
            return;
        }
    }
    panic!("the silent one was never suspected");
}

#[test]
fn an_answered_ping_asks_nobody_else_and_accuses_nobody() {
    let mut hand = Hand::with(&["a", "b", "c"]);
    hand.pass(ms(60_000), &["a", "b", "c"]);
    let outputs = hand.read();
    assert!(!outputs.iter().any(|o| matches!(o, Output::Publish(_))), "{outputs:?}");
    let probes = hand.swim.stats().probes;
    assert!((59..=61).contains(&probes), "one turn a second: {probes}");
    assert_eq!(hand.swim.stats().unanswered, 0);
}

#[test]
fn every_member_gets_its_turn() {
    let mut hand = Hand::with(&["a", "b", "c"]);
    let mut asked: Vec<String> = Vec::new();
    for _ in 0..3 {
        let (to, seq) = next_ping(&mut hand);
        hand.receive(&to, Ack, seq, None, &[]);
        asked.push(to);
    }
    asked.sort();
    assert_eq!(asked, ["a", "b", "c"]);
}

#[test]
fn an_unanswered_ping_asks_all_other_observers_and_tries_a_stream() {
    let mut hand = Hand::with(&["a", "b", "c"]);
    let (target, _) = next_ping(&mut hand);
    let others = but(&["a", "b", "c"], &target);
    hand.pass(ms(499), &others);
    assert_eq!(of_kind(&hand.sent(), PingReq), Vec::<String>::new(), "unmeasured: the longest time-out");
    hand.pass(ms(1), &others);
    let outputs = hand.read();
    let probe = Request::Probe.encode().0;
    assert!(
        outputs
            .iter()
            .any(|o| matches!(o, Output::Request { to, kind, .. } if to.as_str() == target && *kind == probe))
    );
    let mut asked: Vec<&str> = Vec::new();
    for output in &outputs {
        if let Output::Datagram { to, bytes } = output {
            let datagram = Datagram::decode(bytes).unwrap();
            if datagram.kind == PingReq {
                assert_eq!(datagram.target.unwrap().as_str(), target);
                asked.push(to.as_str());
            }
        }
    }
    assert_eq!(asked, others);
}

#[test]
fn an_answer_through_somebody_else_ends_the_round_well() {
    let mut hand = Hand::with(&["a", "b", "c"]);
    let (target, seq) = next_ping(&mut hand);
    let others = but(&["a", "b", "c"], &target);
    hand.pass(ms(500), &others);
    let helper = of_kind(&hand.sent(), PingReq).remove(0);
    hand.receive(&helper, Relayed, seq, None, &[]);
    hand.pass(ms(700), &others);
    assert_eq!(suspicions(&hand.published()), Vec::<String>::new());
    assert_eq!(hand.swim.stats().unanswered, 0);
}

#[test]
fn nobody_answering_makes_a_suspect_who_is_told_first() {
    let mut hand = Hand::with(&["a", "b", "c"]);
    let (target, seq) = next_ping(&mut hand);
    let others = but(&["a", "b", "c"], &target);
    hand.pass(ms(500), &others);
    for helper in of_kind(&hand.sent(), PingReq) {
        hand.receive(&helper, Nack, seq, None, &[]);
    }
    hand.pass(ms(500), &others);
    let outputs = hand.read();
    let statement = outputs.iter().find_map(|o| if let Output::Publish(s) = o { Some(s) } else { None }).unwrap();
    assert_eq!((statement.claim().node.as_str(), statement.claim().state), (target.as_str(), State::Suspect));
    let evidence = statement.evidence.as_ref().unwrap();
    assert_eq!(evidence.accusation, Accusation::ProbeUnanswered);
    assert_eq!(evidence.accusers.iter().map(|a| a.as_str()).collect::<Vec<_>>(), ["m"]);
    assert_eq!(evidence.unanswered_for, Some(ms(1_000)));
    assert_eq!((evidence.helpers_asked, evidence.helpers_agreed), (2, 2));
    assert_eq!(evidence.rtt, None, "it never answered");
    assert_eq!(evidence.local_health, 0, "everybody asked said that they are well");
    let gossip =
        outputs.iter().find_map(|o| if let Output::Datagram { to, bytes } = o { Some((to, bytes)) } else { None });
    let (first, bytes) = gossip.unwrap();
    assert_eq!(first.as_str(), target, "the suspect hears it first");
    let datagram = Datagram::decode(bytes).unwrap();
    assert_eq!((datagram.kind, datagram.updates[0].claim.state), (Gossip, State::Suspect));
}

#[test]
fn helpers_that_do_not_even_say_no_are_this_nodes_own_trouble_if_they_live() {
    let mut hand = Hand::with(&["a", "b", "c"]);
    let (target, _) = next_ping(&mut hand);
    let helpers = but(&["a", "b", "c"], &target);
    hand.pass(ms(500), &helpers);
    hand.pass(ms(499), &[]);
    // Nothing of its own is open at them when the time of the helpers is over.
    helpers.iter().for_each(|helper| hand.receive(helper, Gossip, 0, None, &[]));
    hand.pass(ms(1), &[]);
    assert_eq!(hand.swim.local_health().score(), 0, "two helpers, no nack: they may be as dead as the target");
    for (heard, helper) in helpers.iter().enumerate() {
        hand.receive(helper, Gossip, 0, None, &[]);
        assert_eq!(hand.swim.local_health().score() as usize, heard + 1, "{helper} lives");
    }
    hand.receive(helpers[0], Gossip, 0, None, &[]);
    assert_eq!(hand.swim.local_health().score(), 2, "once");
}

#[test]
fn any_packet_is_a_sign_of_life() {
    let mut hand = Hand::with(&["a", "b"]);
    let (target, _) = next_ping(&mut hand);
    hand.receive(&target, Gossip, 0, None, &[]);
    let others: Vec<&str> = ["a", "b"].into_iter().filter(|name| *name != target).collect();
    hand.pass(ms(900), &others);
    assert_eq!(hand.swim.stats().unanswered, 0);
    assert_eq!(suspicions(&hand.published()), Vec::<String>::new());
}

#[test]
fn a_measured_path_is_waited_for_less_long() {
    let mut hand = Hand::with(&["a"]);
    for _ in 0..10 {
        let (to, seq) = next_ping(&mut hand);
        hand.receive(&to, Ack, seq, None, &[]);
    }
    next_ping(&mut hand);
    let pinged = hand.now;
    let probe = Request::Probe.encode().0;
    let given_up =
        |hand: &mut Hand| hand.read().iter().any(|o| matches!(o, Output::Request { kind, .. } if *kind == probe));
    while !given_up(&mut hand) {
        hand.step();
    }
    assert_eq!(hand.now.since(pinged), ms(200), "down to the floor");
}

#[test]
fn a_helper_relays_an_answer_and_says_no_otherwise() {
    let mut hand = Hand::with(&["a", "b"]);
    hand.receive("a", PingReq, 77, Some("b"), &[]);
    let sent = hand.sent();
    assert_eq!(of_kind(&sent, Ping), ["b"]);
    hand.receive("b", Ack, sent.iter().find(|(_, d)| d.kind == Ping).unwrap().1.seq, None, &[]);
    let sent = hand.sent();
    let relayed = sent.iter().find(|(_, datagram)| datagram.kind == Relayed).unwrap();
    assert_eq!((relayed.0.as_str(), relayed.1.seq), ("a", 77));

    let asked = hand.now;
    hand.receive("a", PingReq, 78, Some("b"), &[]);
    let mut nack: Option<(String, u64, Instant)> = None;
    while nack.is_none() {
        hand.step();
        let at = hand.now;
        nack = hand.sent().into_iter().find(|(_, d)| d.kind == Nack).map(|(to, d)| (to, d.seq, at));
    }
    let (to, seq, at) = nack.unwrap();
    assert_eq!((to.as_str(), seq), ("a", 78));
    assert!(at.since(asked) < ms(500), "before the asker gives up");
}

#[test]
fn a_link_that_comes_up_gets_the_ping_that_waited_for_it() {
    let mut hand = Hand::with(&["a"]);
    hand.swim.handle_link_down(hand.now, &"a".parse().unwrap(), crate::hand::alive("a").life);
    assert_eq!(of_kind(&hand.sent(), Ping), Vec::<String>::new());
    hand.link("a");
    let sent = hand.sent();
    assert_eq!(of_kind(&sent, Ping), ["a"]);
    let seq = sent.iter().find(|(_, datagram)| datagram.kind == Ping).unwrap().1.seq;
    hand.receive("a", Ack, seq, None, &[]);
    hand.pass(ms(900), &["a"]);
    assert_eq!(suspicions(&hand.published()), Vec::<String>::new());
}

#[test]
fn a_gap_moves_open_rounds_and_what_counts_silence() {
    let mut hand = Hand::with(&["a", "b", "c"]);
    next_ping(&mut hand);
    hand.now += ms(5_000);
    hand.swim.handle_gap(hand.now, ms(5_000));
    assert_eq!(hand.swim.local_health().score(), 1, "being late is a reason for doubt");
    hand.swim.handle_timeout(hand.now);
    hand.pass(ms(900), &["a", "b", "c"]);
    assert_eq!(suspicions(&hand.published()), Vec::<String>::new());
}

/// A link that was only joined through is idle and ends by itself; nobody dials it again, and nobody is accused for it.
#[test]
fn the_end_of_a_link_that_nobody_needs_accuses_nobody() {
    let names: Vec<String> = (0..40).map(|i| format!("p{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut hand = Hand::with(&names);
    let wanted: Vec<String> = hand.swim.wanted_links().iter().map(|(node, _)| node.to_string()).collect();
    let idle: Vec<&str> = names.iter().copied().filter(|name| !wanted.iter().any(|w| w == name)).collect();
    assert!(idle.len() > 10, "K = 10 of 40");
    for name in &idle {
        hand.swim.handle_link_down(hand.now, &name.parse().unwrap(), crate::hand::alive(name).life);
    }
    hand.pass(ms(5_000), &names);
    assert_eq!(suspicions(&hand.published()), Vec::<String>::new());
}
