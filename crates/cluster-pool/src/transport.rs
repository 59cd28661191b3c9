//! The seam under every link: what a transport and a connection must do, whatever carries the bytes.
//!
//! QUIC is the production implementation, over real sockets or over the simulated network. Nothing above this file names
//! quinn or rustls.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster_types::{Blame, Blamed};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::identity::{Credentials, Fingerprint, Identity, Revocations};

/// What a connection is for. Probes must never share a congestion window with bulk, so there are two classes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkClass {
    /// Membership's own: datagrams and a few short streams.
    Control,
    /// The users', shared by all of them: many streams.
    Data,
    /// One user's own, beside the shared one.
    Private,
}

impl LinkClass {
    /// The word used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
            Self::Private => "private",
        }
    }
}

impl fmt::Display for LinkClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a connection or a stream was ended, as a number the other side sees. Those below 65,536 are the protocol's; applications make
/// theirs with [`application`](Self::application).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u32);

impl CloseCode {
    /// A reason of an application's own, which means nothing to the protocol.
    #[must_use]
    pub const fn application(code: u16) -> Self {
        Self(0x1_0000 | code as u32)
    }

    /// No particular reason: idle, or no longer needed.
    pub const DONE: Self = Self(0);
    /// This side is shutting down and has said so.
    pub const SHUTDOWN: Self = Self(1);
    /// Two connections between the same lives: this one is not kept.
    pub const DUPLICATE: Self = Self(2);
    /// The hello was refused; the reason went ahead in words.
    pub const REFUSED: Self = Self(3);
    /// The other side broke the protocol.
    pub const PROTOCOL: Self = Self(4);
    /// The operation was cancelled by its caller: what was received is not complete.
    pub const CANCELLED: Self = Self(5);
    /// A limit was reached.
    pub const OVERLOADED: Self = Self(6);
    /// Nobody here serves this.
    pub const UNSUPPORTED: Self = Self(7);
    /// The life on the other side was superseded by a newer one.
    pub const SUPERSEDED: Self = Self(8);
    /// The other side's certificate was revoked.
    pub const REVOKED: Self = Self(9);
    /// The time for it is over: what was received is not complete.
    pub const DEADLINE: Self = Self(10);
    /// What came is longer than is accepted here.
    pub const TOO_LARGE: Self = Self(11);
    /// Whoever serves this failed.
    pub const FAILED: Self = Self(12);
    /// This side is about to go and takes nothing new.
    pub const DRAINING: Self = Self(13);
    /// The owner of this side wants a fresh connection.
    pub const RECONNECT: Self = Self(14);
    /// Nothing was heard from the other side for too long.
    pub const SILENT: Self = Self(15);
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DONE => "done",
            Self::SHUTDOWN => "shut down",
            Self::DUPLICATE => "duplicate",
            Self::REFUSED => "refused",
            Self::PROTOCOL => "protocol violated",
            Self::CANCELLED => "cancelled",
            Self::OVERLOADED => "overloaded",
            Self::UNSUPPORTED => "unsupported",
            Self::SUPERSEDED => "superseded by a newer life",
            Self::REVOKED => "certificate revoked",
            Self::DEADLINE => "too late",
            Self::TOO_LARGE => "too large",
            Self::FAILED => "failed",
            Self::DRAINING => "draining",
            Self::RECONNECT => "connected anew",
            Self::SILENT => "silent for too long",
            Self(code) => return write!(f, "code {code}"),
        })
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// This side closed it.
    #[error("closed here: {code}")]
    ClosedHere {
        /// The code given.
        code: CloseCode,
    },
    /// The other side closed it.
    #[error("closed by the peer: {code}")]
    ClosedByPeer {
        /// The code it gave.
        code: CloseCode,
    },
    /// The other side has no state for it: it has probably restarted. Connect again.
    #[error("reset: the peer no longer knows this connection")]
    Reset,
    /// Nothing was heard for the idle time. Connect again.
    #[error("nothing was heard from the peer for the idle time")]
    TimedOut,
    /// A certificate was refused, which a dialler may learn only after its handshake. Retrying does not help.
    #[error("{}", refusal_text(*.side, *.fault, .detail))]
    Certificate {
        /// Who refused.
        side: Side,
        /// What is wrong with the other side's certificate.
        fault: CertificateFault,
        /// What the verifier says.
        detail: String,
    },
    /// No common protocol.
    #[error("the peer speaks no protocol that this node does: {detail}")]
    Incompatible {
        /// What the transport says.
        detail: String,
    },
    /// One of the sides broke the transport's rules.
    #[error("the transport failed: {detail}")]
    Transport {
        /// What the transport says.
        detail: String,
    },
}

impl Blamed for ConnectionError {
    fn blame(&self) -> Blame {
        match self {
            Self::ClosedHere { .. } | Self::Certificate { side: Side::Peer, .. } => Blame::CallerMisused,
            Self::Incompatible { .. } => Blame::PeerIncompatible,
            Self::Certificate { side: Side::Here, .. } | Self::Transport { .. } => Blame::PeerMisbehaved,
            Self::ClosedByPeer { .. } | Self::Reset | Self::TimedOut => Blame::EnvironmentFailed,
        }
    }
}

