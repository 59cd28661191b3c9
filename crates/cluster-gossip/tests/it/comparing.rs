//! Comparing views: what it costs when they are equal, and that whatever differs is equal afterwards.

use cluster_gossip::wire::{Answer, Request};
use cluster_gossip::{Output, PeerInfo, Swim, SwimConfig};
use cluster_types::{Claim, Instant, Metadata, NodeId, Seed, State};
use proptest::prelude::*;

use crate::hand::{BOOT_MS, alive, node, raised, state};

/// A core named `own` that has learnt these claims from the other one, to which it is linked, and from somebody else as well.
fn core(own: &str, other: &str, claims: &[Claim]) -> Swim {
    let cluster = "test".parse().expect("a name");
    let now = Instant::ORIGIN;
    let mut swim = Swim::new(SwimConfig::lan(), &cluster, alive(own), Metadata::default(), BOOT_MS, Seed::new(5), now);
    swim.handle_link_up(now, PeerInfo::from(&alive(other)));
    for claim in std::iter::once(&alive(other)).chain(claims) {
        let entry = cluster_gossip::wire::Entry {
            update: cluster_gossip::wire::Update::unproven(claim.clone()),
            metadata: None,
            gone_for: std::time::Duration::ZERO,
        };
        let (kind, body) = Request::Push(vec![entry]).encode();
        swim.handle_request(now, &info(other), kind, &body);
        swim.handle_request(now, &info("somebody"), kind, &body);
    }
    while swim.poll_output().is_some() {}
    swim
}

fn info(name: &str) -> PeerInfo {
    PeerInfo::from(&alive(name))
}

/// Lets `one` compare with `other` until it asks nothing more; the kinds and lengths of what went over.
fn compare(one: &mut Swim, other: &mut Swim, at_s: u64) -> Vec<(u16, usize)> {
    let now = Instant::after_origin(std::time::Duration::from_secs(at_s));
    let mut over = Vec::new();
    one.handle_timeout(now);
    for _ in 0..20 {
        let mut requests = Vec::new();
        while let Some(output) = one.poll_output() {
            if let Output::Request { token, kind, body, .. } = output {
                requests.push((token, kind, body));
            }
        }
        if requests.is_empty() {
            return over;
        }
        for (token, kind, body) in requests {
            over.push((kind, body.len()));
            let answer = other.handle_request(now, &info("one"), kind, &body).expect("an answer");
            over.push((answer.0, answer.1.len()));
            one.handle_answer(now, token, Ok(answer));
        }
        while other.poll_output().is_some() {}
    }
    panic!("they never end: {over:?}");
}

fn held(swim: &Swim, name: &NodeId) -> Option<Claim> {
    swim.member(name).map(|member| member.claim.clone())
}

fn claims(count: usize) -> Vec<Claim> {
    (0..count).map(|i| alive(&format!("p{i:03}"))).collect()
}

#[test]
fn equal_views_cost_less_than_256_bytes() {
    for count in [0, 10, 300] {
        let (mut one, mut other) = (core("one", "two", &claims(count)), core("two", "one", &claims(count)));
        let over = compare(&mut one, &mut other, 1);
        assert_eq!(over.len(), 2, "one question, one answer: {over:?}");
        let bytes: usize = over.iter().map(|(_, len)| len).sum();
        assert!(bytes <= 256, "{bytes}");
    }
}

/// A list may be that of somebody who was cut off and took everybody for dead.
#[test]
fn a_verdict_in_a_list_is_a_suspicion_at_first() {
    let (left, mut right) = (claims(5), claims(5));
    right[2] = state(right[2].clone(), State::Failed);
    let (mut one, mut other) = (core("one", "two", &left), core("two", "one", &right));
    compare(&mut one, &mut other, 1);
    assert_eq!(held(&one, &right[2].node).unwrap().state, State::Suspect);
    // Nobody refutes it, and there is nobody else whose vote could be waited for.
    let failed_at = (2..60).find(|at_s| {
        compare(&mut one, &mut other, *at_s);
        held(&one, &right[2].node).unwrap().state == State::Failed
    });
    // Nobody was heard for 5.3 s after 1 s: then this node judges alone, and half of the pause budget since the accusation is over.
    assert_eq!(failed_at, Some(7));
}

/// Three members of three hundred differ: the buckets are compared, and only what is in the differing ones goes over.
#[test]
fn a_small_difference_between_large_views_costs_little() {
    let (mut left, mut right) = (claims(300), claims(300));
    left[7] = raised(left[7].clone(), 3);
    right[90] = state(right[90].clone(), State::Left);
    right.remove(250);
    let (mut one, mut other) = (core("one", "two", &left), core("two", "one", &right));
    let over = compare(&mut one, &mut other, 1);
    let bytes: usize = over.iter().map(|(_, len)| len).sum();
    let whole = Answer::Entries(
        claims(300)
            .into_iter()
            .map(|claim| cluster_gossip::wire::Entry {
                update: cluster_gossip::wire::Update::unproven(claim),
                metadata: None,
                gone_for: std::time::Duration::ZERO,
            })
            .collect(),
    );
    let whole = whole.encode().1.len();
    assert!(bytes < whole / 3, "{bytes} of {whole}: {over:?}");
    for claim in claims(300) {
        assert_eq!(held(&one, &claim.node), held(&other, &claim.node));
    }
    assert_eq!(held(&other, &left[7].node), Some(left[7].clone()));
    assert_eq!(held(&one, &node("p090")).unwrap().state, State::Left);
    assert!(held(&other, &node("p250")).is_some());
    assert_eq!(compare(&mut one, &mut other, 100).len(), 2, "and now they are equal");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// However two views differ: after one comparison both hold the greater claim of every member.
    #[test]
    fn views_are_equal_after_a_comparison(
        count in prop::sample::select(vec![3usize, 30, 31, 32, 33, 34, 80]),
        changes in prop::collection::vec((0usize..80, any::<bool>(), 0usize..4, 0u64..3, any::<bool>()), 0..30),
    ) {
        let (mut left, mut right) = (claims(count), claims(count));
        for (i, on_left, to, raise, gone) in changes {
            let side = if on_left { &mut left } else { &mut right };
            if side.is_empty() {
                continue;
            }
            let i = i % side.len();
            // Suspicions are no part of a view that must be equal, and verdicts are not believed at once.
            let to = [State::Alive, State::Left, State::Left, State::Alive][to];
            side[i] = state(raised(side[i].clone(), raise), to);
            if gone {
                side.remove(i);
            }
        }
        let (mut one, mut other) = (core("one", "two", &left), core("two", "one", &right));
        compare(&mut one, &mut other, 1);
        for claim in claims(count) {
            prop_assert_eq!(held(&one, &claim.node), held(&other, &claim.node), "{}", claim.node);
        }
        prop_assert_eq!(compare(&mut one, &mut other, 100).len(), 2);
    }
}
