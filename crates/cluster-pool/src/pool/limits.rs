//! How many data connections there may be: permits, taken before any I/O and held for as long as the place is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_types::NodeId;

use super::error::PoolError;

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) current: usize,
    pub(super) max: usize,
    /// It is the peer that has all it may have, and not the pool.
    pub(super) of_peer: bool,
}

impl From<Full> for PoolError {
    fn from(Full { current, max, .. }: Full) -> Self {
        Self::PoolFull { current, max }
    }
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_peer: BTreeMap<NodeId, usize>,
}

#[derive(Debug)]
struct Inner {
    max_total: usize,
    max_per_peer: usize,
    /// Held for an addition or two, never across a wait.
    counts: Mutex<Counts>,
}

impl Inner {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places of one pool. Clones are the same places.
#[derive(Debug, Clone)]
pub(crate) struct Limits(Arc<Inner>);

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Limits,
    peer: NodeId,
}

impl Limits {
    pub(super) fn new(max_total: usize, max_per_peer: usize) -> Self {
        Self(Arc::new(Inner { max_total, max_per_peer, counts: Mutex::default() }))
    }

    /// A place for one more connection to a peer; else which limit is reached: the peer's own, or that of all.
    pub(super) fn reserve(&self, peer: &NodeId) -> Result<Permit, Full> {
        let Inner { max_total, max_per_peer, .. } = *self.0;
        let mut counts = self.0.counts();
        let of_peer = counts.by_peer.get(peer).copied().unwrap_or(0);
        if of_peer >= max_per_peer {
            return Err(Full { current: of_peer, max: max_per_peer, of_peer: true });
        }
        if counts.total >= max_total {
            return Err(Full { current: counts.total, max: max_total, of_peer: false });
        }
        counts.total += 1;
        counts.by_peer.insert(peer.clone(), of_peer + 1);
        Ok(Permit { limits: self.clone(), peer: peer.clone() })
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.0.counts().total
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.limits.0.counts();
        counts.total -= 1;
        if let Some(of_peer) = counts.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                counts.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(i: usize) -> NodeId {
        format!("n{i}").parse().unwrap()
    }

    #[test]
    fn the_peers_own_limit_is_named_before_that_of_all() {
        let limits = Limits::new(3, 2);
        let held = [limits.reserve(&node(0)).unwrap(), limits.reserve(&node(0)).unwrap()];
        assert_eq!(limits.reserve(&node(0)).unwrap_err(), Full { current: 2, max: 2, of_peer: true });
        let third = limits.reserve(&node(1)).unwrap();
        assert_eq!(limits.reserve(&node(2)).unwrap_err(), Full { current: 3, max: 3, of_peer: false });
        drop(third);
        assert!(limits.reserve(&node(2)).is_ok());
        drop(held);
        assert_eq!(limits.taken(), 0);
    }

    proptest! {
        /// Whatever is taken and given back in whatever order: the counts are right and no limit is passed.
        #[test]
        fn counts_are_right_after_any_interleaving(ops in prop::collection::vec((0usize..4, any::<bool>()), 1..200)) {
            let limits = Limits::new(6, 3);
            let mut held: Vec<(usize, Permit)> = Vec::new();
            for (peer, take) in ops {
                let of_peer = held.iter().filter(|(p, _)| *p == peer).count();
                if take {
                    let permit = limits.reserve(&node(peer));
                    prop_assert_eq!(permit.is_ok(), of_peer < 3 && held.len() < 6);
                    held.extend(permit.ok().map(|permit| (peer, permit)));
                } else if let Some(at) = held.iter().position(|(p, _)| *p == peer) {
                    held.swap_remove(at);
                }
                prop_assert_eq!(limits.taken(), held.len());
            }
        }
    }
}
