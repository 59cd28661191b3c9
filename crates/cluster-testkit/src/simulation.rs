//! A user's own system on simulated nodes: a workload on each, faults at times, invariants, many seeds.

mod workload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use cluster_manager::ClusterConfig;
use cluster_pool::StreamHandler;

use crate::assertions::{Seen, catalogue, take_broken_here};
use crate::judge::{Finding, check_all};
use crate::net::LinkModel;
use crate::play::stack_config;
use crate::scenario::{Act, Scenario};
use crate::trace::Trace;
use crate::world::World;
use crate::world::stack::{Configure, Serve, StackConfig, StackWorld};

pub use workload::{SimNode, WorkloadEnd};
pub(crate) use workload::{Workload, boxed};

/// Set to a number, a simulation runs exactly that seed.
pub const SEED_VARIABLE: &str = "SIMULATION_SEED";

/// How often invariants are looked at, in virtual time.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often the end of a seed is looked for, in real time.
const LOOK_AT_THREAD: Duration = Duration::from_millis(2);

/// Nothing has happened for so long in real time.
const LIVELOCK: Duration = Duration::from_secs(30);

/// Between an invariant and when it broke first.
const BROKEN_AT: &str = ": not at ";

type OfAll = Arc<dyn Fn(&[SimNode]) -> bool + Send + Sync>;
type OfEach = Arc<dyn Fn(&SimNode) -> bool + Send + Sync>;

