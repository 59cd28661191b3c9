//! Playing a scenario.

use std::sync::Arc;
use std::time::Duration;

use cluster_gossip::SwimConfig;
use cluster_manager::{ClusterConfig, Profile};
use cluster_types::{Accusation, EventKind};

use crate::judge::{Finding, check_all};
use crate::scenario::{Level, Saved, Scenario};
use crate::world::engine::{EngineWorld, WorldConfig};
use crate::world::loopback::LoopbackWorld;
use crate::world::stack::{Configure, StackConfig, StackWorld};
use crate::world::{Reported, World};
use crate::{Trace, reachable, sometimes};

/// What came of a scenario.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Promises that were broken; none is good.
    pub findings: Vec<Finding>,
    /// Hash of the trace.
    pub hash: u128,
    /// Events in the trace.
    pub events: u64,
    /// Everything that was reported.
    pub reports: Vec<Reported>,
    /// How the links of the users were at the end, in words: state, queue, counts of each peer.
    pub peers: Vec<String>,
    /// How much time passed in the world.
    pub span: Duration,
    /// Acts that this level cannot do, and left out.
    pub left_out: usize,
}

impl Outcome {
    /// Of a run that was not played to its end.
    pub(crate) fn broken(findings: Vec<Finding>, trace: &Trace) -> Self {
        let (hash, events, span) = (trace.hash(), trace.events(), trace.last_at());
        Self { findings, hash, events, reports: Vec::new(), peers: Vec::new(), span, left_out: 0 }
    }
}

/// Plays a scenario at a level and checks everything.
#[must_use]
pub fn run(scenario: &Scenario, level: Level, seed: u64) -> Outcome {
    run_traced(scenario, level, seed, Trace::default())
}

/// As [`run`], with a trace of the caller (of the packets, too, at L1).
#[must_use]
pub fn run_traced(scenario: &Scenario, level: Level, seed: u64, trace: Trace) -> Outcome {
    run_configured(scenario, level, seed, trace, None)
}

/// As [`run_traced`], with the settings of every node changed. The engine's world has those of the core only, and that of loopback
/// has those of its profile.
#[must_use]
pub fn run_configured(
    scenario: &Scenario,
    level: Level,
    seed: u64,
    trace: Trace,
    configure: Option<Configure>,
) -> Outcome {
    match level {
        Level::L0 => {
            let mut config = ClusterConfig::new(Profile::Lan);
            configure.iter().for_each(|change| change(&mut config));
            let _storm = scenario.storm.then(|| cluster_sites::storm(seed));
            let world = WorldConfig { swim: config.swim, links: scenario.links.clone() };
            play(scenario, EngineWorld::new(world, seed))
        }
        Level::L1 => play(scenario, StackWorld::with_trace(stack_config(scenario, configure), seed, trace)),
        Level::L2 => play(scenario, LoopbackWorld::new(Profile::Lan)),
    }
}

/// What is sent last must have an end before the world's own: the time to live of a message, and the time after which its link is known to
/// be dead.
const TRAFFIC_ENDS_BEFORE: Duration = Duration::from_secs(25);

/// A whole stack on the scenario's links, within its limits. `configure` changes the settings of every node further.
#[must_use]
pub fn stack_config(scenario: &Scenario, configure: Option<Configure>) -> StackConfig {
    let until = Duration::from_millis(scenario.until_ms).saturating_sub(TRAFFIC_ENDS_BEFORE);
    let traffic = scenario.traffic.then_some(until);
    let Scenario { links, storm, shuffled, names, limits, .. } = scenario.clone();
    let handling = limits.handling();
    let both: Configure = Arc::new(move |config: &mut ClusterConfig| {
        limits.apply(config);
        configure.iter().for_each(|change| change(config));
    });
    let configure = Some(both);
    StackConfig { link: links, traffic, storm, shuffled, names, handling, configure, ..StackConfig::default() }
}

/// What seeds should show between them.
pub(crate) fn note_sites(reports: &[Reported]) {
    let mut suspected = std::collections::BTreeSet::new();
    for Reported { by, kind, .. } in reports {
        let about = kind.node().map(|node| (*by, node.clone()));
        match kind {
            EventKind::Suspected(_, evidence) => {
                sometimes!(
                    evidence.accusation == Accusation::ProbeUnanswered,
                    "a node suspects another after a probe of its own"
                );
                sometimes!(evidence.accusation == Accusation::Gossip, "a suspicion is heard from another");
                suspected.insert(about);
            }
            EventKind::Failed(..) => {
                suspected.remove(&about);
                reachable!("a member is declared failed");
            }
            EventKind::Alive(_) => {
                let refuted = suspected.remove(&about);
                sometimes!(refuted, "a suspicion is refuted");
                sometimes!(!refuted, "a member that had failed or left is back");
            }
            EventKind::Left(_) => reachable!("a member leaves"),
            EventKind::Merged { members } => sometimes!(*members > 1, "several members are back together"),
            EventKind::HealthCheckFailed { .. } => reachable!("a member is overdue"),
            EventKind::LinkDown { .. } => reachable!("a control link goes down"),
            EventKind::JoinFailed { .. } => reachable!("a seed cannot be joined through"),
            _ => {}
        }
    }
}

/// Plays a scenario on a world of the caller's making, which must be empty, and checks everything.
#[must_use]
pub fn play(scenario: &Scenario, mut stage: impl World) -> Outcome {
    if let Err(what) = scenario.check() {
        let findings = vec![Finding::new("the schedule can be played", what)];
        let (hash, events) = stage.trace_hash();
        return Outcome {
            findings,
            hash,
            events,
            reports: Vec::new(),
            peers: Vec::new(),
            span: Duration::ZERO,
            left_out: 0,
        };
    }
    let mut left_out = 0;
    for step in &scenario.steps {
        let at = Duration::from_millis(step.at_ms);
        stage.run_for(at.saturating_sub(stage.now().since_origin()));
        left_out += usize::from(!stage.act(&step.act));
    }
    let until = Duration::from_millis(scenario.until_ms);
    stage.run_for(until.saturating_sub(stage.now().since_origin()));
    let mut findings = check_all(scenario, &stage, SwimConfig::lan().budget.total());
    let reports = stage.reports();
    note_sites(&reports);
    let peers = stage.peer_reports();
    let left = stage.finish();
    findings.extend(left.into_iter().map(|what| Finding::new("nothing is left", what)));
    let (hash, events) = stage.trace_hash();
    Outcome { findings, hash, events, reports, peers, span: stage.now().since_origin(), left_out }
}

impl Saved {
    /// Plays it.
    #[must_use]
    pub fn play(&self) -> Outcome {
        run(&self.scenario, self.level, self.seed)
    }
}
