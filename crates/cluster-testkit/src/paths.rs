//! Real sockets of this machine, with paths between them that have faults: real quinn, real time, real packets, and the rules of the
//! simulated network. One of two nodes does not hear the other, or hears it late, or only in part.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use cluster_pool::{Credentials, QuicConfig, QuicTransport};
use cluster_types::Seed;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use tokio::time::Instant;

use crate::net::{Effect, Group, PathState, Rules};
use crate::scenario::PathFault;

/// What waits on clogged paths at most; what comes on top is lost.
const HELD_MAX: usize = 10_000;

/// The paths between the sockets that were bound through it. A clone is the same paths.
///
/// What is lost vanishes where it is sent, without an error, as behind a switch that has lost its way.
#[derive(Debug, Clone, Default)]
pub struct Paths(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Who is where, by number, in the order in which they were bound.
    numbers: HashMap<SocketAddr, usize>,
    rules: Rules,
    states: HashMap<(usize, usize), PathState>,
    held: Vec<Packet>,
    /// When the first socket was bound.
    origin: Option<Instant>,
}

/// A packet that goes out later than it was sent.
#[derive(Clone)]
struct Packet {
    socket: Arc<dyn AsyncUdpSocket>,
    to: SocketAddr,
    bytes: Vec<u8>,
    ecn: Option<EcnCodepoint>,
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet").field("to", &self.to).field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Packet {
    /// A socket that has no room, or is gone, loses it.
    fn send(&self) {
        let Self { socket, to, bytes, ecn } = self;
        let transmit = Transmit { destination: *to, ecn: *ecn, contents: bytes, segment_size: None, src_ip: None };
        let _ = socket.try_send(&transmit);
    }
}

impl Paths {
    /// None has a fault.
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
        let socket = Arc::new(self.bind());
        let over = QuicTransport::over(socket, Arc::new(TokioRuntime), QuicConfig::default(), credentials);
        over.unwrap_or_else(|e| panic!("credentials are of use: {e}"))
    }

    fn bind(&self) -> FaultySocket {
        let bound = std::net::UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .and_then(|socket| TokioRuntime.wrap_udp_socket(socket))
            .and_then(|inner| Ok(FaultySocket { own: inner.local_addr()?, inner, paths: self.clone() }));
        self.lock().origin.get_or_insert_with(Instant::now);
        bound.unwrap_or_else(|e| panic!("a test needs a port: {e}"))
    }

    /// From now on nothing gets from one to the other. The other way is untouched.
    pub fn cut_one_way(&self, from: SocketAddr, to: SocketAddr) {
        self.fault(from, to, &PathFault::Cut);
    }

    /// From now on nothing gets from either to the other.
    pub fn cut(&self, a: SocketAddr, b: SocketAddr) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Something is wrong with the path from one to the other from now on, as in a simulated world. The other way is untouched.
    pub fn fault(&self, from: SocketAddr, to: SocketAddr, fault: &PathFault) {
        let mut inner = self.lock();
        let [from, to] = [from, to].map(|addr| Group::of([inner.number(addr)]));
        inner.rules.add(from, to, Effect::from(fault));
    }

    /// All paths are whole again, and what was held back arrives. Within a tokio runtime.
    pub fn mend(&self) {
        let mut inner = self.lock();
        inner.rules.clear();
        let held = std::mem::take(&mut inner.held);
        drop(inner);
        held.iter().for_each(Packet::send);
    }

    /// Held to look or to change, never across a wait.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a packet over its path; `false` where nothing is wrong with it and it may be sent as it is.
    fn carry(&self, from: SocketAddr, socket: &Arc<dyn AsyncUdpSocket>, transmit: &Transmit<'_>) -> bool {
        let mut inner = self.lock();
        if inner.rules.is_empty() {
            return false;
        }
        let (from, to) = (inner.number(from), inner.number(transmit.destination));
        if inner.rules.is_cut(from, to) {
            return true;
        }
        let (is_held, model) = (inner.rules.is_held(from, to), inner.rules.model(from, to).cloned());
        if !is_held && model.is_none() {
            return false;
        }
        for bytes in transmit.contents.chunks(transmit.segment_size.unwrap_or(transmit.contents.len()).max(1)) {
            let (socket, bytes) = (Arc::clone(socket), bytes.to_vec());
            let packet = Packet { socket, to: transmit.destination, bytes, ecn: transmit.ecn };
            match &model {
                _ if is_held && inner.held.len() < HELD_MAX => inner.held.push(packet),
                Some(model) if !is_held => inner.deliver(model, (from, to), packet),
                _ => {}
            }
        }
        true
    }
}

