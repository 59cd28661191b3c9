//! Who answers where: for users who know an address and no name. The link itself stands in its peer's slot, as every other.

use std::net::SocketAddr;
use std::sync::Arc;

use cluster_types::NodeId;
use dashmap::DashMap;

use super::lease::Lease;
use super::limits::{Full, Holder, Limits, Permit};
use super::reached::{Limit, Reached};
use super::slots::{Dial, Slots};

/// Addresses remembered. What more there are is dialled anew, and found to be linked already.
const ADDRESSES_MAX: usize = 4_096;

#[derive(Debug, Default)]
struct Entry {
    /// Who answered there.
    node: Option<NodeId>,
    dial: Option<Arc<Dial>>,
}

/// What somebody who wants a link to an address gets.
#[derive(Debug)]
pub(super) enum WantedAt {
    /// The one that is there.
    There(Lease),
    /// The outcome of a dial; with a place, if it is a new one, which must be run.
    Dial(Arc<Dial>, Option<Permit>),
}

/// All addresses. No shard is locked across an await; whoever holds one may ask for a slot, and never the other way.
#[derive(Debug, Default)]
pub(super) struct Addresses(DashMap<SocketAddr, Entry>);

impl Addresses {
    /// Decided in one step, as by name.
    pub(super) fn lease_or_dial(
        &self,
        addr: SocketAddr,
        slots: &Slots,
        limits: &Limits,
        reached: &Reached,
    ) -> Result<WantedAt, Full> {
        reached.note_many(Limit::Addresses, self.make_room());
        let mut entry = self.0.entry(addr).or_default();
        if let Some(lease) = entry.node.as_ref().and_then(|node| slots.lease(node)) {
            return Ok(WantedAt::There(lease));
        }
        if let Some(dial) = &entry.dial {
            return Ok(WantedAt::Dial(Arc::clone(dial), None));
        }
        let place = limits.reserve(Holder::At(addr))?;
        let dial = Arc::new(Dial::default());
        entry.dial = Some(Arc::clone(&dial));
        Ok(WantedAt::Dial(dial, Some(place)))
    }

    /// Where there are too many, those that nobody dials at present are forgotten; says how many.
    fn make_room(&self) -> u64 {
        let before = self.0.len();
        if before >= ADDRESSES_MAX {
            self.0.retain(|_, entry| entry.dial.is_some());
        }
        before.saturating_sub(self.0.len()) as u64
    }

    /// The dial is over: this is who answered, if anybody did.
    pub(super) fn end_dial(&self, addr: SocketAddr, found: Option<NodeId>) {
        match found {
            Some(node) => drop(self.0.insert(addr, Entry { node: Some(node), dial: None })),
            None => drop(self.0.remove(&addr)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_forgotten_for_want_of_room_are_counted() {
        let (addresses, slots, reached) = (Addresses::default(), Slots::default(), Reached::default());
        let max = super::super::limits::Max { total: 8, per_peer: 8, per_client: 8 };
        let limits = Limits::new(max);
        let addr = |n: usize| SocketAddr::from(([10, 0, 0, 1], 1_000 + n as u16));
        let wanted = |n| addresses.lease_or_dial(addr(n), &slots, &limits, &reached);
        let count = || reached.read(0, Default::default()).addresses;
        // Two are dialled at present: they are not forgotten.
        let dials: Vec<WantedAt> = (0..2).map(|n| wanted(n).unwrap()).collect();
        (2..ADDRESSES_MAX).for_each(|n| addresses.end_dial(addr(n), Some("a".parse().unwrap())));
        assert_eq!(count(), 0);
        let more = wanted(ADDRESSES_MAX).unwrap();
        assert_eq!(count(), ADDRESSES_MAX as u64 - 2);
        drop((dials, more));
    }
}
