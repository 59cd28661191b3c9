//! Rules over many inputs: verdicts, merging, and that no input makes the core spin or panic.

use cluster_gossip::PeerInfo;
use cluster_gossip::wire::DatagramKind;
use cluster_types::{Claim, Incarnation, State};
use proptest::prelude::*;

use crate::hand::{Hand, alive, ms, node, raised, state};

/// The state that the last statement about a node gave it.
fn published_state(hand: &mut Hand, name: &str) -> Option<State> {
    hand.published().iter().rev().find(|s| s.claim().node.as_str() == name).map(|s| s.claim().state)
}

#[test]
fn a_verdict_falls_p_after_the_last_sign_at_any_voter() {
    // Four observers of "x", so three votes make the short deadline.
    for (voters, multiple) in [(vec!["a", "b", "c"], 1), (vec!["a", "b"], 6), (vec!["a"], 6)] {
        let mut hand = Hand::with(&["a", "b", "c", "x"]);
        hand.pass(ms(10_000), &["a", "b", "c", "x"]);
        let last_sign = hand.now;
        hand.receive("x", DatagramKind::Gossip, 0, None, &[]);
        hand.pass(ms(100), &["a", "b", "c"]);
        for voter in &voters {
            // They have heard nothing for a minute; this node has heard it a moment ago, and that counts.
            hand.hear_vote(voter, alive("x"), voter, ms(60_000));
        }
        let mut declared = None;
        while declared.is_none() && hand.now.since(last_sign) < ms(60_000) {
            hand.pass(ms(50), &["a", "b", "c"]);
            let lost = hand.swim.lost_members().iter().any(|(lost, _)| lost.as_str() == "x");
            declared = lost.then(|| hand.now.since(last_sign));
        }
        let took = declared.expect("a verdict");
        // This node probes it in vain meanwhile and adds its own vote.
        let expected = if voters.len() + 1 >= 3 { 1 } else { multiple };
        assert!(took >= ms(6_300) * expected && took <= ms(6_300) * expected + ms(2_500), "{voters:?}: {took:?}");
    }
}

/// What a peer may say at most, and how much of it goes on.
#[test]
fn a_thousand_claims_a_second_are_told_on_at_the_pace_of_the_tick() {
    let mut hand = Hand::with(&["a", "b", "c", "d"]);
    hand.pass(ms(5_000), &["a", "b", "c", "d"]);
    hand.read();
    let mut sent = 0;
    for i in 1..=1_000 {
        // Contradictory ones, ever higher.
        let claim = raised(alive("x"), i);
        hand.hear("a", &[if i % 2 == 0 { claim } else { state(claim, State::Left) }]);
        hand.pass(ms(1), &["a", "b", "c", "d"]);
        sent += hand.sent().len();
    }
    // Each change of mind is told at once to three, or a farewell to all four: bounded by what came in.
    assert!(sent <= 1_000 * 4 + 100, "{sent}");
    assert_eq!(hand.swim.live_others(), 5);
}

#[test]
fn a_list_longer_than_a_view_fills_it_and_no_more_and_its_sender_is_known() {
    use cluster_gossip::wire::{Entry, Request, Update};
    let mut hand = Hand::with(&["a"]);
    let entry = |i: usize| {
        let claim = Claim { node: node(&format!("x{i}")), ..alive("x") };
        Entry { update: Update::unproven(claim), metadata: None, gone_for: std::time::Duration::ZERO }
    };
    let peer = |name: &str| PeerInfo::from(&alive(name));
    let most = cluster_types::limits::MEMBERS_MAX;
    for part in (0..most + 500).collect::<Vec<_>>().chunks(5_000) {
        let (kind, body) = Request::Push(part.iter().map(|i| entry(*i)).collect()).encode();
        assert!(hand.swim.handle_request(hand.now, &peer("a"), kind, &body).is_some());
    }
    assert_eq!(hand.swim.live_others(), most);
    assert_eq!(hand.swim.stats().over_limit, 501, "one place is the first peer's");
    // More than a list may have at all is refused as a whole, and held against whoever sent it.
    let before = hand.swim.stats().malformed;
    assert!(hand.swim.handle_request(hand.now, &peer("a"), 34, &[0xff; 64]).is_none());
    assert_eq!((hand.swim.stats().malformed - before, hand.swim.offences(&node("a"))), (1, 1));
    hand.hear("a", &[raised(alive("a"), 1 << 60)]);
    assert_eq!((hand.swim.stats().implausible, hand.swim.offences(&node("a"))), (1, 2));
    assert_eq!(hand.swim.offences(&node("stranger")), 0);
}

