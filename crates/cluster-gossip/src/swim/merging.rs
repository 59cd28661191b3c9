//! Merging what is heard into what is held, and saying what changed.

use std::sync::Arc;
use std::time::Duration;

use cluster_sites::{reachable, sometimes};
use cluster_types::limits::MEMBERS_MAX;
use cluster_types::{Claim, Evidence, Instant, Member, Metadata, NodeId, State};

use super::spreading::Urgency;
use super::{Output, PeerInfo, Swim};
use crate::broadcast::{News, Rank};
use crate::planted::Bug;
use crate::registry::Statement;
use crate::seal::{Proof, is_same_word};
use crate::sites;
use crate::wire::{Entry, Update, Vote};

/// The metadata key that names a failure domain.
pub const ZONE_KEY: &str = "zone";

/// Whether what is held makes what is said a mistake that somebody still acts on: life in one that is gone, or an accusation
/// that was refuted.
fn is_old_news(said: &Claim, held: &Claim) -> bool {
    let revives = said.state.is_live() && !held.state.is_live();
    let accuses = said.state != State::Alive && said.state != State::Left && held.state.is_live();
    held.supersedes(said) && (revives || (accuses && said.incarnation < held.incarnation))
}

/// For the planted mistake alone.
fn moved(mut claim: Claim) -> Claim {
    if claim.node.as_str().ends_with('1') {
        claim.addr.set_port(claim.addr.port() + 1);
    }
    claim
}

/// For the planted mistake alone.
fn is_equally_recent(said: &Claim, held: Option<&Member>) -> bool {
    held.is_some_and(|held| held.claim.incarnation == said.incarnation && held.state() != said.state)
}

impl Swim {
    /// Merges one update that `from` sent.
    pub(super) fn learn(&mut self, now: Instant, update: Update, from: &NodeId) {
        self.learn_entry(now, Entry { update, metadata: None, gone_for: Duration::ZERO }, from);
    }

    pub(super) fn learn_entry(&mut self, now: Instant, entry: Entry, from: &NodeId) {
        if entry.update.claim.node == self.own.node {
            return self.hear_about_self(now, &entry.update.claim, from);
        }
        if !self.is_plausible(now, &entry.update.claim) {
            reachable!(sites::IMPLAUSIBLE);
            self.stats.implausible += 1;
            return self.blame(now, from);
        }
        if let Some(entry) = self.weigh(now, entry, from) {
            self.take_over(now, entry, from);
        }
    }

    /// Takes over what is believed.
    fn take_over(&mut self, now: Instant, entry: Entry, from: &NodeId) {
        let Entry { update: Update { claim, vote, proof }, metadata, gone_for } = entry;
        let known = self.view.get(&claim.node).map(|known| Arc::clone(&known.member));
        let claim = self.share_facts(claim, known.as_deref());
        let claim = if known.is_none() && self.config.has(Bug::WrongAddress) { moved(claim) } else { claim };
        if known.is_none() && (gone_for >= self.config.reap_after || !self.may_enter(&claim, from)) {
            return;
        }
        let doubtful = known.as_deref().is_some_and(|known| self.is_doubtful(now, &claim, known, from));
        if doubtful {
            reachable!(sites::VERDICT_DOUBTED);
        }
        let claim = if doubtful { Claim { state: State::Suspect, ..claim } } else { claim };
        let (node, said) = (claim.node.clone(), claim.clone());
        let wins = known.as_ref().is_none_or(|known| claim.supersedes(&known.claim));
        let withdraws = !wins && self.outweighs_hearsay(&claim, proof.is_some(), from);
        let wins = wins || withdraws;
        let wins =
            wins || (self.config.has(Bug::AcceptEqualIncarnation) && is_equally_recent(&claim, known.as_deref()));
        sometimes!(sites::OLD_NEWS, !wins);
        // What speaks for a failure is forgotten with the suspicion: look before it is taken over.
        let held = self.view.get(&node).filter(|_| wins && said.state == State::Failed);
        let evidence = held.map(|known| self.evidence(now, &node, known));
        if wins {
            let is_own_word = matches!(claim.state, State::Alive | State::Left);
            self.adopt(now, claim, known.as_deref());
            if let Some(known) = self.view.get_mut(&node).filter(|_| is_own_word) {
                known.proof = proof.clone();
            }
            self.view.forget_by(&node, now + self.config.reap_after - gone_for);
        } else if proof.is_some() && self.prove(&said, proof.as_ref()) {
            // What was believed before can be told to others now.
            self.queue.push(Rank::Membership, News::Claim(node.clone()));
            self.urgency = self.urgency.max(Urgency::Some);
        } else if known.as_ref().is_some_and(|known| is_old_news(&said, &known.claim)) {
            self.corrections.insert((from.clone(), node.clone()));
        }
        if doubtful {
            self.doubt_verdict(now, &node, &said, from);
            // Whoever leaves waits for nobody who may be dead.
            self.note_farewell_moot(&node);
        }
        if wins && said.state == State::Suspect && vote.is_none() {
            // Nobody's vote: whoever watches it is to look, and it is to hear of it.
            self.queue.push(Rank::Membership, News::Claim(node.clone()));
            self.urgency = self.urgency.max(Urgency::Some);
        }
        let Some(current) = self.view.claim(&node) else { return };
        let (life, incarnation, version, state) =
            (current.life, current.incarnation, current.meta_version, current.state);
        let of_this_word = (said.life, said.incarnation) == (life, incarnation);
        if said.state == State::Suspect && state == State::Suspect && of_this_word {
            if let Some(vote) = vote {
                if known.is_none() && !self.config.has(Bug::NewcomerPutsOff) {
                    self.take_sign_of(now, &node, &vote);
                }
                self.hear_vote(now, &node, (vote, proof), from);
            }
            self.second(now, &node);
            if wins {
                self.look_at_accused(now, &node);
            }
        }
        // A body belongs to the version that it was sent with, and to no other.
        let of_this_version = (said.life, said.meta_version) == (life, version);
        let held = metadata.is_some_and(|metadata| of_this_version && self.hold_metadata(now, &node, metadata));
        if wins || held {
            self.state_publicly(now, &node, evidence, withdraws);
        }
    }

