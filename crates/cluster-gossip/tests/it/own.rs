//! What others say of this node.

use std::net::SocketAddr;

use cluster_gossip::Output;
use cluster_types::{Claim, Incarnation, Life, State};

use crate::hand::{BOOT_MS, Hand, alive, ms, raised, state};

fn refuted_with(hand: &mut Hand) -> Option<Claim> {
    let changed = |output| if let Output::OwnChanged { claim, .. } = output { Some(claim) } else { None };
    hand.read().into_iter().find_map(changed)
}

/// Who is told this claim, in order.
fn told_of(hand: &mut Hand, claim: &Claim) -> Vec<String> {
    let says = |datagram: &cluster_gossip::wire::Datagram| datagram.updates.iter().any(|update| update.claim == *claim);
    hand.sent().into_iter().filter(|(_, datagram)| says(datagram)).map(|(to, _)| to).collect()
}

#[test]
fn every_accusation_at_or_above_its_incarnation_is_refuted_by_going_above() {
    for accusation in [State::Suspect, State::Failed, State::Left] {
        for above in [0, 1, 1_000, 1 << 20] {
            let mut hand = Hand::with(&["a", "b"]);
            let heard = raised(state(alive("m"), accusation), above);
            hand.hear("a", std::slice::from_ref(&heard));
            let own = refuted_with(&mut hand).unwrap_or_else(|| panic!("{accusation} + {above} stands"));
            assert_eq!(own.incarnation, heard.incarnation.next());
            assert_eq!(own.state, State::Alive);
            assert_eq!(hand.swim.stats().refuted, 1);
        }
    }
}

#[test]
fn a_refutation_is_told_to_every_linked_member_at_once() {
    let mut hand = Hand::with(&["a", "b", "c", "d", "e", "f"]);
    hand.hear("a", &[state(alive("m"), State::Suspect)]);
    let own = hand.swim.own().clone();
    let told = told_of(&mut hand, &own);
    for peer in ["a", "b", "c", "d", "e", "f"] {
        assert!(told.iter().any(|to| to == peer), "{peer} was not told: {told:?}");
    }
}

#[test]
fn what_is_older_than_this_life_is_ignored() {
    let mut hand = Hand::with(&["a"]);
    for old in [State::Alive, State::Suspect, State::Failed, State::Left] {
        let former = Claim {
            life: Life::new(BOOT_MS - 60_000, 1),
            incarnation: Incarnation::from_unix_ms(BOOT_MS - 60_000),
            ..state(alive("m"), old)
        };
        hand.hear("a", &[former]);
    }
    assert_eq!(refuted_with(&mut hand), None);
}

/// The clock went backwards over a restart: the former life's number is higher than this one's.
#[test]
fn a_former_life_with_a_higher_incarnation_is_gone_above_and_is_no_conflict() {
    let mut hand = Hand::with(&["a"]);
    let former = Claim { life: Life::new(BOOT_MS + 60_000, 1), ..raised(alive("m"), 60_000 << 10) };
    for _ in 0..3 {
        // Others may repeat what they remember; nobody answers the refutation.
        hand.hear("a", std::slice::from_ref(&former));
    }
    assert!(hand.swim.own().incarnation > former.incarnation);
    let outputs = hand.read();
    assert!(!outputs.iter().any(|o| matches!(o, Output::Event(_) | Output::NameLost { .. })), "{outputs:?}");
}

/// Where somebody of this node's name is looked for.
fn sought(hand: &mut Hand) -> Vec<SocketAddr> {
    let sought = |output| if let Output::FindRival { addr } = output { Some(addr) } else { None };
    hand.read().into_iter().filter_map(sought).collect()
}

#[test]
fn a_rival_that_this_node_has_found_itself_is_a_conflict_and_the_older_boot_stays() {
    for (rival_boot, stays) in [(BOOT_MS + 5_000, true), (BOOT_MS - 5_000, false)] {
        let mut hand = Hand::with(&["a"]);
        let addr = "10.0.9.9:7000".parse().unwrap();
        let rival = Claim { life: Life::new(rival_boot, 1), addr, ..raised(alive("m"), 10_000 << 10) };
        hand.hear("a", std::slice::from_ref(&rival));
        assert_eq!(sought(&mut hand), [addr]);
        let found = Some((rival.life, rival.incarnation));
        hand.swim.handle_rival(addr, found);
        hand.swim.handle_rival(addr, found);
        let outputs = hand.read();
        let conflicts = outputs.iter().filter(|o| matches!(o, Output::Event(_))).count();
        let lost = outputs.iter().any(|o| matches!(o, Output::NameLost { .. }));
        assert_eq!((conflicts, lost), (1, !stays), "boot {rival_boot}");
        // The loser refutes nothing any more, not even an accusation.
        let before = hand.swim.own().incarnation;
        hand.hear("a", &[Claim { incarnation: before.next(), ..state(alive("m"), State::Suspect) }]);
        assert_eq!(hand.swim.own().incarnation > before, stays);
    }
}

