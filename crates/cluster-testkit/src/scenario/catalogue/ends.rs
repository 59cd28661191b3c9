//! Processes that end: at once, politely, and to come back.

use std::time::Duration;

use cluster_types::seed::Draws;

use super::super::{Act, DiskFault, Expect, Scenario};
use super::{few, ms, one_of, secs, settled, some_of};
use crate::net::LinkModel;

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

/// The address is the same, and the name is not: what is held of the dead one, and of the newcomer, are two things.
pub(super) fn heir(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let (at, place) = (settled(draws), one_of(draws, nodes));
    let seeds = vec![(place + 1) % nodes];
    let back = at + ms(200 + draws.below(15_000));
    Scenario::new("")
        .cluster(nodes)
        .at(at, Act::Crash(place))
        .at(back, Act::StartAt { node: nodes, place, seeds })
        .then_quiet(secs(60))
        .expecting(|e| e.met_within_ms = Some(5_000))
}

/// Nobody is there to join through but those who were: each remembers the others.
pub(super) fn power_cut(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    // What was learnt within the last second may not have reached the disk.
    let at = settled(draws) + secs(2);
    power_fails(draws, Scenario::new("").cluster(nodes), nodes, at)
}

/// All crash at the same moment, and are back later, one by one, without seeds.
fn power_fails(draws: &mut Draws, mut scenario: Scenario, nodes: usize, at: Duration) -> Scenario {
    for node in 0..nodes {
        scenario = scenario.at(at, Act::Crash(node));
    }
    let mut back = at + ms(500 + draws.below(20_000));
    for node in 0..nodes {
        scenario = scenario.at(back, Act::Start { node, seeds: vec![] });
        back += ms(draws.below(2_000));
    }
    scenario.then_quiet(secs(60)).expecting(|e| {
        e.no_failures = true;
        e.met_within_ms = Some(10_000);
    })
}

/// A disk that was full has room again, and what was learnt meanwhile is written down before the power fails.
pub(super) fn full_disks(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    for node in 0..nodes {
        scenario = scenario.at(ms(0), Act::Disk { node, slow_by_ms: 0, full: true });
    }
    let room = secs(3) + ms(draws.below(3_000));
    for node in 0..nodes {
        scenario = scenario.at(room, Act::Disk { node, slow_by_ms: 0, full: false });
    }
    // Nothing changes meanwhile: what could not be written is tried again all the same.
    power_fails(draws, scenario, nodes, room + secs(4))
}

/// Membership waits for no disk: nobody is suspected for his, and a farewell is said in time.
pub(super) fn bad_disks(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    for node in 0..nodes {
        let (slow_by_ms, full) = (draws.below(1_500), draws.below(3) == 0);
        scenario = scenario.at(secs(1), Act::Disk { node, slow_by_ms, full });
    }
    let mut at = settled(draws) + secs(5);
    for node in 0..nodes {
        let seeds = vec![(node + 1) % nodes];
        scenario = scenario.at(at, Act::Leave(node)).at(at + secs(9), Act::Start { node, seeds });
        at += secs(12);
    }
    scenario.then_quiet(secs(30)).expecting(|e| {
        e.calm = true;
        e.met_within_ms = Some(5_000);
    })
}

pub(super) fn slow_restart(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    dead_for(draws, nodes, |draws| ms(8_000 + draws.below(20_000)))
}

