//! The machine under a node, as far as a node sees it: how it reaches its peers, where its tasks run, what day it is, and a
//! seed for its randomness. Production has one kind; a simulated world brings its own.

use std::fmt;
use std::sync::Arc;

use cluster_pool::{Resolver, RuntimeSpawner, Spawner, SystemResolver, Transport};

use crate::clock::SystemWallClock;
use crate::storage::{Storage, SystemStorage};

/// Says what day it is. Nothing is decided by differences of it: those are taken on the monotonic clock.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait WallClock: Send + Sync + fmt::Debug {
    /// Milliseconds since 1970.
    fn unix_ms(&self) -> u64;
}

/// What a node stands on.
#[derive(Debug, Clone)]
pub struct Host {
    /// How it reaches its peers.
    pub transport: Arc<dyn Transport>,
    /// Where its tasks run.
    pub spawner: Arc<dyn Spawner>,
    /// What day it is.
    pub wall_clock: Arc<dyn WallClock>,
    /// Where names are.
    pub resolver: Arc<dyn Resolver>,
    /// Where it keeps what must outlive it.
    pub storage: Arc<dyn Storage>,
    /// Seeds everything that the node draws: its life, its back-offs, its choices.
    pub seed: u64,
}

impl Host {
    /// A transport on this machine: tasks on the tokio runtime this is called in, the system's clock and randomness.
    ///
    /// # Errors
    /// The system has no randomness.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn system(transport: Arc<dyn Transport>) -> Result<Self, std::io::Error> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
        let (spawner, wall_clock) = (Arc::new(RuntimeSpawner::current()), Arc::new(SystemWallClock));
        let (resolver, storage) = (Arc::new(SystemResolver), Arc::new(SystemStorage));
        Ok(Self { transport, spawner, wall_clock, resolver, storage, seed: u64::from_le_bytes(bytes) })
    }
}
