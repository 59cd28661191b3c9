//! Pure judgement: from evidence and `now` to a verdict, a time-out or a delay.
#![doc = include_str!("../README.md")]

pub mod arrival;
pub mod awareness;
pub mod backoff;
pub mod breaker;
pub mod config;
pub mod detector;
pub mod gap;
pub mod gate;
mod normal;
pub mod phi;
pub mod rtt;
pub mod suspicion;

pub use arrival::ArrivalWindow;
pub use awareness::LocalHealth;
pub use backoff::{Backoff, BackoffConfig, Jitter};
pub use breaker::{BreakerConfig, BreakerState, CircuitBreaker};
pub use config::ConfigError;
pub use detector::{DeathWatch, FailureDetector, FixedTimeout};
pub use gap::GapRule;
pub use gate::DialGate;
pub use phi::PhiAccrualDetector;
pub use rtt::RttEstimator;
pub use suspicion::{Case, PauseBudget, Verdict, VoteRule, Votes};
