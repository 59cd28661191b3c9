//! What is held of each member, and merging what is heard into it.

use std::time::Duration;

use cluster_failure::RttEstimator;
use cluster_types::limits::MEMBERS_MAX;
use cluster_types::{Claim, Evidence, Instant, Metadata, NodeId, State};

use super::accusing::Suspicion;
use super::spreading::Urgency;
use super::{Output, PeerInfo, Swim};
use crate::broadcast::{News, Rank};
use crate::registry::Statement;
use crate::wire::{Entry, Update};

/// What is held of one member.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) claim: Claim,
    pub(super) metadata: Metadata,
    /// The version the metadata body is of.
    pub(super) metadata_held: u32,
    /// Last authenticated packet from it, or the last time it spoke up through others.
    pub(super) last_sign: Instant,
    pub(super) rtt: RttEstimator,
    pub(super) suspicion: Suspicion,
    /// Since when a probe for somebody else stayed unanswered. No accusation by itself: the asker may have heard more.
    pub(super) missed_since: Option<Instant>,
}

impl Known {
    fn new(claim: Claim, now: Instant) -> Self {
        Self {
            claim,
            metadata: Metadata::default(),
            metadata_held: 0,
            last_sign: now,
            rtt: RttEstimator::default(),
            suspicion: Suspicion::default(),
            missed_since: None,
        }
    }

    /// Moves what this node itself counts as silence, up to `now`. What others said of theirs stays their word.
    pub(super) fn shift(&mut self, now: Instant, gap: Duration, own: &NodeId) {
        self.last_sign = (self.last_sign + gap).min(now);
        self.missed_since = None;
        self.suspicion.withdraw(own);
    }

    pub(super) const fn lacks_metadata(&self) -> bool {
        self.claim.state.is_live() && self.metadata_held != self.claim.meta_version
    }
}

impl Swim {
    /// Merges one update that `from` sent.
    pub(super) fn learn(&mut self, now: Instant, update: Update, from: &NodeId) {
        self.learn_entry(now, Entry { update, metadata: None }, from);
    }

    pub(super) fn learn_entry(&mut self, now: Instant, entry: Entry, from: &NodeId) {
        let Entry { update: Update { claim, vote }, metadata } = entry;
        if claim.node == self.own.node {
            return self.hear_about_self(now, &claim);
        }
        if !self.is_plausible(now, &claim) {
            self.stats.implausible += 1;
            return;
        }
        let known = self.view.get(&claim.node).map(|known| known.claim.clone());
        if known.is_none() && self.view.len() >= MEMBERS_MAX {
            self.stats.over_limit += 1;
            return;
        }
        let state = claim.state;
        let said = (claim.life, claim.incarnation, claim.meta_version);
        let (node, wins) = (claim.node.clone(), known.as_ref().is_none_or(|known| claim.supersedes(known)));
        // What speaks for a failure is forgotten with the suspicion: look before it is taken over.
        let held = self.view.get(&node).filter(|_| state == State::Failed);
        let evidence = held.map(|known| self.evidence(now, &node, known));
        if wins {
            self.adopt(now, claim, known.as_ref());
        }
        let Some(current) = self.view.get(&node).map(|known| known.claim.clone()) else { return };
        if state == State::Suspect && current.state == State::Suspect && said.1 == current.incarnation {
            if let Some(vote) = vote {
                self.hear_vote(now, &node, vote, from);
            }
            self.second(now, &node);
        }
        // A body belongs to the version that it was sent with, and to no other.
        let of_this_version = (said.0, said.2) == (current.life, current.meta_version);
        let held = metadata.is_some_and(|metadata| of_this_version && self.hold_metadata(&node, metadata));
        if wins || held {
            self.publish_with(now, &node, evidence);
        }
    }

    fn is_plausible(&self, now: Instant, claim: &Claim) -> bool {
        // What another life of it announced, nobody here may have heard.
        let same_life = self.view.get(&claim.node).filter(|known| known.claim.life == claim.life);
        let announced = same_life.map(|known| known.claim.incarnation);
        let accusation = claim.state != State::Alive;
        claim.incarnation.is_plausible(self.unix_ms(now))
            && !(accusation && announced.is_some_and(|own| !claim.incarnation.is_plausible_accusation(own)))
    }

