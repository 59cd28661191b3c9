//! Who hears nobody at all.
//!
//! It cannot know whether all the others are gone or it is cut off itself. So what it concludes meanwhile it keeps to itself. When somebody is
//! heard again it takes back what it concluded about whoever speaks, and about all whom it has no link to and cannot ask; the others are
//! asked once more, and what they do not answer is said aloud.
//!
//! A node that was cut off for a minute convicts nobody when it comes back, and the last one of sixteen knows of the end of the fifteen as
//! soon as any other would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_sites::reachable;
use cluster_types::{Claim, Incarnation, Instant, Life, NodeId, State};

use super::round::Why;
use super::spreading::Urgency;
use super::suspicion::Helpers;
use super::{Output, Swim};
use crate::broadcast::{News, Rank};
use crate::registry::Statement;
use crate::sites;

/// What was held of somebody before this node, alone, concluded something about it.
#[derive(Debug, Clone, Copy)]
struct Before {
    life: Life,
    incarnation: Incarnation,
    state: State,
}

/// When anybody was heard last, and what was concluded since.
#[derive(Debug)]
pub(super) struct Solitude {
    last_heard: Instant,
    concluded: BTreeMap<NodeId, Before>,
    /// When the others are told of that, if none of those it is about is heard before.
    aloud_at: Option<Instant>,
}

impl Solitude {
    pub(super) const fn new(now: Instant) -> Self {
        Self { last_heard: now, concluded: BTreeMap::new(), aloud_at: None }
    }

    /// Whether nobody was heard after that.
    pub(super) fn is_since(&self, moment: Instant) -> bool {
        self.last_heard <= moment
    }

    /// For how long nobody was heard.
    pub(super) fn lasts(&self, now: Instant) -> Duration {
        now.since(self.last_heard)
    }

    /// Whether what is held of a member is this node's own conclusion, which nobody was told.
    pub(super) fn has_concluded(&self, node: &NodeId) -> bool {
        self.concluded.contains_key(node)
    }

    /// This node stood still meanwhile.
    pub(super) fn shift(&mut self, now: Instant, gap: Duration) {
        self.last_heard = (self.last_heard + gap).min(now);
    }

    /// Notes what is held of a member before it changes. Of several changes the first counts.
    pub(super) fn note_before(&mut self, claim: &Claim) {
        let Claim { life, incarnation, state, .. } = *claim;
        self.concluded.entry(claim.node.clone()).or_insert(Before { life, incarnation, state });
    }
}

impl Swim {
    /// Whether nobody was heard for as long as a verdict takes: nobody is left whose vote could be waited for.
    pub(super) fn is_alone(&self, now: Instant) -> bool {
        let budget = &self.config.budget;
        self.solitude.lasts(now) >= budget.total().saturating_sub(budget.period())
    }

    /// Whether what is concluded now is for nobody's ears.
    pub(super) fn hears_nobody(&self, now: Instant) -> bool {
        self.solitude.lasts(now) >= self.config.budget.period() * 2
    }

    /// Somebody who hears nobody asks all it is linked to whether they are there: where few are left, turns are seconds apart.
    pub(super) fn ask_around_if_alone(&mut self, now: Instant) {
        if self.hears_nobody(now) {
            self.warm().iter().for_each(|node| self.start_round_because(now, node, Why::LookingAround));
        }
    }

    /// Somebody who hears nobody suspects also those whom others would look at: none of them tells it that they live.
    pub(super) fn suspect_everybody_if_alone(&mut self, now: Instant) {
        if self.solitude.lasts(now) < self.config.budget.total() / 2 || self.farewell.is_some() {
            return;
        }
        let since = self.solitude.last_heard;
        let alive = self.view.iter().filter(|known| known.state() == State::Alive);
        let alive: Vec<NodeId> = alive.map(|known| known.claim().node.clone()).collect();
        for node in alive {
            self.accuse(now, &node, since, Helpers::default());
        }
    }

