//! Membership at L0: what must hold of the engine, whatever the network and the processes do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_testkit::world::{Reported, name_of};
use cluster_testkit::{EngineWorld, WorldConfig};
use cluster_types::{EventKind, Instant, Metadata, State};

const P: Duration = Duration::from_millis(6_300);

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// A cluster that has met.
fn met(n: usize, seed: u64, config: WorldConfig) -> EngineWorld {
    let mut world = EngineWorld::new(config, seed);
    world.start_cluster(n);
    let took = world.run_until(secs(30), EngineWorld::everybody_knows_everybody);
    assert!(took.is_some(), "{n} nodes did not meet (seed {seed})");
    world.run_for(secs(5));
    world
}

fn reports<'a>(world: &'a EngineWorld, event: &'a str) -> impl Iterator<Item = &'a Reported> {
    world.trace().iter().filter(move |reported| reported.kind.as_str() == event)
}

/// When each node first reported `event` after `since`.
fn first_reports(world: &EngineWorld, event: &str, since: Instant) -> BTreeMap<usize, Duration> {
    let mut first = BTreeMap::new();
    for reported in reports(world, event).filter(|r| r.at >= since) {
        first.entry(reported.by).or_insert(reported.at.since(since));
    }
    first
}

#[test]
fn clusters_of_many_sizes_meet_and_say_joined_once() {
    for n in [2, 3, 5, 11, 12, 16, 40] {
        let world = met(n, n as u64, WorldConfig::default());
        assert_eq!(world.count("joined"), n * (n - 1), "{n} nodes");
        for event in ["suspected", "failed", "left", "alive", "conflict"] {
            assert_eq!(world.count(event), 0, "{n} nodes, {event}");
        }
    }
}

#[test]
fn a_crash_is_declared_by_all_between_5_and_7_seconds_after_it() {
    for (n, seed) in [(2, 1), (3, 2), (5, 3), (11, 7), (12, 8), (16, 4), (16, 5), (40, 6), (100, 9)] {
        let mut world = met(n, seed, WorldConfig::default());
        // Anywhere between two probes.
        world.run_for(Duration::from_millis(137 * seed));
        let crashed = world.now();
        world.crash(n - 1);
        world.run_for(secs(60));
        let declared = first_reports(&world, "failed", crashed);
        assert_eq!(declared.len(), n - 1, "n = {n}, seed {seed}: {declared:?}");
        // The last sign of life is up to a period old, and the verdict counts from it.
        let (earliest, latest) = (secs(5), secs(7));
        for (by, took) in &declared {
            assert!(*took >= earliest && *took <= latest, "n = {n}, seed {seed}: {by} after {took:?}");
        }
        assert_eq!(world.count("failed"), n - 1, "nobody else");
    }
}

#[test]
fn a_pause_of_five_seconds_is_forgiven_and_the_paused_one_accuses_nobody() {
    for seed in 0..10 {
        let mut world = met(16, seed, WorldConfig::default());
        world.pause(6);
        world.run_for(secs(5));
        world.resume(6);
        let resumed = world.now();
        world.run_for(secs(20));
        assert_eq!(world.count("failed"), 0, "seed {seed}");
        let accused_by_it = reports(&world, "suspected").filter(|r| r.by == 6 && r.at >= resumed).count();
        assert_eq!(accused_by_it, 0, "seed {seed}");
        assert!(world.everybody_knows_everybody(), "seed {seed}");
        assert!(world.count("suspected") >= 15, "the pause was noticed");
    }
}

