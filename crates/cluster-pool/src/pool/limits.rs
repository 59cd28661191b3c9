//! How many data connections there may be: permits, taken before any I/O and held for as long as the place is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_types::NodeId;

use super::error::PoolError;
use crate::identity::Fingerprint;

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

/// Whose place it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    /// A member's.
    Node(NodeId),
    /// A client's: whoever shows that certificate.
    Client(Fingerprint),
    /// Whoever will answer at an address that is being dialled.
    At(SocketAddr),
}

/// How many places there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Max {
    pub(super) total: usize,
    pub(super) per_peer: usize,
    pub(super) per_client: usize,
}

impl Max {
    const fn of(&self, holder: &Holder) -> usize {
        match holder {
            Holder::Node(_) => self.per_peer,
            Holder::Client(_) => self.per_client,
            Holder::At(_) => usize::MAX,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_holder: BTreeMap<Holder, usize>,
}

impl Counts {
    fn of(&self, holder: &Holder) -> usize {
        self.by_holder.get(holder).copied().unwrap_or(0)
    }

    fn add(&mut self, holder: &Holder) {
        *self.by_holder.entry(holder.clone()).or_insert(0) += 1;
    }

    fn take(&mut self, holder: &Holder) {
        if let Some(count) = self.by_holder.get_mut(holder) {
            *count -= 1;
            if *count == 0 {
                self.by_holder.remove(holder);
            }
        }
    }
}

#[derive(Debug)]
struct Inner {
    max: Max,
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
    holder: Holder,
}

impl Limits {
    pub(super) fn new(max: Max) -> Self {
        Self(Arc::new(Inner { max, counts: Mutex::default() }))
    }

    /// A place for one more connection; else which limit is reached: the holder's own, or that of all.
    pub(super) fn reserve(&self, holder: Holder) -> Result<Permit, Full> {
        let mut counts = self.0.counts();
        let (of_holder, max) = (counts.of(&holder), self.0.max.of(&holder));
        if of_holder >= max {
            return Err(Full { current: of_holder, max, of_peer: true });
        }
        if counts.total >= self.0.max.total {
            return Err(Full { current: counts.total, max: self.0.max.total, of_peer: false });
        }
        counts.total += 1;
        counts.add(&holder);
        Ok(Permit { limits: self.clone(), holder })
    }

    /// Places that are taken.
    pub(super) fn taken(&self) -> usize {
        self.0.counts().total
    }
}

impl Permit {
    /// The place is somebody else's from now on, if he may have one more.
    pub(super) fn pass_to(mut self, holder: Holder) -> Result<Self, Full> {
        let mut counts = self.limits.0.counts();
        let (of_holder, max) = (counts.of(&holder), self.limits.0.max.of(&holder));
        if of_holder >= max {
            return Err(Full { current: of_holder, max, of_peer: true });
        }
        counts.take(&self.holder);
        counts.add(&holder);
        drop(counts);
        self.holder = holder;
        Ok(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.limits.0.counts();
        counts.total -= 1;
        counts.take(&self.holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(i: usize) -> Holder {
        Holder::Node(format!("n{i}").parse().unwrap())
    }

    fn limits(total: usize, per_peer: usize) -> Limits {
        Limits::new(Max { total, per_peer, per_client: 5 })
    }

    #[test]
    fn a_place_taken_for_an_address_becomes_that_of_whoever_answers() {
        let limits = limits(3, 1);
        let at = Holder::At("127.0.0.1:9".parse().unwrap());
        let first = limits.reserve(at.clone()).unwrap().pass_to(node(1)).unwrap();
        let second = limits.reserve(at.clone()).unwrap();
        assert_eq!(second.pass_to(node(1)).unwrap_err(), Full { current: 1, max: 1, of_peer: true });
        assert_eq!(limits.taken(), 1, "what is not passed on is given back");
        drop(first);
        assert_eq!(limits.taken(), 0);
        let clients: Vec<_> =
            (0..3).map(|_| limits.reserve(Holder::Client(Fingerprint::from_bytes([1; 32])))).collect();
        assert!(clients.iter().all(Result::is_ok), "a client has a limit of its own");
        assert!(limits.reserve(at).is_err());
    }

    #[test]
    fn the_peers_own_limit_is_named_before_that_of_all() {
        let limits = limits(3, 2);
        let held = [limits.reserve(node(0)).unwrap(), limits.reserve(node(0)).unwrap()];
        assert_eq!(limits.reserve(node(0)).unwrap_err(), Full { current: 2, max: 2, of_peer: true });
        let third = limits.reserve(node(1)).unwrap();
        assert_eq!(limits.reserve(node(2)).unwrap_err(), Full { current: 3, max: 3, of_peer: false });
        drop(third);
        assert!(limits.reserve(node(2)).is_ok());
        drop(held);
        assert_eq!(limits.taken(), 0);
    }

    proptest! {
        /// Whatever is taken and given back in whatever order: the counts are right and no limit is passed.
        #[test]
        fn counts_are_right_after_any_interleaving(ops in prop::collection::vec((0usize..4, any::<bool>()), 1..200)) {
            let limits = limits(6, 3);
            let mut held: Vec<(usize, Permit)> = Vec::new();
            for (peer, take) in ops {
                let of_peer = held.iter().filter(|(p, _)| *p == peer).count();
                if take {
                    let permit = limits.reserve(node(peer));
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