#[test]
fn a_refutation_always_wins() {
    let mut hand = Hand::with(&["a", "b", "c", "x"]);
    for voter in ["a", "b", "c"] {
        hand.hear_vote(voter, alive("x"), voter, ms(6_000));
    }
    assert_eq!(published_state(&mut hand, "x"), Some(State::Suspect));
    hand.hear("a", &[raised(alive("x"), 1)]);
    assert_eq!(published_state(&mut hand, "x"), Some(State::Alive));
    hand.pass(ms(5_000), &["a", "b", "c", "x"]);
    assert_eq!(published_state(&mut hand, "x"), None, "old votes say nothing about the new incarnation");
    // A verdict that somebody else reached before the refutation is old news.
    hand.hear("b", &[state(alive("x"), State::Failed)]);
    assert_eq!(published_state(&mut hand, "x"), None);
}

#[test]
fn news_of_a_member_spreads_and_old_news_does_not() {
    let mut hand = Hand::with(&["a", "b", "c", "d"]);
    hand.pass(ms(5_000), &["a", "b", "c", "d"]);
    hand.read();
    hand.hear("a", &[alive("new")]);
    let told = hand.sent().iter().filter(|(_, d)| d.updates.iter().any(|u| u.claim.node.as_str() == "new")).count();
    assert_eq!(told, 3, "relayed at once to the fanout");
    hand.hear("a", &[alive("new")]);
    assert_eq!(hand.sent().len(), 0);
}

/// Whoever was cut off may come back and say of everybody that they failed.
#[test]
fn a_verdict_about_somebody_just_heard_is_taken_for_a_suspicion() {
    let mut hand = Hand::with(&["a", "b", "x"]);
    hand.pass(ms(10_000), &["a", "b", "x"]);
    hand.hear("a", &[alive("y")]);
    hand.read();
    hand.hear("b", &[state(alive("x"), State::Failed), state(alive("y"), State::Failed)]);
    let outputs = hand.sent();
    let told = |to: &str| {
        let about = |u: &cluster_gossip::wire::Update| u.claim.node.as_str() == "x" && u.claim.state == State::Suspect;
        outputs.iter().any(|(peer, datagram)| peer == to && datagram.updates.iter().any(about))
    };
    assert!(told("x"), "the one that can refute it hears of it");
    for name in ["x", "y"] {
        assert_eq!(hand.swim.member(&node(name)).map(|m| m.state()), Some(State::Suspect), "{name}");
    }
    // Said again at once, it is no more, nor later by the same one; said by another, and unrefuted for half the pause budget, it is so.
    let suspect = |hand: &Hand| hand.swim.member(&node("y")).map(|m| m.state()) == Some(State::Suspect);
    hand.hear("b", &[state(alive("x"), State::Failed), state(alive("y"), State::Failed)]);
    hand.pass(ms(1_000), &["a", "b", "x"]);
    hand.hear("a", &[state(alive("x"), State::Failed), state(alive("y"), State::Failed)]);
    hand.pass(ms(2_149), &["a", "b", "x"]);
    assert!(suspect(&hand));
    hand.pass(ms(1), &["a", "b", "x"]);
    assert_eq!(
        hand.swim.member(&node("x")).map(|m| m.state()),
        Some(State::Suspect),
        "this node hears it all the time"
    );
    assert_eq!(hand.swim.member(&node("y")).map(|m| m.state()), Some(State::Failed));
}

#[test]
fn a_member_that_failed_hears_of_it_with_every_word() {
    let mut hand = Hand::with(&["a", "b", "x"]);
    hand.pass(ms(45_000), &["a", "b"]);
    assert_eq!(published_state(&mut hand, "x"), Some(State::Failed));
    hand.receive("x", DatagramKind::Ping, 9, None, &[]);
    let (to, ack) = hand.sent().remove(0);
    assert_eq!((to.as_str(), ack.kind), ("x", DatagramKind::Ack));
    assert_eq!((ack.updates[0].claim.node.as_str(), ack.updates[0].claim.state), ("x", State::Failed));
}