    /// Whether a signature comes for what is held without one.
    fn prove(&mut self, said: &Claim, proof: Option<&Proof>) -> bool {
        let Some(known) = self.view.get_mut(&said.node) else { return false };
        let own_word = matches!(said.state, State::Alive | State::Left);
        let lacks = own_word && known.proof.is_none() && is_same_word(known.claim(), said);
        if lacks {
            known.proof = proof.cloned();
        }
        lacks
    }

    /// Facts that are held already are not held twice: the nodes of a cluster say the same of themselves, but for an upgrade.
    fn share_facts(&self, claim: Claim, known: Option<&Member>) -> Claim {
        let held = known.map(|known| &known.claim.facts).into_iter().chain([&self.own.facts]);
        let same = held.into_iter().find(|facts| **facts == claim.facts).cloned();
        Claim { facts: same.unwrap_or(claim.facts), ..claim }
    }

    /// Somebody is learnt of as suspect: this node has never heard it, so that its last sign of life is the one that the accuser knows of. Taking
    /// the moment of the news for one would put the verdict off, here and by this node's vote everywhere.
    fn take_sign_of(&mut self, now: Instant, node: &NodeId, vote: &Vote) {
        if let Some(known) = self.view.get_mut(node) {
            known.watched().last_sign = now - vote.age - vote.silence;
        }
    }

    /// A verdict that others reached is taken for a suspicion where it may be the mistake of somebody who was cut off: about a
    /// member that this node itself has heard within the pause budget, and about one that it had no reason to suspect, for a
    /// true verdict comes seconds after its votes. The suspicion is told, so that its subject can refute it. If the verdict is
    /// true, it comes again: whoever hears of a mere suspicion and knows better says so.
    ///
    /// Nor is one teller believed alone: by the votes of somebody else, too, it must have been silent for long enough, or a second one says so.
    fn is_doubtful(&self, now: Instant, claim: &Claim, known: &Member, from: &NodeId) -> bool {
        let same_process = known.state().is_live() && known.claim.life == claim.life;
        if claim.state != State::Failed || !same_process {
            return false;
        }
        let budget = &self.config.budget;
        let heard_lately = self.links.contains_key(&claim.node)
            && self.view.get(&claim.node).is_some_and(|known| known.last_sign() + budget.total() > now);
        let long_suspect = known.state() == State::Suspect && known.since + self.time_to_refute() <= now;
        let suspicion = self.view.get(&claim.node).and_then(|known| known.watch()).map(|watch| &watch.suspicion);
        let another = suspicion.is_some_and(|suspicion| {
            let silent =
                |accuser: &NodeId, charge| self.counted_sign(suspicion, accuser, charge) + budget.total() <= now;
            suspicion.verdict_by.iter().any(|teller| teller != from)
                || suspicion.charges.iter().any(|(accuser, charge)| accuser != from && silent(accuser, charge))
        });
        heard_lately || !long_suspect || !another
    }

