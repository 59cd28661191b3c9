//! Real sockets of this machine, with paths between them that can be cut: real quinn, real time, real packets, and one of two
//! nodes that does not hear the other.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use cluster_pool::{Credentials, QuicConfig, QuicTransport};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

/// The paths between the sockets that were bound through it. A clone is the same paths.
///
/// What is cut vanishes where it is sent, without an error, as behind a switch that has lost its way.
#[derive(Debug, Clone, Default)]
pub struct Paths(Arc<Mutex<BTreeSet<(SocketAddr, SocketAddr)>>>);

impl Paths {
    /// None is cut.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A transport on loopback, at a port of its own. Within a tokio runtime.
    ///
    /// # Panics
    /// The system gives no port.
    #[must_use]
    pub fn transport(&self, credentials: &Credentials) -> QuicTransport {
        let bound = std::net::UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .and_then(|socket| TokioRuntime.wrap_udp_socket(socket))
            .and_then(|inner| Ok(CutSocket { own: inner.local_addr()?, inner, paths: self.clone() }));
        let socket = bound.unwrap_or_else(|e| panic!("a test needs a port: {e}"));
        let over = QuicTransport::over(Arc::new(socket), Arc::new(TokioRuntime), QuicConfig::default(), credentials);
        over.unwrap_or_else(|e| panic!("credentials are of use: {e}"))
    }

    /// From now on nothing gets from one to the other. The other way is untouched.
    pub fn cut_one_way(&self, from: SocketAddr, to: SocketAddr) {
        self.lock().insert((from, to));
    }

    /// From now on nothing gets from either to the other.
    pub fn cut(&self, a: SocketAddr, b: SocketAddr) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// All paths are whole again.
    pub fn mend(&self) {
        self.lock().clear();
    }

    fn is_cut(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.lock().contains(&(from, to))
    }

    /// Held to look or to change, never across a wait.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(SocketAddr, SocketAddr)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that sends nothing where the path is cut.
struct CutSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    own: SocketAddr,
    paths: Paths,
}

impl fmt::Debug for CutSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CutSocket").field("own", &self.own).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for CutSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.paths.is_cut(self.own, transmit.destination) { Ok(()) } else { self.inner.try_send(transmit) }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.own)
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }
}