#[test]
fn a_process_that_lost_the_name_does_not_say_goodbye_for_it() {
    let mut hand = Hand::with(&["a", "x"]);
    // "x" is now another life, which this node has heard of but has no link to.
    let successor = Claim { life: cluster_types::Life::new(9, 9), ..raised(alive("x"), 5) };
    hand.hear("a", &[successor]);
    hand.read();
    hand.receive("x", DatagramKind::Leave, 0, None, &[]);
    assert_eq!(published_state(&mut hand, "x"), None);
}

#[test]
fn garbage_is_counted_and_nothing_else() {
    let mut hand = Hand::with(&["a"]);
    for garbage in [&b""[..], b"hello", &[0; 1_200], &[1, 16, 0, 255, 255, 255, 255]] {
        hand.swim.handle_datagram(hand.now, &node("a"), garbage);
    }
    let peer = PeerInfo::from(&alive("a"));
    assert_eq!(hand.swim.handle_request(hand.now, &peer, 36, b"?"), None);
    assert_eq!((hand.swim.stats().malformed, hand.swim.stats().unknown), (5, 0));
    assert_eq!(hand.read(), []);
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "m"];

#[derive(Debug, Clone)]
enum Input {
    Claim { from: usize, about: usize, state: usize, raise: u64 },
    Vote { from: usize, about: usize, accuser: usize, silence: u64 },
    Message { from: usize, kind: usize, seq: u64 },
    Bytes { from: usize, bytes: Vec<u8> },
    LinkUp(usize),
    LinkDown(usize),
    Gap(u64),
    Pass(u64),
    Leave,
}

