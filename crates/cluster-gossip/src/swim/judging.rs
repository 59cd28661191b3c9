//! The verdict. Every member judges for itself, from all votes it heard, by the one rule
//! ([`PauseBudget::judge`](cluster_failure::PauseBudget::judge)).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_failure::{Case, PauseBudget, VoteRule};
use cluster_sites::{reachable, sometimes};
use cluster_types::{Accusation, Claim, Evidence, Instant, NodeId, State};

use super::Swim;
use super::spreading::Urgency;
use super::suspicion::{Charge, Suspicion};
use super::view::Known;
use crate::planted::Bug;
use crate::sites;
use crate::wire::DatagramKind;

/// How long new evidence waits for more before the suspects are looked at.
const JUDGE_SOON: Duration = Duration::from_millis(10);

/// How often each suspect is looked at anyway. Finding its observers takes microseconds, and there may be thousands.
const JUDGE_AGAIN: Duration = Duration::from_millis(250);

impl Swim {
    /// When the verdict of others is to be believed, if there is one: not as long as this node hears the suspect itself.
    fn believes_at(&self, suspect: &NodeId, known: &Known) -> Option<Instant> {
        let at = known.watch()?.suspicion.believed_at?.max(self.judge_after);
        let heard_until = known.last_sign() + self.config.budget.total();
        Some(if self.links.contains_key(suspect) { at.max(heard_until) } else { at })
    }

    fn case(&self, now: Instant, subject: &NodeId, known: &Known) -> Option<Case> {
        let suspicion = &known.watch()?.suspicion;
        let charges = &suspicion.charges;
        let last_voter = charges.iter().map(|(accuser, charge)| self.counted_sign(suspicion, accuser, charge)).max()?;
        let last_sign = last_voter.max(known.last_sign());
        // A probe that stayed unanswered before the last sign of life is no part of this silence.
        let unanswered = charges.values().map(Charge::unanswered_since).filter(|since| *since >= last_sign);
        let first_unanswered = unanswered.min().unwrap_or(last_sign);
        let observers = self.plan.observers_of(subject);
        let explicit_votes = observers.iter().filter(|o| charges.contains_key(*o)).count();
        let impaired = |o: &&NodeId| self.suspects.contains(*o) && !charges.contains_key(*o);
        Some(Case {
            last_sign,
            first_unanswered,
            explicit_votes,
            impaired_observers: observers.iter().filter(impaired).count(),
            observers: observers.len().min(self.config.observers),
            alone: self.is_alone(now),
        })
    }

    /// The sign of life that an accusation counts from. What somebody else says of its own ears is believed within bounds: no suspect is convicted
    /// by a silence that is longer than the pause budget before anybody accused it, nor kept alive by signs that only its accusers hear
    /// while it does not answer what it is accused of.
    pub(super) fn counted_sign(&self, suspicion: &Suspicion, accuser: &NodeId, charge: &Charge) -> Instant {
        let silent_since = charge.silent_since();
        match suspicion.began {
            Some(began) if *accuser != self.own.node => {
                let budget = &self.config.budget;
                silent_since.clamp(began - budget.total(), began + budget.period() / 2)
            }
            _ => silent_since,
        }
    }

    /// When a suspect is declared failed, if nothing more is heard.
    pub(super) fn verdict_at(&self, now: Instant, subject: &NodeId, known: &Known) -> Option<Instant> {
        let case = self.case(now, subject, known)?;
        let due = (self.config.budget.deadline(&case) + self.doubt(&case, known)).max(self.refutable_until(known));
        Some(due.max(self.judge_after))
    }

    /// Before this a suspect is not declared failed, however old the accusations are that this node has heard: a way to the suspect and back is
    /// not over yet. Half the pause budget, many times the longest way of any news: whoever is accused when it falls silent, and not when
    /// somebody returns who was away, is suspected for longer than that when its verdict is due.
    fn refutable_until(&self, known: &Known) -> Instant {
        let began = known.watch().and_then(|watch| watch.suspicion.began);
        began.map_or(Instant::ORIGIN, |began| began + self.config.budget.total() / 2)
    }

    /// Evidence changed: look at the suspects soon.
    pub(super) fn judge_soon(&mut self, now: Instant) {
        self.next_judgement = self.next_judgement.min(now + JUDGE_SOON);
    }

    /// A period for each point of the local health score: time for the others to speak first. Where they have spoken, and not this node
    /// alone, and the votes are there, its own health does not matter.
    fn doubt(&self, case: &Case, known: &Known) -> Duration {
        let own_alone =
            known.watch().is_none_or(|watch| watch.suspicion.charges.keys().all(|accuser| *accuser == self.own.node));
        let enough = !own_alone && self.budget().has_votes(case);
        self.config.budget.period() * if enough { 0 } else { u32::from(self.health.score()) }
    }

    /// The pause budget with the rule of the votes, and with the mistake in it that may be planted.
    fn budget(&self) -> PauseBudget {
        let budget = self.config.budget;
        if self.config.has(Bug::OneVoteConvicts) { budget.with_votes(VoteRule::One) } else { budget }
    }

