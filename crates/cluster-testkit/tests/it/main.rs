//! Whole clusters in simulated worlds.

mod engine;
