//! The handle: one node of a cluster in the hands of its owner.

mod builder;
mod ending;
mod insight;
mod messages;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_gossip::{BroadcastError, MemberTable};
use cluster_pool::identity::authority::Validity;
use cluster_pool::{
    Authority, CloseCode, Credentials, Lease, Link, LinkClass, PkiError, PoolError, ReloadError, Revocations,
};
use cluster_types::{
    Claim, ClusterName, Event, Features, Incarnation, Life, Member, Metadata, NodeId, State, Subscription,
};
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tracing::Instrument;

use crate::clock::unix_ms;
use crate::config::Profile;
use crate::driver::Command;
use crate::error::JoinError;
use crate::join::{JoinReport, Seed as JoinSeed};
use crate::shutdown::ShutdownReport;
use crate::start::{Held, Parts};

pub use builder::ClusterBuilder;

/// One member, as the handle sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Its name.
    pub node: NodeId,
    /// Where it is reached.
    pub addr: SocketAddr,
    /// What it is held to be.
    pub state: State,
    /// How recent that is.
    pub incarnation: Incarnation,
    /// Round-trip time of the control link to it, where there is one.
    pub rtt: Option<Duration>,
    /// What it says about itself.
    pub metadata: Metadata,
    /// Which features it knows.
    pub features: Features,
}

#[derive(Debug)]
struct Inner {
    held: Held,
    /// Awaited by at most one; the name can be lost once.
    name_lost: watch::Receiver<Option<SocketAddr>>,
    /// Held for the whole of a shutdown: a second one waits and gets the same report.
    shutdown: AsyncMutex<Option<ShutdownReport>>,
    /// What is left to do for the loop to end; taken by the shutdown.
    running: Mutex<Option<(oneshot::Sender<()>, Running)>>,
}

/// What the loop runs on.
#[derive(Debug)]
enum Running {
    /// A thread of its own.
    Thread(std::thread::JoinHandle<()>),
    /// A task of its host.
    Task(oneshot::Receiver<()>),
}

impl Running {
    /// Waits for the end; says whether it was an orderly one.
    async fn ended(self) -> bool {
        match self {
            Self::Thread(thread) => {
                matches!(tokio::task::spawn_blocking(move || thread.join().is_ok()).await, Ok(true))
            }
            Self::Task(ended) => ended.await.is_ok(),
        }
    }
}

impl std::ops::Deref for Inner {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.held
    }
}

/// A node of a cluster. Cheap to clone; clones are the same node.
///
/// Dropping the last clone without [`shutdown`](Self::shutdown) ends the node: it sends one goodbye that nobody waits for.
#[derive(Debug, Clone)]
pub struct Cluster(Arc<Inner>);

/// The members as they were, then every event after that, numbered.
pub type Events = Subscription<MemberTable, Event>;

impl Cluster {
    /// The handle of a node that was assembled, and its events from the first.
    fn of(Parts { held, events, name_lost, release }: Parts, running: Running) -> (Self, Events) {
        let inner =
            Inner { held, name_lost, shutdown: AsyncMutex::new(None), running: Mutex::new(Some((release, running))) };
        (Self(Arc::new(inner)), events)
    }

    /// A node with credentials, and the settings of a profile.
    #[must_use]
    pub fn builder(credentials: Credentials, profile: Profile) -> ClusterBuilder {
        ClusterBuilder::new(Ok(credentials), profile)
    }

    /// A node for one machine: a free port of 127.0.0.1, quick verdicts, and credentials from an authority in memory.
    #[must_use]
    pub fn local(name: &str, authority: &Authority) -> ClusterBuilder {
        let issue = |name: &NodeId| authority.issue(name, Validity::days(unix_ms() / 1_000, 30));
        let credentials = NodeId::new(name).map_err(PkiError::from).and_then(|n| issue(&n));
        ClusterBuilder::new(credentials, Profile::Local)
    }

    /// An authority in memory, for [`Cluster::local`]: it lives as long as the process.
    ///
    /// # Errors
    /// The name is none, or the system has no randomness.
    pub fn local_authority(cluster: &str) -> Result<Authority, PkiError> {
        let name = ClusterName::new(cluster)?;
        Authority::generate(name, unix_ms() / 1_000)
    }

