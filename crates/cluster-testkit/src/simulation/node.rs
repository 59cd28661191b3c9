//! A simulated machine as the system that runs on it, the nemesis and the invariants see it.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cluster_manager::{Cluster, ClusterBuilder, JoinError, JoinSeed, NodeId, StartError, WallClock};
use cluster_pool::Spawner;
use cluster_types::Seed;
use cluster_types::seed::Draws;

use crate::host::Values;
use crate::host::disk::Disk;
use crate::host::gate::Gate;
use crate::host::machine::Machine;
use crate::world::name_of;

/// One process on a simulated machine. Cheap to clone; clones are the same process.
///
/// A system gets it at each boot, before there is a cluster: it opens its files on [`disk`](Self::disk), makes its router, and
/// [starts](Self::start) its node with it.
#[derive(Debug, Clone)]
pub struct SimNode {
    pub(crate) machine: Machine,
    pub(crate) seeds: Vec<JoinSeed>,
    pub(crate) seed: Seed,
    pub(crate) tasks: Gate,
    pub(crate) exposed: Values,
}

/// Why a simulated node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The node was not started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It was started, and ended before it had joined.
    #[error(transparent)]
    Join(#[from] JoinError),
}

impl SimNode {
    /// Its number, from 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.machine.index
    }

    /// Which process of this machine it is, from 1.
    #[must_use]
    pub const fn boot(&self) -> u64 {
        self.machine.boots
    }

    /// The name of its node.
    #[must_use]
    pub fn name(&self) -> &NodeId {
        self.machine.credentials.name()
    }

    /// A node with this machine's credentials, settings and state file: give it a router, discoveries, other settings, and then
    /// [`start`](Self::start) it.
    #[must_use]
    pub fn builder(&self) -> ClusterBuilder {
        self.machine.builder()
    }

    /// Starts this process's node on the simulated machine, and joins through whom the schedule names and whom the state file remembers, for
    /// as long as it takes. The first node of a cluster has nobody to join through and is there at once.
    ///
    /// # Errors
    /// The node was not started, or ended before it had joined; see [`StartError`] and [`JoinError`].
    ///
    /// # Cancel safety
    /// Dropped while it joins, the node is there and alone.
    pub async fn start(&self, builder: ClusterBuilder) -> Result<Cluster, BootError> {
        let cluster = self.start_alone(builder)?;
        let mut seeds = self.seeds.clone();
        seeds.extend(cluster.remembered());
        if !seeds.is_empty() {
            cluster.join_patiently(seeds).await?;
        }
        Ok(cluster)
    }

    /// As [`start`](Self::start), without joining anybody.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start_alone(&self, builder: ClusterBuilder) -> Result<Cluster, StartError> {
        self.machine.start(builder)
    }

    /// Whom the schedule lets it join through.
    #[must_use]
    pub fn seeds(&self) -> &[JoinSeed] {
        &self.seeds
    }

    /// Its handle on the cluster.
    ///
    /// # Panics
    /// Its system has not started the node yet.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        let cluster = self.machine.cluster();
        cluster.unwrap_or_else(|| panic!("the system of node {} has not started its node yet", self.index()))
    }

    /// The other members that it holds to be alive or suspect, by name.
    #[must_use]
    pub fn peers(&self) -> Vec<NodeId> {
        let members = self.cluster().members().into_iter().filter(|member| member.state.is_live());
        members.map(|member| member.node).filter(|node| node != self.name()).collect()
    }

    /// Its disk: what is synced outlives the machine's crash.
    #[must_use]
    pub fn disk(&self) -> Disk {
        Disk::new(self.machine.disk.clone(), self.tasks.clone())
    }

    /// What its wall clock says: it follows virtual time unless it was set or drifts. For spans take `tokio::time::Instant`.
    #[must_use]
    pub fn clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.machine.wall_clock.unix_ms())
    }

    /// Draws that repeat with the seed: others for each purpose, each node and each boot, so that a draw more or less for one purpose moves
    /// no other.
    #[must_use]
    pub fn rng(&self, purpose: &str) -> Draws {
        self.seed.derive(purpose, 0).stream()
    }

    /// What [`rng`](Self::rng) draws from.
    #[must_use]
    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// Spawns a task that belongs to this node's process: it stops, goes on and dies with it, and a panic in it fails the seed.
    /// `tokio::spawn` would put it outside of every process, where a crash does not reach it; that is found at the end.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Spawner::spawn(&self.tasks, Box::pin(task));
    }

    /// Waits in virtual time.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Lets invariants and the nemesis see a value of this process: one of each type; the one before is forgotten. It is gone with the process.
    pub fn expose<T: Any + Send + Sync>(&self, value: T) {
        self.exposed.set(value);
    }

    /// What the system has [exposed](Self::expose) of this type.
    #[must_use]
    pub fn exposed<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.exposed.get()
    }

    /// What this world shares, as [`Simulation::sharing`](super::Simulation::sharing) makes it: among all processes, clients and checks, and with
    /// no other world.
    ///
    /// # Panics
    /// Nothing of this type is shared.
    #[must_use]
    pub fn shared<T: Any + Send + Sync>(&self) -> Arc<T> {
        shared(&self.machine.shared)
    }

    /// Writes a line into the trace.
    pub fn note(&self, text: &str) {
        self.machine.note(&format!("node {}: {text}", self.index()));
    }

    /// How many machines there are, whether they run or not.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.machine.size
    }

    /// The names of all nodes, by number, whether they run or not.
    #[must_use]
    pub fn names(&self) -> Vec<NodeId> {
        (0..self.size()).map(name_of).collect()
    }
}

pub(super) fn shared<T: Any + Send + Sync>(values: &Values) -> Arc<T> {
    let what = std::any::type_name::<T>();
    values
        .get()
        .unwrap_or_else(|| panic!("this simulation shares no {what}: `.sharing(|| ..)` makes one for each world"))
}

/// The nodes of a world that run, whether their systems have started them or not. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live(Arc<Mutex<BTreeMap<usize, SimNode>>>);

impl Live {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, SimNode>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, node: SimNode) {
        self.lock().insert(node.index(), node);
    }

    pub(crate) fn remove(&self, index: usize) {
        self.lock().remove(&index);
    }

    /// Those that have been started, by number.
    pub(crate) fn nodes(&self) -> Vec<SimNode> {
        self.lock().values().filter(|node| node.machine.cluster().is_some()).cloned().collect()
    }
}
