//! Tests of whole clusters, repeatable to the last packet.
#![doc = include_str!("../README.md")]

pub mod assertions;
pub mod conformance;
pub mod engine_world;
pub mod links;
pub mod loopback_world;
pub mod measure;
pub mod memory;
#[cfg(feature = "mocks")]
pub mod mocks;
pub mod net;
mod panics;
pub mod paths;
#[cfg(feature = "planted")]
pub mod planted;
pub mod scenario;
pub mod simulation;
pub mod stack_world;
pub mod trace;

/// For the macros.
#[doc(hidden)]
pub use inventory as __inventory;

pub use engine_world::{EngineWorld, Reported, WorldConfig};
pub use links::{TestCluster, TestNode, TestServer, Wire};
pub use loopback_world::LoopbackWorld;
pub use memory::{MemoryNet, MemoryTransport};
pub use net::LinkModel;
pub use paths::Paths;
pub use scenario::{Act, Level, Scenario};
pub use simulation::{SimNode, Simulation};
pub use stack_world::{StackConfig, StackWorld};
pub use trace::Trace;
