//! Tests of whole clusters, repeatable to the last packet.
#![doc = include_str!("../README.md")]

pub mod engine_world;
pub mod measure;
pub mod net;
pub mod stack_world;
pub mod trace;

pub use engine_world::{EngineWorld, Reported, WorldConfig};
pub use net::LinkModel;
pub use stack_world::{StackConfig, StackWorld};
pub use trace::Trace;
