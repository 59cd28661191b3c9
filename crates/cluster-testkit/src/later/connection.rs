//! A transport under a node of today that makes what it sends a later version's.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster_pool::identity::{Fingerprint, Identity};
use cluster_pool::transport::{BiStream, ConnectError, Incoming, RecvHalf, ReloadError, SendHalf};
use cluster_pool::{CloseCode, Connection, ConnectionError, Credentials, LinkClass, Revocations, Transport};
use cluster_types::envelope::{Envelope, VERSION};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{FIELD, KIND, datagram, frame, frame_len, unknown_datagram};

/// Sends what a node of a later version would. What it receives it leaves as it is: a later version understands this one.
#[derive(Debug)]
pub struct LaterTransport(Arc<dyn Transport>);

impl LaterTransport {
    /// Over another one.
    #[must_use]
    pub fn new(under: Arc<dyn Transport>) -> Self {
        Self(under)
    }
}

#[async_trait]
impl Transport for LaterTransport {
    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    async fn connect(&self, addr: SocketAddr, class: LinkClass) -> Result<Arc<dyn Connection>, ConnectError> {
        let under = self.0.connect(addr, class).await?;
        Ok(Arc::new(Later { under, opened: AtomicU64::new(1) }))
    }

    async fn accept(&self) -> Option<Incoming> {
        let Incoming { remote_addr, handshake, refuse } = self.0.accept().await?;
        let handshake = Box::pin(async move {
            let under = handshake.await?;
            Ok(Arc::new(Later { under, opened: AtomicU64::new(0) }) as Arc<dyn Connection>)
        });
        Some(Incoming { remote_addr, handshake, refuse })
    }

    fn close(&self, code: CloseCode) {
        self.0.close(code);
    }

    async fn wait_idle(&self) {
        self.0.wait_idle().await;
    }

    async fn send_refused(&self) -> SocketAddr {
        self.0.send_refused().await
    }

    fn reload(&self, credentials: &Credentials) -> Result<(), ReloadError> {
        self.0.reload(credentials)
    }

    fn revoke(&self, revoked: Arc<Revocations>) {
        self.0.revoke(revoked);
    }

    fn release(&self) {
        self.0.release();
    }
}

#[derive(Debug)]
struct Later {
    under: Arc<dyn Connection>,
    /// Streams opened here. The first one of whoever accepts is the hello's, and nothing may come before it.
    opened: AtomicU64,
}

impl Later {
    /// A stream for something that nobody knows today. Nobody waits for what becomes of it.
    async fn open_unknown(&self) -> Result<(), ConnectionError> {
        let (mut send, _recv) = self.under.open_bi().await?;
        // It may be refused before it is written.
        let _ = send.write_all(&Envelope { kind: KIND, body: FIELD }.encode()).await;
        send.finish();
        Ok(())
    }
}

#[async_trait]
impl Connection for Later {
    fn remote_identity(&self) -> &Identity {
        self.under.remote_identity()
    }

    fn remote_fingerprint(&self) -> Fingerprint {
        self.under.remote_fingerprint()
    }

    fn remote_certificate(&self) -> Vec<u8> {
        self.under.remote_certificate()
    }

    fn remote_addr(&self) -> SocketAddr {
        self.under.remote_addr()
    }

    fn rtt(&self) -> Duration {
        self.under.rtt()
    }

    fn bytes(&self) -> (u64, u64) {
        self.under.bytes()
    }

    async fn open_bi(&self) -> Result<BiStream, ConnectionError> {
        let (send, recv) = self.under.open_bi().await?;
        if self.opened.fetch_add(1, Ordering::Relaxed) == 1 {
            self.open_unknown().await?;
        }
        Ok((Box::new(LaterSend::over(send, Arc::default())), recv))
    }

    async fn accept_bi(&self) -> Result<BiStream, ConnectionError> {
        let (send, recv) = self.under.accept_bi().await?;
        let raw = Arc::default();
        let send = LaterSend::over(send, Arc::clone(&raw));
        Ok((Box::new(send), Box::new(LaterRecv { under: recv, first: Vec::new(), raw })))
    }