/// Its process runs, but no packet passes in either direction any more. It cannot know that it is not the others who are gone; but it keeps
/// what it concludes to itself, and when it is back nobody has to say against it that he lives.
#[test]
fn a_lost_host_is_declared_like_a_crash_and_convinces_nobody_when_it_is_back() {
    for (n, seed) in [(5, 1), (16, 2), (60, 3)] {
        let mut world = met(n, seed, WorldConfig::default());
        world.run_for(Duration::from_millis(311 * seed));
        let lost = world.now();
        let others: Vec<usize> = (0..n).filter(|i| *i != 1).collect();
        world.partition(&[1], &others);
        world.run_for(secs(30));
        let mut declared = first_reports(&world, "failed", lost);
        let by_itself = declared.remove(&1).expect("it hears nobody");
        assert!(by_itself >= secs(5) && by_itself <= P + Duration::from_millis(3_500), "{by_itself:?}");
        assert_eq!(declared.len(), n - 1, "n = {n}");
        assert!(declared.values().all(|took| *took >= secs(5) && *took <= secs(7)), "{declared:?}");
        let about = |world: &EngineWorld| {
            let failed = reports(world, "failed").filter(|r| r.by != 1);
            failed.filter(|r| r.kind.node() != Some(&name_of(1))).count()
        };
        assert_eq!(about(&world), 0, "and nobody else");
        let before: Vec<u64> = others.iter().map(|&i| world.engine(i).swim().own().incarnation.get()).collect();
        let healed = world.now();
        world.heal();
        world.run_for(secs(15));
        assert!(world.everybody_knows_everybody(), "n = {n}");
        let after: Vec<u64> = others.iter().map(|&i| world.engine(i).swim().own().incarnation.get()).collect();
        assert_eq!(before, after, "nobody had to refute anything");
        let suspected = reports(&world, "suspected").filter(|r| r.at > healed && r.by != 1);
        assert_eq!(suspected.filter(|r| r.kind.node() != Some(&name_of(1))).count(), 0, "n = {n}");
    }
}

#[test]
fn a_hang_for_ever_is_declared_like_a_crash() {
    let mut world = met(16, 3, WorldConfig::default());
    let hung = world.now();
    world.pause(4);
    world.run_for(secs(20));
    let declared = first_reports(&world, "failed", hung);
    assert_eq!(declared.len(), 15);
    assert!(declared.values().all(|took| *took >= P - secs(1) && *took <= secs(7)), "{declared:?}");
}

#[test]
fn a_leave_is_known_to_all_at_once_and_acknowledged() {
    let mut world = met(16, 9, WorldConfig::default());
    let told = world.now();
    world.leave(3);
    world.run_for(Duration::from_millis(100));
    assert_eq!(first_reports(&world, "left", told).len(), 15);
    let farewell = world.engine(3).swim().farewell().unwrap();
    assert_eq!(farewell.waiting, 0);
    assert!(farewell.asked >= 10 && farewell.acknowledged == farewell.asked, "{farewell:?}");
    world.crash(3);
    world.run_for(secs(30));
    assert_eq!(world.count("failed") + world.count("suspected"), 0);
}

#[test]
fn a_whole_cluster_can_leave_at_the_same_moment() {
    let mut world = met(16, 9, WorldConfig::default());
    (0..16).for_each(|i| world.leave(i));
    let all_heard = |w: &EngineWorld| (0..16).all(|i| w.engine(i).swim().farewell().is_some_and(|f| f.waiting == 0));
    let took = world.run_until(secs(5), all_heard).expect("all farewells are heard");
    assert!(took <= Duration::from_millis(500), "{took:?}");
    assert_eq!(world.count("failed") + world.count("suspected"), 0);
}

#[test]
fn a_restart_is_seen_as_a_new_life_and_never_as_a_failure() {
    for restarted in [0, 5] {
        let mut world = met(8, 21, WorldConfig::default());
        let at = world.now();
        world.crash(restarted);
        world.run_for(Duration::from_millis(200));
        // The seed itself restarts without seeds: the others must find it.
        world.start(restarted, if restarted == 0 { &[] } else { &[0] });
        world.run_for(secs(5));
        assert_eq!(first_reports(&world, "alive", at).len(), 7, "restarted {restarted}");
        assert_eq!(world.count("failed"), 0);
        assert!(world.everybody_knows_everybody());
    }
}

