//! Whole clusters in simulated worlds.

mod engine;
mod planted;
mod stack;
