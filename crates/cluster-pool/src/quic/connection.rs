//! A quinn connection behind the seam.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quinn::{RecvStream, SendDatagramError, SendStream, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::fault::connection_error;
use crate::identity::Identity;
use crate::transport::{
    BiStream, CertificateFault, CloseCode, ConnectError, Connection, ConnectionError, RecvHalf, SendHalf, Side,
};

#[derive(Debug)]
pub(super) struct QuicConnection {
    connection: quinn::Connection,
    identity: Identity,
    /// The code this side closed with, which quinn does not remember.
    closed_with: OnceLock<CloseCode>,
}

impl QuicConnection {
    /// Reads the peer's identity, which the verifier has already accepted.
    pub(super) fn new(connection: quinn::Connection, addr: SocketAddr) -> Result<Self, ConnectError> {
        let refuse = |detail: String| ConnectError::Handshake {
            addr,
            source: ConnectionError::Certificate { side: Side::Here, fault: CertificateFault::WrongIdentity, detail },
        };
        let chain = connection
            .peer_identity()
            .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
            .ok_or_else(|| refuse("no certificate was shown".into()))?;
        let certificate = chain.first().ok_or_else(|| refuse("the chain is empty".into()))?;
        let identity = Identity::of_certificate(certificate).map_err(|e| refuse(e.to_string()))?;
        Ok(Self { connection, identity, closed_with: OnceLock::new() })
    }

    fn error(&self, error: quinn::ConnectionError) -> ConnectionError {
        match (connection_error(error), self.closed_with.get()) {
            (ConnectionError::ClosedHere { .. }, Some(code)) => ConnectionError::ClosedHere { code: *code },
            (other, _) => other,
        }
    }
}

#[async_trait]
impl Connection for QuicConnection {
    fn remote_identity(&self) -> &Identity {
        &self.identity
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
        Ok((Box::new(QuicSend::new(send)), Box::new(QuicRecv(recv))))
    }

    async fn accept_bi(&self) -> Result<BiStream, ConnectionError> {
        let (send, recv) = self.connection.accept_bi().await.map_err(|e| self.error(e))?;
        Ok((Box::new(QuicSend::new(send)), Box::new(QuicRecv(recv))))
    }

    fn send_datagram(&self, bytes: Bytes) -> Result<(), ConnectionError> {
        match self.connection.send_datagram(bytes) {
            Ok(()) => Ok(()),
            Err(SendDatagramError::ConnectionLost(e)) => Err(self.error(e)),
            Err(dropped) => {
                tracing::debug!(peer = %self.identity, reason = %dropped, "datagram dropped");
                Ok(())
            }
        }
    }

    async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        self.connection.read_datagram().await.map_err(|e| self.error(e))
    }

    fn datagram_len_max(&self) -> usize {
        self.connection.max_datagram_size().unwrap_or(0)
    }

    fn set_stream_limit(&self, limit: u32) {
        self.connection.set_max_concurrent_bi_streams(VarInt::from_u32(limit));
        self.connection.set_max_concurrent_uni_streams(VarInt::from_u32(limit));
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
#[derive(Debug)]
struct QuicSend {
    stream: SendStream,
    ended: bool,
}

impl QuicSend {
    const fn new(stream: SendStream) -> Self {
        Self { stream, ended: false }
    }
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
}

impl AsyncWrite for QuicSend {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug)]
struct QuicRecv(RecvStream);

impl RecvHalf for QuicRecv {
    fn stop(&mut self, code: CloseCode) {
        // Fails only when the stream is already over.
        let _ = self.0.stop(VarInt::from_u32(code.0));
    }
}

impl AsyncRead for QuicRecv {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), cx, buf)
    }
}
