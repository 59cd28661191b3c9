//! A quinn connection behind the seam.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quinn::crypto::rustls::HandshakeData;
use quinn::{ReadError, RecvStream, SendDatagramError, SendStream, VarInt, WriteError};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::config::uni_streams;
use super::fault::connection_error;
use super::tls::door_of;
use super::window;
use crate::identity::statements::encode_chain;
use crate::identity::{Fingerprint, Identity};
use crate::transport::{
    BiStream, CertificateFault, CloseCode, ConnectError, Connection, ConnectionError, RecvHalf, SendHalf, Side,
    StreamEnded,
};

#[derive(Debug)]
pub(super) struct QuicConnection {
    connection: quinn::Connection,
    identity: Identity,
    fingerprint: Fingerprint,
    /// The code this side closed with, which quinn does not remember.
    closed_with: OnceLock<CloseCode>,
    /// Datagrams that this transport's connections dropped.
    dropped: Arc<AtomicU64>,
}

impl QuicConnection {
    /// One that this side began.
    pub(super) fn dialled(
        connection: quinn::Connection,
        addr: SocketAddr,
        dropped: Arc<AtomicU64>,
    ) -> Result<Self, ConnectError> {
        Self::new(connection, addr, dropped)
    }

    /// One that came in: by the door for its kind.
    pub(super) fn accepted(
        connection: quinn::Connection,
        addr: SocketAddr,
        dropped: Arc<AtomicU64>,
    ) -> Result<Self, ConnectError> {
        let accepted = Self::new(connection, addr, dropped)?;
        let data = accepted.connection.handshake_data();
        let door = data.and_then(|any| any.downcast::<HandshakeData>().ok()).and_then(|data| data.protocol);
        if door.as_deref() == Some(door_of(&accepted.identity.role)) {
            return Ok(accepted);
        }
        let detail = format!("{} came in by a door that is not for its kind", accepted.identity);
        accepted.close(CloseCode::PROTOCOL);
        Err(ConnectError::Handshake { addr, source: ConnectionError::Incompatible { detail } })
    }

    /// Reads the peer's identity, which the verifier has already accepted.
    fn new(connection: quinn::Connection, addr: SocketAddr, dropped: Arc<AtomicU64>) -> Result<Self, ConnectError> {
        let refuse = |detail: String| ConnectError::Handshake {
            addr,
            source: ConnectionError::Certificate { side: Side::Here, fault: CertificateFault::WrongIdentity, detail },
        };
        let chain = chain_of(&connection).ok_or_else(|| refuse("no certificate was shown".into()))?;
        let certificate = chain.first().ok_or_else(|| refuse("the chain is empty".into()))?;
        let identity = Identity::of_certificate(certificate).map_err(|e| refuse(e.to_string()))?;
        let fingerprint = Fingerprint::of(certificate);
        Ok(Self { connection, identity, fingerprint, closed_with: OnceLock::new(), dropped })
    }

    fn note_dropped(&self, datagrams: u64) {
        self.dropped.fetch_add(datagrams, Ordering::Relaxed);
    }

    fn error(&self, error: quinn::ConnectionError) -> ConnectionError {
        match (connection_error(error), self.closed_with.get()) {
            (ConnectionError::ClosedHere { .. }, Some(code)) => ConnectionError::ClosedHere { code: *code },
            (other, _) => other,
        }
    }
}

/// What the peer showed in the handshake.
fn chain_of(connection: &quinn::Connection) -> Option<Vec<CertificateDer<'static>>> {
    connection.peer_identity().and_then(|any| any.downcast().ok()).map(|chain| *chain)
}

#[async_trait]
impl Connection for QuicConnection {
    fn remote_identity(&self) -> &Identity {
        &self.identity
    }

    fn remote_fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn remote_certificate(&self) -> Vec<u8> {
        chain_of(&self.connection).map(|chain| encode_chain(&chain)).unwrap_or_default()
    }

