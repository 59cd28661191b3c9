//! What happens to processes that go on living: pauses, starved processors, clocks that are set; and everything at once.

use cluster_types::seed::Draws;

use cluster_types::Seed;

use super::super::{Act, Scenario, swarm};
use super::{few, ms, one_of, secs, settled, some_of};
use crate::net::LinkModel;

pub(super) fn pauses(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for _ in 0..5 {
        let count = 1 + draws.below(2) as usize;
        let span = ms(1_000 + draws.below(4_001));
        for node in some_of(draws, nodes, count) {
            scenario = scenario.at(at, Act::Pause(node)).at(at + span, Act::Resume(node));
        }
        at += span + ms(3_000 + draws.below(5_000));
    }
    scenario.then_quiet(secs(30)).expecting(|e| e.no_failures = true)
}

pub(super) fn long_pause(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let (at, node) = (settled(draws), one_of(draws, nodes));
    let span = ms(10_000 + draws.below(50_000));
    Scenario::new("").cluster(nodes).at(at, Act::Pause(node)).at(at + span, Act::Resume(node)).then_quiet(secs(45))
}

/// Runs a tenth of the time, in slices.
pub(super) fn starved(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let node = one_of(draws, nodes);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    let end = at + secs(15);
    while at < end {
        let stopped = ms(20 + draws.below(500));
        scenario = scenario.at(at, Act::Pause(node)).at(at + stopped, Act::Resume(node));
        at += stopped + stopped / 10 + ms(1);
    }
    scenario.then_quiet(secs(30)).expecting(|e| e.no_failures = true)
}

pub(super) fn clock_steps(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for _ in 0..10 {
        let node = one_of(draws, nodes);
        let by_ms = draws.below(600_001) as i64 - 300_000;
        scenario = scenario.at(at, Act::StepWallClock { node, by_ms });
        at += ms(draws.below(5_000));
    }
    scenario.then_quiet(secs(30)).expecting(|e| e.calm = true)
}

pub(super) fn closed_links(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for _ in 0..30 {
        let node = one_of(draws, nodes);
        let to = (node + 1 + draws.below(nodes as u64 - 1) as usize) % nodes;
        scenario = scenario.at(at, Act::CloseLinks { node, to });
        at += ms(draws.below(1_500));
    }
    scenario.then_quiet(secs(30)).expecting(|e| e.no_failures = true)
}

pub(super) fn ping_pong(draws: &mut Draws) -> Scenario {
    let nodes = 3 + draws.below(3) as usize;
    let mut scenario = Scenario::new("").cluster(nodes).over(LinkModel::lan().with_loss(draws.fraction() * 0.05));
    let mut at = settled(draws);
    for from in 0..nodes {
        for to in from + 1..nodes {
            scenario = scenario.at(at, Act::PingPong { from, to, rounds: 2_000 });
        }
    }
    for _ in 0..40 {
        at += ms(5 + draws.below(150));
        let node = one_of(draws, nodes);
        let to = (node + 1 + draws.below(nodes as u64 - 1) as usize) % nodes;
        scenario = scenario.at(at, Act::CloseLinks { node, to });
    }
    scenario.then_quiet(secs(90)).expecting(|e| e.no_failures = true)
}

pub(super) fn blocked_application(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let at = settled(draws);
    let node = one_of(draws, nodes);
    // Blocked to the end but for the farewell; nobody notices.
    Scenario::new("")
        .cluster(nodes)
        .at(at, Act::BlockApplication(node))
        .at(at + secs(20), Act::Resume(node))
        .then_quiet(secs(10))
        .expecting(|e| e.calm = true)
}

/// A subset of all kinds of faults is chosen, and then each at any time.
pub(super) fn everything(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    scenario = scenario.over(swarm::links(draws));
    let begin = settled(draws);
    let end = begin + secs(45);
    // The network's faults overlap with all of the others.
    let scenario = swarm::faults(scenario, Seed::new(draws.below(u64::MAX)), begin..end);
    scenario.at(end, Act::Links(LinkModel::lan())).then_quiet(secs(60))
}

pub(super) fn quiet(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    Scenario::new("").cluster(nodes).then_quiet(secs(300)).expecting(|e| {
        e.calm = true;
        e.bytes_per_s_max = Some(1_000.0);
        // A ping and an ack a second, of 16 B each, and now and then a root that is found equal.
        e.quiet_payload_per_s_max = Some(33.0);
    })
}

pub(super) fn quiet_week(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    Scenario::new("").cluster(nodes).then_quiet(secs(7 * 24 * 3_600)).expecting(|e| {
        e.calm = true;
        e.bytes_per_s_max = Some(600.0);
    })
}

/// Whatever was said last is what all know in the end.
pub(super) fn metadata(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for version in 1..=30 {
        let node = one_of(draws, nodes);
        let zone = ["", "a", "b", "c"][draws.below(4) as usize].to_owned();
        scenario = scenario.at(at, Act::Metadata { node, zone, version });
        at += ms(draws.below(1_500));
    }
    scenario.then_quiet(secs(40)).expecting(|e| e.calm = true)
}

pub(super) fn broadcasts(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    let gone = one_of(draws, nodes);
    scenario = scenario.at(at + secs(2), Act::Pause(gone)).at(at + secs(6), Act::Resume(gone));
    for _ in 0..30 {
        let node = one_of(draws, nodes);
        scenario = scenario.at(at, Act::Broadcast { node, bytes: 1 + draws.below(200) as usize });
        at += ms(draws.below(800));
    }
    scenario.then_quiet(secs(30)).expecting(|e| e.no_failures = true)
}

/// What arrives is acknowledged, and nobody is there.
pub(super) fn half_dead(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let (at, node) = (settled(draws), one_of(draws, nodes));
    let span = ms(1_000 + draws.below(40_000));
    Scenario::new("").cluster(nodes).at(at, Act::HalfStop(node)).at(at + span, Act::Resume(node)).then_quiet(secs(45))
}

pub(super) fn rotation(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for _ in 0..2 * nodes {
        let node = one_of(draws, nodes);
        let to = (node + 1) % nodes;
        scenario = scenario.at(at, Act::Rotate { node, valid_s: 3_600 });
        // New links are made with it.
        scenario = scenario.at(at + ms(draws.below(500)), Act::CloseLinks { node, to });
        at += ms(500 + draws.below(2_000));
    }
    scenario.then_quiet(secs(30)).expecting(|e| e.no_failures = true)
}

pub(super) fn drifting(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    for node in 0..nodes {
        let ppm = draws.below(100_001) as i64 - 50_000;
        scenario = scenario.at(secs(1), Act::Drift { node, ppm });
    }
    scenario.then_quiet(secs(120)).expecting(|e| e.calm = true)
}

/// Queues overflow, lanes are full, links end in the middle: each message has one end, and it is known.
pub(super) fn bursts(draws: &mut Draws) -> Scenario {
    let nodes = 3 + draws.below(3) as usize;
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for _ in 0..12 {
        let from = one_of(draws, nodes);
        let to = (from + 1 + draws.below(nodes as u64 - 1) as usize) % nodes;
        scenario = scenario.at(at, Act::Burst { from, to, messages: 100 + draws.below(400) });
        if draws.below(2) == 0 {
            scenario = scenario.at(at + ms(draws.below(30)), Act::CloseLinks { node: from, to });
        }
        at += ms(500 + draws.below(4_000));
    }
    scenario.then_quiet(secs(40)).expecting(|e| e.no_failures = true)
}
