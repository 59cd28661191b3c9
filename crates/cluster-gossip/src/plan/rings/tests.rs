//! What must hold of the graph.

use super::*;
use proptest::prelude::*;

const K: usize = 10;
const NOW: Instant = Instant::ORIGIN;
const PERIOD: Duration = Duration::from_secs(1);

fn node(i: usize) -> NodeId {
    format!("n{i}").parse().unwrap()
}

fn plan_of(own: usize, members: impl IntoIterator<Item = usize>) -> RingPlan {
    zoned_plan_of(own, members, |_| "")
}

fn zoned_plan_of(
    own: usize,
    members: impl IntoIterator<Item = usize>,
    zone: impl Fn(usize) -> &'static str,
) -> RingPlan {
    let mut plan = RingPlan::new(&"c".parse().unwrap(), node(own), K, PERIOD, Seed::new(own as u64));
    for i in members {
        plan.insert(NOW, &node(i), zone(i));
    }
    plan.settle(Instant::END);
    plan
}

#[test]
fn in_a_small_cluster_everybody_watches_everybody() {
    for n in 1..=K + 1 {
        let plan = plan_of(0, 0..n);
        for i in 0..n {
            assert_eq!(plan.observers_of(&node(i)).len(), n - 1, "n = {n}");
        }
    }
}

#[test]
fn in_a_large_cluster_everybody_has_exactly_k_distinct_observers() {
    let plan = plan_of(0, 0..200);
    let mut load = BTreeMap::new();
    for i in 0..200 {
        let observers = plan.observers_of(&node(i));
        let distinct: BTreeSet<_> = observers.iter().collect();
        assert_eq!((observers.len(), distinct.len()), (K, K));
        assert!(!distinct.contains(&node(i)));
        for observer in observers {
            *load.entry(observer).or_insert(0) += 1;
        }
    }
    // Each node is successor once on each ring, so the load is K but for the walks past a node already chosen.
    assert!(load.values().all(|l| (K - 4..=K + 4).contains(l)), "{load:?}");
}

#[test]
fn every_node_computes_the_same_graph_in_whatever_order_it_learnt_the_members() {
    let (forward, backward) = (plan_of(3, 0..40), plan_of(7, (0..40).rev()));
    for i in 0..40 {
        assert_eq!(forward.observers_of(&node(i)), backward.observers_of(&node(i)));
    }
}

/// The few candidates that a large cluster looks at are all there are.
#[test]
fn subjects_are_exactly_those_whom_one_observes() {
    for own in 0..120 {
        let plan = plan_of(own, 0..120);
        let observed: BTreeSet<NodeId> =
            (0..120).map(node).filter(|n| plan.observers_of(n).contains(&node(own))).collect();
        assert_eq!(plan.turns.subjects().cloned().collect::<BTreeSet<_>>(), observed, "own = {own}");
        let watched: BTreeSet<NodeId> = plan.observers_of(&node(own)).into_iter().chain(observed).collect();
        assert_eq!(plan.neighbours(), watched);
    }
}

/// A join or a leave moves about 2K edges, not all of them.
#[test]
fn one_more_member_changes_few_edges() {
    let edges = |plan: &RingPlan| -> BTreeSet<(NodeId, NodeId)> {
        let of = |i: usize| plan.observers_of(&node(i)).into_iter().map(move |o| (node(i), o));
        (0..200).flat_map(of).collect()
    };
    let before = edges(&plan_of(0, 0..200));
    let after = edges(&plan_of(0, 0..201));
    let moved = before.difference(&after).count();
    // The newcomer takes one place on each of K rings; a walk that is pushed on may push another.
    assert!((1..=2 * K).contains(&moved), "{moved}");
}

