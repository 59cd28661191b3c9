//! The worst days of a cluster, at L0: many deaths at once, long paths, judges that are stopped again and again, and who comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_gossip::SwimConfig;
use cluster_testkit::net::{Latency, LinkModel};
use cluster_testkit::scenario::PathFault;
use cluster_testkit::world::name_of;
use cluster_testkit::{EngineWorld, WorldConfig};
use cluster_types::{EventKind, Instant};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// A joined cluster, at rest for a while, over paths that take so many milliseconds one way.
fn joined(nodes: usize, swim: SwimConfig, path: (u64, u64), seed: u64) -> EngineWorld {
    let links = LinkModel::lan().with_latency(Latency::Uniform(ms(path.0), ms(path.1)));
    let mut world = EngineWorld::new(WorldConfig { swim, links }, seed);
    world.start_joined(nodes);
    world.run_for(secs(15) + ms(seed * 370 % 1_000));
    world
}

/// Who declared whom failed since then: the first time of each.
fn verdicts(world: &EngineWorld, nodes: usize, since: Instant) -> BTreeMap<(usize, usize), Duration> {
    let number: BTreeMap<_, _> = (0..nodes).map(|i| (name_of(i), i)).collect();
    let mut first = BTreeMap::new();
    for reported in world.trace().iter().filter(|reported| reported.at >= since) {
        if let EventKind::Failed(member, _) = &reported.kind {
            first.entry((reported.by, number[member.node()])).or_insert(reported.at.since(since));
        }
    }
    first
}

/// Who suspected whom since then.
fn suspicions(world: &EngineWorld, nodes: usize, since: Instant) -> BTreeSet<(usize, usize)> {
    let number: BTreeMap<_, _> = (0..nodes).map(|i| (name_of(i), i)).collect();
    let reported = world.trace().iter().filter(|reported| reported.at >= since);
    let suspected = reported.filter_map(|r| match &r.kind {
        EventKind::Suspected(member, _) => Some((r.by, number[member.node()])),
        _ => None,
    });
    suspected.collect()
}

/// The first `count` of `nodes` are killed at once: all the others declare all of these within P and three and a half seconds, none of
/// them sooner than the pause that is forgiven, and nobody else.
fn killed_at_once(nodes: usize, count: usize, seed: u64) {
    let mut world = joined(nodes, SwimConfig::lan(), (1, 2), seed);
    let killed = world.now();
    (0..count).for_each(|i| world.crash(i));
    world.run_for(secs(15));
    let verdicts = verdicts(&world, nodes, killed);
    let wanted: BTreeSet<(usize, usize)> =
        (count..nodes).flat_map(|by| (0..count).map(move |about| (by, about))).collect();
    let what = format!("{count} of {nodes}, seed {seed}");
    assert_eq!(verdicts.keys().copied().collect::<BTreeSet<_>>(), wanted, "{what}");
    let (first, last) = (verdicts.values().min().unwrap(), verdicts.values().max().unwrap());
    assert!(*first >= secs(5) && *last <= ms(6_300 + 3_500), "{what}: {first:?} to {last:?}");
    let wrong: Vec<_> = suspicions(&world, nodes, killed).into_iter().filter(|(_, about)| *about >= count).collect();
    assert_eq!(wrong, [], "{what}");
}

#[test]
fn any_number_of_sixteen_may_die_at_once() {
    for count in [8, 12, 14, 15] {
        (1..=5).for_each(|seed| killed_at_once(16, count, seed));
    }
}

#[test]
fn half_of_a_hundred_or_nine_in_ten_may_die_at_once() {
    killed_at_once(100, 50, 1);
    killed_at_once(100, 90, 2);
}

/// One is killed. Each copy of a vote loses the time of its way, and none is taken for a new sign of life.
fn killed_far_away(nodes: usize, swim: SwimConfig, path: (u64, u64), seed: u64) {
    let p = swim.budget.total();
    let mut world = joined(nodes, swim, path, seed);
    let killed = world.now();
    world.crash(0);
    world.run_for(p + secs(3));
    let verdicts = verdicts(&world, nodes, killed);
    let wanted: BTreeSet<(usize, usize)> = (1..nodes).map(|by| (by, 0)).collect();
    assert_eq!(verdicts.into_keys().collect::<BTreeSet<_>>(), wanted, "{nodes} nodes, {path:?} ms, seed {seed}");
}

#[test]
fn a_crash_over_long_paths_is_known_to_all_soon_after_p() {
    for seed in 1..=5 {
        killed_far_away(16, SwimConfig::lan(), (100, 150), seed);
        killed_far_away(16, SwimConfig::wan(), (130, 170), seed);
    }
    killed_far_away(64, SwimConfig::wan(), (80, 120), 1);
    killed_far_away(64, SwimConfig::wan(), (250, 300), 2);
}

