//! Suspicions: who accuses whom since when. Every member that probed in vain has a vote, told to all as gossip.

use std::sync::Arc;
use std::time::Duration;

use cluster_sites::{reachable, sometimes};
use cluster_types::{Claim, Instant, Life, NodeId, State};

use super::Swim;
use super::spreading::Urgency;
use super::suspicion::{Charge, Heard, Helpers, Sign};
use super::view::Known;
use crate::broadcast::{News, Rank};
use crate::seal::{Proof, statement_of_vote};
use crate::sites;
use crate::wire::{Update, Vote};

impl Swim {
    /// This node probed `target` in vain since `unanswered_since`.
    pub(super) fn accuse(&mut self, now: Instant, target: &NodeId, unanswered_since: Instant, helpers: Helpers) {
        let Some(known) = self.view.get(target) else {
            return;
        };
        let before = Arc::clone(&known.member);
        let silent_since = known.last_sign();
        sometimes!(sites::HEARD_MEANWHILE, before.state().is_live() && silent_since > unanswered_since);
        if !before.state().is_live() || silent_since > unanswered_since {
            return;
        }
        let former = known.watch().and_then(|watch| watch.suspicion.charges.get(&self.own.node));
        let first = former.map_or(unanswered_since, |charge| charge.unanswered_since().min(unanswered_since));
        let sign = Sign::own(self.own.life, silent_since);
        let charge = Charge { helpers, ..Charge::own(now, sign, silent_since, first) };
        // Nobody at all was heard since: it may be this node that is deaf.
        let quiet = self.solitude.is_since(unanswered_since);
        if quiet {
            self.solitude.note_before(&before.claim);
        }
        if before.state() == State::Alive {
            let claim = Claim { state: State::Suspect, ..before.claim.clone() };
            self.adopt(now, claim, Some(&before));
        }
        let own = self.own.node.clone();
        self.enter(now, target, own, charge);
        self.sign_accusation(target);
        if before.state() == State::Alive {
            self.publish(now, target);
        }
        if before.state() == State::Alive && !quiet {
            // Told first: it is the one who can refute.
            self.tell(now, target);
        }
    }

    /// Somebody accuses `subject`, which is suspect already, as `teller` says.
    pub(super) fn hear_vote(
        &mut self,
        now: Instant,
        subject: &NodeId,
        (vote, proof): (Vote, Option<Proof>),
        teller: &NodeId,
    ) {
        if vote.accuser == self.own.node {
            return;
        }
        let charge = Charge::told_by(teller, now, &vote, proof);
        self.enter(now, subject, vote.accuser, charge);
    }

    /// Signs this node's own accusation, if it is not.
    pub(super) fn sign_accusation(&mut self, subject: &NodeId) {
        let Some(known) = self.view.get(subject) else { return };
        let own = &self.own.node;
        let vote = known.watch().and_then(|watch| watch.suspicion.vote_of(own, Instant::ORIGIN));
        let Some((vote, None)) = vote else { return };
        let proof = self.seal.sign(&statement_of_vote(known.claim(), &vote));
        if let Some(charge) =
            self.view.get_mut(subject).and_then(|known| known.watched().suspicion.charges.get_mut(own))
        {
            charge.proof = proof;
        }
    }

    /// Whether a vote is held already, so that nothing is learnt from its signature.
    pub(super) fn holds_vote(&self, subject: &Claim, life: Life, sign_ms: u64, accuser: &NodeId) -> bool {
        let Some(known) = self.view.get(&subject.node) else { return false };
        let same = (known.claim().life, known.claim().incarnation) == (subject.life, subject.incarnation);
        let held = known.watch().and_then(|watch| watch.suspicion.charges.get(accuser));
        same && held.is_some_and(|held| held.sign == Sign { life, ms: sign_ms })
    }

    /// Somebody else's suspicion is this node's as well if it probed in vain for another one since the last sign of life.
    pub(super) fn second(&mut self, now: Instant, subject: &NodeId) {
        let missed = self.view.get(subject).and_then(|known| known.watch()).and_then(|watch| watch.missed_since);
        if let Some(missed_since) = missed {
            reachable!(sites::SECONDED);
            self.accuse(now, subject, missed_since, Helpers::default());
        }
    }

    /// A probe for somebody else stayed unanswered.
    pub(super) fn note_missed(&mut self, now: Instant, target: &NodeId, since: Instant) {
        if !self.plan.observers_of(target).contains(&self.own.node) {
            return;
        }
        let Some(known) = self.view.get_mut(target).filter(|known| known.last_sign() <= since) else { return };
        known.watched().missed_since.get_or_insert(since);
        if known.state() == State::Suspect {
            self.second(now, target);
        }
    }