#[test]
fn with_zones_four_observers_are_inside_and_six_outside() {
    let zone = |i: usize| ["a", "b", "c"][i % 3];
    let plan = zoned_plan_of(0, 0..60, zone);
    for i in 0..60 {
        let observers = plan.observers_of(&node(i));
        let inside = (0..60).filter(|j| zone(*j) == zone(i) && observers.contains(&node(*j))).count();
        assert_eq!((observers.len(), inside), (K, 4), "{i}");
    }
    // A zone with fewer than four others: they are all asked, and the rest is from outside.
    let lonely = |i: usize| if i < 3 { "small" } else { "large" };
    let plan = zoned_plan_of(0, 0..40, lonely);
    let observers = plan.observers_of(&node(1));
    assert_eq!(observers.len(), K);
    assert!(observers.contains(&node(0)) && observers.contains(&node(2)));
    // One zone for all is like none.
    let plan = zoned_plan_of(0, 0..40, |_| "one");
    assert!((0..40).all(|i| plan.observers_of(&node(i)).len() == K));
}

#[test]
fn a_zone_learnt_later_counts_from_then_on() {
    let mut late = plan_of(5, 0..60);
    let zone = |i: usize| ["a", "b"][i % 2];
    (0..60).for_each(|i| late.insert(NOW, &node(i), zone(i)));
    let told = zoned_plan_of(5, 0..60, zone);
    assert!((0..60).all(|i| late.observers_of(&node(i)) == told.observers_of(&node(i))));
    (0..60).for_each(|i| late.insert(NOW, &node(i), ""));
    let none = plan_of(5, 0..60);
    assert!((0..60).all(|i| late.observers_of(&node(i)) == none.observers_of(&node(i))));
}

#[test]
fn a_subject_deals_turns_to_its_observers_and_to_nobody_else() {
    let plan = plan_of(0, 0..4);
    let now = Instant::after_origin(Duration::from_millis(7_600));
    let turns: BTreeSet<Duration> = (1..4).map(|i| plan.turn_of(now, &node(i)).unwrap()).collect();
    assert_eq!(turns.into_iter().map(|t| t.as_millis()).collect::<Vec<_>>(), [1_400, 2_400, 3_400]);
    assert_eq!(plan.turn_of(now, &node(9)), None);
    assert_eq!(plan.spacing(&node(1)), Some(PERIOD * 3));
    assert_eq!(plan_of(0, 0..40).turns.subjects().next().and_then(|s| plan_of(0, 0..40).spacing(s)), Some(PERIOD * 10));
}

#[test]
fn alone_there_is_nobody_to_probe() {
    let mut plan = plan_of(0, [0]);
    assert_eq!(plan.take_turn(Instant::END), None);
    assert_eq!(plan.next_turn(), Instant::END);
    assert!(plan.neighbours().is_empty());
    plan.remove(NOW, &node(0));
    assert!(plan.observers_of(&node(1)).contains(&node(0)), "a node never leaves its own plan");
}

/// In a large cluster a change waits a little for others to come with it.
#[test]
fn changes_are_taken_into_account_together() {
    let mut plan = plan_of(0, 0..100);
    let now = Instant::after_origin(PERIOD);
    plan.remove(now, &node(50));
    plan.insert(now + Duration::from_millis(20), &node(500), "");
    assert!(!plan.settle(now + Duration::from_millis(49)));
    assert_eq!(plan.settle_at, Some(now + SETTLE_AFTER));
    plan.settle(now + SETTLE_AFTER);
    assert_eq!(plan.settle_at, None);
    let fresh = plan_of(0, (0..100).filter(|i| *i != 50).chain([500]));
    assert_eq!(plan.neighbours(), fresh.neighbours());
}

proptest! {
    /// Neighbours are symmetric between equal views, and a plan that grew and shrank equals a fresh one.
    #[test]
    fn links_are_wanted_from_both_sides(members in prop::collection::btree_set(0usize..90, 2..80), gone in 90usize..99) {
        let mut plans: BTreeMap<usize, RingPlan> =
            members.iter().map(|&i| (i, plan_of(i, members.iter().copied()))).collect();
        let wanted: BTreeMap<usize, BTreeSet<NodeId>> =
            plans.iter().map(|(&i, plan)| (i, plan.neighbours())).collect();
        for (&i, neighbours) in &wanted {
            for (&j, back) in &wanted {
                prop_assert_eq!(neighbours.contains(&node(j)), back.contains(&node(i)));
            }
        }
        let first = *members.first().unwrap();
        let plan = plans.get_mut(&first).unwrap();
        plan.insert(NOW, &node(gone), "z");
        plan.remove(NOW, &node(gone));
        plan.settle(Instant::END);
        prop_assert_eq!(&plan.neighbours(), &wanted[&first]);
    }
}

