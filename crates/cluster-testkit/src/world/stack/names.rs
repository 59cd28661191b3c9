//! The world's name server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use cluster_manager::{JoinSeed, Resolver};

use super::StackWorld;
use crate::world::addr_of;

/// Which name is where. Clones are the same server.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>);

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(name).cloned().ok_or_else(|| "no such name".to_owned())
    }
}

impl StackWorld {
    /// Lets a name with its port stand for these nodes, and no others, from now on.
    pub fn set_name(&mut self, name: &str, nodes: &[usize]) {
        self.note(&format!("{name} is {nodes:?}"));
        let addrs = nodes.iter().map(|&node| addr_of(node)).collect();
        self.names.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), addrs);
    }

    /// As [`start`](Self::start), joining through a name.
    ///
    /// # Panics
    /// As there; or it is no name with a port.
    pub fn start_through(&mut self, i: usize, name: &str) {
        let seed = name.parse().unwrap_or_else(|e| panic!("{e}"));
        self.start_with(i, vec![seed]);
    }
}

/// What a node joins through, by its number.
pub(super) fn seed_of(node: usize) -> JoinSeed {
    JoinSeed::Addr(addr_of(node))
}
