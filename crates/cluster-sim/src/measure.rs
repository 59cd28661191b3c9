//! Membership in figures: what a cluster of a given size costs at rest, how soon it notices a crash, how far apart its members
//! hear of it, what it gets wrong. Each sample is one world of engines in virtual time and repeats with its seed; a cell of a
//! table is several of them.

mod cell;
mod plot;
mod spread;
mod table;
mod worst;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_gossip::SwimConfig;
use cluster_types::{EventKind, Instant, Seed, State};

use cluster_testkit::net::{Latency, LinkModel};
use cluster_testkit::world::name_of;
use cluster_testkit::{EngineWorld, WorldConfig};

pub(crate) use cell::Outcome;
pub(crate) use plot::html;
pub(crate) use table::{markdown, phases};
pub(crate) use worst::{Absence, Came, Day, Trouble, live_through, worst_days};

/// How long a packet is under way, one way: anything between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    low: Duration,
    high: Duration,
}

impl Path {
    /// One machine.
    pub(crate) const HOST: Self = Self::between_us(200, 200);
    /// A local network.
    pub(crate) const LAN: Self = Self::between_us(1_000, 2_000);
    /// Buildings of a town.
    pub(crate) const METRO: Self = Self::between_us(5_000, 10_000);
    /// A continent.
    pub(crate) const CONTINENT: Self = Self::between_us(40_000, 60_000);
    /// The other side of the world.
    pub(crate) const WORLD: Self = Self::between_us(130_000, 170_000);

    pub(crate) const fn between_us(low: u64, high: u64) -> Self {
        Self { low: Duration::from_micros(low), high: Duration::from_micros(high) }
    }

    fn links(self, loss: f64) -> LinkModel {
        LinkModel::lan().with_latency(Latency::Uniform(self.low, self.high)).with_loss(loss)
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        if self.low == self.high {
            write!(f, "{} ms", ms(self.low))
        } else {
            write!(f, "{} to {} ms", ms(self.low), ms(self.high))
        }
    }
}

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    /// Nodes.
    pub(crate) nodes: usize,
    /// The paths between them.
    pub(crate) path: Path,
    /// Share of packets that vanish, 0 to 1.
    pub(crate) loss: f64,
    /// Stop some nodes for five seconds, again and again.
    pub(crate) pauses: bool,
    /// Settings of every node.
    pub(crate) swim: SwimConfig,
    /// How long each world is watched at rest.
    pub(crate) rest: Duration,
    /// Crashes in each world.
    pub(crate) crashes: usize,
    /// The seed of the first world; the others have those that follow.
    pub(crate) seed: u64,
    /// How many worlds.
    pub(crate) worlds: u64,
}

impl Conditions {
    /// Five worlds at rest for a minute, with five crashes each where there are nodes enough.
    pub(crate) fn new(nodes: usize, path: Path, loss: f64, swim: SwimConfig, seed: u64) -> Self {
        let crashes = if nodes < 1_000 { (nodes / 4).clamp(1, 5) } else { 2 };
        Self { nodes, path, loss, pauses: false, swim, rest: Duration::from_secs(60), crashes, seed, worlds: 5 }
    }

    /// The same with pauses.
    pub(crate) fn with_pauses(self) -> Self {
        Self { pauses: true, ..self }
    }

    /// Where in a probe period crash `k` of world `world` falls: all crashes of the cell are evenly spread over it, in the order
    /// of no world and no node.
    fn phase(&self, world: u64, k: usize) -> f64 {
        let all = self.worlds as f64 * self.crashes as f64;
        (k as f64 * self.worlds as f64 + world as f64 + 0.5) / all
    }
}

/// One crash, and when the others declared it. `None` when that did not happen within a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Crash {
    /// The first of them.
    pub(crate) first: Option<Duration>,
    /// Half of them.
    pub(crate) half: Option<Duration>,
    /// All of them.
    pub(crate) all: Option<Duration>,
}

impl Crash {
    fn new(told: &[Instant], others: usize, since: Instant) -> Self {
        let nth = |n: usize| n.checked_sub(1).and_then(|i| told.get(i)).map(|at| at.since(since));
        Self { first: nth(1), half: nth(others.div_ceil(2)), all: nth(others) }
    }

    /// From the first verdict to the last.
    pub(crate) fn apart(&self) -> Option<Duration> {
        self.all.zip(self.first).map(|(all, first)| all - first)
    }
}

/// What came of one world.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// Bytes on the wire sent per node and second at rest.
    pub(crate) bytes: f64,
    /// Membership datagrams sent per node and second at rest.
    pub(crate) datagrams: f64,
    /// One after the other.
    pub(crate) crashes: Vec<Crash>,
    /// From a farewell until all others knew; `None` after a minute.
    pub(crate) leave: Option<Duration>,
    /// Nodes that were declared failed by somebody although they lived.
    pub(crate) false_failed: usize,
    /// Nodes that were suspected by somebody although they lived.
    pub(crate) false_suspected: usize,
    /// Virtual time in which mistakes were counted.
    pub(crate) watched: Duration,
}

const SETTLE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
/// So many at once, however large the cluster: each is accused by ten, and everybody hears of each accusation.
const PAUSED_MAX: usize = 20;
const PAUSE: Duration = Duration::from_secs(5);