    fn remote_addr(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    fn bytes(&self) -> (u64, u64) {
        let stats = self.connection.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }

    async fn open_bi(&self) -> Result<BiStream, ConnectionError> {
        let (send, recv) = self.connection.open_bi().await.map_err(|e| self.error(e))?;
        Ok((Box::new(QuicSend::new(send)), Box::new(QuicRecv::new(recv))))
    }

    async fn accept_bi(&self) -> Result<BiStream, ConnectionError> {
        let (send, recv) = self.connection.accept_bi().await.map_err(|e| self.error(e))?;
        Ok((Box::new(QuicSend::new(send)), Box::new(QuicRecv::new(recv))))
    }

    async fn open_uni(&self) -> Result<Box<dyn SendHalf>, ConnectionError> {
        let send = self.connection.open_uni().await.map_err(|e| self.error(e))?;
        Ok(Box::new(QuicSend::new(send)))
    }

    async fn accept_uni(&self) -> Result<Box<dyn RecvHalf>, ConnectionError> {
        let recv = self.connection.accept_uni().await.map_err(|e| self.error(e))?;
        Ok(Box::new(QuicRecv::new(recv)))
    }

    fn send_datagram(&self, bytes: Bytes) -> Result<(), ConnectionError> {
        // quinn makes room by dropping the oldest, and does not say so.
        let crowded = bytes.len() > self.connection.datagram_send_buffer_space();
        match self.connection.send_datagram(bytes) {
            Ok(()) => self.note_dropped(u64::from(crowded)),
            Err(SendDatagramError::ConnectionLost(e)) => return Err(self.error(e)),
            Err(dropped) => {
                tracing::debug!(peer = %self.identity, reason = %dropped, "datagram dropped");
                self.note_dropped(1);
            }
        }
        Ok(())
    }

    async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        self.connection.read_datagram().await.map_err(|e| self.error(e))
    }

    fn datagram_len_max(&self) -> usize {
        self.connection.max_datagram_size().unwrap_or(0)
    }

    fn set_stream_limit(&self, limit: u32) {
        self.connection.set_max_concurrent_bi_streams(VarInt::from_u32(limit));
        self.connection.set_max_concurrent_uni_streams(VarInt::from_u32(uni_streams(limit)));
        // Whoever may open streams is a data link.
        window::lift(self.connection.congestion_state());
    }

    fn close(&self, code: CloseCode) {
        // The first code is the one that counts, here as in quinn.
        let _ = self.closed_with.set(code);
        self.connection.close(VarInt::from_u32(code.0), b"");
    }

    async fn closed(&self) -> ConnectionError {
        let error = self.connection.closed().await;
        self.error(error)
    }
}

/// quinn finishes a stream that is dropped, which makes a cancelled message look complete. This one resets instead, unless
/// it was finished.
struct QuicSend {
    stream: SendStream,
    ended: bool,
    /// Made when somebody asks.
    stopped: Option<Stopped>,
}

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, quinn::StoppedError>> + Send + Sync>>;

impl QuicSend {
    const fn new(stream: SendStream) -> Self {
        Self { stream, ended: false, stopped: None }
    }
}

fn code_of(code: VarInt) -> CloseCode {
    CloseCode(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
}

impl Drop for QuicSend {
    fn drop(&mut self) {
        if !self.ended {
            self.reset(CloseCode::CANCELLED);
        }
    }
}

impl SendHalf for QuicSend {
    fn finish(&mut self) {
        self.ended = true;
        // Fails only when the stream is already finished or reset, which is as good.
        let _ = self.stream.finish();
    }

    fn reset(&mut self, code: CloseCode) {
        self.ended = true;
        // As above.
        let _ = self.stream.reset(VarInt::from_u32(code.0));
    }

    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Option<CloseCode>> {
        let stopped = self.stopped.get_or_insert_with(|| Box::pin(self.stream.stopped()));
        let stopped = std::task::ready!(stopped.as_mut().poll(cx));
        // Asked again, it is asked anew: the future is over.
        self.stopped = None;
        Poll::Ready(stopped.ok().flatten().map(code_of))
    }
}

impl AsyncWrite for QuicSend {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes).map_err(|e| match e {
            WriteError::Stopped(code) => StreamEnded(code_of(code)).into(),
            // This side's own doing, and no reason to think that the connection is over.
            WriteError::ClosedStream => io::ErrorKind::BrokenPipe.into(),
            other => io::Error::from(other),
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

/// Dropped before its end, it tells the peer that nobody waits for the rest.
#[derive(Debug)]
struct QuicRecv {
    stream: RecvStream,
    ended: bool,
}

impl QuicRecv {
    const fn new(stream: RecvStream) -> Self {
        Self { stream, ended: false }
    }
}

impl Drop for QuicRecv {
    fn drop(&mut self) {
        if !self.ended {
            self.stop(CloseCode::CANCELLED);
        }
    }
}

impl RecvHalf for QuicRecv {
    fn stop(&mut self, code: CloseCode) {
        self.ended = true;
        // Fails only when the stream is already over.
        let _ = self.stream.stop(VarInt::from_u32(code.0));
    }
}

impl AsyncRead for QuicRecv {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = std::task::ready!(self.stream.poll_read_buf(cx, buf));
        self.ended |= read.is_err() || (buf.filled().len() == before && buf.remaining() > 0);
        Poll::Ready(read.map_err(|e| match e {
            ReadError::Reset(code) => StreamEnded(code_of(code)).into(),
            ReadError::ClosedStream => io::ErrorKind::BrokenPipe.into(),
            other => io::Error::from(other),
        }))
    }
}
