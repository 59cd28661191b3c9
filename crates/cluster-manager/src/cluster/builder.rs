//! From credentials and settings to a node that runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use cluster_pool::{Credentials, PkiError, Revocations, Router, StreamHandler};
use cluster_types::{Facts, Feature, Features};
use tokio::sync::oneshot;

use super::{Cluster, Events, Running};
use crate::config::{ClusterConfig, Profile};
use crate::discovery::Discovery;
use crate::error::StartError;
use crate::host::Host;
use crate::start::{Ways, assemble, io_thread};

/// Collects what a node needs to start.
#[derive(Debug)]
pub struct ClusterBuilder {
    credentials: Result<Credentials, PkiError>,
    config: ClusterConfig,
    streams: Option<Arc<dyn StreamHandler>>,
    router: Router,
    discoveries: Vec<Arc<dyn Discovery>>,
    revoked: Revocations,
    state: Option<PathBuf>,
}

impl ClusterBuilder {
    pub(super) fn new(credentials: Result<Credentials, PkiError>, profile: Profile) -> Self {
        Self {
            credentials,
            config: ClusterConfig::new(profile),
            streams: None,
            router: Router::new(),
            discoveries: Vec::new(),
            revoked: Revocations::none(),
            state: None,
        }
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

    /// The settings so far.
    #[must_use]
    pub const fn settings(&self) -> &ClusterConfig {
        &self.config
    }

    /// Says which features of the application this node knows, beside those said before. See [`Cluster::features_on`].
    #[must_use]
    pub fn features(mut self, features: impl IntoIterator<Item = Feature>) -> Self {
        let features: Features = features.into_iter().collect();
        self.config.facts = Facts::of(self.config.facts.features().union(features));
        self
    }

    /// Gives what members send to this node to handlers. Without it messages come out of [`Cluster::peer`]'s inbox, and requests
    /// are refused.
    ///
    /// Handlers run among the node's own tasks, where one that blocks its thread stops membership: unless they never block, make the
    /// router with [`run_on`](cluster_pool::router::RouterBuilder::run_on).
    #[must_use]
    pub fn router(mut self, router: Router) -> Self {
        self.router = router;
        self
    }

    /// Serves all streams that members open to this node on data links, in a protocol of one's own: instead of a router, and then
    /// nothing that members send by [`Cluster::send`] or [`Cluster::request`] is understood here.
    #[must_use]
    pub fn streams(mut self, handler: Arc<dyn StreamHandler>) -> Self {
        self.streams = Some(handler);
        self
    }

    /// Settings as a whole, for example those of a [file](ClusterConfig::from_toml). They take the place of the profile and of whatever
    /// was said before: say `bind` and `configure` after this.
    #[must_use]
    pub fn config(mut self, config: ClusterConfig) -> Self {
        self.config = config;
        self
    }

    /// Asks where others are, for as long as the node lives, and joins through whoever is new. May be given more than once.
    #[must_use]
    pub fn discover(mut self, discovery: impl Discovery + 'static) -> Self {
        self.discoveries.push(Arc::new(discovery));
        self
    }

    /// Remembers in this file where every member was; see [`Cluster::remembered`]. A file that is damaged or another node's is set aside
    /// and reported.
    #[must_use]
    pub fn state(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// Accepts these from the start no more; see [`Cluster::revoke`].
    #[must_use]
    pub fn revoked(mut self, revoked: Revocations) -> Self {
        self.revoked = revoked;
        self
    }

    /// What the node is made of, checked.
    fn parts(self) -> Result<(Credentials, ClusterConfig, Ways), StartError> {
        let Self { credentials, config, streams, router, discoveries, revoked, state } = self;
        config.check()?;
        let streams = streams.unwrap_or_else(|| Arc::new(router.clone()));
        Ok((credentials?, config, Ways { streams, router, discoveries, revoked, state }))
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
        self.start_subscribed().await.map(|(cluster, _events)| cluster)
    }

    /// As [`start`](Self::start), with a subscription from before anybody can have knocked: a node that comes back to an address
    /// that others know is dialled at once, and what follows from that may have happened before [`Cluster::subscribe`] is called.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn start_subscribed(self) -> Result<(Cluster, Events), StartError> {
        let (credentials, config, ways) = self.parts()?;
        let (started, ready) = oneshot::channel();
        let name = format!("cluster {}", credentials.name());
        let thread =
            std::thread::Builder::new().name(name).spawn(move || io_thread(config, &credentials, ways, started));
        let thread = thread.map_err(StartError::Thread)?;
        match ready.await {
            Ok(Ok(parts)) => Ok(Cluster::of(parts, Running::Thread(thread))),
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
        let (credentials, config, ways) = self.parts()?;
        let spawner = Arc::clone(&host.spawner);
        let (node, parts) = assemble(host, config, &credentials, ways)?;
        let (ended, running) = oneshot::channel();
        spawner.spawn(Box::pin(async move {
            node.run().await;
            // Nobody may be waiting for the end.
            let _ = ended.send(());
        }));
        Ok(Cluster::of(parts, Running::Task(running)).0)
    }
}
