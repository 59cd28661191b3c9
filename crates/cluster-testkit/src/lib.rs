//! Tests of whole clusters, repeatable to the last packet.
#![doc = include_str!("../README.md")]

pub mod assertions;
pub mod conformance;
mod host;
pub mod judge;
pub mod later;
pub mod liars;
pub mod links;
pub mod memory;
#[cfg(feature = "mocks")]
pub mod mocks;
pub mod net;
mod panics;
pub mod paths;
pub mod picture;
#[cfg(feature = "planted")]
pub mod planted;
pub mod play;
pub mod scenario;
pub mod shrink;
pub mod simulation;
pub mod trace;
pub mod world;

/// For the macros.
#[doc(hidden)]
pub use cluster_sites as __sites;
#[doc(hidden)]
pub use inventory as __inventory;

pub use host::disk::{Disk, DiskFile};
pub use links::{TestCluster, TestNode, TestServer, Wire};
pub use memory::{MemoryNet, MemoryTransport};
pub use net::LinkModel;
pub use paths::Paths;
pub use scenario::{Act, Level, Scenario};
pub use simulation::{End, Nemesis, SimClient, SimNode, Simulation};
pub use trace::Trace;
pub use world::engine::{EngineWorld, WorldConfig};
pub use world::loopback::LoopbackWorld;
pub use world::stack::{StackConfig, StackWorld};
pub use world::{Reported, World};