impl Inner {
    fn number(&mut self, addr: SocketAddr) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(addr).or_insert(next)
    }

    /// Asks the path what becomes of a packet, and when.
    #[expect(clippy::disallowed_methods, reason = "what is on its way is nobody's, and ends when it has arrived")]
    fn deliver(&mut self, model: &crate::LinkModel, (from, to): (usize, usize), packet: Packet) {
        let now = self.origin.map_or(Duration::ZERO, |origin| origin.elapsed());
        let state = self.states.entry((from, to)).or_insert_with(|| PathState::new(Seed::new(0), from, to));
        for delivery in model.deliver(state, now, packet.bytes.len()) {
            let mut packet = packet.clone();
            if let Some(bit) = delivery.damaged_bit
                && let Some(byte) = packet.bytes.get_mut(bit / 8)
            {
                *byte ^= 1 << (bit % 8);
            }
            let after = delivery.at.saturating_sub(now);
            // Ends by itself when it has been sent.
            drop(tokio::spawn(async move {
                tokio::time::sleep(after).await;
                packet.send();
            }));
        }
    }
}

/// A socket whose packets go the way of their paths.
struct FaultySocket {
    inner: Arc<dyn AsyncUdpSocket>,
    own: SocketAddr,
    paths: Paths,
}

impl fmt::Debug for FaultySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultySocket").field("own", &self.own).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for FaultySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.paths.carry(self.own, &self.inner, transmit) { Ok(()) } else { self.inner.try_send(transmit) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkModel;
    use crate::net::Latency;

    const LATER: Duration = Duration::from_millis(30);

    /// Two sockets, and a path from the first to the second.
    struct Pair(FaultySocket, FaultySocket);

    impl Pair {
        fn bound() -> Self {
            let paths = Paths::new();
            Self(paths.bind(), paths.bind())
        }

        fn fault(&self, fault: &PathFault) {
            self.0.paths.fault(self.0.own, self.1.own, fault);
        }

        async fn send(&self, bytes: &[u8]) {
            // A socket that is new has to be asked once.
            let mut room = Arc::clone(&self.0.inner).create_io_poller();
            std::future::poll_fn(|cx| room.as_mut().poll_writable(cx)).await.expect("loopback has room");
            let (contents, destination) = (bytes, self.1.own);
            let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
            self.0.try_send(&transmit).expect("loopback has room");
        }

        async fn next(&self) -> Vec<u8> {
            let read = std::future::poll_fn(|cx| {
                let (mut bytes, mut meta) = ([0; 2_000], [RecvMeta::default()]);
                let read = self.1.poll_recv(cx, &mut [IoSliceMut::new(&mut bytes)], &mut meta);
                read.map_ok(|_one| bytes[..meta[0].len].to_vec())
            });
            let read = tokio::time::timeout(Duration::from_secs(10), read).await;
            read.expect("nothing arrives").expect("a socket that can be read")
        }
    }

    /// Loopback keeps the order: what comes first tells that nothing came before it.
    #[tokio::test]
    async fn real_sockets_know_every_fault_of_the_simulated_network() {
        let pair = Pair::bound();
        let like = |model| PathFault::Like(model);
        for lost in
            [PathFault::Cut, like(LinkModel::lan().with_loss(1.0)), like(LinkModel { mtu: 1_200, ..LinkModel::lan() })]
        {
            pair.fault(&lost);
            pair.send(&[1; 1_201]).await;
            pair.0.paths.mend();
            pair.send(b"whole").await;
            assert_eq!(pair.next().await, b"whole", "{lost:?}");
        }
        pair.fault(&PathFault::Hold);
        pair.send(b"first").await;
        assert_eq!(pair.0.paths.lock().held.len(), 1, "it waits");
        pair.0.paths.mend();
        pair.send(b"second").await;
        assert_eq!([pair.next().await, pair.next().await], [b"first".to_vec(), b"second".to_vec()]);
        pair.fault(&like(LinkModel { duplicate: 1.0, ..LinkModel::lan().with_latency(Latency::Constant(LATER)) }));
        let began = Instant::now();
        pair.send(b"late").await;
        assert_eq!([pair.next().await, pair.next().await], [b"late"; 2], "late, and twice");
        assert!(began.elapsed() >= LATER);
    }
}
