//! Nodes of several versions in one world: what each says of itself, and whether it speaks as a later version would.

use std::collections::{BTreeMap, BTreeSet};

use cluster_types::{Facts, Features};

use super::EngineWorld;
use crate::later;

/// The versions of a world's nodes. One that nobody said anything of is of the first release and knows no feature.
#[derive(Debug, Default)]
pub(super) struct Versions {
    facts: BTreeMap<usize, Facts>,
    later: BTreeSet<usize>,
}

impl Versions {
    pub(super) fn facts_of(&self, node: usize) -> Facts {
        self.facts.get(&node).cloned().unwrap_or_default()
    }

    pub(super) fn is_later(&self, node: usize) -> bool {
        self.later.contains(&node)
    }

    /// A datagram of a node as it goes onto the wire, and what else goes with it.
    pub(super) fn datagrams(&self, from: usize, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        if self.is_later(from) { vec![later::datagram(&bytes), later::unknown_datagram()] } else { vec![bytes] }
    }

    /// A request or an answer, likewise.
    pub(super) fn body(&self, from: usize, kind: u16, body: Vec<u8>) -> Vec<u8> {
        if self.is_later(from) { later::body(kind, &body) } else { body }
    }
}

impl EngineWorld {
    /// Node `i` knows these features from its next start on.
    pub fn set_features(&mut self, i: usize, features: Features) {
        self.versions.later.remove(&i);
        self.versions.facts.insert(i, Facts::of(features));
    }

    /// Node `i` is of a later version from its next start on: what it sends has one field more everywhere and one kind more of
    /// each, and it says of itself what only its like understands.
    pub fn set_later(&mut self, i: usize) {
        self.versions.later.insert(i);
        self.versions.facts.insert(i, later::facts());
    }
}
