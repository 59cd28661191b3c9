//! A real transport that is watched: its dials are counted, and may be made to cross.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use cluster_pool::{
    CloseCode, ConnectError, Connection, Credentials, Incoming, LinkClass, QuicConfig, QuicTransport, ReloadError,
    Revocations, Transport,
};
use tokio::sync::Barrier;

/// QUIC on loopback, watched.
#[derive(Debug)]
pub(crate) struct Seam {
    quic: QuicTransport,
    dials: AtomicUsize,
    /// Everybody's dials wait for each other here once they are connected, before a word is said.
    crossing: Option<Arc<Barrier>>,
}

impl Seam {
    pub(crate) fn bind(credentials: &Credentials, crossing: Option<Arc<Barrier>>) -> Arc<Self> {
        let any = "127.0.0.1:0".parse().unwrap();
        let quic = QuicTransport::bind(any, QuicConfig::default(), credentials).unwrap();
        Arc::new(Self { quic, dials: AtomicUsize::new(0), crossing })
    }

    /// Dials begun.
    pub(crate) fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Transport for Seam {
    fn local_addr(&self) -> SocketAddr {
        self.quic.local_addr()
    }

    async fn connect(&self, addr: SocketAddr, class: LinkClass) -> Result<Arc<dyn Connection>, ConnectError> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        let connected = self.quic.connect(addr, class).await?;
        if let Some(crossing) = &self.crossing {
            crossing.wait().await;
        }
        Ok(connected)
    }

    async fn accept(&self) -> Option<Incoming> {
        self.quic.accept().await
    }

    fn close(&self, code: CloseCode) {
        self.quic.close(code);
    }

    async fn wait_idle(&self) {
        self.quic.wait_idle().await;
    }

    async fn send_refused(&self) -> SocketAddr {
        self.quic.send_refused().await
    }

    fn reload(&self, credentials: &Credentials) -> Result<(), ReloadError> {
        self.quic.reload(credentials)
    }

    fn revoke(&self, revoked: Arc<Revocations>) {
        self.quic.revoke(revoked);
    }

    fn release(&self) {
        self.quic.release();
    }
}
