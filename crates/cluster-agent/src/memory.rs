//! What the agent remembers in its state file: where every member was, whatever became of it. After a power cut nobody answers
//! at first, and that is when the file is needed most: so a member that is down is not forgotten.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use cluster_manager::state_file::Loaded;
use cluster_manager::{Cluster, Delivery, NodeId, StateFile};
use tokio::time::Instant;

use crate::Failure;

/// Between two writings, however much happens.
const INTERVAL: Duration = Duration::from_secs(1);

/// The file and what it held at the start.
#[derive(Debug)]
pub(crate) struct Memory {
    file: StateFile,
    loaded: BTreeMap<NodeId, SocketAddr>,
}

impl Memory {
    /// Reads the file; one that is damaged or foreign is set aside.
    pub(crate) fn load(file: StateFile) -> Result<Self, Failure> {
        let path = file.path().display();
        let failed = |e: std::io::Error| Failure::new(format!("the state file {path} cannot be used: {e}"));
        let loaded = match file.load().map_err(failed)? {
            Loaded::Fresh => BTreeMap::new(),
            Loaded::Peers(peers) => peers.into_iter().collect(),
            Loaded::SetAside { to, reason } => {
                tracing::warn!(file = %path, kept_as = %to.display(), %reason, "state file set aside");
                BTreeMap::new()
            }
        };
        Ok(Self { file, loaded })
    }

    /// Where members were.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.loaded.values().copied()
    }

    /// Writes down everybody ever heard of.
    pub(crate) fn save(&self, cluster: &Cluster) {
        let mut peers = self.loaded.clone();
        peers.extend(cluster.members().into_iter().map(|member| (member.node, member.addr)));
        peers.remove(cluster.node());
        if let Err(error) = self.file.save(peers) {
            tracing::warn!(file = %self.file.path().display(), %error, "the members cannot be written down");
        }
    }
}

/// Writes the members down when they have changed, at most once a second. Never ends.
pub(crate) async fn keep(cluster: &Cluster, memory: Option<&Memory>) {
    let Some(memory) = memory else { return std::future::pending().await };
    let mut events = cluster.subscribe();
    let mut due: Option<Instant> = None;
    loop {
        let wake = due.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(wake), if due.is_some() => {
                due = None;
                memory.save(cluster);
            }
            delivery = events.recv() => {
                let changed = match delivery {
                    Some(Delivery::Event { event, .. }) => event.kind.member().is_some(),
                    Some(Delivery::Snapshot { .. } | Delivery::Lagged { .. }) => true,
                    None => return std::future::pending().await,
                };
                if changed {
                    due = due.or_else(|| Some(Instant::now() + INTERVAL));
                }
            }
        }
    }
}