#[test]
fn fifteen_percent_loss_for_ten_minutes_fails_nobody() {
    for seed in 0..2 {
        let config = WorldConfig::default().with_loss(0.15);
        let mut world = met(16, seed, config);
        world.run_for(secs(600));
        assert_eq!(world.count("failed"), 0, "seed {seed}");
        assert!(world.everybody_knows_everybody() || world.count("suspected") > 0);
    }
}

#[test]
fn halves_find_each_other_again_after_the_heal() {
    for (n, apart) in [(2, 60), (4, 60), (10, 600), (24, 60)] {
        let mut world = met(n, 5, WorldConfig::default());
        let (left, right): (Vec<usize>, Vec<usize>) = ((0..n / 2).collect(), (n / 2..n).collect());
        world.partition(&left, &right);
        world.run_for(secs(apart));
        assert_eq!(world.count("failed"), n * n / 2, "each of {n} declared the other half");
        world.heal();
        let healed = world.now();
        let took = world.run_until(secs(30), EngineWorld::everybody_knows_everybody);
        assert!(took.is_some(), "{n} nodes not healed within 30 s");
        world.run_for(secs(2));
        let wronged = wrongly_failed(&world, healed, |by, about| (by < n / 2) == (about < n / 2));
        assert_eq!(wronged, Vec::<(usize, usize)>::new(), "{n} nodes: nobody fails who was reachable all the time");
        let merged: BTreeSet<usize> = reports(&world, "merged").map(|r| r.by).collect();
        assert_eq!(merged.len(), n, "everybody says that the cluster is one again");
    }
}

/// Metadata is fetched one body at a time from whoever is near: it must reach those who are linked to nobody that has it.
#[test]
fn metadata_reaches_everybody_in_a_graph_where_few_are_linked() {
    let mut world = met(40, 3, WorldConfig::default());
    let body = |i: usize, version: usize| Metadata::new([("who".to_owned(), format!("{i}.{version}"))]).unwrap();
    for version in 0..2 {
        (0..40).for_each(|i| world.set_metadata(i, body(i, version)));
        let all = |w: &EngineWorld| {
            (0..40).all(|i| (0..40).all(|j| w.member(i, j).is_some_and(|member| member.metadata == body(j, version))))
        };
        let took = world.run_until(secs(600), all);
        assert!(took.is_some(), "version {version} did not reach everybody");
    }
}

/// Only news keeps the tick going: a cluster in which nothing happens exchanges probes and their answers.
#[test]
fn a_quiet_cluster_sends_nothing_but_probes() {
    for n in [2, 5] {
        let mut world = met(n, 3, WorldConfig::default());
        world.run_for(secs(60));
        let before = world.sent().datagrams;
        world.run_for(secs(100));
        let sent = world.sent().datagrams - before;
        // One ping and one ack a second and node; gossip of every tick would be five times that.
        assert!(sent <= 2 * 102 * n as u64, "{n} nodes sent {sent} datagrams in 100 s");
    }
}

/// Who declared whom failed since then, among the pairs that `such` picks.
fn wrongly_failed(world: &EngineWorld, since: Instant, such: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let failed = reports(world, "failed").filter(|reported| reported.at >= since);
    let pair = |r: &Reported| (r.by, r.kind.node().unwrap().as_str()[1..].parse::<usize>().unwrap());
    failed.map(pair).filter(|(by, about)| such(*by, *about)).collect()
}

/// One that was alone for so long that it took everybody for dead comes back: the others believe their own ears.
#[test]
fn who_comes_back_with_wrong_verdicts_convinces_nobody() {
    for n in [5, 16, 40] {
        let mut world = met(n, 31, WorldConfig::default());
        let others: Vec<usize> = (1..n).collect();
        world.partition(&[0], &others);
        world.run_for(secs(60));
        assert!(reports(&world, "failed").any(|reported| reported.by == 0), "it took somebody for dead");
        let healed = world.now();
        world.heal();
        assert!(world.run_until(secs(30), EngineWorld::everybody_knows_everybody).is_some(), "{n} nodes");
        world.run_for(secs(30));
        assert_eq!(wrongly_failed(&world, healed, |by, about| by != 0 && about != 0), [], "{n} nodes");
        assert!(world.everybody_knows_everybody());
    }
}

