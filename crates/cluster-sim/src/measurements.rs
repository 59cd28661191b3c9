//! Membership in figures: the tables of docs/membership.md.

mod batch;
mod decide;
mod liars;
mod membership;
mod worst;

use std::time::{Duration, Instant};

use crate::measure::{Conditions, Path};
use batch::run_all;
use cluster_gossip::SwimConfig;
use cluster_testkit::{EngineWorld, WorldConfig};

pub(crate) use decide::decide;
pub(crate) use liars::liars;
pub(crate) use membership::{Part, membership};

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
    let hour = |hour: u64| Conditions {
        rest: Duration::from_secs(3_600),
        worlds: 1,
        ..Conditions::new(100, Path::LAN, losses[(hour % 4) as usize], SwimConfig::lan(), seed + hour)
    };
    let all: Vec<Conditions> = (0..hours).map(hour).collect();
    let rows = run_all(jobs, &all);
    for loss in losses {
        let these = rows.iter().filter(|(c, _)| c.loss.total_cmp(&loss).is_eq()).map(|(_, outcome)| outcome);
        let watched: f64 = these.clone().map(|outcome| outcome.watched().as_secs_f64() / 3_600.0).sum();
        let failed: usize = these.clone().map(|outcome| outcome.failed_wrongly()).sum();
        let suspected: usize = these.map(|outcome| outcome.suspected_wrongly()).sum();
        println!(
            "{:>3.0} % loss: {watched:.1} h of 100 nodes, {failed} declared failed wrongly, {suspected} suspected wrongly",
            loss * 100.0
        );
    }
    rows.len() == all.len() && rows.iter().all(|(_, outcome)| outcome.failed_wrongly() == 0)
}
