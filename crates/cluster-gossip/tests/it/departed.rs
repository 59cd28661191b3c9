//! Members that are gone: reaped after their time, not brought back by old stories, and reunited after a partition.

use std::time::Duration;

use cluster_gossip::Output;
use cluster_gossip::wire::DatagramKind::Gossip;
use cluster_types::{Claim, EventKind, Life, State};

use crate::hand::{BOOT_MS, Hand, alive, ms, node, raised, state};

const THREE_DAYS: Duration = Duration::from_secs(72 * 60 * 60);

fn leap(hand: &mut Hand, span: Duration) {
    hand.now += span;
    hand.swim.handle_timeout(hand.now);
}

fn forgotten(hand: &mut Hand) -> Vec<String> {
    let forgotten = |output| if let Output::Forget { node } = output { Some(node.to_string()) } else { None };
    hand.read().into_iter().filter_map(forgotten).collect()
}

/// What is said of `about` in the datagrams to `to`.
fn told(hand: &mut Hand, to: &str, about: &str) -> Vec<State> {
    let datagrams = hand.sent().into_iter().filter(|(peer, datagram)| peer == to && datagram.kind == Gossip);
    let updates = datagrams.flat_map(|(_, datagram)| datagram.updates);
    updates.filter(|update| update.claim.node.as_str() == about).map(|update| update.claim.state).collect()
}

#[test]
fn who_is_gone_for_three_days_is_reaped_and_no_old_story_brings_it_back() {
    for end in [State::Failed, State::Left] {
        let mut hand = Hand::with(&["a", "b"]);
        hand.hear("a", &[state(alive("x"), end)]);
        hand.hear("b", &[state(alive("x"), end)]);
        leap(&mut hand, THREE_DAYS - ms(1_000));
        assert_eq!(forgotten(&mut hand), Vec::<String>::new());
        leap(&mut hand, ms(2_000));
        assert_eq!(forgotten(&mut hand), ["x"]);
        assert!(hand.swim.member(&node("x")).is_none() && hand.swim.lost_members().is_empty());
        for story in [
            alive("x"),
            state(alive("x"), State::Suspect),
            state(alive("x"), end),
            state(raised(alive("x"), 5), State::Failed),
        ] {
            hand.hear("b", std::slice::from_ref(&story));
            assert!(hand.swim.member(&node("x")).is_none(), "{story:?}");
        }
        leap(&mut hand, ms(200));
        hand.read();
        hand.hear("b", &[alive("x")]);
        assert_eq!(told(&mut hand, "b", "x"), [end], "whoever tells the old story hears how it ended");
        hand.hear("b", &[raised(alive("x"), 1)]);
        assert_eq!(
            hand.swim.member(&node("x")).map(|member| member.state()),
            Some(State::Alive),
            "it came back itself"
        );
    }
}

#[test]
fn whoever_still_holds_a_departed_member_alive_is_told() {
    let mut hand = Hand::with(&["a", "b"]);
    hand.hear("a", &[alive("x"), state(alive("x"), State::Left)]);
    hand.pass(ms(10_000), &["a", "b"]);
    hand.read();
    hand.hear("b", &[alive("x")]);
    assert_eq!(told(&mut hand, "b", "x"), [State::Left]);
    hand.hear("b", &[state(alive("x"), State::Left)]);
    assert_eq!(told(&mut hand, "b", "x"), [], "who knows needs not be told");
}

#[test]
fn failed_members_that_come_back_together_are_one_reunion() {
    let mut hand = Hand::with(&["a", "b"]);
    let failed = ["x", "y", "z"].map(|name| state(alive(name), State::Failed));
    hand.hear("a", &failed);
    hand.hear("b", &failed);
    hand.hear("b", &[raised(alive("x"), 1)]);
    hand.pass(ms(300), &["a", "b"]);
    hand.hear("b", &[raised(alive("y"), 1)]);
    // A new process under the old name did fail: that is no reunion.
    let reborn = Claim { life: Life::new(BOOT_MS + 1, 9), ..raised(alive("z"), 1 << 12) };
    hand.hear("b", &[reborn]);
    let merged = |hand: &mut Hand| -> Vec<usize> {
        let merged =
            |output| if let Output::Event(EventKind::Merged { members }) = output { Some(members) } else { None };
        hand.read().into_iter().filter_map(merged).collect()
    };
    assert_eq!(merged(&mut hand), []);
    hand.pass(ms(1_100), &["a", "b"]);
    assert_eq!(merged(&mut hand), [2]);
    hand.pass(ms(5_000), &["a", "b"]);
    assert_eq!(merged(&mut hand), []);
}

/// In a cluster of many, a lost member is dialled by those who would observe it, not by everybody.
#[test]
fn a_lost_member_is_sought_by_a_few() {
    let names: Vec<String> = (0..60).map(|i| format!("p{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut hand = Hand::with(&names[30..]);
    let failed: Vec<Claim> = names.iter().map(|name| state(alive(name), State::Failed)).collect();
    for ten in failed[..30].chunks(10) {
        hand.hear("p58", ten);
        hand.hear("p59", ten);
    }
    let sought = hand.swim.lost_members().len();
    // Ten of the 31 that are left would observe each: about ten of the thirty fall to this node.
    assert!((3..=18).contains(&sought), "{sought} of 30");
}
