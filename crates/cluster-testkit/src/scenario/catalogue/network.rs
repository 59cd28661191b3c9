//! What networks do.

use std::time::Duration;

use cluster_types::seed::Draws;

use super::super::{Act, PathFault, Scenario};
use super::{few, ms, one_of, others, secs, settled, some_of};
use crate::net::{Bandwidth, Burst, Latency, LinkModel};

/// After a heal, all see all within this.
const REUNITED: Duration = secs(45);

/// A node and all the others.
fn one_against_all(draws: &mut Draws, nodes: usize) -> (Vec<usize>, Vec<usize>) {
    let one = vec![one_of(draws, nodes)];
    let rest = others(nodes, &one);
    (one, rest)
}

pub(super) fn halves(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let at = settled(draws);
    let left = some_of(draws, nodes, nodes / 2);
    let right = others(nodes, &left);
    Scenario::new("").cluster(nodes).at(at, Act::Split(left, right)).at(at + secs(60), Act::Heal).then_quiet(REUNITED)
}

/// One is in trouble with all the others for some time from `span.0` up to `span.1` milliseconds more.
fn one_apart(draws: &mut Draws, span: (u64, u64), act: fn(Vec<usize>, Vec<usize>) -> Act) -> Scenario {
    let nodes = few(draws);
    let at = settled(draws);
    let (one, rest) = one_against_all(draws, nodes);
    let span = ms(span.0 + draws.below(span.1));
    Scenario::new("").cluster(nodes).at(at, act(one, rest)).at(at + span, Act::Heal).then_quiet(REUNITED)
}

pub(super) fn isolate_short(draws: &mut Draws) -> Scenario {
    one_apart(draws, (500, 4_300), Act::Split).expecting(|e| e.no_failures = true)
}

pub(super) fn isolate_long(draws: &mut Draws) -> Scenario {
    one_apart(draws, (9_000, 30_000), Act::Split)
}

/// They have two votes against the one they do not hear, and all the others, whom they hear, say nothing against it: that is not enough.
pub(super) fn two_mute(draws: &mut Draws) -> Scenario {
    // Few enough for both to have had their turn before the others have given them up.
    let nodes = 5;
    let at = settled(draws);
    let two = vec![0, 1];
    let rest = others(nodes, &two);
    let unheard = rest[draws.below(rest.len() as u64) as usize];
    let mut scenario = Scenario::new("")
        .cluster(nodes)
        .at(at, Act::Cut { from: two.clone(), to: rest.clone() })
        .at(at, Act::Cut { from: vec![unheard], to: two });
    // Of the others something is heard all the time.
    for (beat, node) in (0..18).zip(rest.into_iter().filter(|node| *node != unheard).cycle()) {
        scenario = scenario.at(at + ms(beat * 400), Act::Broadcast { node, bytes: 20 });
    }
    scenario.at(at + ms(9_000 + draws.below(20_000)), Act::Heal).then_quiet(REUNITED)
}

pub(super) fn bridge(draws: &mut Draws) -> Scenario {
    let nodes = few(draws).max(7);
    let at = settled(draws);
    let bridge = one_of(draws, nodes);
    let rest = others(nodes, &[bridge]);
    let (left, right) = rest.split_at(rest.len() / 2);
    Scenario::new("")
        .cluster(nodes)
        .at(at, Act::Split(left.to_vec(), right.to_vec()))
        .at(at + ms(20_000 + draws.below(20_000)), Act::Heal)
        .then_quiet(REUNITED)
}

pub(super) fn deaf(draws: &mut Draws) -> Scenario {
    one_apart(draws, (1_000, 20_000), |one, rest| Act::Cut { from: rest, to: one })
}

pub(super) fn mute(draws: &mut Draws) -> Scenario {
    one_apart(draws, (1_000, 20_000), |one, rest| Act::Cut { from: one, to: rest })
}

/// It hears that it is suspected, and what it says against it is lost.
pub(super) fn mute_short(draws: &mut Draws) -> Scenario {
    let scenario = one_apart(draws, (1_500, 3_000), |one, rest| Act::Cut { from: one, to: rest });
    scenario.expecting(|e| e.no_failures = true)
}

