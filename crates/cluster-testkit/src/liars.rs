//! A cluster with one member that lies, judged: whatever it says, no honest member that can answer is declared failed or held to have left, none gives
//! up its name or reports a conflict, and who dies is known to be dead within twice the pause budget.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cluster_gossip::SwimConfig;
use cluster_types::{EventKind, Instant, NodeId, Seed, State};

use crate::net::{Latency, LinkModel};
use crate::world::name_of;
use crate::{EngineWorld, WorldConfig};

/// What came of one world.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What the liar said, in packets.
    pub lies: u64,
    /// Suspicions of honest members at honest members: that much a liar can do.
    pub suspicions: usize,
    /// How long it took until the last honest member had declared the one that died.
    pub declared_after: Option<Duration>,
    /// What must not be.
    pub findings: Vec<String>,
}

/// What happens in a world, drawn from its seed.
#[derive(Debug, Clone)]
struct Course {
    nodes: usize,
    latency: (u64, u64),
    loss: f64,
    /// An honest member is killed at that time after the lies begin.
    crash: Option<(usize, Duration)>,
    /// One is stopped, for less than is forgiven.
    pause: Option<(usize, Duration, Duration)>,
    leave: Option<(usize, Duration)>,
    /// A newcomer joins through one of them, perhaps the liar.
    join: Option<(usize, Duration)>,
}

/// The liar.
const LIAR: usize = 0;
const SETTLE: Duration = Duration::from_secs(12);
const LIES: Duration = Duration::from_secs(40);
/// After the last lie everybody knows the truth again, by now.
const TRUTH: Duration = Duration::from_secs(30);
/// With so many there are too few helpers to outvote one.
const FEW: usize = 4;
/// A farewell and a death within this of each other may be known in either order.
const LATE: Duration = Duration::from_secs(7);
const STEP: Duration = Duration::from_millis(100);

impl Course {
    fn draw(seed: Seed) -> Self {
        let mut draws = seed.stream();
        let mut below = |n: usize| usize::try_from(draws.below(n as u64)).unwrap_or(0);
        let nodes = [3, 4, 5, 5, 6, 8, 12, 16, 24, 64][below(10)];
        let latency = [(1, 2), (1, 2), (5, 10), (40, 60), (100, 150)][below(5)];
        let loss = [0.0, 0.0, 0.0, 0.02][below(4)];
        let honest = |at: usize| 1 + at % (nodes - 1);
        let (one, two, three) = (below(97), below(89), below(83));
        let ms = |ms: usize| Duration::from_millis(ms as u64);
        let at = |span: usize| ms(1_000 + span);
        let crash = (below(2) == 0).then(|| (honest(one), at(below(20_000))));
        let pause = (below(2) == 0).then(|| (honest(two), at(below(30_000)), ms(500 + below(4_400))));
        let leave = (below(4) == 0).then(|| (honest(three), at(below(20_000))));
        let join = (below(3) == 0).then(|| (below(nodes), at(below(20_000))));
        // One thing happens to each.
        let crashed = crash.map(|(node, _)| node);
        let paused = pause.filter(|(node, ..)| Some(*node) != crashed);
        let gone = leave.filter(|(node, _)| nodes > 3 && Some(*node) != crashed && Some(*node) != paused.map(|p| p.0));
        let join = join.filter(|(via, _)| Some(*via) != crashed && Some(*via) != gone.map(|(node, _)| node));
        Self { nodes, latency, loss, crash, pause: paused, leave: gone, join }
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, latency: (low, high), loss, crash, pause, leave, join } = self;
        write!(f, "{nodes} nodes, {low} to {high} ms, {} % lost", loss * 100.0)?;
        crash.iter().try_for_each(|(node, at)| write!(f, ", {node} killed after {at:?}"))?;
        pause.iter().try_for_each(|(node, at, span)| write!(f, ", {node} stopped after {at:?} for {span:?}"))?;
        leave.iter().try_for_each(|(node, at)| write!(f, ", {node} leaves after {at:?}"))?;
        join.iter().try_for_each(|(via, at)| write!(f, ", one joins through {via} after {at:?}"))
    }
}

/// Lives through one world with a liar in it, with these settings.
#[must_use]
pub fn live_through(swim: &SwimConfig, seed: u64) -> Outcome {
    let course = Course::draw(Seed::new(seed).derive("liars", 0));
    let (low, high) = course.latency;
    let latency = Latency::Uniform(Duration::from_millis(low), Duration::from_millis(high));
    let config = WorldConfig { swim: swim.clone(), links: LinkModel::lan().with_latency(latency) };
    let mut world = EngineWorld::new(config.with_loss(course.loss), seed);
    world.start_joined(course.nodes);
    world.run_for(SETTLE);
    let began = world.now();
    let seen = world.trace().len();
    world.begin_to_lie(LIAR);
    let mut passed = Duration::ZERO;
    while passed < LIES {
        play(&mut world, &course, passed);
        world.run_for(STEP);
        passed += STEP;
    }
    let lies = world.lies();
    world.stop_lying();
    world.run_for(TRUTH);
    judge(&world, &course, (began, seen), swim, lies)
}