/// Runs one world, the `world`th of its cell, through rest, pauses where asked for, crashes and a farewell.
#[must_use]
pub(crate) fn measure(conditions: &Conditions, world: u64) -> Sample {
    let Conditions { nodes, rest, pauses, crashes, .. } = *conditions;
    let seed = conditions.seed + world;
    let mut sim = begin(conditions, seed);
    sim.run_for(SETTLE);
    let before = sim.sent();
    sim.run_for(rest);
    let sent = sim.sent() - before;
    let share = nodes as f64 * rest.as_secs_f64();
    if pauses {
        pause_some(&mut sim, nodes, seed);
    }
    let fallen = (0..crashes).map(|k| crash(&mut sim, conditions, k, conditions.phase(world, k))).collect();
    let since = sim.now();
    sim.leave(crashes);
    let listeners = nodes - crashes - 1;
    let told = reports_until(&mut sim, crashes, listeners, |kind| matches!(kind, EventKind::Left(_)));
    let leave = told.last().filter(|_| told.len() == listeners).map(|at| at.since(since));
    let (false_failed, false_suspected) = mistakes(&sim, crashes);
    let watched = sim.now().since(Instant::ORIGIN);
    let (bytes, datagrams) = (sent.wire as f64 / share, sent.datagrams as f64 / share);
    Sample { bytes, datagrams, crashes: fallen, leave, false_failed, false_suspected, watched }
}

/// One crash after a rest, at this part of a probe period: worlds of the same seed differ in nothing else.
#[must_use]
pub(crate) fn crash_at(conditions: &Conditions, seed: u64, phase: f64) -> Crash {
    let mut sim = begin(conditions, seed);
    sim.run_for(SETTLE);
    crash(&mut sim, conditions, 0, phase)
}

fn begin(conditions: &Conditions, seed: u64) -> EngineWorld {
    let links = conditions.path.links(conditions.loss);
    let mut sim = EngineWorld::new(WorldConfig { swim: conditions.swim.clone(), links }, seed);
    sim.start_joined(conditions.nodes);
    sim
}

/// Waits for the beginning of a probe period of the world's clock and `phase` of one more, and crashes node `k`, which all who run
/// are to declare.
fn crash(sim: &mut EngineWorld, conditions: &Conditions, k: usize, phase: f64) -> Crash {
    let period = conditions.swim.budget.period().as_nanos().max(1);
    let into = sim.now().since_origin().as_nanos() % period;
    let to_next = u64::try_from(period - into).unwrap_or(0);
    sim.run_for(Duration::from_nanos(to_next) + conditions.swim.budget.period().mul_f64(phase));
    let since = sim.now();
    sim.crash(k);
    let others = conditions.nodes - 1 - k;
    Crash::new(&reports_until(sim, k, others, |kind| matches!(kind, EventKind::Failed(..))), others, since)
}

/// Stops a fiftieth of the nodes, 1 to 20, for five seconds, three times over.
fn pause_some(sim: &mut EngineWorld, nodes: usize, seed: u64) {
    let mut draws = Seed::new(seed).derive("pauses", 0).stream();
    for _ in 0..3 {
        let mut all: Vec<usize> = (0..nodes).collect();
        draws.shuffle(&mut all);
        all.truncate((nodes / 50).clamp(1, PAUSED_MAX));
        all.iter().for_each(|&i| sim.pause(i));
        sim.run_for(PAUSE);
        all.iter().for_each(|&i| sim.resume(i));
        sim.run_for(SETTLE);
    }
}

/// When each of `wanted` nodes first reported such an event about `subject`, in order; shorter if not all did in time.
fn reports_until(
    sim: &mut EngineWorld,
    subject: usize,
    wanted: usize,
    such: impl Fn(&EventKind) -> bool,
) -> Vec<Instant> {
    let name = name_of(subject);
    let (mut seen, mut told) = (sim.trace().len(), BTreeMap::new());
    let until = sim.now() + PATIENCE;
    while told.len() < wanted && sim.now() < until {
        sim.run_for(Duration::from_millis(10));
        for reported in &sim.trace()[seen..] {
            if such(&reported.kind) && reported.kind.node() == Some(&name) && reported.by != subject {
                told.entry(reported.by).or_insert(reported.at);
            }
        }
        seen = sim.trace().len();
    }
    let mut times: Vec<Instant> = told.into_values().collect();
    times.sort_unstable();
    times
}

fn mistakes(sim: &EngineWorld, crashes: usize) -> (usize, usize) {
    let dead: BTreeSet<_> = (0..crashes).map(name_of).collect();
    let wronged = |state: State| {
        let about = sim.trace().iter().filter_map(|reported| reported.kind.member());
        let accused = about.filter(|member| member.state() == state && !dead.contains(member.node()));
        accused.map(|member| member.node().clone()).collect::<BTreeSet<_>>().len()
    };
    (wronged(State::Failed), wronged(State::Suspect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_of_a_cell_fall_evenly_over_a_period() {
        let conditions = Conditions::new(100, Path::LAN, 0.0, SwimConfig::lan(), 1);
        let worlds = 0..conditions.worlds;
        let mut phases: Vec<f64> = worlds
            .flat_map(|world| (0..conditions.crashes).map(move |k| (world, k)))
            .map(|(w, k)| conditions.phase(w, k))
            .collect();
        phases.sort_by(f64::total_cmp);
        assert_eq!(phases.len(), 25);
        for (i, phase) in phases.iter().enumerate() {
            assert!((phase - (i as f64 + 0.5) / 25.0).abs() < 1e-9, "{phases:?}");
        }
    }

    #[test]
    fn who_never_hears_of_a_crash_is_not_left_out() {
        let told = [3, 4, 5].map(|s| Instant::ORIGIN + Duration::from_secs(s));
        let since = Instant::ORIGIN + Duration::from_secs(1);
        let crash = Crash::new(&told, 4, since);
        assert_eq!((crash.first, crash.half), (Some(Duration::from_secs(2)), Some(Duration::from_secs(3))));
        assert_eq!((crash.all, crash.apart()), (None, None));
        assert_eq!(Crash::new(&[], 4, since).first, None);
    }
}