    /// How long whoever is accused has to say that it lives, before somebody who knows nothing himself believes what others say of it.
    pub(super) fn time_to_refute(&self) -> Duration {
        let total = self.config.budget.total();
        // In a list it comes without the votes, and as often as the views are compared.
        if self.in_list { total } else { total / 2 }
    }

    /// Whether somebody unknown is taken in: not if it was reaped and this is an old story about it, and not if the view is
    /// full.
    fn may_enter(&mut self, claim: &Claim, from: &NodeId) -> bool {
        if let Some(last) = self.tombs.get(&claim.node) {
            if !claim.state.is_live() || !claim.supersedes(last) {
                reachable!(sites::TOMBSTONE_REJECTS);
                if claim.state == State::Alive {
                    self.corrections.insert((from.clone(), claim.node.clone()));
                }
                return false;
            }
            self.tombs.remove(&claim.node);
        }
        if self.view.len() >= MEMBERS_MAX {
            self.stats.over_limit += 1;
            return false;
        }
        true
    }

    fn is_plausible(&self, now: Instant, claim: &Claim) -> bool {
        // What another life of it announced, nobody here may have heard.
        let same_life = self.view.claim(&claim.node).filter(|known| known.life == claim.life);
        let announced = same_life.map(|known| known.incarnation);
        let accusation = claim.state != State::Alive;
        // Where words are signed, an accusation that goes beyond them is not taken, and whoever passes it on may know a later one.
        let accusation = accusation && !self.seal.is_demanded();
        claim.incarnation.is_plausible(self.unix_ms(now))
            && !(accusation && announced.is_some_and(|own| !claim.incarnation.is_plausible_accusation(own)))
    }

    /// Takes over a claim that won against `before`.
    pub(super) fn adopt(&mut self, now: Instant, claim: Claim, before: Option<&Member>) {
        let node = claim.node.clone();
        let (state, life, incarnation, version) = (claim.state, claim.life, claim.incarnation, claim.meta_version);
        let same_life = before.filter(|before| before.claim.life == life);
        let complete = match same_life {
            Some(before) => {
                before.claim.meta_version == version && self.view.get(&node).is_some_and(|known| known.complete)
            }
            None => version == 0,
        };
        let metadata = same_life.map_or_else(Metadata::default, |before| before.metadata.clone());
        let since = same_life.filter(|before| before.state() == state).map_or(now, |before| before.since);
        let zone = metadata.value(ZONE_KEY).unwrap_or_default().to_owned();
        if let Some(known) = self.view.get_mut(&node).filter(|_| state == State::Suspect) {
            // From here on its silence matters: it counts from what is held so far, not from the suspicion.
            known.watched();
        }
        self.view.set(Arc::new(Member { claim, metadata, since }), complete, now + self.config.reap_after);
        let new_incarnation = before.is_some_and(|before| before.claim.incarnation != incarnation);
        sometimes!(
            sites::REFUTATION_BELIEVED,
            new_incarnation && state == State::Alive && same_life.is_some_and(|b| b.state() == State::Suspect)
        );
        if let Some(watch) = self.view.get_mut(&node).and_then(|known| known.watch_mut()) {
            if new_incarnation && state == State::Alive {
                // Only the node itself raises its incarnation: it lived a moment ago.
                watch.last_sign = now;
                watch.missed_since = None;
            }
            if new_incarnation || state != State::Suspect {
                watch.suspicion.clear();
            }
            if same_life.is_none() {
                watch.pulse = None;
                watch.unwell = false;
            }
        }
        if new_incarnation || state != State::Suspect {
            self.queue.remove_votes(&node);
        }
        if state == State::Suspect {
            self.suspects.insert(node.clone());
            self.judge_soon(now);
        } else {
            self.suspects.remove(&node);
        }
        self.plan.set_impaired(now, &node, state == State::Suspect);
        if state.is_live() {
            if !(self.config.has(Bug::RingMissesMember) && node.as_str().ends_with(['0', '2', '4', '6', '8'])) {
                self.plan.insert(now, &node, &zone);
            }
        } else {
            self.plan.remove(now, &node);
            self.unreachable.remove(&node);
            self.unanswering.remove(&node);
            self.forget_rounds(now, &node);
            // Whoever has left, and whoever is dead, acknowledges nothing more.
            if state == State::Left { self.note_farewell_heard(&node) } else { self.note_farewell_moot(&node) }
        }
        if state == State::Failed && self.links.contains_key(&node) {
            self.emit(Output::Disconnect { node: node.clone() });
        }
        if state == State::Alive && same_life.is_some_and(|before| before.state() == State::Failed) {
            reachable!(sites::MERGED);
            self.note_reunion(now);
        }
        self.spread(&node, before.map(Member::state), state);
    }

