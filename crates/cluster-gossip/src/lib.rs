//! Membership: who is in the cluster and alive, decided by a pure core that somebody else drives.
#![doc = include_str!("../README.md")]

pub mod broadcast;
pub mod config;
pub mod plan;
pub mod registry;
pub mod swim;
pub mod wire;

pub use config::SwimConfig;
pub use plan::{ProbePlan, RingPlan};
pub use registry::{MemberTable, SharedNodeRegistry, Statement};
pub use swim::{Output, PeerInfo, RequestToken, Swim};
