//! The four faults of the Rapid paper: a thousand nodes, of which ten crash at once, or lose four fifths of what they send, or hear
//! nothing for twenty seconds in every forty; and a thousand that join through one.

use std::collections::BTreeSet;
use std::time::Duration;

use super::views::Views;
use super::{Make, RIVALS, SEEDS};
use crate::contender::{Contender, Links, Setting};
use crate::spread::Spread;

const SICK: usize = 10;
const SECOND: Duration = Duration::from_secs(1);
/// How long a fault lasts, and how long is watched after it.
const FAULT_S: u32 = 120;
const AFTER_S: u32 = 60;
/// Views that stay for so long are stable.
const STABLE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Crash,
    Mumble,
    FlipFlop,
}

impl Fault {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Crash, "ten crash at once"),
        (Self::Mumble, "ten lose 80 % of what they send"),
        (Self::FlipFlop, "ten hear nothing for 20 s, all for 20 s, and so on"),
    ];

    /// Called at the beginning of each second of the fault.
    fn act(self, world: &mut dyn Contender, sick: &[usize], second: u32) {
        match (self, second) {
            (Self::Crash, 0) => sick.iter().for_each(|&i| world.crash(i)),
            (Self::Mumble, 0) => world.mumble(sick, 0.8),
            (Self::FlipFlop, _) if second.is_multiple_of(40) => world.deafen(sick),
            (Self::FlipFlop, _) if second.is_multiple_of(20) => world.mend(),
            _ => {}
        }
    }
}

/// What came of one world; verdicts are of one node about one other.
struct Found {
    /// About healthy nodes, by healthy ones.
    wrong: usize,
    /// About the sick, by healthy nodes.
    about_sick: usize,
    /// Different views at healthy nodes, looked at once a second.
    views: usize,
    /// From the beginning of the fault to the last change before its end; `None` where views still changed.
    stable: Option<Duration>,
    /// Different views at the end of the fault.
    views_left: usize,
    /// From its end until all views are right for good.
    healed: Option<Duration>,
}

pub(crate) fn print(nodes: usize) {
    let heads = [
        "protocol",
        "wrong verdicts",
        "verdicts about the ten",
        "distinct views",
        "stable after, s",
        "views at the end",
        "right after the end, s",
    ];
    for (fault, name) in Fault::ALL {
        println!("### {nodes} nodes, {name}\n\n| {} |\n|---|{}", heads.join(" | "), "---:|".repeat(heads.len() - 1));
        for (name, make) in RIVALS {
            let found: Vec<Found> = (1..=SEEDS).map(|seed| suffer(make, nodes, seed, fault)).collect();
            let of =
                |value: &dyn Fn(&Found) -> usize| Spread::new(found.iter().map(|found| value(found) as f64)).cell(0);
            println!(
                "| {name} | {} | {} | {} | {} | {} | {} |",
                of(&|found| found.wrong),
                of(&|found| found.about_sick),
                of(&|found| found.views),
                Spread::of_spans(found.iter().map(|found| found.stable)).cell(2),
                of(&|found| found.views_left),
                Spread::of_spans(found.iter().map(|found| found.healed)).cell(2),
            );
        }
        println!();
    }
    print_bootstrap(nodes);
}

fn suffer(make: Make, nodes: usize, seed: u64, fault: Fault) -> Found {
    let mut world = make(Setting { nodes, links: Links::lan(0.0), seed, joined: true });
    let world = &mut *world;
    // Spread over the cluster; each world begins at another moment.
    let sick: Vec<usize> = (0..SICK).map(|k| k * nodes / SICK + 7 % (nodes / SICK)).collect();
    let healthy: Vec<usize> = (0..nodes).filter(|i| !sick.contains(i)).collect();
    world.run_for(20 * SECOND + SECOND.mul_f64((seed as f64 - 0.5) / SEEDS as f64));
    let mut views = Views::new(nodes, true);
    views.follow(world);
    let (began, told) = (world.now(), views.told().len());
    let mut seen = BTreeSet::new();
    for second in 0..FAULT_S {
        fault.act(world, &sick, second);
        world.run_for(SECOND);
        views.follow(world);
        seen.extend(views.of(&healthy));
    }
    let ended = world.now();
    let last = views.last_change(&healthy).max(began);
    let stable = (ended - last >= STABLE).then_some(last - began);
    let views_left = views.of(&healthy).len();
    world.mend();
    world.run_for(AFTER_S * SECOND);
    views.follow(world);
    let living: Vec<usize> = (0..nodes).filter(|i| fault != Fault::Crash || healthy.contains(i)).collect();
    let right = views.are(&living, &living);
    let by_healthy = || views.told()[told..].iter().filter(|change| !change.up && !sick.contains(&change.by));
    let wrong = by_healthy().filter(|change| !sick.contains(&change.about)).count();
    Found {
        wrong,
        about_sick: by_healthy().count() - wrong,
        views: seen.len(),
        stable,
        views_left,
        healed: right.then(|| views.last_change(&living).saturating_sub(ended)),
    }
}

/// One runs, ten seconds later all others start within one second.
fn print_bootstrap(nodes: usize) {
    println!("### {nodes} nodes that join through one\n");
    println!(
        "| protocol | half know all, s | all know all, s | distinct views | wrong verdicts | bytes sent by each |\n|---|---:|---:|---:|---:|---:|"
    );
    for (name, make) in RIVALS {
        let found: Vec<Begun> = (1..=SEEDS).map(|seed| bootstrap(make, nodes, seed)).collect();
        let spans = |value: &dyn Fn(&Begun) -> Option<Duration>| Spread::of_spans(found.iter().map(value)).cell(0);
        let of = |value: &dyn Fn(&Begun) -> f64| Spread::new(found.iter().map(value)).cell(0);
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            spans(&|begun| begun.half),
            spans(&|begun| begun.all),
            of(&|begun| begun.views as f64),
            of(&|begun| begun.wrong as f64),
            of(&|begun| begun.bytes),
        );
    }
}

struct Begun {
    half: Option<Duration>,
    all: Option<Duration>,
    views: usize,
    wrong: usize,
    bytes: f64,
}

fn bootstrap(make: Make, nodes: usize, seed: u64) -> Begun {
    const PATIENCE_S: u32 = 180;
    let mut world = make(Setting { nodes, links: Links::lan(0.0), seed, joined: false });
    let world = &mut *world;
    world.run_for(10 * SECOND);
    let all: Vec<usize> = (0..nodes).collect();
    let mut views = Views::new(nodes, false);
    let began = world.now();
    for i in 1..nodes {
        world.run_for(SECOND / nodes as u32);
        world.join(i);
    }
    let mut begun = Begun { half: None, all: None, views: 0, wrong: 0, bytes: 0.0 };
    let mut seen = BTreeSet::new();
    for _ in 0..PATIENCE_S {
        views.follow(world);
        seen.extend(views.of(&all));
        let right = all.iter().filter(|i| views.are(&[**i], &all)).count();
        let now = world.now() - began;
        if 2 * right >= nodes {
            begun.half = begun.half.or(Some(now));
        }
        if right == nodes {
            begun.all = Some(now);
            break;
        }
        world.run_for(SECOND);
    }
    begun.views = seen.len();
    begun.wrong = views.told().iter().filter(|change| !change.up).count();
    begun.bytes = world.sent().wire as f64 / nodes as f64;
    begun
}
