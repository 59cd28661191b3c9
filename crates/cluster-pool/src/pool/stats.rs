//! What a pool's data connections did, by peer and in all.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_types::NodeId;

use super::reached::LimitsReached;
use crate::link::Link;

/// Peers whose counters are kept; what more there are is counted in the totals only.
const PEERS_MAX: usize = 4_096;

/// The data connections to one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// Connections now.
    pub connected: usize,
    /// Of these, the ones without a lease and without an open stream.
    pub idle: usize,
    /// Dials begun.
    pub dials: u64,
    /// Dials that failed.
    pub failures: u64,
    /// Calls that were given a connection that was there.
    pub reuses: u64,
    /// Connections closed to make room for others, or because nobody had used them for long.
    pub evictions: u64,
    /// Round-trip time of the shared connection.
    pub rtt: Option<Duration>,
    /// Bytes sent on the connections that are there now, headers of QUIC included.
    pub bytes_sent: u64,
    /// Bytes received on them.
    pub bytes_received: u64,
}

/// All data connections of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Sums over all peers; its round-trip time is that of nobody.
    pub total: PeerStats,
    /// Places taken, by connections and by dials: no more than [`PoolConfig::max_total`](super::PoolConfig).
    pub places: usize,
    /// By peer, up to 4,096 of them.
    pub peers: BTreeMap<NodeId, PeerStats>,
    /// What was dropped or refused because a limit was reached.
    pub limits: LimitsReached,
}

/// What is counted as it happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Happened {
    Dialled,
    Failed,
    Evicted,
}

#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<PoolStats>);

impl Counters {
    /// Held for additions, never across a wait.
    fn lock(&self) -> MutexGuard<'_, PoolStats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, peer: &NodeId, happened: Happened) {
        let mut stats = self.lock();
        let count = |stats: &mut PeerStats| match happened {
            Happened::Dialled => stats.dials += 1,
            Happened::Failed => stats.failures += 1,
            Happened::Evicted => stats.evictions += 1,
        };
        count(&mut stats.total);
        if stats.peers.len() < PEERS_MAX || stats.peers.contains_key(peer) {
            count(stats.peers.entry(peer.clone()).or_default());
        } else {
            stats.limits.peer_counts += 1;
        }
    }

    /// A connection ends: what was counted on it is counted here.
    pub(super) fn note_end(&self, link: &Link) {
        let mut stats = self.lock();
        // Taken while nobody can look: in between they would be counted nowhere.
        let reuses = link.take_reuses();
        stats.total.reuses += reuses;
        if let Some(peer) = stats.peers.get_mut(link.node()) {
            peer.reuses += reuses;
        }
    }

    /// With what the connections are at now.
    pub(super) fn with(&self, links: &[Link]) -> PoolStats {
        let held = self.lock();
        let mut stats = held.clone();
        for link in links {
            let (sent, received) = link.bytes();
            let idle = usize::from(link.is_idle());
            let peer = stats.peers.entry(link.node().clone()).or_default();
            for stats in [&mut stats.total, &mut *peer] {
                stats.reuses += link.reuses();
            }
            // Whoever has heard of its end finds no connection here, also before it is put away.
            if link.is_dead() {
                continue;
            }
            peer.rtt = Some(link.rtt());
            for stats in [&mut stats.total, peer] {
                stats.connected += 1;
                stats.idle += idle;
                stats.bytes_sent += sent;
                stats.bytes_received += received;
            }
        }
        drop(held);
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_counted_by_peer_is_counted_as_such() {
        let counters = Counters::default();
        let peer = |n: usize| format!("p{n}").parse().unwrap();
        (0..PEERS_MAX + 2).for_each(|n| counters.note(&peer(n), Happened::Dialled));
        counters.note(&peer(0), Happened::Failed);
        let stats = counters.with(&[]);
        assert_eq!((stats.total.dials, stats.total.failures), (PEERS_MAX as u64 + 2, 1));
        assert_eq!((stats.peers.len(), stats.limits.peer_counts), (PEERS_MAX, 2));
    }
}
