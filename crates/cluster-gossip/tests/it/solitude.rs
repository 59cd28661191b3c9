//! Hearing nobody at all: what is concluded, who is told, what is taken back.

use cluster_gossip::Output;
use cluster_gossip::wire::Datagram;
use cluster_gossip::wire::DatagramKind::{Gossip, Ping};
use cluster_types::{Claim, Life, State};

use crate::hand::{BOOT_MS, Hand, alive, ms, node};

const ALL: [&str; 5] = ["a", "b", "c", "d", "x"];

fn met() -> Hand {
    let mut hand = Hand::with(&ALL);
    hand.pass(ms(5_000), &ALL);
    hand.read();
    hand
}

fn states(hand: &Hand) -> Vec<State> {
    ALL.iter().map(|name| hand.swim.member(&node(name)).expect("a member").state()).collect()
}

/// Whether a datagram says of anybody that he is suspected or has failed.
fn accuses(datagram: &Datagram) -> bool {
    datagram.updates.iter().any(|update| matches!(update.claim.state, State::Suspect | State::Failed))
}

/// Passes time in which nobody answers; what was said is no accusation. Links to whoever failed end.
fn alone_for(hand: &mut Hand, span: u64) {
    for _ in 0..span / 50 {
        hand.pass(ms(50), &[]);
        for output in hand.read() {
            match output {
                Output::Disconnect { node } => {
                    let life = alive(node.as_str()).life;
                    hand.swim.handle_link_down(hand.now, &node, life);
                }
                Output::Datagram { to, bytes } => {
                    let datagram = Datagram::decode(&bytes).expect("a datagram");
                    assert!(!accuses(&datagram), "to {to}: {datagram:?}");
                }
                _ => {}
            }
        }
    }
}

/// It cannot wait for votes of nobody; and the time is what it always is.
#[test]
fn the_last_one_knows_of_the_end_of_all_others_after_p() {
    let mut hand = met();
    alone_for(&mut hand, 5_000);
    assert_eq!(states(&hand), [State::Suspect; 5], "suspected, and no more: a pause of five seconds is forgiven");
    alone_for(&mut hand, 4_800);
    assert_eq!(states(&hand), [State::Failed; 5]);
}

#[test]
fn what_was_concluded_alone_is_taken_back_when_a_known_process_is_heard() {
    for span in [4_000, 20_000, 60_000] {
        let mut hand = met();
        alone_for(&mut hand, span);
        let before = hand.swim.member(&node("a")).expect("a member").claim.incarnation;
        assert!(states(&hand).iter().all(|state| *state != State::Alive), "{span}");
        hand.link("a");
        hand.receive("a", Gossip, 0, None, &[]);
        let published = hand.published();
        assert!(published.iter().all(|statement| statement.withdraws && statement.claim().state == State::Alive));
        // Whoever it still has a link to is asked once more before anything is said; the others are dialled.
        ALL[1..].iter().for_each(|name| hand.link(name));
        hand.pass(ms(1_000), &ALL);
        assert_eq!(states(&hand), [State::Alive; 5], "{span}");
        let claim = hand.swim.member(&node("a")).expect("a member").claim.clone();
        assert_eq!(claim.incarnation, before, "nobody had to refute it");
        hand.pass(ms(3_000), &ALL);
        assert!(hand.sent().iter().all(|(_, datagram)| !accuses(datagram)), "{span}: nobody hears of it");
    }
}

/// After four seconds in which it heard nobody one of five speaks, and the others do not.
#[test]
fn what_is_not_answered_when_it_is_asked_again_is_said_aloud() {
    let mut hand = met();
    alone_for(&mut hand, 4_000);
    hand.receive("a", Ping, 9, None, &[]);
    hand.pass(ms(1_400), &["a"]);
    assert!(hand.sent().iter().all(|(_, datagram)| !accuses(datagram)), "not at once");
    hand.pass(ms(2_000), &["a"]);
    let told = hand.sent();
    for name in ["b", "c", "d", "x"] {
        let about = |(to, datagram): &&(String, Datagram)| {
            to == "a" && datagram.updates.iter().any(|u| u.claim.node == node(name) && u.vote.is_some())
        };
        assert!(told.iter().any(|told| about(&told)), "{name}");
    }
    assert_eq!(hand.swim.member(&node("a")).expect("a member").state(), State::Alive);
}

/// The one who comes was started anew: the others are gone indeed.
#[test]
fn a_new_process_of_a_dead_member_takes_nothing_back() {
    let mut hand = met();
    alone_for(&mut hand, 12_000);
    let again = Claim { life: Life::new(BOOT_MS + 60_000, 8), ..crate::hand::raised(alive("a"), 60_000) };
    hand.swim.handle_link_up(hand.now, cluster_gossip::PeerInfo::from(&again));
    hand.pass(ms(2_000), &["a"]);
    let states = states(&hand);
    assert_eq!(states[0], State::Alive, "a");
    assert_eq!(states[1..], [State::Failed; 4]);
    let told = hand.sent();
    for name in ["b", "c", "d", "x"] {
        let about = |datagram: &Datagram| {
            datagram.updates.iter().any(|u| u.claim.node == node(name) && u.claim.state == State::Failed)
        };
        assert!(told.iter().any(|(to, datagram)| to == "a" && about(datagram)), "it hears of {name}");
    }
}

/// Turns are seconds apart where few are left: before it thinks the worst it asks those it has a link to.
#[test]
fn who_hears_nobody_for_two_periods_asks_around() {
    let mut hand = met();
    alone_for(&mut hand, 1_900);
    hand.pass(ms(1_200), &[]);
    let asked: std::collections::BTreeSet<String> =
        hand.sent().into_iter().filter(|(_, datagram)| datagram.kind == Ping).map(|(to, _)| to).collect();
    assert_eq!(asked.len(), 5, "{asked:?}");
}