    /// Queues the news of a change, and decides what of it cannot wait for the tick.
    fn spread(&mut self, node: &NodeId, before: Option<State>, after: State) {
        let rank = if after == State::Left { Rank::Farewell } else { Rank::Membership };
        match after {
            // A suspicion travels as its votes.
            State::Suspect => self.queue.remove(&News::Claim(node.clone())),
            _ if self.in_bulk => {}
            _ => self.queue.push(rank, News::Claim(node.clone())),
        }
        let urgency = match (before, after) {
            (_, State::Left) if self.config.has(Bug::StarvedLeave) => Urgency::None,
            (_, State::Left) => Urgency::Everybody,
            (_, State::Failed) | (None | Some(State::Suspect | State::Failed | State::Left), State::Alive) => {
                Urgency::Some
            }
            _ => Urgency::None,
        };
        self.urgency = self.urgency.max(urgency);
    }

    /// Keeps a body; says whether it was lacking.
    fn hold_metadata(&mut self, now: Instant, node: &NodeId, metadata: Metadata) -> bool {
        let Some(known) = self.view.get(node).filter(|known| known.lacks_metadata()) else { return false };
        let Member { claim, since, .. } = &*known.member;
        let zone = metadata.value(ZONE_KEY).unwrap_or_default().to_owned();
        let member = Member { claim: claim.clone(), metadata, since: *since };
        self.view.set(Arc::new(member), true, now + self.config.reap_after);
        self.plan.insert(now, node, &zone);
        true
    }

    /// Writes what is held of a member to the registry.
    pub(super) fn publish(&mut self, now: Instant, node: &NodeId) {
        self.publish_with(now, node, None);
    }

    pub(super) fn publish_with(&mut self, now: Instant, node: &NodeId, evidence: Option<Evidence>) {
        self.state_publicly(now, node, evidence, false);
    }

    fn state_publicly(&mut self, now: Instant, node: &NodeId, evidence: Option<Evidence>, withdraws: bool) {
        let Some(known) = self.view.get(node) else { return };
        let evidence = match known.state() {
            State::Suspect | State::Failed => evidence.or_else(|| Some(self.evidence(now, node, known))),
            State::Alive | State::Left => None,
        };
        let (member, complete) = (Arc::clone(&known.member), known.complete);
        let statement = Statement { member, complete, evidence, withdraws };
        self.emit(Output::Publish(statement));
    }

    /// An authenticated sign of life: ends this node's open questions, and the silence that its own accusation counts begins
    /// anew, here and wherever the accusation is known.
    pub(super) fn note_sign(&mut self, now: Instant, node: &NodeId) {
        let life = self.links.get(node).map(|peer| peer.life);
        self.hear_somebody(now, node, life);
        if let Some(known) = self.view.get_mut(node) {
            let watch = known.watched();
            watch.last_sign = watch.last_sign.max(now);
            watch.missed_since = None;
            watch.waiting_since = None;
            watch.send_refused = false;
            let news = watch.suspicion.renew(&self.own.node, now);
            if let Some(pulse) = &mut watch.pulse {
                pulse.sign(now);
            }
            if news {
                self.sign_accusation(node);
                self.tell_vote(node, &self.own.node.clone());
            }
        }
        self.health.note_missed_nacks(self.unanswering.remove(node).unwrap_or(0));
        self.close_rounds(now, node);
    }

    /// A link to a known member came up: what its hello says about it counts as its own word.
    pub(super) fn greet(&mut self, now: Instant, peer: &PeerInfo) {
        let Some(known) = self.view.claim(&peer.node).or_else(|| self.tombs.get(&peer.node)) else {
            return;
        };
        let (state, life) = (known.state, known.life);
        self.learn(now, Update { claim: peer.claim(), vote: None, proof: peer.proof.clone() }, &peer.node);
        if life != peer.life || !state.is_live() {
            // It may know nothing of us, or believe what a part of the cluster believed while it was away.
            self.sync_with(&peer.node);
        }
    }
}
