//! Whole clusters in simulated worlds.

mod breaker;
mod clients;
mod engine;
mod events;
mod interleaved;
mod levels;
mod liars;
#[cfg(feature = "mocks")]
mod mocked;
#[cfg(feature = "mocks")]
mod mocked_connections;
#[cfg(feature = "mocks")]
mod mocked_gossip;
#[cfg(feature = "mocks")]
mod mocked_manager;
mod ping_pong;
mod planted;
#[cfg(feature = "planted")]
mod planted_stack;
mod regressions;
mod silence;
mod simulation;
mod stack;
mod storm;
mod systems;
mod transports;
mod versions;
mod worst;