    /// Takes over a claim that won against `before`.
    pub(super) fn adopt(&mut self, now: Instant, claim: Claim, before: Option<&Claim>) {
        let node = claim.node.clone();
        let (state, life) = (claim.state, claim.life);
        let known = self.view.entry(node.clone()).or_insert_with(|| Known::new(claim.clone(), now));
        let new_incarnation = before.is_some_and(|before| before.incarnation != claim.incarnation);
        if before.is_some_and(|before| before.life != life) {
            known.metadata_held = 0;
            known.metadata = Metadata::default();
        }
        if new_incarnation && state == State::Alive {
            // Only the node itself raises its incarnation: it lived a moment ago.
            known.last_sign = now;
        }
        known.claim = claim;
        if new_incarnation || state != State::Suspect {
            known.suspicion.clear();
            self.queue.remove_votes(&node);
        }
        if state == State::Suspect {
            self.suspects.insert(node.clone());
        } else {
            self.suspects.remove(&node);
        }
        if state.is_live() {
            self.plan.insert(&node);
        } else {
            self.plan.remove(&node);
            self.forget_rounds(&node);
        }
        if state == State::Failed && self.links.contains_key(&node) {
            self.emit(Output::Disconnect { node: node.clone() });
        }
        self.spread(&node, before.map(|before| before.state), state);
    }

    /// Queues the news of a change, and decides what of it cannot wait for the tick.
    fn spread(&mut self, node: &NodeId, before: Option<State>, after: State) {
        let rank = if after == State::Left { Rank::Farewell } else { Rank::Membership };
        match after {
            // A suspicion travels as its votes.
            State::Suspect => self.queue.remove(&News::Claim(node.clone())),
            _ => self.queue.push(rank, News::Claim(node.clone())),
        }
        let urgency = match (before, after) {
            (_, State::Left) => Urgency::Everybody,
            (_, State::Failed) | (None | Some(State::Suspect | State::Failed | State::Left), State::Alive) => {
                Urgency::Some
            }
            _ => Urgency::None,
        };
        self.urgency = self.urgency.max(urgency);
    }

    /// Keeps a body; says whether it was lacking.
    fn hold_metadata(&mut self, node: &NodeId, metadata: Metadata) -> bool {
        let Some(known) = self.view.get_mut(node).filter(|known| known.lacks_metadata()) else { return false };
        known.metadata = metadata;
        known.metadata_held = known.claim.meta_version;
        true
    }

    /// Writes what is held of a member to the registry.
    pub(super) fn publish(&mut self, now: Instant, node: &NodeId) {
        self.publish_with(now, node, None);
    }

    fn publish_with(&mut self, now: Instant, node: &NodeId, evidence: Option<Evidence>) {
        let Some(known) = self.view.get(node) else { return };
        let evidence = match known.claim.state {
            State::Suspect | State::Failed => evidence.or_else(|| Some(self.evidence(now, node, known))),
            State::Alive | State::Left => None,
        };
        let complete = known.metadata_held == known.claim.meta_version;
        let metadata = complete.then(|| known.metadata.clone());
        let statement = Statement { claim: known.claim.clone(), metadata, evidence };
        self.emit(Output::Publish(statement));
    }

    /// An authenticated sign of life: withdraws this node's own accusation and ends its open questions.
    pub(super) fn note_sign(&mut self, now: Instant, node: &NodeId) {
        if let Some(known) = self.view.get_mut(node) {
            known.last_sign = known.last_sign.max(now);
            known.missed_since = None;
            known.suspicion.withdraw(&self.own.node);
        }
        self.close_rounds(now, node);
    }

    /// A link to a known member came up: what its hello says about it counts as its own word.
    pub(super) fn greet(&mut self, now: Instant, peer: &PeerInfo) {
        let Some(known) = self.view.get(&peer.node) else {
            return;
        };
        let (state, life) = (known.claim.state, known.claim.life);
        let meta_version = if life == peer.life { known.claim.meta_version } else { 0 };
        let alive = Claim { meta_version, ..Claim::alive(peer.node.clone(), peer.life, peer.incarnation, peer.addr) };
        self.learn(now, Update { claim: alive, vote: None }, &peer.node);
        if life != peer.life || !state.is_live() {
            // It may know nothing of us, or believe what a part of the cluster believed while it was away.
            self.sync_with(&peer.node);
        }
    }
}