/// A test of a system built on the cluster: whole nodes over the simulated network, in virtual time.
///
/// Beside the invariants that it is given it holds the cluster to its own promises, as every scenario does: no verdict without
/// a cause, all agree at the end, nothing is left of a node that has stopped.
#[derive(Clone)]
pub struct Simulation {
    scenario: Scenario,
    seeds: Vec<u64>,
    configure: Option<Configure>,
    serve: Option<Serve>,
    workload: Option<Workload>,
    /// When each seed has faults of its own.
    swarm: Option<Range<Duration>>,
    covering: bool,
    watchdog: Duration,
    always: Vec<(String, OfAll)>,
    finally: Vec<(String, OfEach)>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("scenario", &self.scenario)
            .field("seeds", &self.seeds)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// So many nodes on a faultless local network, joining through the first, for a minute and one seed.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        let scenario = Scenario::new("simulation").cluster(nodes).then_quiet(Duration::from_secs(60));
        Self {
            scenario,
            seeds: vec![0],
            configure: None,
            serve: None,
            workload: None,
            swarm: None,
            covering: false,
            watchdog: LIVELOCK,
            always: Vec::new(),
            finally: Vec::new(),
        }
    }

    /// Which seeds to run, each a world of its own.
    #[must_use]
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = u64>) -> Self {
        self.seeds = seeds.into_iter().collect();
        self
    }

    /// How long the world goes on after the last act.
    #[must_use]
    pub fn then_quiet(mut self, span: Duration) -> Self {
        let last = self.scenario.steps.last().map_or(0, |step| step.at_ms);
        self.scenario.until_ms = last;
        self.scenario = self.scenario.then_quiet(span);
        self
    }

    /// The paths between the nodes.
    #[must_use]
    pub fn over(mut self, links: LinkModel) -> Self {
        self.scenario.links = links;
        self
    }

    /// Changes the settings of every node.
    #[must_use]
    pub fn configure(mut self, change: impl Fn(&mut ClusterConfig) + Send + Sync + 'static) -> Self {
        self.configure = Some(Arc::new(change));
        self
    }

    /// Lets each seed have faults of its own within a span: which kinds, of whom and when is drawn (swarm testing). At the end of the span
    /// everything is healed; what comes after is quiet, as [`then_quiet`](Self::then_quiet) says.
    #[must_use]
    pub fn swarm(mut self, during: Range<Duration>) -> Self {
        // The end of the span is an act, too: what is quiet comes after it.
        self.scenario = self.scenario.at(during.end, Act::Heal).then_quiet(Duration::from_secs(60));
        self.swarm = Some(during);
        self
    }

    /// What is done in a seed.
    fn schedule(&self, seed: u64) -> Scenario {
        let scenario = self.scenario.clone();
        match &self.swarm {
            Some(during) => scenario.with_swarm(seed, during.clone()),
            None => scenario,
        }
    }

    /// What serves the streams that members open to a node, given the node's number.
    #[must_use]
    pub fn serve(mut self, make: impl Fn(usize) -> Arc<dyn StreamHandler> + Send + Sync + 'static) -> Self {
        self.serve = Some(Arc::new(make));
        self
    }

    /// Fails when a `sometimes!`, `reachable!` or `always!` of this program was hit by no seed. Sites count for a whole process:
    /// have one such test a process, as nextest does, or one a test binary.
    #[must_use]
    pub const fn covering(mut self) -> Self {
        self.covering = true;
        self
    }

    /// How long, in real time, nothing may happen before a seed has failed: a task that spins lets no virtual time pass. Default
    /// 30 s. The spinning thread stays until the process ends.
    #[must_use]
    pub const fn watchdog(mut self, patience: Duration) -> Self {
        self.watchdog = patience;
        self
    }

    /// What runs on each node, from the moment at which it has joined; anew after a restart. It stops and dies with its node.
    /// An `Err` or a panic fails the seed.
    #[must_use]
    pub fn workload<F, E>(mut self, workload: impl Fn(SimNode) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = E> + Send + 'static,
        E: WorkloadEnd,
    {
        self.workload = Some(boxed(workload));
        self
    }

    /// Does something to the world at a time.
    #[must_use]
    pub fn at(mut self, at: Duration, act: Act) -> Self {
        let after = self.scenario.until_ms - self.scenario.steps.last().map_or(0, |step| step.at_ms);
        self.scenario = self.scenario.at(at, act);
        self.then_quiet(Duration::from_millis(after))
    }

    /// Cuts two groups of nodes off from each other for a while. Every cut is mended at its end.
    #[must_use]
    pub fn split(
        self,
        during: Range<Duration>,
        left: impl IntoIterator<Item = usize>,
        right: impl IntoIterator<Item = usize>,
    ) -> Self {
        let split = Act::Split(left.into_iter().collect(), right.into_iter().collect());
        self.at(during.start, split).at(during.end, Act::Heal)
    }

    /// Stops a node's process for a while.
    #[must_use]
    pub fn pause(self, during: Range<Duration>, node: usize) -> Self {
        self.at(during.start, Act::Pause(node)).at(during.end, Act::Resume(node))
    }

    /// Kills a node's process, and starts it anew after a while, through the node after it.
    #[must_use]
    pub fn restart(self, during: Range<Duration>, node: usize) -> Self {
        // Alone, it has nobody to join through.
        let seeds = (0..self.scenario.nodes()).cycle().skip(node + 1).take(1).filter(|seed| *seed != node).collect();
        self.at(during.start, Act::Crash(node)).at(during.end, Act::Start { node, seeds })
    }

    /// Must hold at all times, of the nodes that run, looked at every 100 ms.
    #[must_use]
    pub fn invariant(mut self, name: &str, holds: impl Fn(&[SimNode]) -> bool + Send + Sync + 'static) -> Self {
        self.always.push((name.to_owned(), Arc::new(holds)));
        self
    }

    /// Must hold at the end, of each node that runs.
    #[must_use]
    pub fn finally(mut self, name: &str, holds: impl Fn(&SimNode) -> bool + Send + Sync + 'static) -> Self {
        self.finally.push((name.to_owned(), Arc::new(holds)));
        self
    }

    /// Runs every seed, or the one that the environment variable `SIMULATION_SEED` names.
    ///
    /// # Panics
    /// A seed broke a promise: with all it broke, the schedule, and how to run it again.
    pub fn run(&self) {
        if let Err(failure) = self.try_run() {
            panic!("{failure}");
        }
    }

    /// As [`run`](Self::run).
    ///
    /// # Errors
    /// The first seed that broke a promise; or the schedule cannot be played; or, [`covering`](Self::covering), a site was missed.
    ///
    /// # Panics
    /// A check of the caller's panicked, or `SIMULATION_SEED` is no number.
    pub fn try_run(&self) -> Result<(), Box<Failure>> {
        let only = std::env::var(SEED_VARIABLE).ok();
        let only =
            only.map(|text| text.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE} is {text:?}: give a number")));
        let seeds = only.map_or_else(|| self.seeds.clone(), |seed| vec![seed]);
        let failed = |seed, findings| Err(Box::new(Failure { seed, findings, scenario: self.schedule(seed) }));
        if seeds.is_empty() {
            return failed(0, vec![Finding::new("the schedule can be played", "there are no seeds".into())]);
        }
        if let Err(what) = self.schedule(seeds[0]).check() {
            return failed(seeds[0], vec![Finding::new("the schedule can be played", what)]);
        }
        for &seed in &seeds {
            let findings = self.run_apart(seed);
            if !findings.is_empty() {
                return failed(seed, findings);
            }
        }
        let missed = if self.covering && only.is_none() { missed() } else { Vec::new() };
        if missed.is_empty() { Ok(()) } else { failed(seeds[0], missed) }
    }

    /// Runs a seed on a thread of its own: nothing that another seed left in this one's locals can touch it, and one that spins
    /// can be told of.
    fn run_apart(&self, seed: u64) -> Vec<Finding> {
        let (this, trace) = (self.clone(), Trace::default());
        let (watched, running) = (trace.clone(), std::thread::spawn(move || this.run_seed(seed, trace)));
        let mut before = None;
        let mut still = Duration::ZERO;
        while !running.is_finished() {
            // The thread that is joined below unparks nobody: this is the rate at which its end is noticed.
            std::thread::park_timeout(LOOK_AT_THREAD);
            let now = (watched.events(), watched.last_at());
            still = if before == Some(now) { still + LOOK_AT_THREAD } else { Duration::ZERO };
            before = Some(now);
            if still >= self.watchdog {
                let what =
                    format!("nothing has happened for {still:?} since {:?}: a task spins, or waits outside", now.1);
                return vec![Finding::new("livelock", what)];
            }
        }
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn run_seed(&self, seed: u64, trace: Trace) -> Vec<Finding> {
        // What broke before on this thread is no seed's.
        drop(take_broken_here());
        let scenario = self.schedule(seed);
        let (configure, serve) = (self.configure.clone(), self.serve.clone());
        let config = StackConfig { configure, serve, ..stack_config(&scenario) };
        let mut settings = ClusterConfig::new(config.profile);
        self.configure.iter().for_each(|change| change(&mut settings));
        let mut world = StackWorld::with_trace(config, seed, trace);
        if let Some(workload) = &self.workload {
            world.set_workload(Arc::clone(workload));
        }
        let mut findings = Vec::new();
        for step in &scenario.steps {
            self.pass_until(&mut world, step.at_ms, &mut findings);
            world.act(&step.act);
        }
        self.pass_until(&mut world, scenario.until_ms, &mut findings);
        world.end_workloads();
        for (name, holds) in &self.finally {
            for node in world.nodes().iter().filter(|node| !holds(node)) {
                let what = format!("not of node {}: {name}", node.index());
                findings.push(Finding::new("finally", what));
            }
        }
        findings.extend(check_all(&scenario, &world, settings.swim.budget.total()));
        findings.extend(world.stop_all().into_iter().map(|what| Finding::new("nothing is left", what)));
        findings.extend(
            take_broken_here()
                .into_iter()
                .map(|(name, place, times)| Finding::new("always", format!("{name} ({place}), {times} times not"))),
        );
        // What went wrong in the workload explains the rest: it goes first.
        let errors = world.workload_errors().into_iter().map(|what| Finding::new("the workload", what));
        errors.chain(findings).collect()
    }

    /// Lets time pass, looking at the invariants.
    fn pass_until(&self, world: &mut StackWorld, until_ms: u64, findings: &mut Vec<Finding>) {
        let until = Duration::from_millis(until_ms);
        loop {
            let left = until.saturating_sub(world.now().since_origin());
            if left.is_zero() {
                return;
            }
            world.run_for(if self.always.is_empty() { left } else { left.min(LOOK_EVERY) });
            for (name, holds) in &self.always {
                let known =
                    |f: &Finding| f.what.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(BROKEN_AT));
                if !findings.iter().any(known) && !holds(&world.nodes()) {
                    let what = format!("{name}{BROKEN_AT}{:?}", world.now().since_origin());
                    findings.push(Finding::new("invariant", what));
                }
            }
        }
    }
}

/// Sites of the caller's own that nothing has hit.
fn missed() -> Vec<Finding> {
    let missed = catalogue().into_iter().filter(|seen| !seen.is_ours() && seen.hits == 0);
    missed.map(|Seen { name, place, .. }| Finding::new("missed by all seeds", format!("{name} ({place})"))).collect()
}

/// A seed that broke a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Every promise it broke; the workload's own errors first.
    pub findings: Vec<Finding>,
    /// What was done when.
    pub scenario: Scenario,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} broke {} promises:", self.seed, self.findings.len())?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"))?;
        writeln!(f, "what was done:")?;
        for step in &self.scenario.steps {
            writeln!(f, "  {:>9.3} s  {:?}", step.at_ms as f64 / 1_000.0, step.act)?;
        }
        write!(f, "to run it again: {SEED_VARIABLE}={} cargo test ...", self.seed)
    }
}

impl std::error::Error for Failure {}
