//! Why a member is held to be what it is: said before the verdict, and true of it.

use cluster_gossip::Probing;
use cluster_types::State;

use crate::hand::{Hand, ms, node};

const ALL: [&str; 5] = ["a", "b", "c", "d", "x"];
const OTHERS: [&str; 4] = ["a", "b", "c", "d"];

#[test]
fn a_member_that_answers_is_explained_by_when_it_did() {
    let mut hand = Hand::with(&ALL);
    hand.pass(ms(5_000), &ALL);
    let grounds = hand.swim.explain(hand.now, &node("x")).expect("known");
    assert_eq!(grounds.member.state(), State::Alive);
    assert!(grounds.linked && grounds.last_sign.is_some_and(|ago| ago <= ms(5_100)), "{grounds:?}");
    assert!(grounds.observers.contains(&node("m")) && !grounds.observers.contains(&node("x")), "{grounds:?}");
    assert!(grounds.phi_milli.is_some_and(|phi| phi < 8_000) && grounds.rtt.is_some());
    assert!(grounds.evidence.is_none() && grounds.votes.is_empty() && grounds.fails_in.is_none());
    let own = hand.swim.explain(hand.now, &node("m")).expect("itself");
    assert!(own.member.node() == &node("m") && own.observers.len() == 5 && !own.linked);
    assert!(hand.swim.explain(hand.now, &node("nobody")).is_none());
}

/// Says when the verdict will be, and that is when it is.
#[test]
fn a_suspect_is_explained_with_its_accusers_and_the_time_it_has_left() {
    let mut hand = Hand::with(&ALL);
    hand.pass(ms(5_000), &ALL);
    let asked = loop {
        hand.pass(ms(50), &OTHERS);
        let grounds = hand.swim.explain(hand.now, &node("x")).expect("known");
        if grounds.member.state() == State::Suspect {
            break grounds;
        }
        assert!(hand.now.since_origin() < ms(20_000), "never suspected: {grounds:?}");
    };
    assert!(asked.phi_milli.is_some_and(|phi| phi > 0));
    assert_eq!(asked.votes.iter().map(|vote| vote.accuser.as_str()).collect::<Vec<_>>(), ["m"]);
    let evidence = asked.evidence.expect("for a suspect");
    assert_eq!(evidence.accusers, [node("m")]);
    assert_eq!(evidence.unanswered_for, Some(asked.votes[0].unanswered));
    // A helper that said nothing is this node's own trouble for a moment: with that the verdict waits longer.
    let alone = loop {
        let grounds = hand.swim.explain(hand.now, &node("x")).expect("known");
        if grounds.local_health == 0 {
            break grounds.fails_in.expect("a suspect has a deadline");
        }
        assert_eq!(grounds.member.state(), State::Suspect, "judged before this node was well: {grounds:?}");
        hand.pass(ms(10), &OTHERS);
    };
    // The others accuse it, too: at the same moment, less time is left.
    for other in OTHERS {
        hand.hear_vote(other, crate::hand::alive("x"), other, ms(2_000));
    }
    let grounds = hand.swim.explain(hand.now, &node("x")).expect("known");
    let left = grounds.fails_in.expect("a suspect has a deadline");
    assert!(grounds.votes.len() == 5 && left < alone, "{left:?} of {alone:?}");
    let verdict = hand.now + left;
    while hand.now < verdict - ms(20) {
        assert_eq!(hand.swim.member(&node("x")).map(|m| m.state()), Some(State::Suspect), "before its time");
        hand.pass(ms(10), &OTHERS);
    }
    // A probe that stays unanswered meanwhile makes this node doubt itself, and each point is worth a period.
    hand.pass(ms(2_300), &OTHERS);
    let grounds = hand.swim.explain(hand.now, &node("x")).expect("remembered");
    assert_eq!(grounds.member.state(), State::Failed);
    assert!(grounds.forgotten_in.is_some() && grounds.fails_in.is_none() && grounds.evidence.is_none());
}

#[test]
fn what_is_asked_at_this_moment_is_said() {
    let mut hand = Hand::with(&ALL);
    hand.pass(ms(5_000), &ALL);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..400 {
        hand.pass(ms(10), &OTHERS);
        seen.extend(hand.swim.explain(hand.now, &node("x")).and_then(|grounds| grounds.probing));
    }
    assert!(seen.contains(&Probing::Direct) && seen.contains(&Probing::Indirect), "{seen:?}");
}
