//! What a node remembers in its state file: where every member was, whatever became of it. After a power cut nobody answers at
//! first, and that is when the file is needed most: so a member that is down is not forgotten.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster_gossip::SharedNodeRegistry;
use cluster_pool::Spawner;
use cluster_types::{ClusterName, Delivery, NodeId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::StartError;
use crate::planted::Bug;
use crate::state_file::{Loaded, StateFile};
use crate::storage::Storage;

/// Between two writings, however much happens.
const INTERVAL: Duration = Duration::from_secs(1);

/// Between two tries while writing fails: [`INTERVAL`] at first, then twice as long each time, up to this. A full disk is looked at
/// often enough, and not worn out.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The memory of one node; without a file it remembers nothing. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Memory {
    remembered: Vec<SocketAddr>,
    /// The owner wants what is known now to be written, and no more.
    finish: CancellationToken,
    /// As it is: nobody wants anything any more.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The file, and what it is filled from.
struct Keeper {
    file: StateFile,
    storage: Arc<dyn Storage>,
    registry: SharedNodeRegistry,
    own: NodeId,
    loaded: BTreeMap<NodeId, SocketAddr>,
    /// What was wrong the last time: said once, and not with every try.
    last_error: Option<String>,
    /// How often in a row it could not be written.
    failures: u32,
    /// A planted mistake.
    bug: Option<Bug>,
}

impl Memory {
    /// Reads the file, and begins to keep it.
    pub(crate) fn start(
        (path, bug): (Option<PathBuf>, Option<Bug>),
        storage: Arc<dyn Storage>,
        (cluster, own): (ClusterName, NodeId),
        registry: SharedNodeRegistry,
        spawner: &dyn Spawner,
    ) -> Result<Self, StartError> {
        let (finish, stop, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let Some(path) = path else { return Ok(Self { remembered: Vec::new(), finish, stop, tasks }) };
        let mut file = StateFile::new(&path, cluster, own.clone());
        file.overwrites_damaged = bug == Some(Bug::OverwriteDamaged);
        clear_unfinished(&*storage, &path);
        let loaded = file.load_from(&*storage).map_err(|source| StartError::State { path: path.clone(), source })?;
        let loaded: BTreeMap<NodeId, SocketAddr> = match loaded {
            Loaded::Fresh => BTreeMap::new(),
            Loaded::Peers(peers) => peers.into_iter().collect(),
            Loaded::SetAside { to, reason } => {
                cluster_sites::reachable!(crate::sites::STATE_SET_ASIDE);
                tracing::warn!(file = %path.display(), kept_as = %to.display(), %reason, "state file set aside");
                BTreeMap::new()
            }
        };
        let remembered = loaded.iter().filter(|(node, _)| **node != own).map(|(_, addr)| *addr).collect();
        let keeper = Keeper { file, storage, registry, own, loaded, last_error: None, failures: 0, bug };
        let (last, end) = (finish.clone(), stop.clone());
        spawner.spawn(Box::pin(tasks.track_future(async move {
            // Whatever it is at, it ends there.
            end.run_until_cancelled(keeper.keep(last)).await;
        })));
        Ok(Self { remembered, finish, stop, tasks })
    }

    /// Where members were when this node last ran.
    pub(crate) fn remembered(&self) -> &[SocketAddr] {
        &self.remembered
    }

    /// Has what is known now written for the last time.
    pub(crate) fn finish(&self) {
        self.finish.cancel();
    }

    /// Waits until that is done.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Keeper {
    /// Writes the members down when they have changed, at most once a second and until it succeeds, until the end.
    async fn keep(mut self, finish: CancellationToken) {
        let mut events = self.registry.subscribe();
        let mut due: Option<Instant> = None;
        loop {
            let wake = due.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = finish.cancelled() => return self.save().await,
                () = tokio::time::sleep_until(wake), if due.is_some() => {
                    self.save().await;
                    due = self.again_in().map(|wait| Instant::now() + wait);
                }
                delivery = events.recv() => {
                    let changed = match delivery {
                        Some(Delivery::Event { event, .. }) => event.kind.member().is_some(),
                        Some(Delivery::Snapshot { .. } | Delivery::Lagged { .. }) => true,
                        None => return,
                    };
                    if changed {
                        due = due.or_else(|| Some(Instant::now() + INTERVAL));
                    }
                }
            }
        }
    }

    /// Everybody ever heard of.
    async fn save(&mut self) {
        if self.bug == Some(Bug::DiskErrorEndsMemory) && self.last_error.is_some() {
            return;
        }
        let mut peers = self.loaded.clone();
        let members = self.registry.snapshot();
        peers.extend(members.iter().map(|member| (member.node().clone(), member.claim.addr)));
        peers.remove(&self.own);
        let error = self.file.save_to(&*self.storage, peers).await.err().map(|error| error.to_string());
        cluster_sites::sometimes!(crate::sites::STATE_NOT_WRITTEN, error.is_some());
        if let Some(reason) = error.as_ref().filter(|_| error != self.last_error) {
            tracing::warn!(file = %self.file.path().display(), %reason, "the members cannot be written down; it is tried again");
        }
        self.failures = if error.is_some() { self.failures.saturating_add(1) } else { 0 };
        self.last_error = error;
    }

    /// When what could not be written is tried again, though nothing may have changed meanwhile.
    fn again_in(&self) -> Option<Duration> {
        let doublings = self.failures.checked_sub(1)?;
        Some(INTERVAL.saturating_mul(2_u32.saturating_pow(doublings)).min(RETRY_MAX))
    }
}

/// What is left of writings that were cut short would be there for ever. Not being able to clear it away is no reason not to start.
fn clear_unfinished(storage: &dyn Storage, path: &Path) {
    let file = path.display();
    match storage.remove_unfinished(path) {
        Ok(0) => {}
        Ok(count) => tracing::info!(%file, count, "writings of the state file that were cut short are cleared away"),
        Err(reason) => tracing::warn!(%file, %reason, "what was left beside the state file cannot be cleared away"),
    }
}
