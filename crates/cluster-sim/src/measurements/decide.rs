//! Which settings are the defaults: observers, probe rate, pause budget and votes against each other.

use std::time::Duration;

use cluster_failure::{PauseBudget, VoteRule};
use cluster_gossip::{PlanKind, SwimConfig};

use super::batch::run_all;
use crate::measure::{Conditions, Path, markdown};

pub(crate) fn decide(jobs: usize, seed: u64) -> bool {
    let mut good = true;
    for (name, swim) in variants() {
        let cells = cells(&swim, seed);
        let rows = run_all(jobs, &cells);
        println!("### {name}\n\n{}", markdown(&rows));
        good &= rows.len() == cells.len();
    }
    good
}

fn cells(swim: &SwimConfig, seed: u64) -> Vec<Conditions> {
    // Everybody linked to everybody: a thousand nodes are a million links, and show what three hundred show.
    let sizes = [10, 30, 100, 300, 1_000].into_iter().filter(|nodes| swim.plan == PlanKind::Rings || *nodes <= 300);
    let of_size = |nodes: usize| {
        let cell = |loss| Conditions::new(nodes, Path::LAN, loss, swim.clone(), seed);
        // A thousand show the cost and the reach; what they get wrong, three hundred show as well.
        let all = vec![cell(0.0), cell(0.15), cell(0.0).with_pauses()];
        all.into_iter().take(if nodes < 1_000 { 3 } else { 1 })
    };
    sizes.flat_map(of_size).collect()
}

fn variants() -> Vec<(&'static str, SwimConfig)> {
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
    vec![
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
            "plain plan: round robin, one vote, 4 s",
            with(&|c| {
                c.plan = PlanKind::RoundRobin;
                c.budget = budget(2_700, 1_000, VoteRule::One);
            }),
        ),
    ]
}
