//! Membership: who is in the cluster and alive, decided by a pure core that somebody else drives.
#![doc = include_str!("../README.md")]

pub mod broadcast;
pub mod config;
mod digest;
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod plan;
#[cfg_attr(not(feature = "planted"), doc(hidden))]
pub mod planted;
pub mod registry;
pub mod seal;
#[doc(hidden)]
pub mod sites;
mod slots;
pub mod swim;
pub mod user_news;
pub mod wire;

pub use config::{PlanKind, SwimConfig};
pub use health::{HealthChecker, HealthConfig};
pub use plan::{ProbePlan, RingPlan, RoundRobinPlan};
pub use registry::{MemberTable, SharedNodeRegistry, Statement};
pub use seal::{NoSeal, Seal};
pub use swim::{Grounds, Output, PeerInfo, Probing, RequestToken, Swim, SwimStats};
pub use user_news::{Broadcast, BroadcastError};
