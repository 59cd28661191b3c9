//! Membership in figures: what a cluster of a given size costs at rest, how soon it notices a crash, how far apart its members
//! hear of it, what it gets wrong. Each measurement is one world of engines in virtual time and repeats with its seed.

mod plot;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_gossip::SwimConfig;
use cluster_types::{EventKind, Instant, Seed, State};

use cluster_testkit::world::name_of;
use cluster_testkit::{EngineWorld, WorldConfig};

pub(crate) use plot::html;
pub(crate) use table::markdown;

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    /// Nodes.
    pub(crate) nodes: usize,
    /// Share of datagrams that vanish, 0 to 1.
    pub(crate) loss: f64,
    /// Stop some nodes for five seconds, again and again.
    pub(crate) pauses: bool,
    /// Settings of every node.
    pub(crate) swim: SwimConfig,
    /// The seed of the world.
    pub(crate) seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// Bytes on the wire sent per node and second at rest.
    pub(crate) bytes: f64,
    /// Membership datagrams sent per node and second at rest.
    pub(crate) datagrams: f64,
    /// From the crash of a node until the first other declared it failed, the shortest of several crashes; `None` when nobody
    /// did within a minute.
    pub(crate) first: Option<Duration>,
    /// Until half of the others had, over all crashes.
    pub(crate) median: Option<Duration>,
    /// Until all others had, the longest of all crashes.
    pub(crate) last: Option<Duration>,
    /// From the first verdict to the last, the longest of all crashes.
    pub(crate) apart: Option<Duration>,
    /// From a farewell until all others knew.
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
const CRASHES_MAX: usize = 5;
/// So many at once, however large the cluster: each is accused by ten, and everybody hears of each accusation.
const PAUSED_MAX: usize = 20;
const PAUSE: Duration = Duration::from_secs(5);

/// Runs one world through rest, a crash, a farewell and, where asked for, pauses. `rest` is how long it is watched at rest.
#[must_use]
pub(crate) fn measure(conditions: &Conditions, rest: Duration) -> Outcome {
    let Conditions { nodes, loss, pauses, swim, seed } = conditions.clone();
    let mut world = EngineWorld::new(WorldConfig { swim, ..WorldConfig::default() }.with_loss(loss), seed);
    world.start_joined(nodes);
    world.run_for(SETTLE);
    let before = world.sent();
    world.run_for(rest);
    let sent = world.sent() - before;
    let share = nodes as f64 * rest.as_secs_f64();
    if pauses {
        pause_some(&mut world, nodes, seed);
    }
    // Ten thousand nodes take a minute of work for ten seconds of theirs.
    let crashes = if nodes < 5_000 { (nodes / 4).clamp(1, CRASHES_MAX) } else { 1 };
    let mut draws = Seed::new(seed).derive("crashes", 0).stream();
    let mut found = Vec::new();
    let mut complete = true;
    let mut apart = None;
    for crashed in 0..crashes {
        // Anywhere between two probes.
        world.run_for(Duration::from_secs(2).mul_f64(draws.fraction()));
        let since = world.now();
        world.crash(crashed);
        let others = nodes - 1 - crashed;
        let told = reports_until(&mut world, crashed, others, |kind| matches!(kind, EventKind::Failed(..)));
        complete &= told.len() == others;
        apart = apart.max(told.last().zip(told.first()).map(|(last, first)| last.since(*first)));
        found.extend(told.into_iter().map(|at| at.since(since)));
    }
    found.sort_unstable();
    let (first, median) = (found.first().copied(), found.get(found.len() / 2).copied());
    let last = found.last().copied().filter(|_| complete);
    let since = world.now();
    world.leave(crashes);
    let listeners = nodes - crashes - 1;
    let told = reports_until(&mut world, crashes, listeners, |kind| matches!(kind, EventKind::Left(_)));
    let leave = told.last().filter(|_| told.len() == listeners).map(|at| at.since(since));
    let (failed, suspected) = mistakes(&world, crashes);
    Outcome {
        bytes: sent.wire as f64 / share,
        datagrams: sent.datagrams as f64 / share,
        first,
        median,
        last,
        apart: apart.filter(|_| complete),
        leave,
        false_failed: failed,
        false_suspected: suspected,
        watched: world.now().since(Instant::ORIGIN),
    }
}

/// Stops a fiftieth of the nodes, 1 to 20, for five seconds, three times over.
fn pause_some(world: &mut EngineWorld, nodes: usize, seed: u64) {
    let mut draws = Seed::new(seed).derive("pauses", 0).stream();
    for _ in 0..3 {
        let mut all: Vec<usize> = (0..nodes).collect();
        draws.shuffle(&mut all);
        all.truncate((nodes / 50).clamp(1, PAUSED_MAX));
        all.iter().for_each(|&i| world.pause(i));
        world.run_for(PAUSE);
        all.iter().for_each(|&i| world.resume(i));
        world.run_for(SETTLE);
    }
}

/// When each of `wanted` nodes first reported such an event about `subject`, in order; shorter if not all did in time.
fn reports_until(
    world: &mut EngineWorld,
    subject: usize,
    wanted: usize,
    such: impl Fn(&EventKind) -> bool,
) -> Vec<Instant> {
    let name = name_of(subject);
    let (mut seen, mut told) = (world.trace().len(), BTreeMap::new());
    let until = world.now() + PATIENCE;
    while told.len() < wanted && world.now() < until {
        world.run_for(Duration::from_millis(10));
        for reported in &world.trace()[seen..] {
            if such(&reported.kind) && reported.kind.node() == Some(&name) && reported.by != subject {
                told.entry(reported.by).or_insert(reported.at);
            }
        }
        seen = world.trace().len();
    }
    let mut times: Vec<Instant> = told.into_values().collect();
    times.sort_unstable();
    times
}

fn mistakes(world: &EngineWorld, crashes: usize) -> (usize, usize) {
    let dead: BTreeSet<_> = (0..crashes).map(name_of).collect();
    let wronged = |state: State| {
        let about = world.trace().iter().filter_map(|reported| reported.kind.member());
        let accused = about.filter(|member| member.state() == state && !dead.contains(member.node()));
        accused.map(|member| member.node().clone()).collect::<BTreeSet<_>>().len()
    };
    (wronged(State::Failed), wronged(State::Suspect))
}