/// A process that ends without a farewell but closes its links: nothing is left to probe it over.
#[test]
fn a_member_whose_links_are_closed_is_declared_all_the_same() {
    for n in [2, 3, 16, 60] {
        let mut world = met(n, 13, WorldConfig::default());
        let ended = world.now();
        world.exit(1);
        world.run_for(secs(60));
        let declared = first_reports(&world, "failed", ended);
        assert_eq!(declared.len(), n - 1, "n = {n}: {declared:?}");
        assert!(declared.values().all(|took| *took >= secs(5)), "{declared:?}");
        assert_eq!(world.count("failed"), n - 1, "nobody else");
    }
}

/// Whoever is reaped stays reaped, also where somebody joins later than all others.
#[test]
fn the_departed_are_forgotten_by_all_and_equal_views_result() {
    let mut config = WorldConfig::default();
    config.swim.reap_after = secs(100);
    let mut world = met(5, 3, config);
    world.crash(4);
    world.run_for(secs(70));
    world.start(5, &[0]);
    world.run_for(secs(60));
    assert_eq!(first_reports(&world, "reaped", Instant::ORIGIN).len(), 4);
    assert!([0, 1, 2, 3, 5].iter().all(|&i| world.state(i, 4).is_none()), "also by the one that came late");
    let before = world.sent();
    world.run_for(secs(300));
    let requests = (world.sent() - before).requests;
    assert!(requests <= 5 * 14, "comparisons that find nothing: {requests}");
}

/// Each member is probed once a period by somebody, whatever the size: that is what a cluster costs.
#[test]
fn every_subject_is_probed_once_a_second_in_clusters_of_any_size() {
    for n in [2, 5, 11, 12, 50] {
        let mut world = met(n, 4, WorldConfig::default());
        world.run_for(secs(60));
        let before = world.sent();
        world.run_for(secs(100));
        let sent = world.sent() - before;
        let per_node = sent.datagrams as f64 / (n as f64 * 100.0);
        assert!((1.9..=2.1).contains(&per_node), "{n} nodes: {per_node} datagrams a second, a ping and an ack");
        assert!(sent.wire as f64 / (n as f64 * 100.0) <= 600.0, "{sent:?}");
    }
}

/// Views that are equal have equal roots: nobody has anything to push, and comparisons stay at their interval.
#[test]
fn equal_views_are_compared_once_an_interval_and_found_equal() {
    let mut world = met(40, 6, WorldConfig::default());
    world.crash(7);
    world.leave(8);
    world.run_for(secs(120));
    let before = world.sent();
    world.run_for(secs(600));
    let sent = world.sent() - before;
    // Every 22.5 to 37.5 s, in 600 s by 39 nodes.
    assert!((39 * 15..=39 * 28).contains(&sent.requests), "{sent:?}");
}

/// Zones are learnt from metadata; once everybody knows them, everybody computes the same graph, and nobody is forgotten.
#[test]
fn zones_change_who_watches_whom_and_nobody_is_lost() {
    let mut world = met(30, 12, WorldConfig::default());
    for i in 0..30 {
        let zone = ["a", "b", "c"][i % 3].to_owned();
        world.set_metadata(i, Metadata::new([("zone".to_owned(), zone)]).unwrap());
    }
    world.run_for(secs(60));
    let wanted: Vec<BTreeSet<String>> = (0..30)
        .map(|i| world.engine(i).swim().wanted_links().iter().map(|(node, _)| node.to_string()).collect())
        .collect();
    let name = |i: usize| name_of(i).to_string();
    for i in 0..30 {
        assert!(wanted[i].len() >= 10);
        assert!((0..30).all(|j| wanted[i].contains(&name(j)) == wanted[j].contains(&name(i))), "{i}");
    }
    assert_eq!(world.count("suspected") + world.count("failed"), 0);
    let crashed = world.now();
    world.crash(29);
    world.run_for(secs(8));
    assert_eq!(first_reports(&world, "failed", crashed).len(), 29);
}