#[test]
fn a_crash_in_one_of_three_regions_is_known_in_all() {
    let mut world = joined(63, SwimConfig::lan(), (1, 2), 3);
    let far = PathFault::Like(LinkModel::lan().with_latency(Latency::Uniform(ms(70), ms(80))));
    let region = |r: usize| (0..63).filter(|i| i % 3 == r).collect::<Vec<_>>();
    for (id, (a, b)) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)].into_iter().enumerate() {
        world.fault(id as u32, &region(a), &region(b), &far);
    }
    world.run_for(secs(20));
    let killed = world.now();
    world.crash(0);
    world.run_for(ms(9_300));
    assert_eq!(verdicts(&world, 63, killed).len(), 62);
}

/// A judge that is stopped for 300 ms in every 800 ms still judges: what it asked and what it accuses is put off by so much, and not dropped.
#[test]
fn a_busy_judge_still_judges() {
    for (nodes, seed) in [(3, 1), (5, 2), (16, 3), (64, 4)] {
        let mut world = joined(nodes, SwimConfig::lan(), (1, 2), seed);
        let killed = world.now();
        world.crash(0);
        for _ in 0..30 {
            (1..nodes).for_each(|i| world.pause(i));
            world.run_for(ms(300));
            (1..nodes).for_each(|i| world.resume(i));
            world.run_for(ms(500));
        }
        let verdicts = verdicts(&world, nodes, killed);
        let wanted: BTreeSet<(usize, usize)> = (1..nodes).map(|by| (by, 0)).collect();
        assert_eq!(verdicts.keys().copied().collect::<BTreeSet<_>>(), wanted, "{nodes} nodes, within 4 P");
        assert!(verdicts.values().all(|took| *took >= secs(5)), "{verdicts:?}");
    }
}

/// The first `away` of `nodes` are cut off from the others for a while. Nobody convicts anybody who was there all the time, and when they are
/// back nobody convicts anybody.
fn cut_off_and_back(nodes: usize, away: usize, span: Duration, path: (u64, u64), seed: u64) -> EngineWorld {
    let mut world = joined(nodes, SwimConfig::lan(), path, seed);
    let cut = world.now();
    let (them, others): (Vec<usize>, Vec<usize>) = (0..nodes).partition(|i| *i < away);
    world.partition(&them, &others);
    world.run_for(span);
    let back = world.now();
    world.heal();
    world.run_for(secs(40));
    let what = format!("{away} of {nodes} for {span:?}, {path:?} ms, seed {seed}");
    let of_the_well = verdicts(&world, nodes, cut).into_keys().filter(|(by, about)| *by >= away && *about >= away);
    assert_eq!(of_the_well.collect::<Vec<_>>(), [], "{what}");
    // In the first moment the two sides may still declare each other, for what they have not heard so far.
    let fresh = |by: usize, about: usize, took: Duration| (by < away) != (about < away) && took < ms(100);
    let wrong = verdicts(&world, nodes, back).into_iter().filter(|((by, about), took)| !fresh(*by, *about, *took));
    assert_eq!(wrong.collect::<Vec<_>>(), [], "{what}");
    assert!(world.everybody_knows_everybody(), "{what}");
    world
}

/// Its links have ended, its votes are of forty seconds ago, and the path is longer than the judges used to wait.
#[test]
fn one_who_comes_back_convicts_nobody_and_is_refuted_by_nobody() {
    for (path, seed) in [((1, 2), 1), ((5, 10), 2), ((5, 10), 3), ((100, 150), 4)] {
        let world = cut_off_and_back(16, 1, secs(44), path, seed);
        let others = suspicions(&world, 16, Instant::ORIGIN).into_iter().filter(|(by, about)| *by != 0 && *about != 0);
        assert_eq!(others.collect::<Vec<_>>(), [], "seed {seed}: what it concluded alone it kept to itself");
    }
    cut_off_and_back(64, 1, secs(120), (5, 10), 5);
}

#[test]
fn a_third_or_half_that_comes_back_convicts_nobody() {
    cut_off_and_back(16, 5, secs(44), (5, 10), 1);
    cut_off_and_back(16, 8, secs(60), (5, 10), 2);
    cut_off_and_back(64, 21, secs(60), (5, 10), 3);
    cut_off_and_back(64, 32, secs(44), (20, 40), 4);
}

/// Two seconds or seven, and ten: before, at and after the time of a verdict.
#[test]
fn short_absences_convict_nobody_either() {
    for (span, seed) in [(ms(1_500), 1), (secs(3), 2), (ms(6_200), 3), (secs(7), 4), (secs(10), 5)] {
        cut_off_and_back(16, 1, span, (5, 10), seed);
        cut_off_and_back(16, 3, span, (5, 10), seed);
    }
}
