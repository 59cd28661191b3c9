//! Links between the nodes of a cluster.
#![doc = include_str!("../README.md")]

pub mod client;
mod complaints;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod hello;
pub mod identity;
mod latest;
pub mod link;
pub mod peer;
#[cfg_attr(not(feature = "planted"), doc(hidden))]
pub mod planted;
pub mod pool;
pub mod quic;
pub mod resolver;
pub mod router;
#[doc(hidden)]
pub mod sites;
pub mod spawn;
pub mod transport;
pub mod typed;

pub use client::{ClientError, ConnectionConfig, ConnectionManager, ManagedConnection, Policy, Retry};
pub use hello::{Admission, AdmitAll, Hello, HelloError, Refusal};
pub use identity::{
    Authority, Credentials, Fingerprint, Identity, IdentityError, NodeSecret, Pki, PkiError, Revocations, Role,
};
pub use link::{Link, RequestError};
pub use peer::{
    Channel, Fate, Message, Outcome, Overflow, Peer, PeerConfig, PeerDriver, PeerError, PeerEvent, PeerEvents,
    PeerMetrics, PeerReport, PeerState, Priority, Received, Rejected, Reply, Ticket,
};
pub use pool::{
    ConnectionPool, DialError, DialTarget, InboundRequest, Lease, NoStreams, PeerStats, PoolConfig, PoolError,
    PoolEvent, PoolStats, Serving, StreamHandler, WeakPool,
};
pub use quic::{BindError, QuicConfig, QuicTransport};
pub use resolver::{Resolver, SystemResolver};
pub use router::{MessageHandler, RequestHandler, Router, Turned, message_fn, request_fn};
pub use spawn::{RuntimeSpawner, SpannedSpawner, Spawner, Task};
pub use transport::{
    CertificateFault, CloseCode, ConnectError, Connection, ConnectionError, Incoming, LinkClass, ReloadError, Side,
    Transport,
};
pub use typed::{Ask, Typed, TypedError};
