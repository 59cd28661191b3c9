//! Who answers where: for users who know an address and no name. The link itself stands in its peer's slot, as every other.

use std::net::SocketAddr;
use std::sync::Arc;

use cluster_types::NodeId;
use dashmap::DashMap;

use super::lease::Lease;
use super::limits::{Full, Holder, Limits, Permit};
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
    pub(super) fn lease_or_dial(&self, addr: SocketAddr, slots: &Slots, limits: &Limits) -> Result<WantedAt, Full> {
        if self.0.len() >= ADDRESSES_MAX {
            self.0.retain(|_, entry| entry.dial.is_some());
        }
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

    /// The dial is over: this is who answered, if anybody did.
    pub(super) fn end_dial(&self, addr: SocketAddr, found: Option<NodeId>) {
        match found {
            Some(node) => drop(self.0.insert(addr, Entry { node: Some(node), dial: None })),
            None => drop(self.0.remove(&addr)),
        }
    }
}
