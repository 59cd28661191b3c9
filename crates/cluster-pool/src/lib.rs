//! Links between the nodes of a cluster.
#![doc = include_str!("../README.md")]

pub mod frame;
pub mod hello;
pub mod identity;
pub mod link;
#[cfg_attr(not(feature = "planted"), doc(hidden))]
pub mod planted;
pub mod pool;
pub mod quic;
pub mod spawn;
pub mod transport;

pub use hello::{Admission, AdmitAll, Hello, HelloError, Refusal};
pub use identity::{Authority, Credentials, Identity, IdentityError, NodeSecret, Pki, PkiError, Role};
pub use link::{Link, RequestError};
pub use pool::{
    ConnectionPool, DialError, DialTarget, InboundRequest, Lease, NoStreams, PeerStats, PoolConfig, PoolError,
    PoolEvent, PoolStats, Serving, StreamHandler, WeakPool,
};
pub use quic::{BindError, QuicConfig, QuicTransport};
pub use spawn::{RuntimeSpawner, Spawner, Task};
pub use transport::{
    CertificateFault, CloseCode, ConnectError, Connection, ConnectionError, Incoming, LinkClass, Side, Transport,
};
