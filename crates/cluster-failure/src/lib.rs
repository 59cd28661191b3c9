//! Pure judgement: from evidence and `now` to a verdict, a time-out or a delay.
#![doc = include_str!("../README.md")]

pub mod awareness;
pub mod backoff;
pub mod config;
pub mod gap;
pub mod rtt;
pub mod suspicion;

pub use awareness::LocalHealth;
pub use backoff::{Backoff, BackoffConfig, Jitter};
pub use config::ConfigError;
pub use gap::GapRule;
pub use rtt::RttEstimator;
pub use suspicion::{Case, PauseBudget, Verdict, Votes};
