//! From credentials and settings to a node that runs.

use std::net::SocketAddr;
use std::sync::Arc;

use cluster_pool::{Credentials, NoStreams, PkiError, StreamHandler};
use tokio::sync::oneshot;

use super::{Cluster, Inner, Running};
use crate::config::{ClusterConfig, Profile};
use crate::error::StartError;
use crate::host::Host;
use crate::start::{assemble, io_thread};

/// Collects what a node needs to start.
#[derive(Debug)]
pub struct ClusterBuilder {
    credentials: Result<Credentials, PkiError>,
    config: ClusterConfig,
    streams: Arc<dyn StreamHandler>,
}

impl ClusterBuilder {
    pub(super) fn new(credentials: Result<Credentials, PkiError>, profile: Profile) -> Self {
        Self { credentials, config: ClusterConfig::new(profile), streams: Arc::new(NoStreams) }
    }

    /// The UDP address to bind; port 0 picks a free one.
    #[must_use]
    pub const fn bind(mut self, addr: SocketAddr) -> Self {
        self.config.bind = addr;
        self
    }

    /// Changes any setting.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut ClusterConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Serves the streams that members open to this node on data links. Without it they are refused.
    #[must_use]
    pub fn streams(mut self, handler: Arc<dyn StreamHandler>) -> Self {
        self.streams = handler;
        self
    }

    /// Starts the node: binds, and begins to accept members. It is alone until it joins.
    ///
    /// The endpoint and the membership loop run on a thread of their own, so that a blocked application stops no
    /// acknowledgement.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind.
    ///
    /// # Cancel safety
    /// Safe: a start that is dropped ends the node.
    pub async fn start(self) -> Result<Cluster, StartError> {
        let credentials = self.credentials?;
        let swim = self.config.swim.clone().check()?;
        let config = ClusterConfig { swim, ..self.config };
        let (started, ready) = oneshot::channel();
        let name = format!("cluster {}", credentials.name());
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || io_thread(config, &credentials, self.streams, started));
        let thread = thread.map_err(StartError::Thread)?;
        match ready.await {
            Ok(Ok(parts)) => Ok(Cluster(Arc::new(Inner::new(parts, Running::Thread(thread))))),
            Ok(Err(error)) => {
                // It has nothing left to do; a thread that panicked has said so.
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
                Err(error)
            }
            Err(_dropped) => Err(StartError::Thread(std::io::Error::other("the I/O thread ended at once"))),
        }
    }

    /// Starts the node on a host that is passed in, over its transport and with its tasks: how a simulated world, or an
    /// owner with an endpoint of his own, starts nodes. `bind` counts for nothing here. Must be called within a tokio
    /// runtime, whose clock is the node's.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start_on(self, host: Host) -> Result<Cluster, StartError> {
        let credentials = self.credentials?;
        let swim = self.config.swim.clone().check()?;
        let config = ClusterConfig { swim, ..self.config };
        let spawner = Arc::clone(&host.spawner);
        let (node, parts) = assemble(host, config, &credentials, self.streams)?;
        let (ended, running) = oneshot::channel();
        spawner.spawn(Box::pin(async move {
            node.run().await;
            // Nobody may be waiting for the end.
            let _ = ended.send(());
        }));
        Ok(Cluster(Arc::new(Inner::new(parts, Running::Task(running)))))
    }
}