    /// Process `life` of a node is heard.
    pub(super) fn hear_somebody(&mut self, now: Instant, node: &NodeId, life: Option<Life>) {
        let lasted = self.solitude.lasts(now);
        self.solitude.last_heard = now;
        if self.solitude.concluded.is_empty() {
            return;
        }
        let held = self.view.claim(node).map(|claim| claim.life);
        if life.is_some_and(|life| held != Some(life)) {
            // A process that was not known: it was started after the end of those that were. (Of what comes without a link nobody knows whose it is.)
            return self.say_all_aloud();
        }
        self.take_back(now, std::slice::from_ref(node));
        let long = lasted >= self.config.budget.period() * 2;
        if long {
            self.end_solitude(now, lasted);
        } else if self.solitude.aloud_at.is_none() {
            self.say_all_aloud();
        }
    }

    /// Somebody is heard after a while. Those this node can ask are asked once more before they are accused aloud; of the others it knows
    /// nothing, and somebody else may.
    fn end_solitude(&mut self, now: Instant, lasted: Duration) {
        let budget = &self.config.budget;
        self.solitude.aloud_at = Some(now + budget.period().mul_f64(1.5));
        if lasted >= budget.total() {
            self.excuse(now, lasted);
        }
        let concluded = self.solitude.concluded.keys().cloned();
        let (asked, unknown): (Vec<NodeId>, Vec<NodeId>) = concluded.partition(|node| self.links.contains_key(node));
        self.take_back(now, &unknown);
        asked.iter().for_each(|node| self.start_round_because(now, node, Why::LookingAround));
    }

    /// Says what was concluded alone, if it is time.
    pub(super) fn say_aloud_in_time(&mut self, now: Instant) {
        if self.solitude.aloud_at.is_some_and(|at| now >= at) {
            self.say_all_aloud();
        }
    }

    fn say_all_aloud(&mut self) {
        self.solitude.aloud_at = None;
        let concluded = std::mem::take(&mut self.solitude.concluded);
        concluded.into_keys().for_each(|node| self.say_aloud(&node));
    }

    /// These are again what they were. Nobody else has heard that they were anything else, so that nobody needs to hear of this.
    fn take_back(&mut self, now: Instant, nodes: &[NodeId]) {
        let (bulk, urgency) = (std::mem::replace(&mut self.in_bulk, true), self.urgency);
        for node in nodes {
            let Some(before) = self.solitude.concluded.remove(node) else { continue };
            let Some(member) = self.view.get(node).map(|known| Arc::clone(&known.member)) else { continue };
            let same = (member.claim.life, member.claim.incarnation) == (before.life, before.incarnation);
            if same && member.state() > before.state && member.state() != State::Left {
                reachable!(sites::TAKEN_BACK);
                let claim = Claim { state: before.state, ..member.claim.clone() };
                self.adopt(now, claim, Some(&member));
                if member.state() == State::Failed && before.state != State::Alive {
                    // It is suspected by others, too, and back all the same.
                    self.note_reunion(now);
                }
                self.publish_taken_back(node);
            }
        }
        (self.in_bulk, self.urgency) = (bulk, urgency);
    }

    fn publish_taken_back(&mut self, node: &NodeId) {
        let Some(known) = self.view.get(node) else { return };
        let member = Arc::clone(&known.member);
        self.emit(Output::Publish(Statement { complete: known.complete, evidence: None, withdraws: true, member }));
    }

    /// The others are to hear what this node concluded while it heard nobody.
    fn say_aloud(&mut self, node: &NodeId) {
        match self.view.get(node).map(super::view::Known::state) {
            Some(State::Suspect) => {
                let own = self.own.node.clone();
                if self.any_vote_of(node, &own) {
                    self.tell_vote(node, &own);
                }
            }
            Some(State::Failed) => {
                self.queue.push(Rank::Membership, News::Claim(node.clone()));
                self.urgency = self.urgency.max(Urgency::Some);
            }
            _ => {}
        }
    }
}
