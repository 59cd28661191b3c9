//! The worst days: many die at once, the paths are long, somebody comes back, everybody is busy. What is asked each time: who was declared
//! failed and could have answered, when the last survivor knew of the last death, what it cost meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use cluster_gossip::SwimConfig;
use cluster_testkit::scenario::PathFault;
use cluster_testkit::world::name_of;
use cluster_testkit::{EngineWorld, WorldConfig};
use cluster_types::{EventKind, Instant, NodeId};

use super::Path;
use super::spread::Spread;

/// What happens to the first of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// So many are killed at once.
    Killed(usize),
    /// One is killed while the others are stopped for 300 ms in every 800 ms.
    KilledAmongBusy,
    /// So many are away for so long, and come back.
    Away(usize, Duration, Absence),
}

/// In which way somebody is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Nothing passes between them and the others.
    Cut,
    /// They hear nobody, and are heard.
    Deaf,
    /// They do not run.
    Stopped,
    /// They run, and their network calls block.
    Blocked,
}

/// One kind of day.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    pub(crate) nodes: usize,
    pub(crate) path: Path,
    /// Three regions, with this between them and `path` within.
    pub(crate) regions: Option<Path>,
    /// Settings of every node, and what they are called.
    pub(crate) swim: (&'static str, SwimConfig),
    pub(crate) trouble: Trouble,
}

/// What came of one of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Came {
    /// Verdicts about nodes that run and were never away, by such nodes.
    pub(crate) wrong: usize,
    /// By those that were, about anybody, after they had come back.
    wrong_by_others: usize,
    /// Suspicions of nodes that run and were never away, at such nodes.
    suspected: usize,
    /// When the first verdict about somebody who had been killed fell.
    first: Option<Duration>,
    /// When all who were left had declared all who had been killed.
    all: Option<Duration>,
    /// Bytes on the wire a second and node, before.
    rest: f64,
    /// The same of a survivor, in the second in which they sent most.
    peak: f64,
    /// The same, over the minute that followed.
    meanwhile: f64,
}

const SETTLE: Duration = Duration::from_secs(20);
const WATCHED: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);

/// Faults by number: from those who are away, and to them.
const THERE: u32 = 1;
const BACK: u32 = 2;

/// One world.
pub(crate) fn live_through(day: &Day, seed: u64) -> Came {
    let links = day.path.links(0.0);
    let mut sim = EngineWorld::new(WorldConfig { swim: day.swim.1.clone(), links }, seed);
    sim.start_joined(day.nodes);
    if let Some(between) = day.regions {
        let region = |r: usize| (0..day.nodes).filter(|i| i % 3 == r).collect::<Vec<_>>();
        let far = PathFault::Like(between.links(0.0));
        for (id, (a, b)) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)].into_iter().enumerate() {
            sim.fault(1_000 + id as u32, &region(a), &region(b), &far);
        }
    }
    sim.run_for(SETTLE / 2);
    let before = sim.sent();
    sim.run_for(SETTLE / 2);
    // Each world falls into another part of a period.
    sim.run_for(Duration::from_millis(seed.wrapping_mul(370) % 1_000));
    let rest = (sim.sent() - before).wire as f64 / (day.nodes as f64 * (SETTLE / 2).as_secs_f64());
    let (dead, away) = match day.trouble {
        Trouble::Killed(count) => (count, 0),
        Trouble::KilledAmongBusy => (1, 0),
        Trouble::Away(count, ..) => (0, count),
    };
    let numbers = (0..day.nodes).map(|i| (name_of(i), i)).collect();
    let mut watch = Watch { began: sim.now(), seen: sim.trace().len(), numbers, dead, away, ..Watch::default() };
    match day.trouble {
        Trouble::Killed(count) => (0..count).for_each(|i| sim.crash(i)),
        Trouble::KilledAmongBusy => sim.crash(0),
        Trouble::Away(count, span, how) => {
            let (them, others): (Vec<usize>, Vec<usize>) = (0..day.nodes).partition(|i| *i < count);
            begin(&mut sim, &them, &others, how);
            watch.run(&mut sim, span, |_, _| {});
            end(&mut sim, &them, how);
            watch.is_over = true;
        }
    }
    let from = sim.sent();
    let busy = day.trouble == Trouble::KilledAmongBusy;
    let patience = day.swim.1.budget.total() * 4;
    watch.run(&mut sim, WATCHED.max(patience), |sim, tenths| {
        if busy {
            let others = 1..day.nodes;
            match tenths % 8 {
                0 => others.for_each(|i| sim.pause(i)),
                3 => others.for_each(|i| sim.resume(i)),
                _ => {}
            }
        }
    });
    let survivors = (day.nodes - dead) as f64;
    let meanwhile = (sim.sent() - from).wire as f64 / survivors / WATCHED.max(patience).as_secs_f64();
    let all = (watch.told.len() == dead * (day.nodes - dead)).then_some(watch.last).flatten();
    Came {
        wrong: watch.wrong,
        wrong_by_others: watch.wrong_by_others,
        suspected: watch.suspected,
        first: watch.first.map(|at| at.since(watch.began)),
        all: all.map(|at| at.since(watch.began)),
        rest,
        peak: watch.peak as f64 / survivors,
        meanwhile,
    }
}