/// What is due in the tenth of a second that begins.
fn play(world: &mut EngineWorld, course: &Course, passed: Duration) {
    let due = |at: Duration| at >= passed && at < passed + STEP;
    if let Some((node, _)) = course.crash.filter(|(_, at)| due(*at)) {
        world.crash(node);
    }
    if let Some((node, at, span)) = course.pause {
        if due(at) {
            world.pause(node);
        } else if due(at + span) {
            world.resume(node);
        }
    }
    if let Some((node, _)) = course.leave.filter(|(_, at)| due(*at)) {
        world.leave(node);
    }
    if let Some((via, _)) = course.join.filter(|(_, at)| due(*at)) {
        world.start(course.nodes, &[via]);
    }
}

fn judge(
    world: &EngineWorld,
    course: &Course,
    (began, seen): (Instant, usize),
    swim: &SwimConfig,
    lies: u64,
) -> Outcome {
    let everybody = course.nodes + usize::from(course.join.is_some());
    let numbers: BTreeMap<NodeId, usize> = (0..everybody).map(|i| (name_of(i), i)).collect();
    let crashed = course.crash.map(|(node, at)| (node, began + at));
    let left = course.leave.map(|(node, _)| node);
    let mut outcome = Outcome { lies, ..Outcome::default() };
    let mut declared: BTreeMap<usize, Instant> = BTreeMap::new();
    let mut find = |what: String| outcome.findings.push(format!("{what} ({course})"));
    for reported in world.trace()[seen..].iter().filter(|reported| reported.by != LIAR) {
        let (by, at) = (reported.by, reported.at.since(began));
        if let EventKind::Conflict { node, .. } = &reported.kind {
            find(format!("{by} reports a conflict about {node} after {at:?}"));
            continue;
        }
        let Some(about) = reported.kind.member().and_then(|member| numbers.get(member.node()).copied()) else {
            continue;
        };
        let dead = crashed.filter(|(node, _)| *node == about).map(|(_, at)| at);
        match &reported.kind {
            EventKind::Suspected(..) if about != LIAR && dead.is_none() => outcome.suspicions += 1,
            EventKind::Failed(..) if about == LIAR => {}
            EventKind::Failed(..) => match dead {
                Some(dead) if reported.at >= dead + swim.budget.pause() => {
                    declared.entry(by).or_insert(reported.at);
                }
                Some(_) => find(format!("{by} declared {about} failed after {at:?}, too soon")),
                // Who has left may be taken for dead by whoever missed the farewell.
                None if left == Some(about) => {}
                None => find(format!("{by} declared {about} failed after {at:?}, which could answer")),
            },
            EventKind::Left(..) if about != LIAR && left != Some(about) => {
                find(format!("{by} held {about} to have left after {at:?}"));
            }
            _ => {}
        }
    }
    let honest = |node: usize| node != LIAR && left != Some(node) && crashed.is_none_or(|(dead, _)| dead != node);
    let honest: Vec<usize> = (0..everybody).filter(|node| honest(*node)).collect();
    for node in &honest {
        if world.has_lost_its_name(*node) {
            find(format!("{node} gave up its name"));
        }
        for about in honest.iter().filter(|about| *about != node) {
            let held = world.member(*node, *about).map(|member| member.state());
            if held != Some(State::Alive) {
                find(format!("{node} holds {about} to be {held:?} half a minute after the last lie"));
            }
        }
    }
    if let Some((dead, at)) = crashed {
        // Where few are left, a liar may say, as a helper, that it has heard whoever is dead.
        let gone_before = course.leave.is_some_and(|(_, left)| left < course.crash.map_or(left, |(_, at)| at) + LATE);
        let few = course.nodes - usize::from(gone_before) <= FEW;
        let judges = honest.iter().filter(|judge| !few && **judge < course.nodes);
        // A newcomer learns of it from the others, as they learnt of it.
        for judge in judges {
            let stopped = course.pause.filter(|(node, ..)| node == judge).map_or(Duration::ZERO, |(.., span)| span);
            let limit = swim.budget.total() * 2 + stopped + Duration::from_millis(3_500);
            match declared.get(judge) {
                Some(then) if *then <= at + limit => {}
                Some(then) => find(format!("{judge} declared {dead}, which had died, after {:?}", then.since(at))),
                None => find(format!("{judge} never declared {dead}, which had died")),
            }
        }
        outcome.declared_after = declared.values().max().map(|last| last.since(at));
    }
    outcome
}
