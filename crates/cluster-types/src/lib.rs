//! Vocabulary of the cluster fabric: what every other crate means by a node, a life, an incarnation, a member, an event.
//!
//! Nothing here does anything: no clock, no socket, no thread, no runtime. The one rule that lives here is the merge
//! rule ([`Claim::supersedes`]), because every part of the system must agree on it.
#![doc = include_str!("../README.md")]

pub mod blame;
pub mod bus;
pub mod envelope;
pub mod event;
pub mod facts;
pub mod feature;
pub mod id;
pub mod incarnation;
pub mod limits;
pub mod member;
pub mod seed;
pub mod time;

pub use blame::{Blame, Blamed};
pub use bus::{Delivery, EventBus, Subscription};
pub use envelope::{Envelope, EnvelopeError};
pub use event::{Accusation, Event, EventKind, Evidence, HealthFault};
pub use facts::{Facts, FactsError};
pub use feature::{Feature, Features};
pub use id::{ClusterName, IdError, NodeId};
pub use incarnation::{Incarnation, Life};
pub use member::{Claim, Member, Metadata, MetadataError, State};
pub use seed::Seed;
pub use time::Instant;