fn begin(sim: &mut EngineWorld, them: &[usize], others: &[usize], how: Absence) {
    match how {
        Absence::Cut => {
            sim.fault(THERE, them, others, &PathFault::Cut);
            sim.fault(BACK, others, them, &PathFault::Cut);
        }
        Absence::Deaf => sim.fault(BACK, others, them, &PathFault::Cut),
        Absence::Stopped => them.iter().for_each(|i| sim.pause(*i)),
        Absence::Blocked => them.iter().for_each(|i| sim.hold_io(*i)),
    }
}

fn end(sim: &mut EngineWorld, them: &[usize], how: Absence) {
    match how {
        // These alone: regions stay as far apart as they are.
        Absence::Cut | Absence::Deaf => [THERE, BACK].into_iter().for_each(|id| sim.mend(id)),
        Absence::Stopped => them.iter().for_each(|i| sim.resume(*i)),
        Absence::Blocked => them.iter().for_each(|i| sim.release_io(*i)),
    }
}

/// What was seen of a world since a moment.
#[derive(Debug, Default)]
struct Watch {
    began: Instant,
    /// Events that were looked at.
    seen: usize,
    numbers: HashMap<NodeId, usize>,
    /// The first so many were killed.
    dead: usize,
    /// The first so many are, or were, away.
    away: usize,
    /// They are back.
    is_over: bool,
    wrong: usize,
    wrong_by_others: usize,
    suspected: usize,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Who has declared whom.
    told: BTreeSet<(usize, usize)>,
    /// Bytes on the wire in the busiest second.
    peak: u64,
}

impl Watch {
    /// Lets time pass by tenths of a second; `meddle` hears their number.
    fn run(&mut self, sim: &mut EngineWorld, span: Duration, mut meddle: impl FnMut(&mut EngineWorld, u32)) {
        let mut second = sim.sent().wire;
        for tenths in 0..(span.as_millis() / STEP.as_millis()) as u32 {
            meddle(sim, tenths);
            sim.run_for(STEP);
            self.look(sim);
            if tenths % 10 == 9 {
                let sent = sim.sent().wire;
                self.peak = self.peak.max(sent - second);
                second = sent;
            }
        }
    }

    fn look(&mut self, sim: &EngineWorld) {
        for reported in &sim.trace()[self.seen..] {
            let Some(member) = reported.kind.member() else { continue };
            let Some(about) = self.numbers.get(member.node()).copied() else { continue };
            let well = about >= self.dead.max(self.away);
            match &reported.kind {
                EventKind::Suspected(..) => self.suspected += usize::from(well && reported.by >= self.away),
                EventKind::Failed(..) if about < self.dead => {
                    self.first.get_or_insert(reported.at);
                    if self.told.insert((reported.by, about)) {
                        self.last = Some(reported.at);
                    }
                }
                // While it lasts they cannot know better.
                EventKind::Failed(..) if reported.by < self.away => self.wrong_by_others += usize::from(self.is_over),
                EventKind::Failed(..) => self.wrong += usize::from(well),
                _ => {}
            }
        }
        self.seen = sim.trace().len();
    }
}

/// The days in rows.
pub(crate) fn worst_days(rows: &[(Day, Vec<Came>)]) -> String {
    let mut table = String::from(
        "| nodes | paths | settings | what happens | first knows | all know | failed wrongly | by those who were back | suspected wrongly | B/s before | meanwhile | peak |\n\
         |---:|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (day, came) in rows {
        let sum = |of: fn(&Came) -> usize| came.iter().map(of).sum::<usize>();
        let seconds = |of: fn(&Came) -> Option<Duration>| {
            if matches!(day.trouble, Trouble::Away(..)) {
                return "-".to_owned();
            }
            Spread::of_spans(came.iter().map(of)).cell(2)
        };
        let bytes = |of: fn(&Came) -> f64| Spread::new(came.iter().map(of)).cell(0);
        let path =
            day.regions.map_or_else(|| day.path.to_string(), |far| format!("{}, three regions {far} apart", day.path));
        let _ = writeln!(
            table,
            "| {} | {path} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            day.nodes,
            day.swim.0,
            day.trouble,
            seconds(|c| c.first),
            seconds(|c| c.all),
            sum(|c| c.wrong),
            sum(|c| c.wrong_by_others),
            sum(|c| c.suspected),
            bytes(|c| c.rest),
            bytes(|c| c.meanwhile),
            bytes(|c| c.peak),
        );
    }
    table
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Killed(1) => f.write_str("one is killed"),
            Self::Killed(count) => write!(f, "{count} are killed at once"),
            Self::KilledAmongBusy => f.write_str("one is killed, the others are stopped 300 ms in every 800"),
            Self::Away(count, span, how) => {
                let how = match how {
                    Absence::Cut => "cut off",
                    Absence::Deaf => "deaf",
                    Absence::Stopped => "stopped",
                    Absence::Blocked => "blocked",
                };
                write!(f, "{count} {how} for {} s", span.as_secs())
            }
        }
    }
}
