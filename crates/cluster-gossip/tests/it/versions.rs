//! Nodes of several versions: what a later one says is skipped where it is not known, and carried on where it is a fact.

use cluster_gossip::PeerInfo;
use cluster_gossip::wire::{Answer, Datagram, DatagramKind, Entry, Read, Request, Update};
use cluster_types::{Claim, Envelope, Facts, Features, Life, State};

use crate::hand::{Hand, alive, ms, node, raised, state};

/// Features that are known here, and a field of a later version.
fn later_facts() -> Facts {
    Facts::decode(&[1, 0, 0xde, 0xad]).expect("short enough")
}

fn later(name: &str) -> Claim {
    Claim { facts: later_facts(), ..alive(name) }
}

/// What is told of `about` on the way to `to` until somebody has been told.
fn told(hand: &mut Hand, to: &str, about: &str) -> Vec<Claim> {
    let told = |(to, datagram): (String, Datagram)| datagram.updates.into_iter().map(move |u| (to.clone(), u.claim));
    let all = hand.sent().into_iter().flat_map(told);
    all.filter(|(at, claim)| at == to && claim.node == node(about)).map(|(_, claim)| claim).collect()
}

#[test]
fn a_message_of_an_unknown_kind_between_two_known_ones_is_skipped_and_counted() {
    let mut hand = Hand::with(&["a", "b"]);
    let known = |state| [raised(Claim { state, ..alive("b") }, 1)];
    hand.hear("a", &known(State::Alive));
    hand.swim.handle_datagram(hand.now, &node("a"), &Envelope { kind: 24, body: &[0xff; 9] }.encode());
    hand.hear("a", &known(State::Left));
    let states: Vec<State> = hand.published().iter().map(|s| s.claim().state).collect();
    assert_eq!(states, [State::Alive, State::Left]);
    let stats = hand.swim.stats();
    assert_eq!((stats.unknown, stats.malformed, hand.swim.offences(&node("a"))), (1, 0, 0));
}

/// It comes from the member, authenticated: whatever it means, its sender lives.
#[test]
fn a_message_of_an_unknown_kind_is_a_sign_of_life() {
    let mut hand = Hand::with(&["a", "b"]);
    for _ in 0..100 {
        hand.pass(ms(500), &["b"]);
        hand.swim.handle_datagram(hand.now, &node("a"), &Envelope { kind: 24, body: b"" }.encode());
    }
    assert_eq!(hand.swim.member(&node("a")).map(|member| member.state()), Some(State::Alive));
    hand.pass(ms(20_000), &["b"]);
    assert_ne!(hand.swim.member(&node("a")).map(|member| member.state()), Some(State::Alive), "without them it is not");
}

#[test]
fn a_request_of_an_unknown_kind_is_answered_and_held_against_nobody() {
    let mut hand = Hand::with(&["a"]);
    let peer = PeerInfo::from(&alive("a"));
    let (kind, body) = hand.swim.handle_request(hand.now, &peer, 39, b"?").expect("an answer");
    assert_eq!(Answer::decode(kind, &body), Ok(Read { value: Answer::Unsupported, skipped: 0 }));
    assert_eq!((hand.swim.stats().unknown, hand.swim.stats().malformed), (1, 0));
    assert_eq!(hand.swim.offences(&node("a")), 0);
}

/// Whoever wants to join in a state of a later version is told that it is not known here.
#[test]
fn a_join_in_an_unknown_state_is_answered_and_held_against_nobody() {
    let mut hand = Hand::with(&["a"]);
    let update = Update::unproven(alive("a"));
    let (kind, mut body) =
        Request::Join(Entry { update, metadata: None, gone_for: std::time::Duration::ZERO }).encode();
    let is_state = |at: &usize| {
        let mut of_later = body.clone();
        of_later[*at] = 9;
        Request::decode(kind, &of_later).is_err_and(|error| error.is_unknown_kind())
    };
    let states: Vec<usize> = (0..body.len()).filter(is_state).collect();
    let [at] = states[..] else { panic!("one byte is the state: {states:?}") };
    body[at] = 9;
    let peer = PeerInfo::from(&alive("a"));
    let (kind, answer) = hand.swim.handle_request(hand.now, &peer, kind, &body).expect("an answer");
    assert_eq!(Answer::decode(kind, &answer), Ok(Read { value: Answer::Unsupported, skipped: 0 }));
    assert_eq!((hand.swim.stats().unknown, hand.swim.stats().malformed), (1, 0));
    assert_eq!(hand.swim.offences(&node("a")), 0);
}