/// Of the first so many observers of `subject` everybody knows that they are suspected.
fn with_suspects(plans: &mut [RingPlan], suspects: &[NodeId]) {
    for plan in plans {
        suspects.iter().for_each(|node| plan.set_impaired(NOW, node, true));
        plan.settle(Instant::END);
    }
}

fn plans(n: usize) -> Vec<RingPlan> {
    (0..n).map(|i| plan_of(i, 0..n)).collect()
}

#[test]
fn others_stand_in_where_too_few_observers_are_left() {
    let mut plans = plans(40);
    let subject = node(7);
    let observers = plans[0].observers_of(&subject);
    with_suspects(&mut plans, &observers[..3]);
    assert_eq!(plans[0].observers_of(&subject), observers, "seven of ten are two thirds");
    with_suspects(&mut plans, &observers[..4]);
    let more = plans[0].observers_of(&subject);
    assert_eq!(more[..K], observers, "the suspected keep their votes");
    assert_eq!(more.len(), K + 4, "one for each of them");
    let distinct: BTreeSet<&NodeId> = more.iter().collect();
    assert!(distinct.len() == K + 4 && !distinct.contains(&subject));
    for (i, plan) in plans.iter().enumerate() {
        assert_eq!(plan.observers_of(&subject), more, "all agree on who they are");
        assert_eq!(plan.spacing(&subject).is_some(), more.contains(&node(i)), "and each knows of itself");
    }
    // They are suspected no more.
    for plan in &mut plans {
        observers[..4].iter().for_each(|node| plan.set_impaired(NOW, node, false));
        plan.settle(Instant::END);
    }
    assert_eq!(plans[0].observers_of(&subject), observers);
    assert!((0..40).all(|i| plans[i].spacing(&subject).is_some() == observers.contains(&node(i))));
}

/// Ninety of a hundred are suspected: whoever is left looks at all of them, and knows it.
#[test]
fn those_who_are_left_stand_in_for_all() {
    let n = 100;
    let mut plans = plans(n);
    let suspects: Vec<NodeId> = (10..n).map(node).collect();
    with_suspects(&mut plans[..10], &suspects);
    for subject in (0..n).map(node) {
        let observers = plans[0].observers_of(&subject);
        let left = (0..10).map(node).filter(|node| *node != subject).count();
        let well = observers.iter().filter(|node| !suspects.contains(node)).count();
        assert!(well == left || well >= 7, "{subject}: {well}");
        for i in (0..10).filter(|i| node(*i) != subject) {
            assert_eq!(plans[i].spacing(&subject).is_some(), observers.contains(&node(i)), "{i} of {subject}");
        }
    }
    // Who is declared is no observer any more, suspected or not.
    suspects.iter().for_each(|node| plans[0].remove(NOW, node));
    plans[0].settle(Instant::END);
    assert_eq!(plans[0].observers_of(&node(3)).len(), 9);
}

#[test]
fn where_observers_are_scarce_nobody_waits_for_the_turns_of_ten() {
    let mut plans = plans(40);
    let subject = node(7);
    let observers = plans[0].observers_of(&subject);
    let last: usize = observers[9].as_str()[1..].parse().unwrap();
    let plan = &mut plans[last];
    while plan.take_turn(NOW + PERIOD).is_some() {}
    plan.note_told_turn(NOW + PERIOD, &subject, PERIOD * 10);
    let next = |plan: &RingPlan| {
        let mut plan = plan.clone();
        (0..200)
            .map(|tenths| NOW + PERIOD + PERIOD / 10 * tenths)
            .find(|now| plan.take_turn(*now) == Some(subject.clone()))
    };
    assert!(next(plan).unwrap() >= NOW + PERIOD * 10);
    observers[..8].iter().for_each(|node| plan.set_impaired(NOW + PERIOD, node, true));
    plan.settle(NOW + PERIOD * 2);
    assert!(next(plan).unwrap() <= NOW + PERIOD * 3 + PERIOD / 10);
}
