//! What is dropped because a limit was reached is counted.

use std::net::SocketAddr;

use cluster_gossip::swim::SwimStats;
use cluster_gossip::user_news::{BROADCAST_LEN_MAX, BROADCASTS_MAX};
use cluster_gossip::wire::{DatagramKind, DatagramWriter};
use cluster_gossip::{Broadcast, BroadcastError, Output, SwimConfig};
use cluster_types::{Claim, Life};

use crate::hand::{BOOT_MS, Hand, alive, ms, node, raised};

fn stats(hand: &Hand) -> SwimStats {
    hand.swim.stats()
}

/// Twice as many accusers as observers are counted of one member; what others say is dropped, and a word of one that is
/// counted already is not.
#[test]
fn votes_beyond_their_limit_are_counted() {
    let mut hand = Hand::with(&["a", "x"]);
    let counted = 2 * SwimConfig::lan().observers;
    let accuse = |hand: &mut Hand, nth: usize| hand.hear_vote("a", alive("x"), &format!("v{nth}"), ms(1_000));
    (0..counted).for_each(|nth| accuse(&mut hand, nth));
    assert_eq!(stats(&hand).votes_over_limit, 0);
    accuse(&mut hand, 0);
    assert_eq!(stats(&hand).votes_over_limit, 0, "it has a place");
    (counted..counted + 3).for_each(|nth| accuse(&mut hand, nth));
    assert_eq!(stats(&hand).votes_over_limit, 3);
}

#[test]
fn broadcasts_beyond_their_limit_are_counted() {
    let mut hand = Hand::with(&["a"]);
    for _ in 0..BROADCASTS_MAX {
        hand.swim.broadcast(hand.now, &[7; BROADCAST_LEN_MAX]).expect("there is room");
    }
    assert_eq!(stats(&hand).broadcasts_over_limit, 0);
    assert_eq!(hand.swim.broadcast(hand.now, b"x"), Err(BroadcastError::Full));
    assert_eq!(stats(&hand).broadcasts_over_limit, 1);
    // One that is heard takes the place of one that was told already.
    let mut writer = DatagramWriter::new(DatagramKind::Gossip, 0, None);
    let id = cluster_gossip::user_news::BroadcastId { origin: node("a"), life: alive("a").life, seq: 1 };
    assert!(writer.push_broadcast(&Broadcast { id, payload: b"y".as_slice().into() }));
    hand.swim.handle_datagram(hand.now, &node("a"), &writer.finish());
    assert!(hand.read().iter().any(|output| matches!(output, Output::Broadcast { .. })), "its owner hears it");
    assert_eq!(stats(&hand).broadcasts_over_limit, 2);
}

/// Each is said to be elsewhere.
#[test]
fn rivals_beyond_their_limit_are_counted() {
    let mut hand = Hand::with(&["a"]);
    let followed = 16;
    for nth in 0..followed + 2 {
        let life = Life::new(BOOT_MS + 1_000, nth);
        let ahead = raised(hand.swim.own().clone(), 1);
        let addr = SocketAddr::from(([10, 9, 9, 9], 1_000 + nth as u16));
        hand.hear("a", &[Claim { life, addr, ..ahead }]);
        let over = u64::from(nth.saturating_sub(followed - 1));
        assert_eq!(stats(&hand).rivals_over_limit, over, "after {nth}");
    }
}
