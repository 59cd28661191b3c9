//! QUIC: the production transport, quinn and rustls behind the seam. One UDP socket for dialling and being dialled.

mod config;
mod connection;
mod connection_ids;
mod fault;
mod socket;
mod tls;
mod window;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use quinn::{AsyncUdpSocket, Endpoint, Runtime, TokioRuntime, VarInt};

pub(crate) use config::{DATA_STREAMS, DATA_STREAMS_MAX};
pub use config::{QuicConfig, UnixTime};
pub use socket::{NodeSocket, SocketStats};

use crate::identity::{Credentials, Revocations};
use crate::transport::{
    CloseCode, ConnectError, Connection, Incoming, LinkClass, ReloadError, Transport, TransportDrops,
};
use connection::QuicConnection;

/// Why a transport could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be used.
    #[error("{addr} cannot be bound: {}", bind_hint(.source))]
    Socket {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The credentials cannot be used for TLS.
    #[error("the credentials cannot be used: {reason}")]
    Tls {
        /// What the TLS library says.
        reason: String,
    },
}

fn bind_hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process holds the port; stop it or choose another (port 0 picks a free one)".into()
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address".into(),
        io::ErrorKind::PermissionDenied => "this user may not bind it (ports below 1024 need a privilege)".into(),
        _ => error.to_string(),
    }
}

/// A QUIC endpoint.
#[derive(Debug)]
pub struct QuicTransport {
    endpoint: Endpoint,
    config: QuicConfig,
    tls: tls::Tls,
    local_addr: SocketAddr,
    /// `None` over a socket that is not ours, as in the simulated world.
    socket: Option<Arc<NodeSocket>>,
    /// Datagrams that its connections dropped.
    dropped: Arc<AtomicU64>,
}

impl QuicTransport {
    /// Binds a UDP socket; port 0 picks a free one. Must be called within a tokio runtime, whose thread then carries all
    /// of the endpoint's packets.
    ///
    /// # Errors
    /// The address cannot be bound, or the credentials cannot be used.
    pub fn bind(addr: SocketAddr, config: QuicConfig, credentials: &Credentials) -> Result<Self, BindError> {
        let socket = Arc::new(NodeSocket::bind(addr).map_err(|source| BindError::Socket { addr, source })?);
        let transport = Self::over(Arc::clone(&socket) as _, Arc::new(TokioRuntime), config, credentials)?;
        Ok(Self { socket: Some(socket), ..transport })
    }

    /// Runs over a socket and a runtime that are passed in: how the simulated network takes the place of the real one.
    ///
    /// # Errors
    /// The credentials cannot be used, or the socket has no address.
    pub fn over(
        socket: Arc<dyn AsyncUdpSocket>,
        runtime: Arc<dyn Runtime>,
        config: QuicConfig,
        credentials: &Credentials,
    ) -> Result<Self, BindError> {
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let failed = |source| BindError::Socket { addr: unspecified, source };
        let tls = tls::Tls::new(credentials, config.unix_time.clone()).map_err(|reason| BindError::Tls { reason })?;
        let local_addr = socket.local_addr().map_err(failed)?;
        let endpoint_config = config.endpoint(credentials.secret());
        let server = config.server(&tls, credentials.secret());
        let endpoint =
            Endpoint::new_with_abstract_socket(endpoint_config, Some(server), socket, runtime).map_err(failed)?;
        Ok(Self { endpoint, config, tls, local_addr, socket: None, dropped: Arc::default() })
    }

    /// What went wrong on the socket so far; `None` over a socket that was passed in.
    #[must_use]
    pub fn socket_stats(&self) -> Option<&SocketStats> {
        self.socket.as_ref().map(|socket| socket.stats())
    }
}

/// What goes into the ClientHello's server name. Peers are known by their certificate's URI, so it names nobody.
const SERVER_NAME: &str = "cluster.invalid";

#[async_trait]
impl Transport for QuicTransport {
    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    async fn connect(&self, addr: SocketAddr, class: LinkClass) -> Result<Arc<dyn Connection>, ConnectError> {
        let config = self.config.client(&self.tls, class);
        let connecting = self.endpoint.connect_with(config, addr, SERVER_NAME).map_err(|e| match e {
            quinn::ConnectError::EndpointStopping => ConnectError::ShuttingDown,
            other => ConnectError::BadAddress { addr, reason: other.to_string() },
        })?;
        let connection = connecting.await.map_err(|e| fault::connect_error(addr, e))?;
        Ok(Arc::new(QuicConnection::dialled(connection, addr, Arc::clone(&self.dropped))?))
    }

    async fn accept(&self) -> Option<Incoming> {
        let incoming = self.endpoint.accept().await?;
        let remote_addr = incoming.remote_address();
        // Shared by the two ways it can go; whichever is taken first takes it.
        let shared = Arc::new(std::sync::Mutex::new(Some(incoming)));
        let take = |shared: &std::sync::Mutex<Option<quinn::Incoming>>| {
            shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
        };
        let (to_refuse, dropped) = (Arc::clone(&shared), Arc::clone(&self.dropped));
        let handshake = async move {
            let incoming = take(&shared).ok_or(ConnectError::ShuttingDown)?;
            let connection = incoming.await.map_err(|e| fault::connect_error(remote_addr, e))?;
            Ok(Arc::new(QuicConnection::accepted(connection, remote_addr, dropped)?) as Arc<dyn Connection>)
        };
        let refuse = move || {
            if let Some(incoming) = take(&to_refuse) {
                incoming.refuse();
            }
        };
        Some(Incoming { remote_addr, handshake: Box::pin(handshake), refuse: Box::new(refuse) })
    }

    fn close(&self, code: CloseCode) {
        self.endpoint.close(VarInt::from_u32(code.0), b"");
    }

    async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }

    async fn send_refused(&self) -> SocketAddr {
        match &self.socket {
            Some(socket) => socket.refused().await,
            None => std::future::pending().await,
        }
    }

    fn reload(&self, credentials: &Credentials) -> Result<(), ReloadError> {
        self.tls.trust.reload(credentials)
    }

    fn revoke(&self, revoked: Arc<Revocations>) {
        self.tls.trust.revoke(revoked);
    }

    fn drops(&self) -> TransportDrops {
        let refusals = self.socket_stats().map_or(0, SocketStats::refusals_dropped);
        TransportDrops { datagrams: self.dropped.load(Ordering::Relaxed), refusals }
    }

    fn release(&self) {
        if let Some(socket) = &self.socket {
            socket.release();
        }
    }
}