    /// This node's name.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0.own.node
    }

    /// This process's life, which tells it from other processes of the same name.
    #[must_use]
    pub fn life(&self) -> Life {
        self.0.own.life
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster_name(&self) -> &ClusterName {
        &self.0.cluster
    }

    /// The address this node is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.pool.local_addr()
    }

    /// The address others are told to dial.
    #[must_use]
    pub fn advertised_addr(&self) -> SocketAddr {
        self.0.own.addr
    }

    /// Joins through any of the seeds, all at once; returns when the first has let this node in. Names are resolved anew in each
    /// round, and again when this node has lost everybody: then it looks for its cluster where it once joined.
    ///
    /// # Errors
    /// No seed let it in: [`JoinError::AllFailed`] names each and why.
    ///
    /// # Cancel safety
    /// Safe; the join goes on.
    pub async fn join(&self, seeds: impl IntoIterator<Item = impl Into<JoinSeed>>) -> Result<JoinReport, JoinError> {
        self.join_with(seeds, false).await
    }

    /// As [`join`](Self::join), but tries again for ever, from 100 ms to 2 s apart; each failed round is an event for each
    /// seed.
    ///
    /// # Errors
    /// Only that the node is shutting down.
    ///
    /// # Cancel safety
    /// Safe; the join goes on.
    pub async fn join_patiently(
        &self,
        seeds: impl IntoIterator<Item = impl Into<JoinSeed>>,
    ) -> Result<JoinReport, JoinError> {
        self.join_with(seeds, true).await
    }

    async fn join_with(
        &self,
        seeds: impl IntoIterator<Item = impl Into<JoinSeed>>,
        retry: bool,
    ) -> Result<JoinReport, JoinError> {
        let seeds: Vec<JoinSeed> = seeds.into_iter().map(Into::into).collect();
        let span = tracing::info_span!("join", node = %self.0.own.node, seeds = seeds.len());
        self.join_through(seeds, retry).instrument(span).await
    }

    async fn join_through(&self, seeds: Vec<JoinSeed>, retry: bool) -> Result<JoinReport, JoinError> {
        let (done, report) = oneshot::channel();
        self.command(Command::Join { seeds, retry, done }).await.ok_or(JoinError::ShuttingDown)?;
        let report = report.await.map_err(|_dropped| JoinError::ShuttingDown)?;
        if report.joined() == 0 { Err(JoinError::AllFailed { report }) } else { Ok(report) }
    }

    async fn command(&self, command: Command) -> Option<()> {
        self.0.commands.send(command).await.ok()
    }

    /// Every member known, by name, this node included.
    #[must_use]
    pub fn members(&self) -> Vec<MemberInfo> {
        self.0.registry.snapshot().iter().map(|member| self.info(member)).collect()
    }

    /// One member.
    #[must_use]
    pub fn member(&self, node: &str) -> Option<MemberInfo> {
        self.0.registry.snapshot().member(node).map(|member| self.info(member))
    }

    fn info(&self, member: &Member) -> MemberInfo {
        let Claim { node, addr, state, incarnation, facts, .. } = member.claim.clone();
        let rtt = self.0.pool.current(LinkClass::Control, &node).map(|link| link.rtt());
        let features = facts.features();
        MemberInfo { node, addr, state, incarnation, rtt, metadata: member.metadata.clone(), features }
    }

    /// The features that may be used: those that this node [knows](ClusterBuilder::features) and that every live member has known
    /// for the length of the pause budget. The event `feature_on` tells of each, once; `feature_off` takes it back when a member
    /// turns up that does not know it. Each node judges for itself, within about a second of the others.
    #[must_use]
    pub fn features_on(&self) -> Features {
        self.0.registry.snapshot().features_on()
    }

    /// A snapshot of the members, then every event after it, numbered. A slow reader is told what it missed and gets a
    /// fresh snapshot; it slows nobody. What has happened since the start is in the snapshot:
    /// [`start_subscribed`](ClusterBuilder::start_subscribed) misses not even that.
    #[must_use]
    pub fn subscribe(&self) -> Events {
        self.0.registry.subscribe()
    }

    /// Replaces what this node says about itself, and tells everybody.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn set_metadata(&self, metadata: Metadata) {
        // A node that has stopped has nobody to tell.
        let _ = self.command(Command::SetMetadata(metadata)).await;
    }

    /// Says whether the application on top is well. A process whose application hangs still answers probes; with this the
    /// answers say so, and the others report `health_check_failed`. It is no reason to declare this node failed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn set_healthy(&self, well: bool) {
        // A node that has stopped has nobody to tell.
        let _ = self.command(Command::SetHealth(well)).await;
    }

    /// Broadcasts a small message, of at most 200 bytes, to every member by gossip. Best effort: each hears it at most once,
    /// as the event `broadcast`, and nobody answers.
    ///
    /// # Errors
    /// It is too long, too many are under way, or this node is leaving or has stopped.
    ///
    /// # Cancel safety
    /// Safe; once asked for, it goes out.
    pub async fn broadcast(&self, payload: impl Into<Vec<u8>>) -> Result<(), BroadcastError> {
        let (done, outcome) = oneshot::channel();
        let command = Command::Broadcast { payload: payload.into(), done };
        self.command(command).await.ok_or(BroadcastError::Leaving)?;
        outcome.await.unwrap_or(Err(BroadcastError::Leaving))
    }

    /// The data link to a member, leased: the one there is, else dialled.
    ///
    /// # Errors
    /// See [`PoolError`]; a node that is no live member is not dialled.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn link(&self, node: &NodeId) -> Result<Lease, PoolError> {
        let member = self.member(node.as_str()).filter(|member| member.state.is_live());
        let member = member.ok_or_else(|| PoolError::NotAMember { node: node.clone() })?;
        self.0.pool.get_or_create(node, member.addr).await
    }

    /// The current links of a class, by member.
    #[must_use]
    pub fn links(&self, class: LinkClass) -> Vec<Link> {
        self.0.pool.links(class)
    }

    /// How many links of a class have not ended; see [`open_links`](cluster_pool::ConnectionPool::open_links).
    #[must_use]
    pub fn open_links(&self, class: LinkClass) -> usize {
        self.0.pool.open_links(class)
    }

    /// Closes this node's links to a member; says whether there were any. They are dialled anew where they are needed: for
    /// tests, and for a fresh start on a path that has changed. What was open on them ends.
    pub fn close_links(&self, node: &NodeId) -> bool {
        let links = [LinkClass::Control, LinkClass::Data].map(|class| self.0.pool.current(class, node));
        links.iter().flatten().for_each(|link| link.close(CloseCode::DONE));
        links.iter().any(Option::is_some)
    }

    /// Shows other credentials from now on, and trusts their authorities: after a certificate was renewed, or an authority
    /// exchanged. Links that are there stay.
    ///
    /// # Errors
    /// They are somebody else's or cannot be used: those before stay in use.
    pub fn reload(&self, credentials: &Credentials) -> Result<(), ReloadError> {
        self.0.pool.reload(credentials)?;
        self.0.signatures.reload(credentials)?;
        self.0.certificate.set(credentials.clone());
        // A loop that is behind, or has ended, goes on with what it signed: it stays good.
        let _ = self.0.commands.try_send(Command::Resign);
        Ok(())
    }

    /// Accepts these no longer, instead of those revoked before, and ends every link with one of them. Returns how many there
    /// were.
    pub fn revoke(&self, revoked: Revocations) -> usize {
        self.0.signatures.revoke(Arc::new(revoked.clone()));
        self.0.pool.revoke(revoked)
    }

    /// Where members were when this node last ran, by its [state file](ClusterBuilder::state): worth joining through, beside the
    /// seeds.
    #[must_use]
    pub fn remembered(&self) -> Vec<JoinSeed> {
        let others = self.0.memory.remembered().iter().filter(|addr| **addr != self.0.own.addr);
        others.map(|addr| JoinSeed::Addr(*addr)).collect()
    }

    /// Waits until another live process turns out to hold this node's name and to have been there first, and says where it
    /// answers. This node should end then. Waits for ever otherwise. Whoever asks is told, as often as he likes.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn name_lost(&self) -> SocketAddr {
        let mut lost = self.0.name_lost.clone();
        match lost.wait_for(Option::is_some).await.map(|addr| *addr) {
            Ok(Some(addr)) => addr,
            // The node has ended with its name.
            _ => std::future::pending().await,
        }
    }
}