    /// Asks a suspect that there is a link to whether it lives, once a period: what this node knows of it may be old, for it may have been deaf,
    /// or the refutation was lost; with every word the suspect hears what it is accused of. Says how long a verdict that is due waits for the
    /// answer; nothing when it was asked in time.
    fn ask_suspect(&mut self, now: Instant, suspect: &NodeId, due: Instant) -> Option<Duration> {
        if !self.links.contains_key(suspect) || self.config.has(Bug::VerdictBeforeP) {
            return None;
        }
        let (answers_within, period) = (self.config.probe_timeout, self.config.budget.period());
        let suspicion = &mut self.view.get_mut(suspect)?.watched().suspicion;
        let waited = suspicion.asked_at.map_or(Duration::MAX, |asked_at| now.since(asked_at));
        let (is_due, in_time) = (due <= now, now + answers_within <= due);
        let asks = if is_due { waited >= period * 2 } else { waited >= period && in_time };
        if asks {
            suspicion.asked_at = Some(now);
            let seq = self.next_seq;
            self.next_seq += 1;
            // No round of its own: whatever comes from it is a sign of life, and what does not come adds nothing to the silence.
            self.send(now, suspect, DatagramKind::Ping, seq, None);
            return is_due.then_some(answers_within);
        }
        (is_due && waited < answers_within).then(|| answers_within - waited)
    }

    /// Declares failed whoever's time is over.
    pub(super) fn pronounce_verdicts(&mut self, now: Instant) {
        self.next_judgement = Instant::END;
        if now < self.judge_after && !self.suspects.is_empty() {
            reachable!(sites::VERDICTS_WAIT);
            self.next_judgement = self.judge_after;
            return;
        }
        let suspects: Vec<NodeId> = self.suspects.iter().cloned().collect();
        for suspect in suspects {
            let Some(known) = self.view.get(&suspect) else {
                continue;
            };
            match self.believes_at(&suspect, known) {
                Some(at) if at <= now => {
                    reachable!(sites::VERDICT_BELIEVED_LATER);
                    // No conclusion of its own.
                    self.declare_failed(now, &suspect, false);
                    continue;
                }
                Some(at) => self.next_judgement = self.next_judgement.min(at),
                None => {}
            }
            let look_at = known.watch().map_or(Instant::ORIGIN, |watch| watch.suspicion.look_at);
            if now < look_at {
                self.next_judgement = self.next_judgement.min(look_at);
                continue;
            }
            let Some(case) = self.case(now, &suspect, known) else {
                continue;
            };
            let (doubt, refutable_until) = (self.doubt(&case, known), self.refutable_until(known));
            self.judge_suspect(now, &suspect, &case, doubt, refutable_until);
        }
    }

    fn judge_suspect(
        &mut self,
        now: Instant,
        suspect: &NodeId,
        case: &Case,
        doubt: Duration,
        refutable_until: Instant,
    ) {
        let early = Duration::from_secs(if self.config.has(Bug::VerdictBeforeP) { 2 } else { 0 });
        let budget = self.budget();
        let due = (budget.deadline(case) + doubt - early).max(refutable_until);
        let is_due = due <= now;
        let waits = self.ask_suspect(now, suspect, due);
        let again = match (is_due, waits) {
            (true, None) => {
                sometimes!(sites::VERDICT_DELAYED, !doubt.is_zero());
                return self.declare_failed(now, suspect, self.hears_nobody(now));
            }
            (true, Some(wait)) => {
                reachable!(sites::VERDICT_WAITS);
                now + wait
            }
            // What else counts, the observers and this node's own health, may change without a word.
            (false, _) => due.min(now + JUDGE_AGAIN),
        };
        self.next_judgement = self.next_judgement.min(again);
        if let Some(known) = self.view.get_mut(suspect) {
            known.watched().suspicion.look_at = again;
        }
    }

    /// `quietly` where nobody is heard who could know better.
    fn declare_failed(&mut self, now: Instant, suspect: &NodeId, quietly: bool) {
        let Some(known) = self.view.get(suspect) else {
            return;
        };
        let evidence = self.evidence(now, suspect, known);
        let before = Arc::clone(&known.member);
        let claim = Claim { state: State::Failed, ..before.claim.clone() };
        if quietly {
            self.solitude.note_before(&before.claim);
            let bulk = std::mem::replace(&mut self.in_bulk, true);
            self.adopt(now, claim, Some(&before));
            self.in_bulk = bulk;
        } else {
            self.adopt(now, claim, Some(&before));
            // The others judge for themselves.
            self.urgency = self.urgency.max(Urgency::Some);
        }
        self.publish_with(now, suspect, Some(evidence));
    }

    /// Everything that speaks against a member, for the event.
    pub(super) fn evidence(&self, now: Instant, subject: &NodeId, known: &Known) -> Evidence {
        let none = BTreeMap::new();
        let charges = known.watch().map_or(&none, |watch| &watch.suspicion.charges);
        let own = charges.get(&self.own.node);
        let last_voter = charges.values().map(Charge::silent_since).max().unwrap_or(known.last_sign());
        let votes = self.config.budget.votes().needed(self.plan.observers_of(subject).len().min(self.config.observers));
        let helpers = own.map(|charge| charge.helpers).unwrap_or_default();
        Evidence {
            accusation: match own {
                Some(charge) if charge.helpers.overdue => Accusation::Phi,
                Some(_) => Accusation::ProbeUnanswered,
                None => Accusation::Gossip,
            },
            accusers: charges.keys().cloned().collect(),
            votes_needed: u8::try_from(votes.short).unwrap_or(u8::MAX),
            silence: now.since(last_voter.max(known.last_sign())),
            unanswered_for: own.map(|charge| now.since(charge.unanswered_since())),
            helpers_asked: helpers.asked,
            helpers_agreed: helpers.agreed,
            rtt: known.watch().and_then(|watch| watch.rtt.smoothed()),
            local_health: self.health.score(),
            send_refused: known.watch().is_some_and(|watch| watch.send_refused),
        }
    }
}
