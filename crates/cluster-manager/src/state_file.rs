//! The state file: where the members were, so that a node that restarts finds them without its seeds.
//!
//! Written beside its place and moved there, so that a crash leaves the old one or the new one. One that cannot be read, or
//! belongs to another cluster or node, is set aside under another name and reported, never overwritten.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cluster_types::{ClusterName, NodeId};
use serde::{Deserialize, Serialize};

use crate::storage::{self, Storage, SystemStorage};

const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    version: u32,
    cluster: String,
    node: String,
    peers: Vec<Peer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Peer {
    node: String,
    addr: SocketAddr,
}

/// The state file of one node.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
    cluster: ClusterName,
    node: NodeId,
    /// A planted mistake.
    pub(crate) overwrites_damaged: bool,
}

/// What came of reading a state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// There is none yet.
    Fresh,
    /// The members as they were.
    Peers(Vec<(NodeId, SocketAddr)>),
    /// It could not be used and was moved.
    SetAside {
        /// Where it is now.
        to: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
}

impl StateFile {
    /// The state file of `node` at `path`.
    pub fn new(path: impl Into<PathBuf>, cluster: ClusterName, node: NodeId) -> Self {
        Self { path: path.into(), cluster, node, overwrites_damaged: false }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it from the disk of this machine.
    ///
    /// # Errors
    /// It is there and the system does not let it be read or moved.
    pub fn load(&self) -> io::Result<Loaded> {
        self.load_from(&SystemStorage)
    }

    /// Reads it.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_from(&self, storage: &dyn Storage) -> io::Result<Loaded> {
        let bytes = match storage.read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Fresh),
            Err(e) => return Err(e),
        };
        match self.parse(&bytes) {
            Ok(peers) => Ok(Loaded::Peers(peers)),
            Err(_) if self.overwrites_damaged => Ok(Loaded::Fresh),
            Err(reason) => storage.set_aside(&self.path).map(|to| Loaded::SetAside { to, reason }),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Vec<(NodeId, SocketAddr)>, String> {
        let contents: Contents = serde_json::from_slice(bytes).map_err(|e| format!("it is not a state file: {e}"))?;
        if contents.version != VERSION {
            return Err(format!("it has version {}, this program writes {VERSION}", contents.version));
        }
        if contents.cluster != self.cluster.as_str() || contents.node != self.node.as_str() {
            let (cluster, node) = (contents.cluster, contents.node);
            return Err(format!(
                "it belongs to {node} of cluster {cluster}, this is {} of {}",
                self.node, self.cluster
            ));
        }
        let named = |peer: Peer| NodeId::new(&peer.node).map(|node| (node, peer.addr)).map_err(|e| e.to_string());
        contents.peers.into_iter().map(named).collect()
    }

    /// Writes it anew, to the disk of this machine.
    ///
    /// # Errors
    /// What the system says; the old one stays then.
    pub fn save(&self, peers: impl IntoIterator<Item = (NodeId, SocketAddr)>) -> io::Result<()> {
        storage::replace_now(&self.path, &self.contents(peers)?)
    }

    /// Writes it anew.
    ///
    /// # Errors
    /// As for [`save`](Self::save).
    ///
    /// # Cancel safety
    /// Safe: the old one stays, or the new one comes.
    pub async fn save_to(
        &self,
        storage: &dyn Storage,
        peers: impl IntoIterator<Item = (NodeId, SocketAddr)>,
    ) -> io::Result<()> {
        let contents = self.contents(peers)?;
        storage.replace(&self.path, contents).await
    }

    fn contents(&self, peers: impl IntoIterator<Item = (NodeId, SocketAddr)>) -> io::Result<Vec<u8>> {
        let peers = peers.into_iter().map(|(node, addr)| Peer { node: node.to_string(), addr }).collect();
        let contents =
            Contents { version: VERSION, cluster: self.cluster.to_string(), node: self.node.to_string(), peers };
        Ok(serde_json::to_vec_pretty(&contents)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file(dir: &Path, node: &str) -> StateFile {
        StateFile::new(dir.join("state.json"), "prod".parse().unwrap(), node.parse().unwrap())
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let state = file(dir.path(), "a");
        assert_eq!(state.load().unwrap(), Loaded::Fresh);
        let addr: SocketAddr = "10.0.0.2:7000".parse().unwrap();
        state.save([("b".parse().unwrap(), addr)]).unwrap();
        assert_eq!(state.load().unwrap(), Loaded::Peers(vec![("b".parse().unwrap(), addr)]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_foreign_or_damaged_file_is_set_aside_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "a").save([]).unwrap();
        let Loaded::SetAside { to, reason } = file(dir.path(), "b").load().unwrap() else { panic!("not set aside") };
        assert_eq!(reason, "it belongs to a of cluster prod, this is b of prod");
        assert!(to.exists() && !dir.path().join("state.json").exists());
        fs::write(dir.path().join("state.json"), "{ half").unwrap();
        let Loaded::SetAside { to: second, reason } = file(dir.path(), "b").load().unwrap() else { panic!("kept") };
        assert!(reason.starts_with("it is not a state file"), "{reason}");
        assert_ne!(to, second);
        assert_eq!(fs::read_to_string(second).unwrap(), "{ half");
        assert_eq!(file(dir.path(), "b").load().unwrap(), Loaded::Fresh);
    }
}
