//! What the registry shows: all members at one moment, and what holds of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster_types::{EventKind, Features, Member, NodeId};

/// All members at one moment. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct MemberTable(pub(super) Arc<Table>);

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) members: BTreeMap<NodeId, Arc<Member>>,
    /// Members whose `joined` was published. One first learnt of as failed or left is not introduced.
    pub(super) introduced: BTreeSet<NodeId>,
    features_on: Features,
}

impl MemberTable {
    /// The features that every live member knows, of those that this node knows itself: they may be used.
    #[must_use]
    pub fn features_on(&self) -> Features {
        self.0.features_on
    }

    /// Events that change no member may change what holds of all of them.
    pub(super) fn note(&mut self, kind: &EventKind) {
        let on = match kind {
            EventKind::FeatureOn { feature } => self.0.features_on.with(*feature),
            EventKind::FeatureOff { feature, .. } => self.0.features_on.without(Features::NONE.with(*feature)),
            _ => return,
        };
        Arc::make_mut(&mut self.0).features_on = on;
    }

    /// Every member ever learnt of and not yet reaped, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.0.members.values()
    }

    /// One member.
    #[must_use]
    pub fn member(&self, node: &str) -> Option<&Arc<Member>> {
        self.0.members.get(node)
    }

    /// How many there are, in any state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.members.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::Feature;

    #[test]
    fn what_is_on_follows_from_the_events() {
        let feature = |number| Feature::application(number).unwrap();
        let off = |number| EventKind::FeatureOff { feature: feature(number), node: "x".parse().unwrap() };
        let mut table = MemberTable::default();
        for kind in [EventKind::FeatureOn { feature: feature(1) }, EventKind::FeatureOn { feature: feature(2) }, off(1)]
        {
            table.note(&kind);
        }
        table.note(&EventKind::Merged { members: 2 });
        assert_eq!(table.features_on(), Features::NONE.with(feature(2)));
    }
}
