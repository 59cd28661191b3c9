//! Rhythm and health: overdue members, unwell applications, the second ping, and looking at who is accused.

use cluster_gossip::Output;
use cluster_gossip::wire::DatagramKind::{Ack, Gossip, Ping, PingReq, Relayed};
use cluster_gossip::wire::{Datagram, DatagramWriter};
use cluster_types::{Accusation, EventKind, Evidence, HealthFault, State};

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

/// What a core that watches "x" put out, in order.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    /// It pinged "x".
    Pinged,
    /// It asked "a" to ping "x", in this round.
    AskedOthers(u64),
    /// Phi of "x" crossed its threshold.
    Overdue,
    /// It suspects "x".
    Suspected(Evidence),
}

/// Moves a core to its next deadline. "a" answers its own pings at once, and passes on an answer of "x" if there is one;
/// nothing comes from "x" itself.
fn step_without_x(hand: &mut Hand, x_answers_a: bool) -> Vec<Said> {
    hand.step();
    let mut said = Vec::new();
    for output in hand.read() {
        match output {
            Output::Datagram { to, bytes } => {
                let sent = Datagram::decode(&bytes).expect("what we send decodes");
                match (to.as_str(), sent.kind) {
                    ("x", Ping) => said.push(Said::Pinged),
                    ("a", Ping) => hand.receive("a", Ack, sent.seq, None, &[]),
                    ("a", PingReq) => {
                        said.push(Said::AskedOthers(sent.seq));
                        if x_answers_a {
                            hand.receive("a", Relayed, sent.seq, None, &[]);
                        }
                    }
                    _ => {}
                }
            }
            Output::Event(EventKind::HealthCheckFailed { member, .. }) if *member.node() == node("x") => {
                said.push(Said::Overdue);
            }
            Output::Publish(statement) if statement.claim().node == node("x") => {
                assert_eq!(statement.claim().state, State::Suspect);
                said.push(Said::Suspected(statement.evidence.expect("a suspicion has evidence")));
            }
            _ => {}
        }
    }
    said
}

/// A core that "x" answers through "a" alone, at the moment at which phi crosses its threshold: no round stayed without an
/// answer, but the rhythm is broken. With it, what it did at that moment.
fn overdue_though_others_hear_it() -> (Hand, Vec<Said>) {
    let mut hand = Hand::with(&["a", "x"]);
    hand.pass(ms(40_000), &["a", "x"]);
    hand.read();
    let began = hand.now;
    loop {
        let said = step_without_x(&mut hand, true);
        assert!(!said.iter().any(|said| matches!(said, Said::Suspected(_))), "every round was answered: {said:?}");
        if said.contains(&Said::Overdue) {
            return (hand, said);
        }
        assert!(hand.now < began + ms(10_000), "phi 8 of beats every two seconds is at 4.8 s");
    }
}

/// What comes after the crossing: the rest of the round that it began, and perhaps the first ping of the next turn.
fn the_round(hand: &mut Hand, x_answers_a: bool) -> Vec<Said> {
    let (until, mut said) = (hand.now + ms(1_100), Vec::new());
    while hand.swim.next_deadline() <= until {
        said.extend(step_without_x(hand, x_answers_a));
    }
    said
}

/// Crossing the threshold is a reason to look, and no more: the direct ping, its repetition and the others come first.
#[test]
fn phi_is_the_evidence_of_a_suspicion_after_a_round_without_an_answer() {
    let (mut hand, at_once) = overdue_though_others_hear_it();
    assert_eq!(at_once, [Said::Overdue, Said::Pinged], "it is probed out of turn");
    let said = the_round(&mut hand, false);
    let [Said::Pinged, Said::AskedOthers(_), Said::Suspected(evidence), ..] = &said[..] else {
        panic!("pinged again, then through others, then suspected: {said:?}")
    };
    assert_eq!(evidence.accusation, Accusation::Phi);
    assert_eq!((evidence.accusers.as_slice(), evidence.helpers_asked), (&[node("m")][..], 1));
    let round = evidence.unanswered_for.expect("its own round");
    assert!(round >= ms(500), "there was time for an answer: {round:?}");
}

#[test]
fn a_crossing_whose_round_is_answered_is_no_suspicion() {
    let (mut hand, _) = overdue_though_others_hear_it();
    let said = the_round(&mut hand, true);
    assert!(matches!(said[..], [Said::Pinged, Said::AskedOthers(_), ..]), "it is looked at: {said:?}");
    assert!(!said.iter().any(|said| matches!(said, Said::Suspected(_) | Said::Overdue)), "and found alive: {said:?}");
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