/// State 9 of a later version, in the middle of a list.
#[test]
fn an_update_of_an_unknown_state_is_left_out_and_the_others_are_heard() {
    let mut hand = Hand::with(&["a"]);
    let entry = |name: &str| Entry {
        update: Update::unproven(alive(name)),
        metadata: None,
        gone_for: std::time::Duration::ZERO,
    };
    let (kind, mut body) = Request::Push(["x", "y", "z"].map(entry).to_vec()).encode();
    // The state of the second: each entry is a third of the list, and its state stands before version, address and five zeros.
    let each = (body.len() - 1) / 3;
    let at = 1 + 2 * each - 5 - 7 - 1 - 1;
    assert_eq!(std::mem::replace(&mut body[at], 9), 0);
    let peer = PeerInfo::from(&alive("a"));
    assert!(hand.swim.handle_request(hand.now, &peer, kind, &body).is_some());
    let known = ["x", "y", "z"].map(|name| hand.swim.member(&node(name)).is_some());
    assert_eq!(known, [true, false, true]);
    assert_eq!((hand.swim.stats().unknown, hand.swim.stats().malformed), (1, 0));
}

/// By gossip, in a list and with an accusation: what is not understood goes on, byte by byte.
#[test]
fn unknown_facts_are_told_on_however_they_are_told() {
    let mut hand = Hand::with(&["a", "b"]);
    hand.hear("a", &[later("x")]);
    hand.pass(ms(1_000), &["a", "b"]);
    let gossip = told(&mut hand, "b", "x");
    assert!(!gossip.is_empty() && gossip.iter().all(|claim| claim.facts == later_facts()), "{gossip:?}");
    let peer = PeerInfo::from(&alive("b"));
    let (kind, body) = Request::Sync { root: [0; 16] }.encode();
    let (kind, body) = hand.swim.handle_request(hand.now, &peer, kind, &body).expect("an answer");
    let Ok(Read { value: Answer::Entries(entries), .. }) = Answer::decode(kind, &body) else { panic!("a list") };
    let in_list = entries.iter().find(|entry| entry.update.claim.node == node("x")).expect("it is in the list");
    assert_eq!(in_list.update.claim.facts, later_facts());
    hand.read();
    hand.hear_vote("a", later("x"), "a", ms(3_000));
    let accused = told(&mut hand, "b", "x");
    assert!(!accused.is_empty() && accused.iter().all(|claim| claim.facts == later_facts()), "{accused:?}");
}

/// A hello says all of it, so that a claim made of one is no poorer than one that was gossiped.
#[test]
fn facts_of_a_hello_are_facts() {
    let mut hand = Hand::with(&["a", "x"]);
    let reborn = Claim { life: Life::new(9, 9), ..raised(later("x"), 9) };
    hand.swim.handle_link_up(hand.now, PeerInfo::from(&reborn));
    assert_eq!(hand.swim.member(&node("x")).map(|member| member.claim.facts.clone()), Some(later_facts()));
}

/// Of two claims that differ in nothing else, everybody keeps the same one: the one with facts.
#[test]
fn facts_are_not_lost_to_whoever_has_none() {
    let mut hand = Hand::with(&["a"]);
    for claim in [alive("x"), later("x"), alive("x")] {
        hand.hear("a", &[claim]);
    }
    assert_eq!(hand.swim.member(&node("x")).map(|member| member.claim.facts.clone()), Some(later_facts()));
    // A suspicion by somebody who has heard less takes nothing away for good: the subject refutes it, facts and all.
    hand.hear("a", &[state(alive("x"), State::Suspect)]);
    hand.hear("a", &[raised(later("x"), 1)]);
    assert_eq!(hand.swim.member(&node("x")).map(|member| member.claim.facts.clone()), Some(later_facts()));
}

/// What somebody else says of this node and beats its own word is taken back as an accusation would be.
#[test]
fn false_facts_about_this_node_are_refuted() {
    let mut hand = Hand::with(&["a"]);
    let own = hand.swim.own().clone();
    hand.hear("a", std::slice::from_ref(&own));
    assert_eq!(hand.swim.own().incarnation, own.incarnation, "its own word");
    hand.hear("a", &[Claim { facts: later_facts(), ..own.clone() }]);
    assert!(hand.swim.own().incarnation > own.incarnation);
    assert_eq!(hand.swim.own().facts, own.facts);
}

/// The facts of this node go out with its own claim, features and all.
#[test]
fn own_facts_are_in_the_hello_and_in_the_claim() {
    let facts = Facts::of(Features::from_bits(0, 0b101));
    let own = Claim { facts: facts.clone(), ..alive("m") };
    assert_eq!(PeerInfo::from(&own).facts, facts);
    let bytes = Request::Join(Entry {
        update: Update::unproven(own.clone()),
        metadata: None,
        gone_for: std::time::Duration::ZERO,
    })
    .encode();
    let Ok(Read { value: Request::Join(entry), .. }) = Request::decode(bytes.0, &bytes.1) else { panic!("a join") };
    assert_eq!(entry.update.claim, own);
    assert_eq!(DatagramKind::of(&Envelope { kind: 24, body: &[] }.encode()), None);
}