pub(super) fn flip_flop(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut at = settled(draws);
    let (one, rest) = one_against_all(draws, nodes);
    let mut scenario = Scenario::new("").cluster(nodes);
    for _ in 0..6 {
        scenario = scenario.at(at, Act::Split(one.clone(), rest.clone()));
        at += ms(500 + draws.below(3_500));
        scenario = scenario.at(at, Act::Heal);
        at += ms(1_000 + draws.below(5_000));
    }
    scenario.then_quiet(REUNITED).expecting(|e| e.no_failures = true)
}

/// A minute of loss in which one dies, and then a clean network.
pub(super) fn lossy(draws: &mut Draws, loss: f64) -> Scenario {
    let nodes = few(draws);
    let crash = Act::Crash(one_of(draws, nodes));
    let at = settled(draws) + secs(20);
    // At 15 % a verdict is as prompt as ever; at 30 % it may take a second longer.
    let within = if loss > 0.2 { 9_000 } else { 7_500 };
    Scenario::new("")
        .cluster(nodes)
        .over(LinkModel::lan().with_loss(loss))
        .at(at, crash)
        .at(at + secs(20), Act::Links(LinkModel::lan()))
        .then_quiet(REUNITED)
        .expecting(|e| e.crash_known_within_ms = Some(within))
}

/// A minute over such links, and then a clean network: nobody is declared failed.
fn minute_over(draws: &mut Draws, links: LinkModel) -> Scenario {
    let nodes = few(draws);
    Scenario::new("")
        .cluster(nodes)
        .over(links)
        .at(secs(60), Act::Links(LinkModel::lan()))
        .then_quiet(secs(30))
        .expecting(|e| e.no_failures = true)
}

pub(super) fn bursts(draws: &mut Draws) -> Scenario {
    let burst = Burst { begin: 0.01, end: 0.15, loss: 0.8 };
    minute_over(draws, LinkModel { burst: Some(burst), ..LinkModel::lan() })
}

pub(super) fn bimodal(draws: &mut Draws) -> Scenario {
    minute_over(draws, LinkModel::lan().with_latency(Latency::Bimodal(ms(1), ms(60), 0.1)))
}

pub(super) fn disorder(draws: &mut Draws) -> Scenario {
    minute_over(draws, LinkModel { duplicate: 0.1, reorder: 0.1, ..LinkModel::lan() })
}

pub(super) fn damaged(draws: &mut Draws) -> Scenario {
    minute_over(draws, LinkModel { damage: 0.01, ..LinkModel::lan() })
}

pub(super) fn swizzle(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let clogged = some_of(draws, nodes, nodes / 2);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for &node in &clogged {
        scenario = scenario.at(at, Act::Split(vec![node], others(nodes, &[node])));
        at += ms(draws.below(1_000));
    }
    let mut order = clogged;
    draws.shuffle(&mut order);
    // Whoever is unclogged is so towards those who are not clogged themselves.
    for done in 1..=order.len() {
        at += ms(500 + draws.below(2_000));
        scenario = scenario.at(at, Act::Heal);
        for &node in &order[done..] {
            scenario = scenario.at(at, Act::Split(vec![node], others(nodes, &[node])));
        }
    }
    scenario.then_quiet(REUNITED)
}

pub(super) fn thin_link(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    // 32 kB/s, and half a second of queue.
    let bandwidth = Some(Bandwidth { bytes_per_s: 32_000, queue_bytes: 16_000 });
    let from = one_of(draws, nodes);
    let to = (from + 1 + draws.below(nodes as u64 - 1) as usize) % nodes;
    Scenario::new("")
        .cluster(nodes)
        .over(LinkModel { bandwidth, ..LinkModel::lan().with_latency(Latency::Constant(ms(10))) })
        .at(settled(draws), Act::Transfer { from, to, bytes: 1_000_000 })
        .then_quiet(secs(60))
        .expecting(|e| e.no_failures = true)
}

