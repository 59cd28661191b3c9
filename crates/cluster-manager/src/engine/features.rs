//! Which features may be used: those that every live member knows, of the ones that this node knows itself.
//!
//! While a cluster is upgraded, nodes of two versions live in it. A feature is turned on when the last member that did not know
//! it has left, failed or come back knowing it, and nothing has changed about that for the length of a pause: a node that is
//! restarted is gone for a moment, and a newcomer has not heard of everybody yet.
//!
//! It is turned off at once when a member turns up that does not know it. Each member judges by what it holds of the others,
//! and no two hold the same at the same moment: there is no vote here, so no "for good" that all would agree on. What cannot be
//! undone, an application must not begin before it is sure that no older node comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::{EventKind, Feature, Features, Instant, Member, NodeId};

/// What one node knows of the features of all.
#[derive(Debug)]
pub(super) struct FeatureWatch {
    own: Features,
    /// How long all must have known a feature before it is on.
    hold: Duration,
    /// Live members that do not know all of this node's features, and what they lack. Empty but for an upgrade.
    lacking: BTreeMap<NodeId, Features>,
    on: Features,
    /// Features that all know and that are not on yet, with the moment when they will be. At most 64.
    due: BTreeMap<Feature, Instant>,
}

impl FeatureWatch {
    pub(super) const fn new(own: Features, hold: Duration) -> Self {
        Self { own, hold, lacking: BTreeMap::new(), on: Features::NONE, due: BTreeMap::new() }
    }

    /// This is held of a member from now on.
    pub(super) fn note_member(&mut self, member: &Member) {
        let lacks = self.own.without(member.claim.facts.features());
        if member.state().is_live() && !lacks.is_empty() {
            self.lacking.insert(member.node().clone(), lacks);
        } else {
            self.forget(member.node());
        }
    }

    pub(super) fn forget(&mut self, node: &NodeId) {
        self.lacking.remove(node);
    }

    /// When [`step`](Self::step) has something to do, if nothing changes until then.
    pub(super) fn next_deadline(&self) -> Instant {
        self.due.values().min().copied().unwrap_or(Instant::END)
    }

    /// What is turned on or off now. A node that is not `settled`, because it joins or leaves, turns nothing on.
    pub(super) fn step(&mut self, now: Instant, settled: bool) -> Vec<EventKind> {
        if self.own.is_empty() {
            return Vec::new();
        }
        let lacked = self.lacking.values().fold(Features::NONE, |all, lacks| all.union(*lacks));
        let mut events: Vec<EventKind> =
            self.on.iter().filter(|feature| lacked.has(*feature)).filter_map(|feature| self.off(feature)).collect();
        self.on = self.on.without(lacked);
        let waiting = if settled { self.own.without(lacked).without(self.on) } else { Features::NONE };
        self.due.retain(|feature, _| waiting.has(*feature));
        for feature in waiting.iter() {
            let at = *self.due.entry(feature).or_insert(now + self.hold);
            if now >= at {
                self.due.remove(&feature);
                self.on = self.on.with(feature);
                events.push(EventKind::FeatureOn { feature });
            }
        }
        events
    }

    fn off(&self, feature: Feature) -> Option<EventKind> {
        let (node, _) = self.lacking.iter().find(|(_, lacks)| lacks.has(feature))?;
        Some(EventKind::FeatureOff { feature, node: node.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::{Claim, Facts, Incarnation, Life, Metadata, State};

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    fn member(name: &str, state: State, features: Features) -> Member {
        let addr = "10.0.0.1:1".parse().unwrap();
        let alive = Claim::alive(name.parse().unwrap(), Life::new(1, 1), Incarnation::from_raw(7), addr);
        let claim = Claim { state, facts: Facts::of(features), ..alive };
        Member { claim, metadata: Metadata::default(), since: at(0) }
    }

    fn words(events: &[EventKind]) -> String {
        let word = |event: &EventKind| match event {
            EventKind::FeatureOn { feature } => format!("{feature} on"),
            EventKind::FeatureOff { feature, node } => format!("{feature} off for {node}"),
            other => other.as_str().to_owned(),
        };
        events.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// An upgrade and a step back, as one node sees them: what it hears when, and what it tells then.
    #[test]
    fn on_when_the_last_one_knows_it_for_long_enough_and_off_at_once() {
        let both = Features::from_bits(0, 0b11);
        let one = Features::from_bits(0, 0b01);
        let mut watch = FeatureWatch::new(both, Duration::from_secs(5));
        watch.note_member(&member("old", State::Alive, Features::NONE));
        watch.note_member(&member("mid", State::Alive, one));
        watch.note_member(&member("new", State::Alive, both));
        assert_eq!(words(&watch.step(at(0), true)), "");
        assert_eq!(watch.next_deadline(), Instant::END, "nothing will be on by itself");
        // Suspected is still a member; left is none.
        watch.note_member(&member("old", State::Suspect, Features::NONE));
        assert_eq!(words(&watch.step(at(1_000), true)), "");
        watch.note_member(&member("old", State::Left, Features::NONE));
        assert_eq!(words(&watch.step(at(2_000), true)), "");
        assert_eq!(watch.next_deadline(), at(7_000));
        assert_eq!(words(&watch.step(at(6_999), true)), "");
        assert_eq!(words(&watch.step(at(7_000), true)), "application-0 on");
        assert_eq!(words(&watch.step(at(60_000), true)), "", "once");
        watch.note_member(&member("mid", State::Alive, both));
        assert_eq!(words(&watch.step(at(60_000), true)), "");
        assert_eq!(words(&watch.step(at(65_000), true)), "application-1 on");
        watch.note_member(&member("old", State::Alive, Features::NONE));
        assert_eq!(words(&watch.step(at(65_001), true)), "application-0 off for old, application-1 off for old");
        watch.forget(&"old".parse().unwrap());
        assert_eq!(words(&watch.step(at(70_000), true)), "");
        assert_eq!(words(&watch.step(at(75_000), true)), "application-0 on, application-1 on");
    }

    /// Somebody comes and goes within the time: it begins anew. A node that is not settled waits altogether.
    #[test]
    fn a_short_absence_turns_nothing_on() {
        let one = Features::from_bits(1, 0);
        let mut watch = FeatureWatch::new(one, Duration::from_secs(5));
        let hear = |watch: &mut FeatureWatch, state| watch.note_member(&member("old", state, Features::NONE));
        assert_eq!(words(&watch.step(at(0), false)), "");
        assert_eq!(watch.next_deadline(), Instant::END);
        hear(&mut watch, State::Failed);
        assert_eq!(words(&watch.step(at(1_000), true)), "");
        hear(&mut watch, State::Alive);
        assert_eq!(words(&watch.step(at(5_999), true)), "");
        hear(&mut watch, State::Failed);
        assert_eq!(words(&watch.step(at(6_001), true)), "");
        assert_eq!(words(&watch.step(at(11_001), true)), "fabric-0 on");
        assert_eq!(words(&watch.step(at(12_000), false)), "", "what is on stays on while it leaves");
    }

    #[test]
    fn features_of_others_are_none_of_its_business() {
        let mut watch = FeatureWatch::new(Features::NONE, Duration::ZERO);
        watch.note_member(&member("new", State::Alive, Features::from_bits(7, 7)));
        assert_eq!(words(&watch.step(at(0), true)), "");
    }
}
