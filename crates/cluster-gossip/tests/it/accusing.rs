//! Accusations: whose word counts, when it is renewed, and when this node joins in.

use std::time::Duration;

use cluster_gossip::wire::DatagramKind::{Gossip, Nack, PingReq};
use cluster_types::State;

use crate::hand::{Hand, alive, ms, node};

const ALL: [&str; 5] = ["a", "b", "c", "d", "x"];
const OTHERS: [&str; 4] = ["a", "b", "c", "d"];

fn met() -> Hand {
    let mut hand = Hand::with(&ALL);
    hand.pass(ms(5_000), &ALL);
    hand.read();
    hand
}

/// The silences of which it tells in the name of `accuser`, in order.
fn told(hand: &mut Hand, accuser: &str) -> Vec<Duration> {
    let updates = hand.sent().into_iter().flat_map(|(_, datagram)| datagram.updates);
    let votes = updates.filter(|update| update.claim.node.as_str() == "x").filter_map(|update| update.vote);
    votes.filter(|vote| vote.accuser == node(accuser)).map(|vote| vote.silence).collect()
}

/// Each copy has lost the time of its way, and one teller alone may make it as old as it likes: what two say, or the accuser itself, is sure.
#[test]
fn a_copy_fills_a_gap_and_never_makes_a_vote_younger() {
    let mut hand = met();
    let held = |hand: &Hand| {
        let grounds = hand.swim.explain(hand.now, &node("x")).expect("a member");
        grounds.votes.iter().find(|vote| vote.accuser == node("b")).map(|vote| (vote.sign_ms, vote.silence))
    };
    // A copy, from somebody else than the accuser: better than nothing, and told on. Two seconds were signed, its age may be wrong.
    hand.hear_aged("c", alive("x"), ("b", 70_000), (ms(2_000), ms(900)));
    assert_eq!(held(&hand), Some((70_000, ms(2_000))));
    let first = told(&mut hand, "b");
    assert!(!first.is_empty() && first.iter().all(|silence| *silence == ms(2_000)), "{first:?}");
    // Younger copies of the same word, and former words, change nothing and are told to nobody, from whomever they come.
    hand.pass(ms(3_000), &OTHERS);
    hand.read();
    for (from, sign, age) in [("d", 70_000, 1_000), ("b", 70_000, 2_900), ("c", 69_000, 200), ("a", 60_000, 9_000)] {
        hand.hear_aged(from, alive("x"), ("b", sign), (ms(2_000), ms(age)));
        assert_eq!(held(&hand), Some((70_000, ms(5_000))), "{age} ms, from {from}");
    }
    assert_eq!(told(&mut hand, "b"), []);
    // One teller says that it is older, and a second one: as old as both say.
    hand.hear_aged("d", alive("x"), ("b", 70_000), (ms(2_000), ms(3_700)));
    assert_eq!(held(&hand), Some((70_000, ms(5_700))), "as the first copy was by now, with what it had lost");
    hand.hear_aged("a", alive("x"), ("b", 70_000), (ms(2_000), ms(3_800)));
    assert_eq!(held(&hand), Some((70_000, ms(5_800))));
    hand.hear_aged("a", alive("x"), ("b", 70_000), (ms(2_000), ms(60_000)));
    assert_eq!(held(&hand), Some((70_000, ms(5_900))), "no older than what the others know of it");
}

/// A voter has heard the subject after all: that reaches every judge, through whomever.
#[test]
fn a_later_sign_at_a_voter_is_believed_from_anybody_and_told_on() {
    let mut hand = met();
    hand.hear_vote("b", alive("x"), "b", ms(3_000));
    hand.read();
    hand.hear_vote("c", alive("x"), "b", ms(2_750));
    assert_eq!(told(&mut hand, "b"), [], "a quarter of a second is not worth the telling");
    hand.hear_vote("c", alive("x"), "b", ms(2_749));
    hand.pass(ms(100), &OTHERS);
    let renewed = told(&mut hand, "b");
    assert!(
        !renewed.is_empty() && renewed.iter().all(|silence| (ms(2_749)..=ms(2_849)).contains(silence)),
        "{renewed:?}"
    );
}

/// This node accuses, then hears the accused: its word counts from there, and the others learn it.
#[test]
fn an_accuser_that_hears_the_accused_says_so() {
    let mut hand = met();
    hand.pass(ms(6_000), &OTHERS);
    assert_eq!(hand.swim.member(&node("x")).map(|m| m.state()), Some(State::Suspect));
    assert!(told(&mut hand, "m").iter().all(|silence| *silence >= ms(500)));
    hand.receive("x", Gossip, 0, None, &[]);
    let renewed = told(&mut hand, "m");
    assert!(!renewed.is_empty() && renewed.iter().all(|silence| silence.is_zero()), "{renewed:?}");
    hand.now += ms(250);
    hand.receive("x", Gossip, 0, None, &[]);
    assert_eq!(told(&mut hand, "m"), [], "not with every packet");
    hand.now += ms(251);
    hand.receive("x", Gossip, 0, None, &[]);
    assert!(!told(&mut hand, "m").is_empty());
}