/// Gossip carries what users say, once to each, also where few are linked and a sixth of the packets is lost, and while it does
/// what is said of members is not held up.
#[test]
fn a_broadcast_reaches_everybody_once() {
    for (n, loss) in [(2, 0.0), (16, 0.0), (60, 0.15)] {
        let mut world = met(n, 7, WorldConfig::default().with_loss(loss));
        let said = world.now();
        (0..20).for_each(|i| world.broadcast(i % n, format!("message {i}").as_bytes()));
        world.run_for(secs(15));
        let mut reached = 0;
        for i in 0..20 {
            let text = format!("message {i}");
            let heard = |r: &&Reported| matches!(&r.kind, EventKind::Broadcast { payload, .. } if **payload == *text.as_bytes());
            let by: Vec<usize> = reports(&world, "broadcast").filter(heard).map(|r| r.by).collect();
            let distinct: BTreeSet<usize> = by.iter().copied().collect();
            assert_eq!(by.len(), distinct.len(), "{n} nodes, {text}");
            reached += by.len();
            assert!(!distinct.contains(&(i % n)), "not to oneself");
        }
        let all = 20 * (n - 1);
        // Best effort: a node in a thousand may miss one where every sixth packet is lost.
        assert!(reached == all || (loss > 0.0 && reached * 1_000 >= all * 998), "{n} nodes: {reached} of {all}");
        world.leave(n - 1);
        world.run_for(secs(2));
        assert_eq!(first_reports(&world, "left", said).len(), n - 1);
    }
}

/// Whoever was away hears of a member's new life only when that is over: it must believe it all the same.
#[test]
fn the_end_of_a_life_never_heard_of_is_believed() {
    let mut world = met(6, 11, WorldConfig::default());
    let others = [0, 1, 2, 3, 4];
    world.partition(&[5], &others);
    world.run_for(secs(2));
    world.crash(4);
    world.run_for(secs(2));
    world.start(4, &[0]);
    world.run_for(secs(5));
    world.leave(4);
    world.run_for(secs(1));
    world.crash(4);
    world.run_for(secs(30));
    world.heal();
    let seen = world.run_until(secs(60), |w| w.state(5, 4) == Some(State::Left));
    assert!(seen.is_some(), "held to be {:?}", world.state(5, 4));
}

/// Two of three paths to a member are cut; everybody who asks for the others gets an answer through the third.
#[test]
fn a_helper_without_a_path_of_its_own_accuses_nobody() {
    let mut world = met(4, 23, WorldConfig::default());
    world.partition(&[1, 2], &[3]);
    world.run_for(secs(120));
    assert_eq!(world.count("suspected") + world.count("failed"), 0);
}

/// Everybody hears it, it hears nobody: it must not take the others for dead and drag them down.
#[test]
fn a_deaf_node_does_not_fail_the_others() {
    let mut world = met(12, 8, WorldConfig::default());
    let others: Vec<usize> = (1..12).collect();
    world.cut_one_way(&others, &[0]);
    // Longer than its own word alone would need to convict anybody.
    world.run_for(secs(90));
    let failed_among_others =
        reports(&world, "failed").filter(|r| r.by != 0 && r.kind.node().is_some_and(|n| n.as_str() != "n000"));
    assert_eq!(failed_among_others.count(), 0);
}

