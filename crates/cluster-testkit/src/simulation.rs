//! A user's own system on simulated machines: what runs on each from its boot on, clients, faults, a nemesis, invariants, many seeds.

mod client;
mod environment;
mod failure;
mod nemesis;
mod node;
mod run;
mod seed_run;
mod system;
mod verify;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use cluster_manager::ClusterConfig;

use crate::host::Values;
use crate::net::LinkModel;
use crate::scenario::{Act, Scenario};
use crate::world::stack::Configure;

pub(crate) use client::ClientProgram;
pub use client::SimClient;
pub use environment::{
    DIR_VARIABLE, JOBS_VARIABLE, SCHEDULE_VARIABLE, SEED_VARIABLE, SHRINK_VARIABLE, VERIFY_VARIABLE,
};
pub use failure::Failure;
pub use nemesis::Nemesis;
pub(crate) use node::Live;
pub use node::{BootError, SimNode};
pub(crate) use system::System;
pub use system::WorkloadEnd;

use system::{Ending, ending, system};

/// Nothing has happened for so long in real time.
const LIVELOCK: Duration = Duration::from_secs(30);

/// Between an invariant and when it broke first.
const BROKEN_AT: &str = ": not at ";

type OfAll = Arc<dyn Fn(&[SimNode]) -> bool + Send + Sync>;
type OfEach = Arc<dyn Fn(&SimNode) -> bool + Send + Sync>;
type OfTheEnd = Arc<dyn Fn(&End) -> Result<(), String> + Send + Sync>;
type Share = Arc<dyn Fn(&Values) + Send + Sync>;
type NemesisProgram = Arc<dyn Fn(Nemesis) -> Ending + Send + Sync>;

/// What must hold of a system, in words and as a look at its nodes.
#[derive(Clone, Default)]
struct Checks {
    always: Vec<(String, OfAll)>,
    finally: Vec<(String, OfEach)>,
    at_the_end: Vec<(String, OfTheEnd)>,
}

/// A world at its end, before anybody is told to stop.
#[derive(Debug, Clone)]
pub struct End {
    nodes: Vec<SimNode>,
    shared: Values,
}

impl End {
    /// The nodes that run.
    #[must_use]
    pub fn nodes(&self) -> &[SimNode] {
        &self.nodes
    }

    /// What this world shares, as [`Simulation::sharing`] makes it.
    ///
    /// # Panics
    /// Nothing of this type is shared.
    #[must_use]
    pub fn shared<T: Any + Send + Sync>(&self) -> Arc<T> {
        node::shared(&self.shared)
    }
}

