//! The links that end at a node of the engine world. They are looked up a few times for every datagram, so they are found by a number that
//! stands for a name, and the numbers stand in a row of their own.

use cluster_gossip::PeerInfo;
use cluster_types::{Instant, NodeId};

use crate::world::hashing::OwnKeys;

/// Stands for a name in this world: two nodes of one name have one number.
pub(super) type Number = u32;

/// The numbers of all names.
#[derive(Debug, Default)]
pub(super) struct Numbers(OwnKeys<NodeId, Number>);

impl Numbers {
    /// The number of a name, a new one if it has none yet.
    pub(super) fn give(&mut self, name: &NodeId) -> Number {
        let next = self.0.len() as Number;
        *self.0.entry(name.clone()).or_insert(next)
    }

    /// The number of a name that may be nobody's.
    pub(super) fn of(&self, name: &NodeId) -> Option<Number> {
        self.0.get(name).copied()
    }
}

/// One end of a link: who is on the other, and where that one stands in the world.
#[derive(Debug, Clone)]
pub(super) struct LinkEnd {
    pub(super) peer: PeerInfo,
    pub(super) at: usize,
    /// When something was last heard on it.
    pub(super) heard: Instant,
    /// When it is looked at next.
    pub(super) looked_at: Instant,
}

/// All ends of links at one node.
#[derive(Debug, Default)]
pub(super) struct Links {
    numbers: Vec<Number>,
    ends: Vec<LinkEnd>,
}

impl Links {
    fn find(&self, number: Number) -> Option<usize> {
        self.numbers.iter().position(|known| *known == number)
    }

    pub(super) fn get(&self, number: Number) -> Option<&LinkEnd> {
        self.find(number).map(|at| &self.ends[at])
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut LinkEnd> {
        self.find(number).map(|at| &mut self.ends[at])
    }

    /// Puts one in; returns the one that was there.
    pub(super) fn insert(&mut self, number: Number, end: LinkEnd) -> Option<LinkEnd> {
        if let Some(known) = self.get_mut(number) {
            return Some(std::mem::replace(known, end));
        }
        self.numbers.push(number);
        self.ends.push(end);
        None
    }

    pub(super) fn remove(&mut self, number: Number) {
        if let Some(at) = self.find(number) {
            self.numbers.swap_remove(at);
            self.ends.swap_remove(at);
        }
    }

    /// Who is at the other ends, in order of their names.
    pub(super) fn names(&self) -> Vec<NodeId> {
        let mut names: Vec<NodeId> = self.ends.iter().map(|end| end.peer.node.clone()).collect();
        names.sort_unstable();
        names
    }
}