pub(super) fn simultaneous(draws: &mut Draws) -> Scenario {
    let nodes = 3 + draws.below(4) as usize;
    let latency = Latency::Constant(ms(5 + draws.below(40)));
    let mut scenario = Scenario::new("").cluster(nodes).over(LinkModel::lan().with_latency(latency));
    let at = settled(draws);
    for from in 0..nodes {
        for to in (0..nodes).filter(|to| *to != from) {
            scenario = scenario.at(at + ms(draws.below(3)), Act::Transfer { from, to, bytes: 200_000 });
        }
    }
    scenario.then_quiet(secs(40)).expecting(|e| e.calm = true)
}

pub(super) fn wide(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let crash = Act::Crash(one_of(draws, nodes));
    Scenario::new("")
        .cluster(nodes)
        .over(LinkModel::wan())
        .at(settled(draws), crash)
        .then_quiet(secs(30))
        .expecting(|e| e.crash_known_within_ms = Some(7_500))
}

/// Nobody is declared failed for it: all others hear both.
pub(super) fn pair_cut(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let pair = some_of(draws, nodes, 2);
    let at = settled(draws);
    let act = Act::Split(vec![pair[0]], vec![pair[1]]);
    let scenario = Scenario::new("").cluster(nodes).at(at, act).at(at + secs(60), Act::Heal).then_quiet(REUNITED);
    scenario.expecting(|e| e.no_failures = true)
}

pub(super) fn ring(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let at = settled(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    for node in 0..nodes {
        let far = others(nodes, &[node, (node + 1) % nodes, (node + nodes - 1) % nodes]);
        scenario = scenario.at(at, Act::Cut { from: vec![node], to: far });
    }
    scenario.at(at + ms(2_000 + draws.below(28_000)), Act::Heal).then_quiet(REUNITED)
}

pub(super) fn zone_away(draws: &mut Draws) -> Scenario {
    let nodes = few(draws).max(6);
    let mut scenario = Scenario::new("").cluster(nodes);
    for node in 0..nodes {
        let zone = ["a", "b", "c"][node % 3].to_owned();
        scenario = scenario.at(secs(3), Act::Metadata { node, zone, version: 1 });
    }
    let (inside, outside): (Vec<usize>, Vec<usize>) = (0..nodes).partition(|node| node % 3 == 0);
    let at = settled(draws) + secs(5);
    let back = at + ms(1_000 + draws.below(40_000));
    scenario.at(at, Act::Split(inside, outside)).at(back, Act::Heal).then_quiet(REUNITED)
}

pub(super) fn clogged(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for id in 0..5 {
        let (one, rest) = one_against_all(draws, nodes);
        let (from, to) = if draws.below(2) == 0 { (rest, one) } else { (one, rest) };
        let span = ms(500 + draws.below(2_500));
        let clog = Act::Fault { id, from, to, fault: PathFault::Hold };
        scenario = scenario.at(at, clog).at(at + span, Act::Mend(id));
        at += span + ms(3_000 + draws.below(5_000));
    }
    scenario.then_quiet(REUNITED).expecting(|e| e.no_failures = true)
}

/// Links that were found to carry more find out that they carry less; what is shorter passes all the while.
pub(super) fn narrow(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let at = settled(draws);
    let (one, rest) = one_against_all(draws, nodes);
    let model = LinkModel { mtu: 1_200 + draws.below(80) as usize, ..LinkModel::lan() };
    let mut scenario = Scenario::new("").cluster(nodes);
    for (id, (from, to)) in [(one.clone(), rest.clone()), (rest.clone(), one.clone())].into_iter().enumerate() {
        let fault = PathFault::Like(model.clone());
        scenario = scenario.at(at, Act::Fault { id: id as u32, from, to, fault });
    }
    let to = rest[draws.below(rest.len() as u64) as usize];
    let transfer = Act::Transfer { from: one[0], to, bytes: 200_000 };
    scenario.at(at + secs(2), transfer).at(at + secs(60), Act::Heal).then_quiet(REUNITED).expecting(|e| e.calm = true)
}
