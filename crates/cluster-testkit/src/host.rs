//! One machine of a stack world: its address, its certificate, its wall clock, and the process that runs on it.

pub(crate) mod disk;
pub(crate) mod gate;
pub(crate) mod machine;

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster_manager::{Cluster, Credentials, NodeId, WallClock};
use cluster_types::Life;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::world::ORIGIN_UNIX_MS;
use crate::world::stack::numbers::Stops;
use disk::SimDisk;
use gate::Gate;
use machine::Machine;

/// A wall clock that follows virtual time, and can be set.
#[derive(Debug)]
pub(crate) struct SimWallClock {
    /// Whose time it follows, also where it is read from outside of it.
    runtime: Handle,
    origin: Instant,
    set_by_ms: AtomicI64,
    drift_ppm: AtomicI64,
}

impl SimWallClock {
    pub(crate) const fn new(runtime: Handle, origin: Instant) -> Self {
        Self { runtime, origin, set_by_ms: AtomicI64::new(0), drift_ppm: AtomicI64::new(0) }
    }

    pub(crate) fn step(&self, by_ms: i64) {
        self.set_by_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Runs so much faster from now on, in parts in a million. What it says now it goes on from.
    pub(crate) fn drift(&self, ppm: i64) {
        let gained = self.gained_ms();
        self.drift_ppm.store(ppm, Ordering::Relaxed);
        self.step(gained - self.gained_ms());
    }

    fn passed_ms(&self) -> u64 {
        let _entered = self.runtime.enter();
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What it has gained by running fast.
    fn gained_ms(&self) -> i64 {
        let passed = i64::try_from(self.passed_ms()).unwrap_or(i64::MAX);
        passed.saturating_mul(self.drift_ppm.load(Ordering::Relaxed)) / 1_000_000
    }
}

impl WallClock for SimWallClock {
    fn unix_ms(&self) -> u64 {
        let wrong_by = self.set_by_ms.load(Ordering::Relaxed) + self.gained_ms();
        (ORIGIN_UNIX_MS + self.passed_ms()).saturating_add_signed(wrong_by)
    }
}

/// One value of each type. Clones are the same values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values(Arc<Mutex<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl Values {
    pub(crate) fn set<T: Any + Send + Sync>(&self, value: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(TypeId::of::<T>(), Arc::new(value));
    }

    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<T>())?).downcast().ok()
    }
}

/// A process on a host.
#[derive(Debug)]
pub(crate) struct Process {
    /// What it stands on, and the node that it has started, if it has.
    pub(crate) machine: Machine,
    /// What its system lets be seen of it.
    pub(crate) exposed: Values,
    /// Whether it was told to stop: what its system says after that is no mistake.
    pub(crate) told_to_stop: Arc<AtomicBool>,
    /// Everything of the node: endpoint, loop, links.
    pub(crate) node: Gate,
    /// What the world does on it as its owner: joins it, tells it to stop, sends what is to be transferred.
    pub(crate) application: Gate,
    /// The user's own tasks.
    pub(crate) workload: Gate,
    /// Listens to its events for the world; not part of it.
    pub(crate) observer: Gate,
}

impl Process {
    /// The node that it has started, if it has.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.machine.cluster()
    }

    pub(crate) fn kill(&self) {
        [&self.workload, &self.application, &self.node, &self.observer].into_iter().for_each(Gate::kill);
    }
}

/// The lives of a host's processes so far, in order. Clones are the same list.
pub(crate) type Lives = Arc<Mutex<Vec<Life>>>;

#[derive(Debug)]
pub(crate) struct SimHost {
    pub(crate) name: NodeId,
    pub(crate) addr: SocketAddr,
    /// They outlive the process, as files would.
    pub(crate) credentials: Credentials,
    pub(crate) wall_clock: Arc<SimWallClock>,
    pub(crate) disk: SimDisk,
    /// `None` before the first and after the last process.
    pub(crate) process: Option<Process>,
    /// Processes so far.
    pub(crate) boots: u64,
    /// Their lives.
    pub(crate) lives: Lives,
    /// Whether the process was told to stop.
    pub(crate) stopping: bool,
    /// When the last process ended or was told to, since the world's origin.
    pub(crate) ended: Option<Duration>,
    /// How often the loop of the process was stopped.
    pub(crate) stops: Stops,
}

impl SimHost {
    /// The wall clock in the form that certificates are judged by.
    pub(crate) fn unix_time(&self) -> cluster_manager::pool::quic::UnixTime {
        let clock = Arc::clone(&self.wall_clock);
        Arc::new(move || Duration::from_millis(clock.unix_ms()))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// The process, if there is one that was not told to stop.
    pub(crate) fn running(&self) -> Option<&Process> {
        self.process.as_ref().filter(|_| !self.stopping)
    }
}
