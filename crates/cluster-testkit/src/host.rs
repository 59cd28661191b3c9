//! One machine of a stack world: its address, its certificate, its wall clock, and the process that runs on it.

pub(crate) mod disk;
pub(crate) mod gate;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_manager::{Cluster, Credentials, NodeId, WallClock};
use cluster_types::Life;
use tokio::time::Instant;

use crate::world::stack::numbers::Stops;
use crate::world::{ORIGIN_UNIX_MS, Subscriber};
use disk::SimDisk;
use gate::Gate;

/// A wall clock that follows virtual time, and can be set.
#[derive(Debug)]
pub(crate) struct SimWallClock {
    origin: Instant,
    set_by_ms: AtomicI64,
    drift_ppm: AtomicI64,
}

impl SimWallClock {
    pub(crate) const fn new(origin: Instant) -> Self {
        Self { origin, set_by_ms: AtomicI64::new(0), drift_ppm: AtomicI64::new(0) }
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

/// A process on a host.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) cluster: Cluster,
    /// Everything of the node: endpoint, loop, links.
    pub(crate) node: Gate,
    /// What the world does on it as its owner: joins it, tells it to stop, sends what is to be transferred.
    pub(crate) application: Gate,
    /// The user's own tasks.
    pub(crate) workload: Gate,
    /// Listens to its events for the world; not part of it.
    pub(crate) observer: Gate,
    /// What the world's own subscriber makes of its events.
    pub(crate) subscriber: Arc<Mutex<Subscriber>>,
}

impl Process {
    pub(crate) fn kill(&self) {
        [&self.workload, &self.application, &self.node, &self.observer].into_iter().for_each(Gate::kill);
    }
}

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
    pub(crate) lives: Vec<Life>,
    /// Whether the process was told to stop.
    pub(crate) stopping: bool,
    /// When the last process ended or was told to, since the world's origin.
    pub(crate) ended: Option<Duration>,
    /// How often the loop of the process was stopped.
    pub(crate) stops: Stops,
    /// The incarnation it began with.
    pub(crate) first: Option<u64>,
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
