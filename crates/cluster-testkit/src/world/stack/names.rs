//! The world's name server, and what is wrong with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cluster_manager::{JoinSeed, Resolver};

use super::StackWorld;
use crate::reachable;
use crate::scenario::NameFault;
use crate::world::{addr_of, name_of};

/// Which name is where, and what is wrong with whoever tells. Clones are the same server.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<Mutex<Service>>);

#[derive(Debug, Default)]
struct Service {
    names: BTreeMap<String, Vec<SocketAddr>>,
    fault: Option<NameFault>,
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, Service> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it answers now, and after how long; `None` when it does not.
    fn answer(&self, name: &str) -> Option<(Duration, Result<Vec<SocketAddr>, String>)> {
        let service = self.lock();
        let found = || service.names.get(name).cloned().ok_or_else(|| "no such name".to_owned());
        match &service.fault {
            None => Some((Duration::ZERO, found())),
            Some(NameFault::Late(by_ms)) => {
                reachable!("a name is looked up that is answered late");
                Some((Duration::from_millis(*by_ms), found()))
            }
            Some(NameFault::Unknown) => Some((Duration::ZERO, Err("no such name".to_owned()))),
            Some(NameFault::Wrong(nodes)) => {
                reachable!("a name is looked up that is said to stand for somebody else");
                Some((Duration::ZERO, Ok(nodes.iter().map(|&node| addr_of(node)).collect())))
            }
            Some(NameFault::Hang) => {
                reachable!("a name is looked up that is never answered");
                None
            }
        }
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, String> {
        let Some((after, answer)) = self.answer(name) else { return std::future::pending().await };
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        answer
    }
}

impl StackWorld {
    /// Lets a name with its port stand for these nodes, and no others, from now on.
    pub fn set_name(&mut self, name: &str, nodes: &[usize]) {
        self.note(&format!("{name} is {nodes:?}"));
        let addrs = nodes.iter().map(|&node| addr_of(node)).collect();
        self.names.lock().names.insert(name.to_owned(), addrs);
    }

    /// Something is wrong with the name service from now on, or nothing.
    pub fn set_name_fault(&mut self, fault: Option<NameFault>) {
        self.note(&format!("names: {fault:?}"));
        self.names.lock().fault = fault;
    }

    /// As [`start`](Self::start), joining through a name.
    ///
    /// # Panics
    /// As there; or it is no name with a port.
    pub fn start_through(&mut self, i: usize, name: &str) {
        let seed = name.parse().unwrap_or_else(|e| panic!("{e}"));
        self.start_with(i, vec![seed]);
    }

    /// What nodes join through, by their numbers: their names, where the nodes of this world are told these, or their addresses.
    pub(super) fn seeds_of(&self, nodes: &[usize]) -> Vec<JoinSeed> {
        nodes
            .iter()
            .map(|&node| if self.config.names { self.named(node) } else { JoinSeed::Addr(addr_of(node)) })
            .collect()
    }

    fn named(&self, node: usize) -> JoinSeed {
        let name = format!("{}:{}", name_of(node), addr_of(node).port());
        let addr = self.hosts.get(node).map_or_else(|| addr_of(node), |host| host.addr);
        self.names.lock().names.insert(name.clone(), vec![addr]);
        JoinSeed::Name(name)
    }
}
