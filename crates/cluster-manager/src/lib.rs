//! The assembly: membership and links behind one handle.
#![doc = include_str!("../README.md")]

mod certificate;
mod clock;
pub mod cluster;
pub mod config;
pub mod discovery;
mod driver;
pub mod engine;
mod error;
pub mod explain;
pub mod health;
pub mod host;
mod join;
mod link_plan;
mod memory;
pub mod metrics;
mod name_guard;
mod peers;
#[cfg_attr(not(feature = "planted"), doc(hidden))]
pub mod planted;
mod seal;
pub mod shutdown;
#[doc(hidden)]
pub mod sites;
mod start;
pub mod state_file;
pub mod storage;

pub use cluster::{Cluster, ClusterBuilder, Events, MemberInfo};
pub use cluster_pool::{Resolver, SystemResolver};
pub use config::{ClusterConfig, InvalidConfig, Profile};
#[cfg(feature = "dns")]
pub use discovery::DnsDiscovery;
pub use discovery::{Discovery, DiscoveryError, DiscoveryStatus, FileDiscovery, FixedDiscovery};
pub use engine::Engine;
pub use error::{JoinError, MessageError, StartError};
pub use explain::{ExplainError, Explanation, LinkReport};
pub use health::Health;
pub use host::{Host, WallClock};
pub use join::{JoinReport, Seed as JoinSeed, SeedError, SeedOutcome};
pub use metrics::Metrics;
pub use shutdown::{Phase, PhaseReport, ShutdownError, ShutdownReport};
pub use state_file::StateFile;
pub use storage::{Storage, SystemStorage};

pub use cluster_gossip::{BroadcastError, Grounds, MemberTable, Probing, SharedNodeRegistry, SwimStats};
pub use cluster_pool::{
    Ask, Authority, Channel, Credentials, Fate, Message, Outcome, Peer, PeerConfig, PeerReport, Pki, PkiError,
    Priority, Received, Reply, Router, Ticket, Turned, Typed, TypedError, message_fn, request_fn,
};
pub use cluster_types::{
    Accusation, Blame, Blamed, ClusterName, Delivery, Event, EventKind, Evidence, Facts, Feature, Features,
    HealthFault, IdError, Incarnation, Instant, Life, Member, Metadata, NodeId, State, Subscription,
};

/// The crates below, whole: what settings, errors and reports are made of.
pub use {cluster_failure as failure, cluster_gossip as gossip, cluster_pool as pool, cluster_types as types};

/// The first page of the project, whose example is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct FirstPage;