fn any_input() -> impl Strategy<Value = Input> {
    let who = 0..NAMES.len();
    prop_oneof![
        4 => (who.clone(), who.clone(), 0usize..4, 0u64..4)
            .prop_map(|(from, about, state, raise)| Input::Claim { from, about, state, raise }),
        3 => (who.clone(), who.clone(), who.clone(), 0u64..20_000)
            .prop_map(|(from, about, accuser, silence)| Input::Vote { from, about, accuser, silence }),
        3 => (who.clone(), 0usize..7, 0u64..40).prop_map(|(from, kind, seq)| Input::Message { from, kind, seq }),
        1 => (who.clone(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(from, bytes)| Input::Bytes { from, bytes }),
        1 => who.clone().prop_map(Input::LinkUp),
        1 => who.prop_map(Input::LinkDown),
        1 => (251u64..20_000).prop_map(Input::Gap),
        6 => (1u64..4_000).prop_map(Input::Pass),
        1 => Just(Input::Leave),
    ]
}

fn apply(hand: &mut Hand, input: Input) {
    use DatagramKind::{Ack, Gossip, LeaveAck, Nack, Ping, PingReq, Relayed};
    match input {
        Input::Claim { from, about, state: s, raise } => {
            hand.hear(NAMES[from], &[raised(state(alive(NAMES[about]), State::ALL[s]), raise)]);
        }
        Input::Vote { from, about, accuser, silence } => {
            hand.hear_vote(NAMES[from], alive(NAMES[about]), NAMES[accuser], ms(silence));
        }
        Input::Message { from, kind, seq } => {
            let kind = [Ack, Gossip, LeaveAck, Nack, Ping, PingReq, Relayed][kind];
            let target = (kind == PingReq).then_some(NAMES[(seq % 5) as usize]);
            hand.receive(NAMES[from], kind, seq, target, &[]);
        }
        Input::Bytes { from, bytes } => hand.swim.handle_datagram(hand.now, &node(NAMES[from]), &bytes),
        Input::LinkUp(peer) => hand.link(NAMES[peer]),
        Input::LinkDown(peer) => hand.swim.handle_link_down(hand.now, &node(NAMES[peer]), alive(NAMES[peer]).life),
        Input::Gap(span) => {
            hand.now += ms(span);
            hand.swim.handle_gap(hand.now, ms(span));
        }
        Input::Pass(span) => {
            let until = hand.now + ms(span);
            let mut turns = 0;
            while hand.swim.next_deadline() <= until {
                let before = hand.swim.next_deadline().max(hand.now);
                hand.step();
                turns += 1;
                assert!(hand.swim.next_deadline() > before, "the loop would spin at {before:?}");
                assert!(turns < 10_000);
            }
            hand.now = until;
        }
        Input::Leave => hand.swim.leave(hand.now),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes in whatever order: no panic, no spinning, and incarnations never fall.
    #[test]
    fn no_sequence_of_inputs_breaks_the_core(inputs in prop::collection::vec(any_input(), 1..80)) {
        let mut hand = Hand::with(&["a", "b", "c", "d"]);
        let mut known: std::collections::BTreeMap<String, Incarnation> = std::collections::BTreeMap::new();
        for input in inputs {
            apply(&mut hand, input);
            for statement in hand.published() {
                let claim = statement.claim().clone();
                let before = known.insert(claim.node.to_string(), claim.incarnation);
                prop_assert!(before.is_none_or(|before| before <= claim.incarnation), "{claim:?}");
            }
        }
    }
}

/// What the votes say may be old: a judge that was deaf asks the suspect itself, again and again, and an answer ends it.
#[test]
fn a_judge_asks_the_suspect_before_it_convicts() {
    let mut hand = Hand::with(&["a", "b", "c", "x"]);
    hand.pass(ms(10_000), &["a", "b", "c", "x"]);
    for voter in ["a", "b", "c"] {
        hand.hear_vote(voter, alive("x"), voter, ms(5_800));
    }
    hand.read();
    // It answers nothing, and is asked in time.
    let mut asked = 0;
    let last_sign = hand.now;
    while !hand.swim.lost_members().iter().any(|(lost, _)| lost.as_str() == "x") {
        assert!(hand.now.since(last_sign) < ms(8_000), "no verdict");
        hand.pass(ms(50), &["a", "b", "c"]);
        let to_x = hand.sent().into_iter().filter(|(to, datagram)| to == "x" && datagram.kind == DatagramKind::Ping);
        asked = asked.max(to_x.map(|_| hand.now.since(last_sign).as_millis()).max().unwrap_or(asked));
    }
    let before = hand.now.since(last_sign).as_millis() - asked;
    assert!((450..=2_050).contains(&before), "asked {before} ms before the verdict");

    let mut hand = Hand::with(&["a", "b", "c", "x"]);
    hand.pass(ms(10_000), &["a", "b", "c", "x"]);
    hand.receive("x", DatagramKind::Gossip, 0, None, &[]);
    for voter in ["a", "b", "c"] {
        hand.hear_vote(voter, alive("x"), voter, ms(60_000));
    }
    // It answers nothing for five seconds, and then what it is asked before the verdict.
    hand.pass(ms(5_250), &["a", "b", "c"]);
    hand.pass(ms(3_000), &["a", "b", "c", "x"]);
    assert_eq!(published_state(&mut hand, "x"), Some(State::Suspect), "it lives, whatever the votes say");
}

/// A judge that doubts itself waits for the others to speak. When they have, its own health does not matter.
#[test]
fn local_health_delays_no_verdict_that_has_its_votes() {
    let declared_after = |others: &[&str]| {
        let peers: Vec<&str> = others.iter().copied().chain(["x"]).collect();
        let mut hand = Hand::with(&peers);
        hand.pass(ms(10_000), &peers);
        hand.receive("x", DatagramKind::Gossip, 0, None, &[]);
        let last_sign = hand.now;
        for voter in others {
            hand.hear_vote(voter, alive("x"), voter, ms(60_000));
        }
        hand.pass(ms(5_000), others);
        // Having to refute what is said of oneself is a point of local health.
        for n in 0..8 {
            hand.hear(peers[0], &[raised(state(alive("m"), State::Suspect), n)]);
        }
        while !hand.swim.lost_members().iter().any(|(lost, _)| lost.as_str() == "x") {
            assert!(hand.now.since(last_sign) < ms(60_000), "no verdict");
            hand.pass(ms(50), others);
        }
        hand.now.since(last_sign)
    };
    let enough = declared_after(&["a", "b", "c"]);
    assert!(enough < ms(6_300) + ms(2_500), "{enough:?}");
    let alone = declared_after(&[]);
    assert!(alone > ms(6_300) + ms(4_000), "alone with its own vote it doubts: {alone:?}");
}