/// The attack that the first release fell to: one datagram with three updates, each one above the answer to the one before.
#[test]
fn nobody_gives_up_its_name_for_what_others_say() {
    let mut hand = Hand::with(&["a", "b"]);
    let base = hand.swim.own().incarnation;
    let claims = [0, 2, 4].map(|above| raised(Claim { life: Life::from_raw(0), ..alive("m") }, above));
    assert!(claims.iter().all(|claim| claim.incarnation >= base && claim.life < hand.swim.own().life));
    hand.hear("b", &claims);
    let outputs = hand.read();
    assert!(!outputs.iter().any(|o| matches!(o, Output::NameLost { .. } | Output::Event(_))), "{outputs:?}");
    // It is its own address that they name, where it knows who is.
    assert!(!outputs.iter().any(|o| matches!(o, Output::FindRival { .. })), "{outputs:?}");
    // Elsewhere it looks, once a second at each place and at so many: nobody is there, or it is this node itself.
    let own = hand.swim.own().life;
    let elsewhere = |port: u16, boot: u64| {
        let addr = SocketAddr::from(([10, 9, 9, 9], port));
        Claim { addr, life: Life::new(boot, 7), ..raised(alive("m"), 1 << 12) }
    };
    let rumours: Vec<Claim> = (1..40).map(|port| elsewhere(port, 5)).collect();
    for rumour in rumours.iter().chain(&rumours) {
        hand.hear("b", std::slice::from_ref(rumour));
    }
    let sought = sought(&mut hand);
    assert_eq!(sought, (1..17).map(|port| elsewhere(port, 5).addr).collect::<Vec<_>>());
    for addr in sought {
        hand.swim.handle_rival(addr, None);
        hand.swim.handle_rival(addr, Some((own, base)));
    }
    assert!(hand.read().iter().all(|o| !matches!(o, Output::NameLost { .. } | Output::Event(_))));
    assert!(hand.swim.stats().rivals_over_limit > 0);
}

/// Two that cannot reach each other: neither is to raise its incarnation with every round trip to somebody who hears both.
#[test]
fn a_rival_that_cannot_be_found_is_refuted_once_a_second() {
    let mut hand = Hand::with(&["a"]);
    let before = hand.swim.stats().refuted;
    for _ in 0..30 {
        let incarnation = hand.swim.own().incarnation.next();
        let addr = "10.0.9.9:7000".parse().unwrap();
        hand.hear("a", &[Claim { life: Life::new(BOOT_MS + 9, 1), addr, incarnation, ..alive("m") }]);
        hand.pass(ms(100), &["a"]);
    }
    assert_eq!(hand.swim.stats().refuted - before, 3);
}

#[test]
fn claims_that_cannot_be_true_are_refused_and_counted() {
    const DAY_MS: u64 = 86_400_000;
    let mut hand = Hand::with(&["a", "b"]);
    let far = Claim { incarnation: Incarnation::from_unix_ms(BOOT_MS + DAY_MS + 60_000), ..alive("m") };
    let implausible = [
        state(far.clone(), State::Suspect),
        Claim { life: Life::new(1, 1), ..far.clone() },
        raised(state(alive("m"), State::Failed), (1 << 20) + 1),
        Claim { incarnation: far.incarnation, ..alive("b") },
        raised(state(alive("b"), State::Failed), (1 << 20) + 1),
        Claim { incarnation: Incarnation::MAX, ..alive("new") },
    ];
    for (count, claim) in (1..).zip(implausible) {
        hand.hear("a", std::slice::from_ref(&claim));
        assert_eq!(hand.swim.stats().implausible, count, "{claim:?}");
    }
    assert_eq!(hand.published(), []);
    assert_eq!(hand.swim.stats().refuted, 0);
}

/// The refutation may have been lost on a path that was cut: whoever repeats the accusation has not heard it.
#[test]
fn whoever_repeats_what_was_refuted_hears_the_refutation() {
    for accusation in [State::Suspect, State::Failed, State::Left] {
        let mut hand = Hand::with(&["a", "b"]);
        let heard = state(alive("m"), accusation);
        hand.hear("a", std::slice::from_ref(&heard));
        let own = refuted_with(&mut hand).unwrap();
        hand.hear("b", std::slice::from_ref(&heard));
        let told = told_of(&mut hand, &own);
        assert_eq!(told, ["b"], "{accusation}");
        assert_eq!(*hand.swim.own(), own, "once is enough");
    }
}