/// A test of a system built on the cluster: whole nodes over the simulated network, in virtual time.
///
/// Beside the invariants that it is given it holds the cluster to its own promises, as every scenario does: no verdict without
/// a cause, all agree at the end, nothing is left of a node that has stopped.
#[derive(Clone)]
pub struct Simulation {
    scenario: Scenario,
    seeds: Vec<u64>,
    configure: Option<Configure>,
    system: Option<System>,
    clients: Vec<ClientProgram>,
    nemesis: Option<(Range<Duration>, NemesisProgram)>,
    /// When each seed has faults of its own.
    swarm: Option<Range<Duration>>,
    /// Whether disks may also lie, and be lost.
    lying_disks: bool,
    shares: Vec<Share>,
    covering: bool,
    watchdog: Duration,
    checks: Checks,
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
        let mut scenario = Scenario::new(&failure::name_of_this()).cluster(nodes).then_quiet(Duration::from_secs(60));
        scenario.shuffled = true;
        Self {
            scenario,
            seeds: vec![0],
            configure: None,
            system: None,
            clients: Vec::new(),
            nemesis: None,
            swarm: None,
            lying_disks: false,
            shares: Vec::new(),
            covering: false,
            watchdog: LIVELOCK,
            checks: Checks::default(),
        }
    }

    /// What failures are written down under. Without it, the name of the test that makes the simulation, or of the program.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.scenario.name);
        self
    }

    /// Which seeds to run, each a world of its own. Several run at once.
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

    /// Lets the fabric's own code take unusual turns now and then, where it says that it may (`buggify!`): which, is drawn by each seed.
    #[must_use]
    pub const fn unusual_turns(mut self) -> Self {
        self.scenario.storm = true;
        self
    }

    /// Lets tasks that are ready run in the order in which they are woken. Without it the order is drawn from the seed.
    #[must_use]
    pub const fn in_order(mut self) -> Self {
        self.scenario.shuffled = false;
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
        self = self.until_after(during.end);
        self.swarm = Some(during);
        self
    }

    /// Lets a [swarm](Self::swarm) also have disks that are lost, say that they have what they have not, or tear what was synced. No replica alone
    /// survives these, and a majority of them need not.
    #[must_use]
    pub const fn lying_disks(mut self) -> Self {
        self.lying_disks = true;
        self
    }

    /// The end of a span is an act, too: what is quiet comes after it.
    fn until_after(self, end: Duration) -> Self {
        self.at(end, Act::Heal)
    }

    /// What runs on each machine, called at each boot: first it is alone with its [disk](SimNode::disk), then it makes its router, and
    /// [starts](SimNode::start) its node with it. It stops and dies with its machine. An `Err` or a panic fails the seed, in it, in what it spawns
    /// and in its handlers: there is nobody who starts it again. One that has not started its node by the end has failed, too. Once it has
    /// returned, its node stays a member.
    ///
    /// A handler that holds the `Cluster` of its own node keeps the node from ending: it is found as tasks that are left. Let it hand what it
    /// wants done to the system, over a channel.
    ///
    /// ```
    /// use cluster_manager::{Channel, Router};
    /// use cluster_pool::{Link, request_fn};
    /// use cluster_testkit::Simulation;
    ///
    /// Simulation::new(3)
    ///     .system(|node| async move {
    ///         let file = node.disk().open("boots").await?;
    ///         file.append(b"+").await?;
    ///         file.sync().await?;
    ///         let boots = bytes::Bytes::from(file.read().await?);
    ///         let answer = request_fn(move |_from: Link, _body| {
    ///             let boots = boots.clone();
    ///             async { Ok(boots) }
    ///         });
    ///         let router = Router::builder().on_request(Channel(1), answer).build()?;
    ///         let _cluster = node.start(node.builder().router(router)).await?;
    ///         Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    ///     })
    ///     .run();
    /// ```
    #[must_use]
    pub fn system<F, E>(mut self, run: impl Fn(SimNode) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = E> + Send + 'static,
        E: WorkloadEnd + 'static,
    {
        self.system = Some(system(run));
        self
    }

    /// As [`system`](Self::system), for what serves nobody: it is called when the node has joined.
    #[must_use]
    pub fn workload<F, E>(self, workload: impl Fn(SimNode) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = E> + Send + 'static,
        E: WorkloadEnd + 'static,
    {
        let workload = Arc::new(workload);
        self.system(move |node| {
            let workload = Arc::clone(&workload);
            async move {
                // An error means that the node has stopped: there is nothing to do any more.
                let Ok(_cluster) = node.start(node.builder()).await else { return None };
                Some(workload(node).await)
            }
        })
    }

    /// A program that is no member, from the world's beginning on: it finds the nodes by [`SimClient::hosts`], and is to end by itself. No
    /// fault befalls its machine. May be given more than once.
    #[must_use]
    pub fn client<F, E>(mut self, client: impl Fn(SimClient) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = E> + Send + 'static,
        E: WorkloadEnd + 'static,
    {
        let client = Arc::new(client);
        self.clients.push(Arc::new(move |sim| {
            let client = Arc::clone(&client);
            ending(move || client(sim))
        }));
        self
    }

    /// A program that sees the nodes and does to them what it likes, within a span; there is one. At its end it is dropped, every path is healed, what is
    /// stopped goes on, and what has crashed boots again.
    #[must_use]
    pub fn nemesis<F, E>(
        mut self,
        during: Range<Duration>,
        nemesis: impl Fn(Nemesis) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = E> + Send + 'static,
        E: WorkloadEnd + 'static,
    {
        self = self.until_after(during.end);
        let nemesis = Arc::new(nemesis);
        let program: NemesisProgram = Arc::new(move |hands| {
            let nemesis = Arc::clone(&nemesis);
            ending(move || nemesis(hands))
        });
        self.nemesis = Some((during, program));
        self
    }

    /// Gives each world a value of its own, which its systems, clients, nemesis and checks [share](SimNode::shared): a history of what was
    /// asked and answered, for instance. What a closure captures would be shared by all seeds, which run at once.
    #[must_use]
    pub fn sharing<T: Any + Send + Sync>(mut self, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        self.shares.push(Arc::new(move |values| values.set(make())));
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

    /// Lets a node's machine go down, and boot again after a while; it joins through the node after it.
    #[must_use]
    pub fn restart(self, during: Range<Duration>, node: usize) -> Self {
        let again = nemesis::start_again(node, self.scenario.nodes());
        self.at(during.start, Act::Crash(node)).at(during.end, again)
    }

    /// Must hold at all times, of the nodes that run, looked at every 100 ms.
    #[must_use]
    pub fn invariant(mut self, name: &str, holds: impl Fn(&[SimNode]) -> bool + Send + Sync + 'static) -> Self {
        self.checks.always.push((name.to_owned(), Arc::new(holds)));
        self
    }

    /// Must hold at the end, of each node that runs.
    #[must_use]
    pub fn finally(mut self, name: &str, holds: impl Fn(&SimNode) -> bool + Send + Sync + 'static) -> Self {
        self.checks.finally.push((name.to_owned(), Arc::new(holds)));
        self
    }

    /// Must hold at the end, of all nodes that run and of what the world [shares](Self::sharing); an error says in words what does not.
    #[must_use]
    pub fn at_the_end(
        mut self,
        name: &str,
        holds: impl Fn(&End) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.at_the_end.push((name.to_owned(), Arc::new(holds)));
        self
    }

    /// What is done in a seed, but for what a nemesis will do.
    fn schedule(&self, seed: u64) -> Scenario {
        let mut scenario = self.scenario.clone();
        if let Some(during) = &self.swarm {
            scenario = scenario.with_swarm(seed, during.clone());
            // Its end is one act, whoever has said so.
            scenario.steps.dedup();
        }
        if self.system.is_some() {
            // What only the worlds' own nodes understand is not sent to a user's.
            scenario.steps.retain(|step| !step.act.needs_our_handlers());
            if !self.lying_disks {
                scenario.steps.retain(|step| !step.act.betrays_a_disk());
            }
        }
        scenario
    }
}
