//! The hosts of a client: how much each has to do, how it is, and whose turn it is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use cluster_types::{NodeId, Seed};
use tokio::time::Instant as Moment;

use super::config::{AVOID_MAX, Policy};

#[derive(Debug, Default)]
struct Health {
    node: Option<NodeId>,
    /// Since something last went well.
    failures: u32,
    /// Avoided until then.
    avoided_until: Option<Moment>,
}

/// One place where a node may answer.
#[derive(Debug)]
pub(super) struct Host {
    name: String,
    addr: SocketAddr,
    in_use: AtomicUsize,
    /// Held for a comparison or two.
    health: Mutex<Health>,
}

/// How a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostHealth {
    /// As it stands in the list.
    pub host: String,
    /// Where it is.
    pub addr: SocketAddr,
    /// The node that last answered there.
    pub node: Option<NodeId>,
    /// Connections in use.
    pub in_use: usize,
    /// Failures since something last went well.
    pub failures: u32,
    /// For how long it is still avoided.
    pub avoided_for: Option<Duration>,
}

impl Host {
    fn new(name: String, addr: SocketAddr) -> Self {
        Self { name, addr, in_use: AtomicUsize::new(0), health: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn note_connected(&self, node: &NodeId) {
        self.in_use.fetch_add(1, Ordering::AcqRel);
        self.state().node = Some(node.clone());
    }

    pub(super) fn note_returned(&self) {
        self.in_use.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn note_success(&self) {
        let mut state = self.state();
        state.failures = 0;
        state.avoided_until = None;
    }

    pub(super) fn note_failure(&self, avoid: Duration) {
        let mut state = self.state();
        let factor = 1u32.checked_shl(state.failures).unwrap_or(u32::MAX);
        state.failures = state.failures.saturating_add(1);
        state.avoided_until = Some(Moment::now() + avoid.saturating_mul(factor).min(AVOID_MAX));
    }

    fn is_avoided(&self) -> bool {
        self.state().avoided_until.is_some_and(|until| Moment::now() < until)
    }

    /// What it has to do; each failure counts as much as all of that once more.
    fn load(&self) -> usize {
        let failures = self.state().failures.min(1_000) as usize;
        (self.in_use.load(Ordering::Acquire) + 1) * (failures + 1)
    }

    pub(super) fn health(&self) -> HostHealth {
        let state = self.state();
        HostHealth {
            host: self.name.clone(),
            addr: self.addr,
            node: state.node.clone(),
            in_use: self.in_use.load(Ordering::Acquire),
            failures: state.failures,
            avoided_for: state.avoided_until.map(|until| until - Moment::now()).filter(|left| !left.is_zero()),
        }
    }
}

/// All hosts, as the names say now.
#[derive(Debug, Default)]
pub(super) struct Hosts(RwLock<Vec<Arc<Host>>>);

impl Hosts {
    pub(super) fn all(&self) -> Vec<Arc<Host>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// These are the hosts now; what is known of those that stay is kept, and so are those whose names could not be looked up.
    pub(super) fn replace(&self, found: Vec<(String, SocketAddr)>, unknown: &[&str]) {
        let mut hosts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *hosts);
        for (name, addr) in found {
            if !hosts.iter().any(|host| host.addr == addr) {
                let known = before.iter().find(|host| host.addr == addr).cloned();
                hosts.push(known.unwrap_or_else(|| Arc::new(Host::new(name, addr))));
            }
        }
        for host in before {
            if unknown.contains(&host.name()) && !hosts.iter().any(|other| other.addr == host.addr) {
                hosts.push(host);
            }
        }
    }

    pub(super) fn of_node(&self, node: &NodeId) -> Vec<Arc<Host>> {
        self.all().into_iter().filter(|host| host.state().node.as_ref() == Some(node)).collect()
    }

    /// All of them, in the order in which they are to be tried: the healthy ones by the policy, then those that are avoided, the one
    /// first whose time is over soonest.
    pub(super) fn in_order(&self, policy: Policy, seed: Seed, draw: u64) -> Vec<Arc<Host>> {
        let (mut avoided, mut healthy): (Vec<_>, Vec<_>) = self.all().into_iter().partition(|host| host.is_avoided());
        avoided.sort_by_key(|host| host.state().avoided_until);
        if !healthy.is_empty() {
            let count = healthy.len() as u64;
            match policy {
                Policy::RoundRobin => healthy.rotate_left((draw % count) as usize),
                Policy::PowerOfTwoChoices => {
                    let first = seed.derive("first", draw).below(0, count) as usize;
                    let second = seed.derive("second", draw).below(0, count) as usize;
                    let better = if healthy[second].load() < healthy[first].load() { second } else { first };
                    healthy.rotate_left(better);
                }
            }
        }
        healthy.append(&mut avoided);
        healthy
    }
}
