//! What is remembered of members that are gone: for how long, what of them after that, and the reunion after a partition.
//!
//! A failed or departed member stays in the view for a while, so that its return is recognised and what was said of it can be
//! explained. Then it is *reaped*: the view forgets it, and a tombstone keeps just enough to know an old story when somebody
//! who was away tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_types::{Claim, EventKind, Instant, NodeId};

use super::{Output, Swim};
use crate::wire::Update;

/// Tombstones kept at most: three times what a view holds. The oldest go first.
const TOMBS_MAX: usize = 65_536;

/// How long a tombstone is kept: longer than anybody is away and then believed.
const TOMB_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Failed members that are back within this of each other came back together.
const REUNION: Duration = Duration::from_secs(1);

/// The last word on members that were reaped.
#[derive(Debug, Default)]
pub(super) struct Tombs {
    last_words: BTreeMap<NodeId, (Claim, Instant)>,
    by_age: BTreeSet<(Instant, NodeId)>,
    /// How many went before their time, to make room.
    over_limit: u64,
}

impl Tombs {
    pub(super) fn get(&self, node: &NodeId) -> Option<&Claim> {
        self.last_words.get(node).map(|(claim, _)| claim)
    }

    pub(super) fn remove(&mut self, node: &NodeId) {
        if let Some((_, reaped)) = self.last_words.remove(node) {
            self.by_age.remove(&(reaped, node.clone()));
        }
    }

    fn insert(&mut self, now: Instant, claim: Claim) {
        self.remove(&claim.node);
        self.by_age.insert((now, claim.node.clone()));
        self.last_words.insert(claim.node.clone(), (claim, now));
        while let Some(oldest) = self.oldest() {
            let (over, crowded) = (now.since(oldest) > TOMB_KEPT, self.by_age.len() > TOMBS_MAX);
            if !over && !crowded {
                return;
            }
            self.over_limit += u64::from(!over);
            if let Some((_, node)) = self.by_age.pop_first() {
                self.last_words.remove(&node);
            }
        }
    }

    pub(super) const fn over_limit(&self) -> u64 {
        self.over_limit
    }

    fn oldest(&self) -> Option<Instant> {
        self.by_age.first().map(|(reaped, _)| *reaped)
    }
}

/// Failed members that have just come back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reunion {
    members: usize,
    until: Instant,
}

impl Swim {
    /// Forgets who has been gone for long enough.
    pub(super) fn reap(&mut self, now: Instant) {
        let due = self.view.gone().iter().filter(|(_, reap_at)| now >= **reap_at);
        let due: Vec<NodeId> = due.map(|(node, _)| node.clone()).collect();
        for node in due {
            self.queue.remove(&crate::broadcast::News::Claim(node.clone()));
            if let Some(member) = self.view.remove(&node) {
                self.tombs.insert(now, member.claim.clone());
                self.user_news.forget(&node);
                self.emit(Output::Forget { node });
            }
        }
    }

    /// A member of the same life that was held to have failed is back: it was the network.
    pub(super) fn note_reunion(&mut self, now: Instant) {
        let members = self.reunion.map_or(0, |reunion| reunion.members) + 1;
        self.reunion = Some(Reunion { members, until: now + REUNION });
    }

    pub(super) fn reunion_at(&self) -> Option<Instant> {
        self.reunion.map(|reunion| reunion.until)
    }

    pub(super) fn report_reunion(&mut self, now: Instant) {
        if let Some(Reunion { members, .. }) = self.reunion.filter(|reunion| now >= reunion.until) {
            self.reunion = None;
            self.emit(Output::Event(EventKind::Merged { members }));
        }
    }

    /// Failed members that this node would observe if they lived: each is tried by a few, not by everybody.
    #[must_use]
    pub fn lost_members(&self) -> Vec<(NodeId, std::net::SocketAddr)> {
        let failed = self.view.gone().keys().filter_map(|node| self.view.claim(node));
        let failed = failed.filter(|claim| claim.state == cluster_types::State::Failed);
        let mine = failed.filter(|claim| self.plan.observers_of(&claim.node).contains(&self.own.node));
        mine.map(|claim| (claim.node.clone(), claim.addr)).collect()
    }

    /// What is held of somebody of whom old news was told: the teller is to hear it.
    pub(super) fn last_word(&self, node: &NodeId) -> Option<Update> {
        if *node == self.own.node {
            return Some(self.own_word());
        }
        self.word_of(node).or_else(|| self.tombs.get(node).cloned().map(Update::unproven))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::{Incarnation, Life, State};

    fn claim(i: usize) -> Claim {
        let addr = "10.0.0.1:1".parse().unwrap();
        let alive = Claim::alive(format!("n{i}").parse().unwrap(), Life::new(1, 1), Incarnation::from_raw(7), addr);
        Claim { state: State::Failed, ..alive }
    }

    fn at(hours: u64) -> Instant {
        Instant::after_origin(Duration::from_secs(hours * 3_600))
    }

    #[test]
    fn tombstones_are_kept_for_seven_days_and_only_so_many() {
        let mut tombs = Tombs::default();
        tombs.insert(at(0), claim(0));
        tombs.insert(at(7 * 24), claim(1));
        assert!(tombs.get(&claim(0).node).is_some());
        tombs.insert(at(7 * 24 + 1), claim(2));
        assert!(tombs.get(&claim(0).node).is_none() && tombs.get(&claim(1).node).is_some());
        for i in 3..=TOMBS_MAX {
            tombs.insert(at(200), claim(i));
        }
        assert!(tombs.get(&claim(1).node).is_some());
        assert_eq!((tombs.last_words.len(), tombs.over_limit()), (TOMBS_MAX, 0), "age is no limit");
        tombs.insert(at(200), claim(TOMBS_MAX + 1));
        assert!(tombs.get(&claim(1).node).is_none(), "the oldest went");
        assert_eq!(tombs.over_limit(), 1, "and is counted");
        tombs.remove(&claim(2).node);
        assert_eq!((tombs.last_words.len(), tombs.by_age.len()), (TOMBS_MAX - 1, TOMBS_MAX - 1));
    }
}
