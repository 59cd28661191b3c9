//! Whole clusters in simulated worlds.

mod clients;
mod engine;
mod levels;
#[cfg(feature = "mocks")]
mod mocked;
#[cfg(feature = "mocks")]
mod mocked_manager;
mod ping_pong;
mod planted;
mod planted_stack;
mod regressions;
mod silence;
mod simulation;
mod stack;
mod storm;
mod transports;
mod versions;
