//! Clusters that come to be.

use cluster_types::seed::Draws;

use super::super::{Act, Scenario};
use super::{few, ms, one_of, secs, settled};

/// All start within half a second and join through the first.
pub(super) fn cold(draws: &mut Draws, nodes: usize) -> Scenario {
    let mut scenario = Scenario::new("").at(ms(0), Act::Start { node: 0, seeds: vec![] });
    let mut at: Vec<u64> = (1..nodes).map(|_| draws.below(500)).collect();
    at.sort_unstable();
    for (node, at) in (1..nodes).zip(at) {
        scenario = scenario.at(ms(at), Act::Start { node, seeds: vec![0] });
    }
    scenario.then_quiet(secs(20)).expecting(|e| {
        e.calm = true;
        e.met_within_ms = Some(3_000);
    })
}

pub(super) fn mass_join(draws: &mut Draws) -> Scenario {
    let mut scenario = Scenario::new("").cluster(3);
    let mut at: Vec<u64> = (3..203).map(|_| 5_000 + draws.below(1_000)).collect();
    at.sort_unstable();
    for (node, at) in (3..203).zip(at) {
        scenario = scenario.at(ms(at), Act::Start { node, seeds: vec![0] });
    }
    scenario.then_quiet(secs(30)).expecting(|e| {
        e.calm = true;
        e.met_within_ms = Some(10_000);
    })
}

pub(super) fn dead_seeds(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    // Numbers where nobody will ever be.
    let mut seeds: Vec<usize> = (1_000..1_019).collect();
    seeds.insert(draws.below(20) as usize, draws.below(nodes as u64) as usize);
    scenario = scenario.at(ms(5_000 + draws.below(1_000)), Act::Start { node: nodes, seeds });
    scenario.then_quiet(secs(20)).expecting(|e| {
        e.calm = true;
        e.met_within_ms = Some(2_000);
    })
}

/// What is sent to the stopped one is taken, and never answered.
pub(super) fn stalled_seed(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let at = ms(5_000 + draws.below(1_000));
    let stopped = draws.below(nodes as u64) as usize;
    let seeds = vec![stopped, (stopped + 1) % nodes];
    Scenario::new("")
        .cluster(nodes)
        .at(at, Act::Pause(stopped))
        .at(at + ms(draws.below(100)), Act::Start { node: nodes, seeds })
        .at(at + ms(4_500), Act::Resume(stopped))
        .then_quiet(secs(30))
        .expecting(|e| {
            e.no_failures = true;
            e.met_within_ms = Some(2_000);
        })
}

pub(super) fn late_seed(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let late = nodes - 1;
    let mut scenario = Scenario::new("");
    // The first waits for the last, the others for the first: nobody can begin.
    for node in 0..late {
        scenario =
            scenario.at(ms(50 * node as u64), Act::Start { node, seeds: vec![if node == 0 { late } else { 0 }] });
    }
    let at = ms(2_000 + draws.below(8_000));
    scenario.at(at, Act::Start { node: late, seeds: vec![] }).then_quiet(secs(30)).expecting(|e| {
        e.calm = true;
        e.met_within_ms = Some(9_000);
    })
}

/// Each newcomer's first seed ends, leaves or is stopped at about the moment at which it is asked; the second one is well.
pub(super) fn failing_seeds(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    scenario.limits.handshakes = (draws.below(2) == 0).then_some(2);
    let mut at = settled(draws);
    for node in nodes..nodes + 4 {
        let seed = one_of(draws, nodes);
        let other = (seed + 1) % nodes;
        let then = at + ms(draws.below(250));
        let back = Act::Start { node: seed, seeds: vec![other] };
        scenario = scenario.at(at, Act::Start { node, seeds: vec![seed, other] });
        scenario = match draws.below(3) {
            0 => scenario.at(then, Act::Crash(seed)).at(then + secs(12), back),
            1 => scenario.at(then, Act::Leave(seed)).at(then + secs(9), back),
            _ => scenario.at(then, Act::Pause(seed)).at(then + secs(4), Act::Resume(seed)),
        };
        at += secs(20);
    }
    scenario.then_quiet(secs(30)).expecting(|e| e.met_within_ms = Some(5_000))
}