#[test]
fn test_ack_timeout_triggers_indirect_ping() {
    // The path between 1 and 2 is cut; everybody else sees both. Without asking the others they would accuse each other.
    let mut world = met(4, 17, WorldConfig::default());
    world.partition(&[1], &[2]);
    world.run_for(secs(120));
    assert_eq!(world.count("suspected") + world.count("failed"), 0);
    assert!(world.engine(1).swim().stats().unanswered == 0, "each round was answered through somebody");
}

#[test]
fn an_unanswered_indirect_probe_makes_a_suspect_with_evidence() {
    let mut world = met(4, 17, WorldConfig::default());
    world.crash(3);
    let suspected = |w: &EngineWorld| (0..3).all(|i| w.state(i, 3) == Some(State::Suspect));
    let took = world.run_until(secs(5), suspected).expect("suspected by all");
    assert!(took < secs(4), "{took:?}");
    let EventKind::Suspected(_, evidence) = &reports(&world, "suspected").next().unwrap().kind else { panic!() };
    assert!(!evidence.accusers.is_empty() && evidence.votes_needed == 2, "{evidence:?}");
}

/// Two processes under one name, found only after each had joined: the older boot stays.
#[test]
fn of_two_processes_with_one_name_the_older_stays_and_the_other_is_told() {
    let mut world = met(5, 4, WorldConfig::default());
    world.start_named(5, "n002".parse().unwrap(), &[0]);
    let told = world.run_until(secs(30), |w| w.has_lost_its_name(5));
    assert!(told.is_some(), "the newcomer was never told");
    world.run_for(secs(20));
    assert!(!world.has_lost_its_name(2));
    assert!(reports(&world, "conflict").count() >= 1);
    let still_alive = (0..5).filter(|&i| i != 2).all(|i| world.state(i, 2) == Some(State::Alive));
    assert!(still_alive, "the older process is held alive");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed| {
        let config = WorldConfig::default().with_loss(0.05);
        let mut world = EngineWorld::new(config, seed);
        world.start_cluster(12);
        world.run_for(secs(10));
        world.crash(3);
        world.pause(4);
        world.run_for(secs(30));
        (world.sent(), format!("{:?}", world.trace()))
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first.1, run(2).1);
}

/// What a member said against the suspicion while nobody heard it is said again when they do.
#[test]
fn a_refutation_that_was_lost_in_a_cut_is_heard_after_it() {
    for seed in 1..=5 {
        let mut world = met(9, seed, WorldConfig::default());
        let others: Vec<usize> = (0..9).filter(|i| *i != 2).collect();
        world.cut_one_way(&[2], &others);
        world.run_for(secs(4));
        assert!(others.iter().any(|&i| world.state(i, 2) == Some(State::Suspect)), "seed {seed}: it was suspected");
        world.heal();
        world.run_for(secs(2));
        let held: Vec<Option<State>> = others.iter().map(|&i| world.state(i, 2)).collect();
        assert_eq!(held, vec![Some(State::Alive); 8], "seed {seed}");
    }
}

/// Who joins while a dead member is suspected has never heard it: that is no sign of life, and puts no verdict off.
#[test]
fn a_newcomer_does_not_put_off_the_verdict_on_the_dead() {
    for seed in 1..=5 {
        let mut world = met(4, seed, WorldConfig::default());
        world.crash(3);
        // It is suspected by then.
        world.run_for(secs(3));
        for newcomer in 4..7 {
            world.start(newcomer, &[0]);
            world.run_for(secs(1));
        }
        world.run_for(Duration::from_millis(1_300));
        // P and a second after its end; but nobody judges by the votes of others within half of P after it has heard of them.
        let held = |world: &EngineWorld, nodes: &[usize]| nodes.iter().map(|&i| world.state(i, 3)).collect::<Vec<_>>();
        assert_eq!(held(&world, &[0, 1, 2, 4, 5]), vec![Some(State::Failed); 5], "seed {seed}");
        world.run_for(Duration::from_millis(1_000));
        assert_eq!(held(&world, &[0, 1, 2, 4, 5, 6]), vec![Some(State::Failed); 6], "seed {seed}");
    }
}
