//! The UDP socket under the endpoint. A send or receive that fails is counted and forgotten: an unreachable peer, a firewall
//! or a route that went away is a fact about the path, never the end of the endpoint.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::sync::Notify;

/// A burst from 200 joining nodes, at 1,200 B each and a few packets a handshake, fits.
const BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Addresses that may wait to be told of; a node with more unreachable peers than that has lost its network, and hears of it.
const REFUSED_MAX: usize = 256;

/// How often sending and receiving failed.
#[derive(Debug, Default)]
pub struct SocketStats {
    send_errors: AtomicU64,
    recv_errors: AtomicU64,
    refusals_dropped: AtomicU64,
}

impl SocketStats {
    /// Packets the system refused to send (no route, a firewall, a closed port), since the start.
    #[must_use]
    pub fn send_errors(&self) -> u64 {
        self.send_errors.load(Ordering::Relaxed)
    }

    /// Reads that failed, since the start.
    #[must_use]
    pub fn recv_errors(&self) -> u64 {
        self.recv_errors.load(Ordering::Relaxed)
    }

    /// Addresses refused by the system of which nobody was told, because so many others waited to be told of.
    #[must_use]
    pub fn refusals_dropped(&self) -> u64 {
        self.refusals_dropped.load(Ordering::Relaxed)
    }
}

/// A bound UDP socket. quinn's connections hold on to it for as long as anybody holds on to them, so it can be closed from
/// outside: whatever is sent then vanishes, and nothing arrives.
#[derive(Debug)]
pub struct NodeSocket {
    /// Written once, at the end; read for each system call.
    io: RwLock<Option<Arc<tokio::net::UdpSocket>>>,
    local_addr: SocketAddr,
    state: UdpSocketState,
    stats: SocketStats,
    /// Addresses the system refused to send to, until somebody asks. Held for an insertion, never across a wait.
    refused: Mutex<BTreeSet<SocketAddr>>,
    newly_refused: Notify,
}

impl NodeSocket {
    /// Binds. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(addr)?;
        let state = UdpSocketState::new((&socket).into())?;
        // Best effort: the system may allow less, and says so nowhere.
        let _ = state.set_recv_buffer_size((&socket).into(), BUFFER_BYTES);
        let _ = state.set_send_buffer_size((&socket).into(), BUFFER_BYTES);
        socket.set_nonblocking(true)?;
        let io = tokio::net::UdpSocket::from_std(socket)?;
        let local_addr = io.local_addr()?;
        let (io, stats) = (RwLock::new(Some(Arc::new(io))), SocketStats::default());
        Ok(Self { io, local_addr, state, stats, refused: Mutex::default(), newly_refused: Notify::new() })
    }

    /// The counters.
    #[must_use]
    pub const fn stats(&self) -> &SocketStats {
        &self.stats
    }

    /// Closes the socket: the port is free.
    pub fn release(&self) {
        *self.io.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The next address that the system refused to send to.
    pub(super) async fn refused(&self) -> SocketAddr {
        loop {
            let mut newly = std::pin::pin!(self.newly_refused.notified());
            newly.as_mut().enable();
            if let Some(addr) = self.refused.lock().unwrap_or_else(PoisonError::into_inner).pop_first() {
                return addr;
            }
            newly.await;
        }
    }

    fn note_refused(&self, addr: SocketAddr) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < REFUSED_MAX {
            refused.insert(addr);
        } else if !refused.contains(&addr) {
            self.stats.refusals_dropped.fetch_add(1, Ordering::Relaxed);
        }
        drop(refused);
        self.newly_refused.notify_waiters();
    }

    fn io(&self) -> RwLockReadGuard<'_, Option<Arc<tokio::net::UdpSocket>>> {
        self.io.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for NodeSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(WritablePoller { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let guard = self.io();
        let Some(io) = &*guard else { return Ok(()) };
        match io.try_io(Interest::WRITABLE, || self.state.try_send((&**io).into(), transmit)) {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                self.stats.send_errors.fetch_add(1, Ordering::Relaxed);
                if is_refusal(&e) {
                    self.note_refused(transmit.destination);
                }
                tracing::debug!(to = %transmit.destination, error = %e, "packet not sent");
                Ok(())
            }
            other => other,
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let guard = self.io();
        let Some(io) = &*guard else { return Poll::Pending };
        loop {
            ready!(io.poll_recv_ready(cx))?;
            match io.try_io(Interest::READABLE, || self.state.recv((&**io).into(), bufs, meta)) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => {
                    self.stats.recv_errors.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(error = %e, "reading packets failed");
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local_addr)
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// Whether an error says something about the path. A packet that is too long for it does not (quinn finds the limit with such), and
/// neither does a buffer that is full.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, PermissionDenied,
    };
    matches!(
        error.kind(),
        AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkDown | NetworkUnreachable | PermissionDenied
    )
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits until the socket takes packets again. Each connection has one of its own: tokio's `poll_send_ready` would wake only
/// the last that asked.
struct WritablePoller {
    socket: Arc<NodeSocket>,
    waiting: Option<Waiting>,
}

impl fmt::Debug for WritablePoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WritablePoller")
    }
}

impl UdpPoller for WritablePoller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = self.socket.io().clone() else { return Poll::Ready(Ok(())) };
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(async move { io.writable().await }));
        let result = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn an_address_that_the_system_refuses_is_told_once_and_ends_nothing() {
        let socket = Arc::new(NodeSocket::bind(([127, 0, 0, 1], 0).into()).unwrap());
        // Broadcasting needs an option that this socket does not set, and loopback has no such route.
        let nowhere: SocketAddr = ([255, 255, 255, 255], 9).into();
        let there = socket.local_addr;
        let packet =
            |destination| Transmit { destination, ecn: None, contents: b"x", segment_size: None, src_ip: None };
        let io = socket.io().clone().unwrap();
        io.writable().await.unwrap();
        for _ in 0..3 {
            socket.try_send(&packet(nowhere)).unwrap();
        }
        assert_eq!(socket.stats().send_errors(), 3);
        let told = tokio::time::timeout(Duration::from_secs(5), socket.refused()).await;
        assert_eq!(told, Ok(nowhere));
        assert!(socket.refused.lock().unwrap().is_empty(), "three refusals of one address are one");
        socket.try_send(&packet(there)).unwrap();
        assert_eq!(socket.stats().send_errors(), 3, "the socket goes on");
        // Whoever waits is woken.
        let waiting = Arc::clone(&socket);
        let (told, ()) = tokio::join!(async move { waiting.refused().await }, async {
            tokio::task::yield_now().await;
            socket.try_send(&packet(nowhere)).unwrap();
        });
        assert_eq!(told, nowhere);
    }

    #[tokio::test]
    async fn addresses_beyond_those_that_may_wait_are_counted() {
        let socket = NodeSocket::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let addr = |n: usize| SocketAddr::from(([10, 0, 0, 1], 1_000 + n as u16));
        (0..REFUSED_MAX).for_each(|n| socket.note_refused(addr(n)));
        socket.note_refused(addr(0));
        assert_eq!(socket.stats().refusals_dropped(), 0, "it waits already");
        (0..3).for_each(|n| socket.note_refused(addr(REFUSED_MAX + n)));
        assert_eq!(socket.stats().refusals_dropped(), 3);
    }
}