    fn enter(&mut self, now: Instant, subject: &NodeId, accuser: NodeId, charge: Charge) {
        let unanswered_since = charge.unanswered_since();
        let Some(known) = self.view.get_mut(subject) else {
            return;
        };
        let charges_max = self.config.observers * 2;
        let suspicion = &mut known.watched().suspicion;
        let room = suspicion.charges.len() < charges_max || accuser == self.own.node;
        if !room && !suspicion.accuses(&accuser) {
            self.stats.votes_over_limit += 1;
            return;
        }
        let heard = suspicion.enter(now, accuser.clone(), charge);
        sometimes!(sites::LATE_VOTE, heard == Heard::Known && accuser != self.own.node);
        if heard == Heard::Renewed {
            reachable!(sites::ACCUSER_HEARD_AGAIN);
        }
        if heard != Heard::Known {
            self.judge_soon(now);
            if accuser != self.own.node || !self.solitude.is_since(unanswered_since) {
                self.tell_vote(subject, &accuser);
            }
        }
    }

    /// `teller` says that a member has failed, and this node has no reason to think so: it believes it when nobody has refuted it in time. One
    /// teller alone counts as one vote alone: for little.
    pub(super) fn doubt_verdict(&mut self, now: Instant, subject: &NodeId, said: &Claim, teller: &NodeId) {
        let (time, alone) = (self.time_to_refute(), self.config.budget.total() * 6);
        let Some(known) = self.view.get_mut(subject) else { return };
        let held = known.claim();
        if (held.state, held.life, held.incarnation) == (State::Suspect, said.life, said.incarnation) {
            let suspicion = &mut known.watched().suspicion;
            if suspicion.verdict_by.len() < 2 && !suspicion.verdict_by.contains(teller) {
                suspicion.verdict_by.push(teller.clone());
            }
            let room = suspicion.charges.len() < self.config.observers * 2;
            if let Some(peer) = self.links.get(teller).filter(|_| room) {
                // It is silent for the teller as well, for long enough: its vote, for this node alone, which has it over the teller's own link.
                let sign = Sign { life: peer.life, ms: 0 };
                let silent_since = suspicion.began.unwrap_or(now) - self.config.budget.total();
                let charge = Charge::own(now, sign, silent_since, silent_since);
                suspicion.enter(now, teller.clone(), charge);
            }
            let is_confirmed = suspicion.verdict_by.len() >= 2;
            let at = *suspicion.began.get_or_insert(now) + if is_confirmed { time } else { alone };
            suspicion.believed_at = Some(suspicion.believed_at.map_or(at, |known| known.min(at)));
            self.next_judgement = self.next_judgement.min(at);
            self.judge_soon(now);
            if !is_confirmed {
                // Somebody else may know more.
                self.sync_soon(now);
            }
        }
    }

    /// Whether a node has a charge against another that the others could be told.
    pub(super) fn any_vote_of(&self, subject: &NodeId, accuser: &NodeId) -> bool {
        self.view.get(subject).and_then(Known::watch).is_some_and(|watch| watch.suspicion.accuses(accuser))
    }

    /// Tells of an accusation, at once and by the tick.
    pub(super) fn tell_vote(&mut self, subject: &NodeId, accuser: &NodeId) {
        let news = News::Vote { subject: subject.clone(), accuser: accuser.clone() };
        self.queue.push(Rank::Membership, news);
        self.urgency = self.urgency.max(Urgency::Some);
    }

    /// The vote to tell of, in words for the wire.
    pub(super) fn vote_of(&self, subject: &NodeId, accuser: &NodeId, now: Instant) -> Option<(Vote, Option<Proof>)> {
        self.view.get(subject)?.watch()?.suspicion.vote_of(accuser, now)
    }

    /// Some vote against a suspect: this node's own, if it has one.
    pub(super) fn any_vote(&self, subject: &NodeId, now: Instant) -> Option<(Vote, Option<Proof>)> {
        let suspicion = &self.view.get(subject)?.watch()?.suspicion;
        let first = suspicion.charges.iter().find(|(_, charge)| self.can_tell(charge.proof.as_ref()))?.0;
        suspicion.vote_of(&self.own.node, now).or_else(|| suspicion.vote_of(first, now))
    }

    /// A suspicion in words for the wire, with some vote if there is one.
    pub(super) fn accusation(&self, now: Instant, claim: Claim) -> Update {
        let (vote, proof) = self.any_vote(&claim.node, now).map_or((None, None), |(vote, proof)| (Some(vote), proof));
        Update { claim, vote, proof }
    }

    /// For the planted mistake alone.
    pub(super) fn blame_everybody(&mut self, now: Instant, gap: Duration) {
        for neighbour in self.plan.neighbours() {
            self.accuse(now, &neighbour, now - gap, Helpers::default());
        }
    }
}
