//! Membership in figures: the tables of docs/membership.md.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::measure::{Conditions, Outcome, html, markdown, measure};
use cluster_failure::{PauseBudget, VoteRule};
use cluster_gossip::{PlanKind, SwimConfig};
use cluster_testkit::{EngineWorld, WorldConfig};

/// From here on a world runs alone.
const LARGE: usize = 5_000;

/// Runs every measurement, several at once, the large ones first and alone; in the order given.
fn run_all(
    jobs: usize,
    all: &[Conditions],
    rest: impl Fn(&Conditions) -> Duration + Sync,
) -> Vec<(Conditions, Outcome)> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(all[i].nodes));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(vec![None; all.len()]);
    let alone = Mutex::new(());
    let work = || {
        while let Some(&i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Whoever panicked while alone has been reported; the others go on.
            let guard =
                (all[i].nodes >= LARGE).then(|| alone.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
            let began = Instant::now();
            let outcome = measure(&all[i], rest(&all[i]));
            drop(guard);
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            let Conditions { nodes, loss, .. } = all[i];
            eprintln!(
                "{count} of {}: {nodes} nodes, {:.0} % loss, in {:.1} s",
                all.len(),
                loss * 100.0,
                began.elapsed().as_secs_f64()
            );
            outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[i] = Some(outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.iter().cloned().zip(outcomes).filter_map(|(conditions, outcome)| Some((conditions, outcome?))).collect()
}

pub(crate) fn membership(jobs: usize, seed: u64, nodes_max: usize, page: Option<&PathBuf>) -> bool {
    let mut all = Vec::new();
    for nodes in [10, 30, 100, 300, 1_000, 3_000, 10_000].into_iter().filter(|nodes| *nodes <= nodes_max) {
        let swim = SwimConfig::lan();
        let row = |loss, pauses| Conditions { nodes, loss, pauses, swim: swim.clone(), seed };
        if nodes >= LARGE {
            all.extend([0.0, 0.15].map(|loss| row(loss, false)));
        } else {
            all.extend([0.0, 0.05, 0.15, 0.3].map(|loss| row(loss, false)));
            all.push(row(0.0, true));
        }
    }
    let rest = |c: &Conditions| Duration::from_secs(if c.nodes >= LARGE { 10 } else { 60 });
    let rows = run_all(jobs, &all, rest);
    println!("{}", markdown(&rows));
    if let Some(path) = page {
        if let Err(error) = std::fs::write(path, html(&rows)) {
            eprintln!("error: {} cannot be written: {error}", path.display());
            return false;
        }
        println!("plots: {}", path.display());
    }
    // Up to 15 % loss, with and without pauses, nobody healthy may be declared; 30 % is shown for what it is.
    rows.len() == all.len() && rows.iter().all(|(c, outcome)| c.loss > 0.2 || outcome.false_failed == 0)
}

pub(crate) fn decide(jobs: usize, seed: u64) -> bool {
    let ms = Duration::from_millis;
    let lan = SwimConfig::lan();
    let budget = |pause, period, votes| {
        let budget =
            PauseBudget::new(ms(pause), ms(period), ms(300)).unwrap_or_else(|e| unreachable!("above zero: {e}"));
        budget.with_votes(votes)
    };
    let with = |change: &dyn Fn(&mut SwimConfig)| {
        let mut config = lan.clone();
        change(&mut config);
        config
    };
    let variants: Vec<(&str, SwimConfig)> = vec![
        ("as shipped: K 10, 1 s, P 6.3 s, two thirds", lan.clone()),
        ("K 5", with(&|c| c.observers = 5)),
        ("K 16", with(&|c| c.observers = 16)),
        ("every 0.5 s", with(&|c| c.budget = budget(5_000, 500, VoteRule::TwoThirds))),
        ("every 2 s", with(&|c| c.budget = budget(5_000, 2_000, VoteRule::TwoThirds))),
        ("P 3.3 s", with(&|c| c.budget = budget(2_000, 1_000, VoteRule::TwoThirds))),
        ("P 10.3 s", with(&|c| c.budget = budget(9_000, 1_000, VoteRule::TwoThirds))),
        ("one vote", with(&|c| c.budget = budget(5_000, 1_000, VoteRule::One))),
        ("all votes", with(&|c| c.budget = budget(5_000, 1_000, VoteRule::All))),
        (
            "plain SWIM: round robin, one vote, 4 s",
            with(&|c| {
                c.plan = PlanKind::RoundRobin;
                c.budget = budget(2_700, 1_000, VoteRule::One);
            }),
        ),
    ];
    let mut rows = Vec::new();
    for (name, swim) in &variants {
        let sizes = [10, 30, 100, 300, 1_000].into_iter();
        // Everybody linked to everybody: a thousand nodes are a million links, and show what three hundred show.
        for nodes in sizes.filter(|nodes| swim.plan == PlanKind::Rings || *nodes <= 300) {
            // A thousand show the cost and the reach; what they get wrong, three hundred show as well.
            let all = [(0.0, false), (0.15, false), (0.0, true)];
            for (loss, pauses) in all.into_iter().take(if nodes < 1_000 { 3 } else { 1 }) {
                rows.push((*name, Conditions { nodes, loss, pauses, swim: swim.clone(), seed }));
            }
        }
    }
    let all: Vec<Conditions> = rows.iter().map(|(_, conditions)| conditions.clone()).collect();
    let outcomes = run_all(jobs, &all, |_| Duration::from_secs(60));
    for (name, _) in &variants {
        let these: Vec<_> =
            rows.iter().zip(&outcomes).filter(|((n, _), _)| n == name).map(|(_, row)| row.clone()).collect();
        println!("### {name}\n\n{}", markdown(&these));
    }
    outcomes.len() == all.len()
}

/// Resident memory of this process, in bytes; 0 where the system does not say.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

pub(crate) fn memory() -> bool {
    let mut worlds = Vec::new();
    let mut points = Vec::new();
    for nodes in [1_000usize, 2_000] {
        let before = resident();
        let mut world = EngineWorld::new(WorldConfig::default(), 1);
        world.start_joined(nodes);
        world.run_for(Duration::from_secs(35));
        points.push((nodes as f64, resident().saturating_sub(before) as f64));
        let began = Instant::now();
        world.run_for(Duration::from_secs(20));
        println!("{nodes} nodes: {:.0} times real time", 20.0 / began.elapsed().as_secs_f64());
        worlds.push(world);
    }
    // Each node costs something for itself and something for each other that it knows: two sizes tell them apart.
    let [(n1, r1), (n2, r2)] = [points[0], points[1]];
    let per_member = (r2 / n2 - r1 / n1) / (n2 - n1);
    println!("{per_member:.0} B for each member that a node knows");
    per_member > 0.0
}

pub(crate) fn quiet(jobs: usize, seed: u64, hours: u64) -> bool {
    let losses = [0.0, 0.05, 0.10, 0.15];
    let mut all = Vec::new();
    for hour in 0..hours {
        let loss = losses[(hour % 4) as usize];
        all.push(Conditions { nodes: 100, loss, pauses: false, swim: SwimConfig::lan(), seed: seed + hour });
    }
    let rows = run_all(jobs, &all, |_| Duration::from_secs(3_600));
    for loss in losses {
        let these: Vec<&(Conditions, Outcome)> = rows.iter().filter(|(c, _)| c.loss.total_cmp(&loss).is_eq()).collect();
        let watched: f64 = these.iter().map(|(_, outcome)| outcome.watched.as_secs_f64() / 3_600.0).sum();
        let failed: usize = these.iter().map(|(_, outcome)| outcome.false_failed).sum();
        let suspected: usize = these.iter().map(|(_, outcome)| outcome.false_suspected).sum();
        println!(
            "{:>3.0} % loss: {watched:.1} h of 100 nodes, {failed} declared failed wrongly, {suspected} suspected wrongly",
            loss * 100.0
        );
    }
    rows.len() == all.len() && rows.iter().all(|(_, outcome)| outcome.false_failed == 0)
}