    async fn open_uni(&self) -> Result<Box<dyn SendHalf>, ConnectionError> {
        self.under.open_uni().await
    }

    async fn accept_uni(&self) -> Result<Box<dyn RecvHalf>, ConnectionError> {
        self.under.accept_uni().await
    }

    fn send_datagram(&self, bytes: Bytes) -> Result<(), ConnectionError> {
        // Nine bytes: is anybody there? Everything else is membership's.
        let (grown, unknown) = match bytes.len() {
            9 => ([&bytes[..], FIELD].concat(), FIELD.to_vec()),
            _ => (datagram(&bytes), unknown_datagram()),
        };
        self.under.send_datagram(grown.into())?;
        self.under.send_datagram(unknown.into())
    }

    async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        self.under.read_datagram().await
    }

    fn datagram_len_max(&self) -> usize {
        self.under.datagram_len_max()
    }

    fn set_stream_limit(&self, limit: u32) {
        self.under.set_stream_limit(limit);
    }

    fn close(&self, code: CloseCode) {
        self.under.close(code);
    }

    async fn closed(&self) -> ConnectionError {
        self.under.closed().await
    }
}

/// Begins a stream on which both sides say what they like.
const STREAM: [u8; 3] = [VERSION, 73, 0];

/// Looks what a stream is for that the peer has opened.
struct LaterRecv {
    under: Box<dyn RecvHalf>,
    /// Its first bytes.
    first: Vec<u8>,
    raw: Arc<AtomicBool>,
}

impl AsyncRead for LaterRecv {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut *this.under).poll_read(cx, buf))?;
        let lacking = STREAM.len() - this.first.len();
        this.first.extend(buf.filled()[before..].iter().take(lacking));
        if this.first == STREAM {
            this.raw.store(true, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }
}

impl RecvHalf for LaterRecv {
    fn stop(&mut self, code: CloseCode) {
        self.under.stop(code);
    }
}

/// Collects frames, and writes each as a later version would. What is no frame goes through as it is.
struct LaterSend {
    under: Box<dyn SendHalf>,
    /// Of a frame that is not whole yet.
    partial: Vec<u8>,
    /// What is to be written now, from where on, and for how many bytes of the caller's it stands.
    writing: Option<(Vec<u8>, usize, usize)>,
    /// Whether its bytes are a handler's own.
    raw: Arc<AtomicBool>,
}

impl LaterSend {
    const fn over(under: Box<dyn SendHalf>, raw: Arc<AtomicBool>) -> Self {
        Self { under, partial: Vec::new(), writing: None, raw }
    }

    /// What a later version writes when today's has written these bytes more.
    fn grow(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.partial.extend_from_slice(bytes);
        let mut grown = Vec::new();
        while !self.raw.load(Ordering::Acquire) {
            let Some(len) = frame_len(&self.partial).filter(|len| *len <= self.partial.len()) else { return grown };
            let rest = self.partial.split_off(len);
            let whole = std::mem::replace(&mut self.partial, rest);
            grown.extend(frame(&whole));
            if whole.starts_with(&STREAM) {
                self.raw.store(true, Ordering::Release);
            }
        }
        grown.append(&mut self.partial);
        grown
    }
}

impl AsyncWrite for LaterSend {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.writing.is_none() {
            this.writing = Some((this.grow(bytes), 0, bytes.len()));
        }
        // Taken only when all of it is written: whoever finishes the stream after this loses nothing.
        while let Some((grown, written, taken)) = &mut this.writing {
            if *written == grown.len() {
                let taken = *taken;
                this.writing = None;
                return Poll::Ready(Ok(taken));
            }
            *written += ready!(Pin::new(&mut *this.under).poll_write(cx, &grown[*written..]))?;
        }
        Poll::Ready(Ok(0))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.under).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.under).poll_shutdown(cx)
    }
}

impl SendHalf for LaterSend {
    fn finish(&mut self) {
        self.under.finish();
    }

    fn reset(&mut self, code: CloseCode) {
        self.under.reset(code);
    }

    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Option<CloseCode>> {
        self.under.poll_stopped(cx)
    }
}