/// Which side of a handshake found fault with the other's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This side.
    Here,
    /// The other side.
    Peer,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFault {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Signed by another authority, or by itself.
    OtherAuthority,
    /// There is none.
    Missing,
    /// It was revoked.
    Revoked,
    /// It carries no identity of this cluster.
    WrongIdentity,
    /// Anything else.
    Invalid,
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "has expired: issue a new one",
            Self::NotYetValid => "is not valid yet: compare the clocks",
            Self::OtherAuthority => "was signed by another authority: it belongs to another cluster, or to nobody",
            Self::Missing => "is missing: every member must show one",
            Self::Revoked => "was revoked",
            Self::WrongIdentity => "carries no identity of this cluster",
            Self::Invalid => "is invalid",
        })
    }
}

/// Why no connection came to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing answered in time. Safe to retry.
    #[error("no answer from {addr}: it is down, unreachable, or drops what this node sends")]
    NoAnswer {
        /// The address dialled.
        addr: SocketAddr,
    },
    /// The address cannot be dialled at all.
    #[error("{addr} cannot be dialled: {reason}")]
    BadAddress {
        /// The address given.
        addr: SocketAddr,
        /// Why not.
        reason: String,
    },
    /// The handshake failed: a certificate was refused, the protocols differ, or the peer ended it.
    #[error("the handshake with {addr} failed")]
    Handshake {
        /// The address of the peer.
        addr: SocketAddr,
        /// Why.
        source: ConnectionError,
    },
    /// This side is shutting down.
    #[error("this node is shutting down")]
    ShuttingDown,
}

/// Why other credentials were not taken. Those before are still in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// They are for somebody else: a process keeps its name for life.
    #[error("the new certificate is for {found}, this process is {own}: the one before stays in use")]
    OtherIdentity {
        /// Who this process is.
        own: Box<Identity>,
        /// Who the certificate is for.
        found: Box<Identity>,
    },
    /// TLS cannot work with them.
    #[error("the new certificate cannot be used, the one before stays: {reason}")]
    Unusable {
        /// What the TLS library says.
        reason: String,
    },
}

impl Blamed for ReloadError {
    fn blame(&self) -> Blame {
        Blame::CallerMisused
    }
}

fn refusal_text(side: Side, fault: CertificateFault, detail: &str) -> String {
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    match side {
        Side::Here => format!("the peer's certificate {fault}{detail}"),
        Side::Peer => format!("the peer refused this node's certificate: it {fault}{detail}"),
    }
}

impl Blamed for ConnectError {
    fn blame(&self) -> Blame {
        match self {
            Self::NoAnswer { .. } => Blame::EnvironmentFailed,
            Self::BadAddress { .. } | Self::ShuttingDown => Blame::CallerMisused,
            Self::Handshake { source, .. } => source.blame(),
        }
    }
}

/// Why a stream, and not its connection, ended: the other side gave it up. Travels within an [`io::Error`]; read it with
/// [`stream_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer ended the stream: {0}")]
pub struct StreamEnded(pub CloseCode);

impl From<StreamEnded> for io::Error {
    fn from(ended: StreamEnded) -> Self {
        Self::new(io::ErrorKind::ConnectionReset, ended)
    }
}

/// With which code the other side ended a stream; `None` when the whole connection is over, or the error is something else.
#[must_use]
pub fn stream_code(error: &io::Error) -> Option<CloseCode> {
    error.get_ref()?.downcast_ref::<StreamEnded>().map(|ended| ended.0)
}

/// The sending half of a stream. An error of kind [`NotConnected`](io::ErrorKind::NotConnected) says that the whole connection is
/// over. Dropping it without [`finish`](Self::finish) tells the peer that the data is not complete.
pub trait SendHalf: AsyncWrite + Send + Sync + Unpin {
    /// Says that everything was written. The peer then reads the end of the stream.
    fn finish(&mut self);
    /// Says that what was written is not complete and will not be.
    fn reset(&mut self, code: CloseCode);
    /// Ready once nobody over there reads any more: with the code with which the peer stopped, or `None` when it has all that
    /// was sent, or the connection is over.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Option<CloseCode>>;
}

/// The receiving half of a stream. Errors as for the [sending half](SendHalf). Dropping it tells the peer that nobody reads any more.
pub trait RecvHalf: AsyncRead + Send + Sync + Unpin {
    /// Says that the rest will not be read.
    fn stop(&mut self, code: CloseCode);
}

/// A bidirectional stream.
pub type BiStream = (Box<dyn SendHalf>, Box<dyn RecvHalf>);