/// One dies, is declared, and is back.
fn dead_for(draws: &mut Draws, nodes: usize, span: impl FnOnce(&mut Draws) -> Duration) -> Scenario {
    let (at, node) = (settled(draws), one_of(draws, nodes));
    let back = at + span(draws);
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

/// What a process sent last arrives again after its end, and after its successor has begun.
pub(super) fn echoes(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for _ in 0..4 {
        let node = one_of(draws, nodes);
        let seeds = vec![(node + 1) % nodes];
        let back = at + ms(200 + draws.below(2_000));
        scenario = scenario.at(at, Act::Crash(node)).at(at + ms(100), Act::Echo(node));
        scenario = scenario.at(back, Act::Start { node, seeds }).at(back + ms(draws.below(50)), Act::Echo(node));
        at = back + ms(5_000 + draws.below(5_000));
    }
    scenario.then_quiet(secs(30)).expecting(|e| {
        e.no_failures = true;
        e.met_within_ms = Some(5_000);
    })
}

/// What is on the disk is the former state, or half of one: everybody joins through its seeds all the same.
pub(super) fn torn_disks(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws) + secs(2);
    for _ in 0..4 {
        let node = one_of(draws, nodes);
        let fault = [DiskFault::LostSync, DiskFault::TornWrite][draws.below(2) as usize];
        let seeds = vec![(node + 1) % nodes];
        // What another one does meanwhile is written down, or seems to be.
        let (other, change) = ((node + 2) % nodes, at + ms(500));
        scenario = scenario.at(at, Act::DiskFault { node, fault: Some(fault) });
        scenario =
            scenario.at(change, Act::Crash(other)).at(change + ms(300), Act::Start { node: other, seeds: vec![node] });
        scenario = scenario.at(at + secs(4), Act::Crash(node)).at(at + secs(5), Act::Start { node, seeds });
        scenario = scenario.at(at + secs(5), Act::DiskFault { node, fault: None });
        at += ms(12_000 + draws.below(5_000));
    }
    scenario.then_quiet(secs(30)).expecting(|e| {
        e.no_failures = true;
        e.met_within_ms = Some(5_000);
    })
}

/// They have never heard it, and put no verdict off.
pub(super) fn newcomers(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let (at, gone) = (settled(draws), one_of(draws, nodes));
    let seed = (gone + 1) % nodes;
    let mut scenario = Scenario::new("").cluster(nodes).at(at, Act::Crash(gone));
    // It is suspected by then.
    let mut joins = at + ms(2_800);
    for node in nodes..nodes + 3 {
        joins += ms(draws.below(700));
        scenario = scenario.at(joins, Act::Start { node, seeds: vec![seed] });
    }
    scenario.then_quiet(secs(30)).expecting(|e| e.met_within_ms = Some(5_000))
}

/// The farewell is said again and again, and after five seconds whoever leaves goes without an answer.
pub(super) fn unheard_leave(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let (at, gone) = (settled(draws), one_of(draws, nodes));
    let deaf = (gone + 1 + draws.below(nodes as u64 - 1) as usize) % nodes;
    Scenario::new("")
        .cluster(nodes)
        .at(at - ms(draws.below(300)), Act::Pause(deaf))
        .at(at, Act::Leave(gone))
        .at(at + ms(5_300 + draws.below(3_000)), Act::Resume(deaf))
        .then_quiet(secs(40))
}

/// Those who are left find so many dead that they do not dial all of them at once.
pub(super) fn most_die(draws: &mut Draws) -> Scenario {
    let nodes = 22;
    let at = settled(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    for node in some_of(draws, nodes, 18) {
        scenario = scenario.at(at, Act::Crash(node));
    }
    scenario.then_quiet(secs(80))
}

/// It is dialled ever more seldom, and is back as soon as anybody.
pub(super) fn long_dead(draws: &mut Draws) -> Scenario {
    let nodes = 3 + draws.below(3) as usize;
    dead_for(draws, nodes, |draws| secs(120 + draws.below(60)))
}

/// Who is left alone looks where it once joined.
pub(super) fn pair(draws: &mut Draws) -> Scenario {
    let at = settled(draws);
    let back = at + secs(25 + draws.below(40));
    Scenario::new("")
        .cluster(2)
        .at(at, Act::Crash(0))
        .at(back, Act::Start { node: 0, seeds: vec![1] })
        .then_quiet(secs(40))
        .expecting(|e| e.met_within_ms = Some(5_000))
}

/// What was lost of a process arrives after its successor is there: the word of a former life.
pub(super) fn late_echoes(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes).over(LinkModel::lan().with_loss(0.15));
    let mut at = settled(draws);
    for _ in 0..5 {
        let node = one_of(draws, nodes);
        let seeds = vec![(node + 1) % nodes];
        let back = at + ms(50 + draws.below(200));
        scenario = scenario.at(at, Act::Crash(node)).at(back, Act::Start { node, seeds });
        for _ in 0..3 {
            scenario = scenario.at(back + ms(20 + draws.below(400)), Act::Echo(node));
        }
        at = back + ms(5_000 + draws.below(5_000));
    }
    scenario.at(at, Act::Links(LinkModel::lan())).then_quiet(secs(45))
}
