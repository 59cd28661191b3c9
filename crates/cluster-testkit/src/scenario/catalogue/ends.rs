//! Processes that end: at once, politely, and to come back.

use cluster_types::seed::Draws;

use super::super::{Act, Expect, Scenario};
use super::{few, ms, one_of, secs, settled, some_of};

fn crash_is_known(expect: &mut Expect) {
    expect.crash_known_within_ms = Some(7_000);
}

pub(super) fn crash_one(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let at = settled(draws);
    let crash = Act::Crash(one_of(draws, nodes));
    Scenario::new("").cluster(nodes).at(at, crash).then_quiet(secs(30)).expecting(crash_is_known)
}

pub(super) fn crash_tenth(draws: &mut Draws) -> Scenario {
    let mut scenario = Scenario::new("").cluster(50);
    let at = settled(draws);
    for node in some_of(draws, 50, 5) {
        scenario = scenario.at(at, Act::Crash(node));
    }
    // Others that crashed count as voters until they are suspected themselves.
    scenario.then_quiet(secs(40)).expecting(|e| e.crash_known_within_ms = Some(8_000))
}

pub(super) fn quick_restart(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for _ in 0..3 {
        let node = one_of(draws, nodes);
        let seeds = vec![(node + 1) % nodes];
        scenario = scenario.at(at, Act::Crash(node)).at(at + ms(200), Act::Start { node, seeds });
        at += ms(5_000 + draws.below(5_000));
    }
    scenario.then_quiet(secs(30)).expecting(|e| {
        e.no_failures = true;
        e.met_within_ms = Some(5_000);
    })
}

/// A new key, a new certificate, a new secret: the others' old connections get no valid reset, and the name is the same.
pub(super) fn lost_state(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let (at, node) = (settled(draws), one_of(draws, nodes));
    let seeds = vec![(node + 1) % nodes];
    let back = at + ms(200 + draws.below(3_000));
    Scenario::new("")
        .cluster(nodes)
        .at(at, Act::Crash(node))
        .at(at, Act::Wipe(node))
        .at(back, Act::Start { node, seeds })
        .then_quiet(secs(60))
        .expecting(|e| {
            e.no_failures = true;
            e.met_within_ms = Some(5_000);
        })
}

pub(super) fn slow_restart(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let (at, node) = (settled(draws), one_of(draws, nodes));
    let back = at + ms(8_000 + draws.below(20_000));
    let seeds = vec![(node + 1) % nodes];
    Scenario::new("")
        .cluster(nodes)
        .at(at, Act::Crash(node))
        .at(back, Act::Start { node, seeds })
        .then_quiet(secs(40))
        .expecting(|e| {
            crash_is_known(e);
            e.met_within_ms = Some(5_000);
        })
}

pub(super) fn rolling_restart(draws: &mut Draws) -> Scenario {
    let nodes = few(draws).min(7);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for node in 0..nodes {
        let seeds = vec![(node + 1) % nodes];
        scenario = scenario.at(at, Act::Leave(node)).at(at + ms(9_000), Act::Start { node, seeds });
        at += ms(13_000 + draws.below(2_000));
    }
    scenario.then_quiet(secs(20)).expecting(|e| {
        e.calm = true;
        e.leave_known_within_ms = Some(500);
        e.met_within_ms = Some(5_000);
    })
}

pub(super) fn all_leave(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let at = settled(draws);
    let stays = one_of(draws, nodes);
    let mut scenario = Scenario::new("").cluster(nodes);
    for node in (0..nodes).filter(|node| *node != stays) {
        scenario = scenario.at(at, Act::Leave(node));
    }
    scenario.then_quiet(secs(20)).expecting(|e| {
        e.calm = true;
        e.leave_known_within_ms = Some(500);
    })
}