/// An authenticated connection to one peer.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Connection: Send + Sync + fmt::Debug {
    /// Who the peer's certificate says it is.
    fn remote_identity(&self) -> &Identity;
    /// Which certificate that is.
    fn remote_fingerprint(&self) -> Fingerprint;
    /// The certificate itself, with those between it and its authority, as [`Signatures::learn`](crate::identity::Signatures::learn) takes it.
    /// Empty where the transport knows none.
    fn remote_certificate(&self) -> Vec<u8>;
    /// Where the peer is now.
    fn remote_addr(&self) -> SocketAddr;
    /// The transport's current estimate of the round-trip time.
    fn rtt(&self) -> Duration;
    /// Bytes sent and received so far, headers of the transport included.
    fn bytes(&self) -> (u64, u64);
    /// Opens a stream. The peer sees it once data is on it. Waits at the peer's stream limit: put a deadline on it.
    ///
    /// # Cancel safety
    /// Safe: a stream that was not returned was not opened.
    async fn open_bi(&self) -> Result<BiStream, ConnectionError>;
    /// The next stream of the peer.
    ///
    /// # Cancel safety
    /// Safe: no stream is lost.
    async fn accept_bi(&self) -> Result<BiStream, ConnectionError>;
    /// Opens a stream on which only this side sends. As [`open_bi`](Self::open_bi).
    ///
    /// # Cancel safety
    /// Safe: a stream that was not returned was not opened.
    async fn open_uni(&self) -> Result<Box<dyn SendHalf>, ConnectionError>;
    /// The next stream on which only the peer sends.
    ///
    /// # Cancel safety
    /// Safe: no stream is lost.
    async fn accept_uni(&self) -> Result<Box<dyn RecvHalf>, ConnectionError>;
    /// Sends a datagram of at most [`datagram_len_max`](Self::datagram_len_max) bytes, unreliably.
    ///
    /// # Errors
    /// The connection is gone. A datagram that does not fit or finds the buffer full is dropped and counted.
    fn send_datagram(&self, bytes: Bytes) -> Result<(), ConnectionError>;
    /// The next datagram of the peer.
    ///
    /// # Cancel safety
    /// Safe: no datagram is lost.
    async fn read_datagram(&self) -> Result<Bytes, ConnectionError>;
    /// The largest datagram that fits the path now, in bytes.
    fn datagram_len_max(&self) -> usize;
    /// How many streams the peer may have open at once, from now on; of those on which only it sends, eight at most.
    fn set_stream_limit(&self, limit: u32);
    /// Ends the connection at once; what is not yet delivered may be lost.
    fn close(&self, code: CloseCode);
    /// Waits for the end.
    ///
    /// # Cancel safety
    /// Safe.
    async fn closed(&self) -> ConnectionError;
}

/// The rest of a handshake, done by whoever polls it.
pub type Handshake = Pin<Box<dyn Future<Output = Result<Arc<dyn Connection>, ConnectError>> + Send>>;

/// A connection that a peer has begun; the handshake is done by whoever polls it.
pub struct Incoming {
    /// Where it comes from.
    pub remote_addr: SocketAddr,
    /// Finishes the handshake.
    pub handshake: Handshake,
    /// Turns the peer away instead, cheaply and visibly.
    pub refuse: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remote_addr", &self.remote_addr).finish_non_exhaustive()
    }
}

/// What a transport dropped because there was no room for it, since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransportDrops {
    /// Datagrams that were too long for their path, or gave way to newer ones before they were sent: at least so many, for the transport does
    /// not say how many made room for one.
    pub datagrams: u64,
    /// Addresses that the system refused to send to, of which nobody was told because so many others were to be told of.
    pub refusals: u64,
}

/// A way to reach peers and be reached, bound to one local address.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// The address it is bound to.
    fn local_addr(&self) -> SocketAddr;
    /// Dials. The result is authenticated, but not greeted yet: it becomes a link after both hellos.
    ///
    /// # Errors
    /// See [`ConnectError`]; bounded by the caller's patience only, so put a deadline on it.
    ///
    /// # Cancel safety
    /// Safe: a dial that is dropped is abandoned.
    async fn connect(&self, addr: SocketAddr, class: LinkClass) -> Result<Arc<dyn Connection>, ConnectError>;
    /// The next connection of a peer, `None` once the transport is closed.
    ///
    /// # Cancel safety
    /// Safe: no connection is lost.
    async fn accept(&self) -> Option<Incoming>;
    /// Ends every connection.
    fn close(&self, code: CloseCode);
    /// Waits until every connection has said goodbye, if it can. May take seconds: put a deadline on it.
    async fn wait_idle(&self);
    /// The next address that the system refused to send to: no route, a firewall, a closed port. For ever pending where the
    /// transport cannot tell. Several refusals of one address may be told once.
    ///
    /// # Cancel safety
    /// Safe.
    async fn send_refused(&self) -> SocketAddr {
        std::future::pending().await
    }
    /// Shows other credentials from now on and trusts their authorities, in handshakes of either side. What is connected stays.
    ///
    /// # Errors
    /// They are somebody else's, or cannot be used: everything stays as it was.
    fn reload(&self, credentials: &Credentials) -> Result<(), ReloadError>;
    /// Refuses these from now on, in handshakes of either side, instead of those revoked before. What is connected stays: ending it
    /// is the pool's.
    fn revoke(&self, revoked: Arc<Revocations>);
    /// What it dropped because there was no room for it. Nothing, where it cannot tell.
    fn drops(&self) -> TransportDrops {
        TransportDrops::default()
    }
    /// Lets go of the address, though handles to this transport or its connections may live on.
    fn release(&self);
}