/// Asked to probe for somebody, this node got no answer either: the first accusation it hears makes it join in.
#[test]
fn a_helper_that_got_no_answer_seconds_the_next_accusation() {
    // The accusation may come before the probe has failed, or after.
    for accused_first in [false, true] {
        let mut hand = met();
        hand.receive("a", PingReq, 7, Some("x"), &[]);
        if accused_first {
            hand.hear_vote("a", alive("x"), "a", ms(1_000));
        }
        hand.pass(ms(150), &OTHERS);
        // Somebody is heard meanwhile: it is not this node that is deaf.
        hand.receive("b", Gossip, 0, None, &[]);
        hand.pass(ms(300), &OTHERS);
        let sent = hand.sent();
        assert_eq!(sent.iter().filter(|(to, d)| to == "a" && d.kind == Nack && d.seq == 7).count(), 1);
        let votes = |sent: &[(String, cluster_gossip::wire::Datagram)]| {
            let votes = sent.iter().flat_map(|(_, d)| &d.updates).filter_map(|update| update.vote.as_ref());
            votes.filter(|vote| vote.accuser == node("m")).count()
        };
        if accused_first {
            // Long before its own round, which the accusation began, is over.
            assert!(votes(&sent) > 0);
        } else {
            assert_eq!(hand.swim.member(&node("x")).map(|m| m.state()), Some(State::Alive), "no accusation by itself");
            assert_eq!(votes(&sent), 0);
            hand.hear_vote("a", alive("x"), "a", ms(1_000));
            assert!(votes(&hand.sent()) > 0, "at once");
        }
    }
}

#[test]
fn a_helper_that_heard_it_since_does_not_join_in() {
    let mut hand = met();
    hand.receive("a", PingReq, 7, Some("x"), &[]);
    hand.pass(ms(450), &OTHERS);
    hand.receive("x", Gossip, 0, None, &[]);
    hand.read();
    hand.hear_vote("a", alive("x"), "a", ms(1_000));
    hand.pass(ms(150), &ALL);
    assert_eq!(told(&mut hand, "m"), []);
}

/// The verdict names who accused, and counts from the last sign at any of them.
#[test]
fn a_verdict_shows_its_evidence() {
    let mut hand = met();
    for voter in ["a", "b", "c"] {
        hand.hear_vote(voter, alive("x"), voter, ms(1_000));
    }
    hand.pass(ms(12_000), &OTHERS);
    let verdict = hand.published().into_iter().find(|s| s.claim().state == State::Failed).expect("a verdict");
    let evidence = verdict.evidence.expect("evidence");
    let names: Vec<&str> = evidence.accusers.iter().map(|accuser| accuser.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "m"]);
    assert_eq!(evidence.votes_needed, 4, "two thirds of five observers, rounded up");
    assert!(evidence.silence >= ms(6_300) && evidence.silence < ms(8_500), "{:?}", evidence.silence);
    assert!(evidence.unanswered_for.is_some_and(|span| span >= ms(5_300)));
    assert!(evidence.rtt.is_some(), "it answered once");
}

/// All who may vote say at once that they have heard nothing for a minute, as after a cut: whoever is accused has a way there and back.
#[test]
fn no_votes_convict_before_a_refutation_could_have_come_however_old_they_are() {
    let names: Vec<String> = (0..40).map(|i| format!("p{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for refutes in [false, true] {
        let mut hand = Hand::with(&names);
        // Nobody this node looks at, is looked at by, or has a link to.
        let near: Vec<_> = hand.swim.wanted_links().into_iter().map(|(node, _)| node).collect();
        let far = *names.iter().find(|name| !near.contains(&node(name))).expect("K = 10 of 40");
        hand.swim.handle_link_down(hand.now, &node(far), alive(far).life);
        let others: Vec<&str> = names.iter().copied().filter(|name| *name != far).collect();
        hand.pass(ms(10_000), &others);
        let observers = hand.swim.explain(hand.now, &node(far)).expect("a member").observers;
        for observer in &observers {
            hand.hear_vote(others[0], alive(far), observer.as_str(), ms(60_000));
        }
        let held = |hand: &Hand| hand.swim.member(&node(far)).map(|member| member.state());
        // Half of P, 6.3 s.
        hand.pass(ms(3_149), &others);
        assert_eq!(held(&hand), Some(State::Suspect));
        if refutes {
            hand.hear(others[1], &[crate::hand::raised(alive(far), 1)]);
        }
        hand.pass(ms(1), &others);
        assert_eq!(held(&hand), Some(if refutes { State::Alive } else { State::Failed }));
    }
}
