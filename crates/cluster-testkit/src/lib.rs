//! Tests of whole clusters, repeatable to the last packet.
#![doc = include_str!("../README.md")]

pub mod engine_world;
pub mod measure;

pub use engine_world::{EngineWorld, WorldConfig};
