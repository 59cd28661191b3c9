//! The socket that quinn gets in place of a real one.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::SimNet;

/// A bound address of one life of one host. Always writable; what is sent after the host's end vanishes.
#[derive(Debug)]
pub struct SimSocket {
    net: SimNet,
    host: usize,
    addr: SocketAddr,
    life: u64,
}

impl SimSocket {
    pub(super) const fn new(net: SimNet, host: usize, addr: SocketAddr, life: u64) -> Self {
        Self { net, host, addr, life }
    }

    /// Sends a packet; it may be lost, like any.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) {
        self.net.send((self.host, self.addr, self.life), to, bytes, None);
    }

    /// The next packet, and where it is from. One task at a time may wait.
    ///
    /// # Cancel safety
    /// Safe: no packet is lost.
    pub async fn recv_from(&self) -> (Vec<u8>, SocketAddr) {
        std::future::poll_fn(|cx| {
            let mut packet = None;
            let read = self.net.poll_read(self.addr, self.life, cx, |next| {
                let first = packet.is_none();
                if first {
                    packet = Some((next.bytes.clone(), next.from));
                }
                first
            });
            match (read, packet) {
                (Poll::Ready(_), Some(packet)) => Poll::Ready(packet),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for bytes in transmit.contents.chunks(segment) {
            self.net.send((self.host, self.addr, self.life), transmit.destination, bytes, transmit.ecn);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut places = bufs.iter_mut().zip(meta.iter_mut());
        let read = self.net.poll_read(self.addr, self.life, cx, |packet| {
            let Some((buf, meta)) = places.next() else { return false };
            let len = packet.bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&packet.bytes[..len]);
            *meta = RecvMeta { addr: packet.from, len, stride: len, ecn: packet.ecn, ..RecvMeta::default() };
            true
        });
        read.map(Ok)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    /// The paths' limits are found as in production.
    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
