//! Suspicions: who accuses whom since when, and the verdict.
//!
//! Every member that probed in vain has a vote, told to all as gossip. Every member judges for itself, from all votes it
//! heard, by the one rule ([`PauseBudget::judge`](cluster_failure::PauseBudget::judge)).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_failure::{Case, Verdict};
use cluster_sites::{reachable, sometimes};
use cluster_types::{Accusation, Claim, Evidence, Instant, NodeId, State};

use super::Swim;
use super::spreading::Urgency;
use super::view::Known;
use crate::broadcast::{News, Rank};
use crate::planted::Bug;
use crate::sites;
use crate::wire::Vote;

/// One accuser's word, on this node's clock.
#[derive(Debug, Clone, Copy)]
struct Charge {
    silent_since: Instant,
    unanswered_since: Instant,
    /// For this node's own charge: whom it asked for help, and who said no.
    helpers: Helpers,
}

/// How long new evidence waits for more before the suspects are looked at.
const JUDGE_SOON: Duration = Duration::from_millis(10);

/// How often each suspect is looked at anyway. Finding its observers takes microseconds, and there may be thousands.
const JUDGE_AGAIN: Duration = Duration::from_millis(250);

/// An accuser that has heard the subject by so much later than was known is news. Less may be the time a copy lost on its way.
const RENEWED: Duration = Duration::from_millis(250);

/// Observers asked to probe, and how many said that they got no answer either.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Helpers {
    pub(super) asked: usize,
    pub(super) agreed: usize,
    /// The round was begun because the subject was overdue, not because it was its turn.
    pub(super) overdue: bool,
}

/// All accusations of one member at its present incarnation.
#[derive(Debug, Clone, Default)]
pub(super) struct Suspicion {
    charges: BTreeMap<NodeId, Charge>,
    /// When the case is worth another look, if the evidence stays as it is.
    look_at: Instant,
}

impl Suspicion {
    pub(super) fn clear(&mut self) {
        self.charges.clear();
    }

    pub(super) fn withdraw(&mut self, accuser: &NodeId) {
        self.charges.remove(accuser);
    }

    /// The accuser has heard the subject after all: its silence counts from now. Says whether the others should know.
    pub(super) fn renew(&mut self, accuser: &NodeId, now: Instant) -> bool {
        let Some(charge) = self.charges.get_mut(accuser) else { return false };
        let news = now.since(charge.silent_since) > RENEWED;
        charge.silent_since = now;
        charge.unanswered_since = now;
        self.look_at = Instant::ORIGIN;
        news
    }

    pub(super) fn accuses(&self, accuser: &NodeId) -> bool {
        self.charges.contains_key(accuser)
    }

    /// Every accuser's word.
    pub(super) fn votes(&self, now: Instant) -> Vec<Vote> {
        self.charges.keys().filter_map(|accuser| self.vote_of(accuser, now)).collect()
    }

    /// Enters a charge; says whether the accuser is new.
    fn enter(&mut self, accuser: NodeId, charge: Charge) -> bool {
        let former = self.charges.insert(accuser, charge);
        self.look_at = Instant::ORIGIN;
        former.is_none()
    }

    fn vote_of(&self, accuser: &NodeId, now: Instant) -> Option<Vote> {
        let charge = self.charges.get(accuser)?;
        let (silence, unanswered) = (now.since(charge.silent_since), now.since(charge.unanswered_since));
        Some(Vote { accuser: accuser.clone(), silence, unanswered })
    }
}

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
        let first = former.map_or(unanswered_since, |charge| charge.unanswered_since);
        let charge = Charge { silent_since, unanswered_since: first, helpers };
        if before.state() == State::Alive {
            let claim = Claim { state: State::Suspect, ..before.claim.clone() };
            self.adopt(now, claim, Some(&before));
        }
        let own = self.own.node.clone();
        self.enter(now, target, own, charge);
        if before.state() == State::Alive {
            self.publish(now, target);
            // Told first: it is the one who can refute.
            self.tell(now, target);
        }
    }

    /// Somebody accuses `subject`, which is suspect already.
    pub(super) fn hear_vote(&mut self, now: Instant, subject: &NodeId, vote: Vote, from: &NodeId) {
        let (silent_since, unanswered_since) = (now - vote.silence, now - vote.unanswered);
        let charge = Charge { silent_since, unanswered_since, helpers: Helpers::default() };
        let watch = self.view.get(subject).and_then(|known| known.watch());
        let held = watch.and_then(|watch| watch.suspicion.charges.get(&vote.accuser)).copied();
        // A copy of a copy has lost time on its way: it fills a gap, or tells that the accuser has heard the subject since. The
        // accuser's own word replaces what is held.
        let renewed = held.is_some_and(|held| silent_since.since(held.silent_since) > RENEWED);
        if vote.accuser != self.own.node && (held.is_none() || renewed || *from == vote.accuser) {
            self.enter(now, subject, vote.accuser.clone(), charge);
            if renewed {
                reachable!(sites::ACCUSER_HEARD_AGAIN);
                self.tell_vote(subject, &vote.accuser);
            }
        } else {
            sometimes!(sites::LATE_VOTE, vote.accuser != self.own.node);
        }
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
        let Some(known) = self.view.get_mut(subject) else {
            return;
        };
        let charges_max = self.config.observers * 2;
        let suspicion = &mut known.watched().suspicion;
        let room = suspicion.charges.len() < charges_max || accuser == self.own.node;
        if (room || suspicion.charges.contains_key(&accuser)) && suspicion.enter(accuser.clone(), charge) {
            self.judge_soon(now);
            self.tell_vote(subject, &accuser);
        }
    }

    /// Tells of an accusation, at once and by the tick.
    pub(super) fn tell_vote(&mut self, subject: &NodeId, accuser: &NodeId) {
        let news = News::Vote { subject: subject.clone(), accuser: accuser.clone() };
        self.queue.push(Rank::Membership, news);
        self.urgency = self.urgency.max(Urgency::Some);
    }

    /// The vote to tell of, in words for the wire.
    pub(super) fn vote_of(&self, subject: &NodeId, accuser: &NodeId, now: Instant) -> Option<Vote> {
        self.view.get(subject)?.watch()?.suspicion.vote_of(accuser, now)
    }

    /// Some vote against a suspect: this node's own, if it has one.
    pub(super) fn any_vote(&self, subject: &NodeId, now: Instant) -> Option<Vote> {
        let suspicion = &self.view.get(subject)?.watch()?.suspicion;
        let first = suspicion.charges.keys().next()?;
        suspicion.vote_of(&self.own.node, now).or_else(|| suspicion.vote_of(first, now))
    }

    fn case(&self, subject: &NodeId, known: &Known) -> Option<Case> {
        let charges = &known.watch()?.suspicion.charges;
        let last_voter = charges.values().map(|c| c.silent_since).max()?;
        let last_sign = last_voter.max(known.last_sign());
        // A probe that stayed unanswered before the last sign of life is no part of this silence.
        let unanswered = charges.values().map(|c| c.unanswered_since).filter(|since| *since >= last_sign);
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
        })
    }

    /// When a suspect is declared failed, if nothing more is heard.
    pub(super) fn verdict_at(&self, subject: &NodeId, known: &Known) -> Option<Instant> {
        let case = self.case(subject, known)?;
        Some((self.config.budget.deadline(&case) + self.doubt()).max(self.judge_after))
    }

    /// Evidence changed: look at the suspects soon.
    pub(super) fn judge_soon(&mut self, now: Instant) {
        self.next_judgement = self.next_judgement.min(now + JUDGE_SOON);
    }

    /// A period for each point of the local health score: time for the others to speak first.
    fn doubt(&self) -> Duration {
        self.config.budget.period() * u32::from(self.health.score())
    }

    /// For the planted mistake alone.
    pub(super) fn blame_everybody(&mut self, now: Instant, gap: Duration) {
        for neighbour in self.plan.neighbours() {
            self.accuse(now, &neighbour, now - gap, Helpers::default());
        }
    }

    /// Declares failed whoever's time is over.
    pub(super) fn pronounce_verdicts(&mut self, now: Instant) {
        self.next_judgement = Instant::END;
        if now < self.judge_after && !self.suspects.is_empty() {
            reachable!(sites::VERDICTS_WAIT);
            self.next_judgement = self.judge_after;
            return;
        }
        let early = Duration::from_secs(if self.config.has(Bug::VerdictBeforeP) { 2 } else { 0 });
        let suspects: Vec<NodeId> = self.suspects.iter().cloned().collect();
        for suspect in suspects {
            let Some(known) = self.view.get(&suspect) else {
                continue;
            };
            let look_at = known.watch().map_or(Instant::ORIGIN, |watch| watch.suspicion.look_at);
            if now < look_at {
                self.next_judgement = self.next_judgement.min(look_at);
                continue;
            }
            let Some(case) = self.case(&suspect, known) else {
                continue;
            };
            match self.config.budget.judge(&case, now + early - self.doubt()) {
                Verdict::Failed => {
                    sometimes!(sites::VERDICT_DELAYED, !self.doubt().is_zero());
                    self.declare_failed(now, &suspect);
                }
                // What else counts, the observers and this node's own health, may change without a word.
                Verdict::Wait { until } => {
                    let again = (until + self.doubt()).min(now + JUDGE_AGAIN);
                    self.next_judgement = self.next_judgement.min(again);
                    if let Some(known) = self.view.get_mut(&suspect) {
                        known.watched().suspicion.look_at = again;
                    }
                }
            }
        }
    }

    fn declare_failed(&mut self, now: Instant, suspect: &NodeId) {
        let Some(known) = self.view.get(suspect) else {
            return;
        };
        let evidence = self.evidence(now, suspect, known);
        let before = Arc::clone(&known.member);
        let claim = Claim { state: State::Failed, ..before.claim.clone() };
        self.adopt(now, claim, Some(&before));
        self.urgency = Urgency::Everybody;
        self.publish_with(now, suspect, Some(evidence));
    }

    /// Everything that speaks against a member, for the event.
    pub(super) fn evidence(&self, now: Instant, subject: &NodeId, known: &Known) -> Evidence {
        let none = BTreeMap::new();
        let charges = known.watch().map_or(&none, |watch| &watch.suspicion.charges);
        let own = charges.get(&self.own.node);
        let last_voter = charges.values().map(|c| c.silent_since).max().unwrap_or(known.last_sign());
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
            unanswered_for: own.map(|charge| now.since(charge.unanswered_since)),
            helpers_asked: helpers.asked,
            helpers_agreed: helpers.agreed,
            rtt: known.watch().and_then(|watch| watch.rtt.smoothed()),
            local_health: self.health.score(),
            send_refused: known.watch().is_some_and(|watch| watch.send_refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    fn charge(silent: u64, unanswered: u64) -> Charge {
        Charge { silent_since: at(silent), unanswered_since: at(unanswered), helpers: Helpers::default() }
    }

    #[test]
    fn charges_are_entered_once_renewed_withdrawn_and_cleared() {
        let (a, b): (NodeId, NodeId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut suspicion = Suspicion::default();
        assert!(!suspicion.accuses(&a));
        assert!(suspicion.enter(a.clone(), charge(1_000, 2_000)));
        assert!(!suspicion.enter(a.clone(), charge(1_000, 2_000)), "the same accuser again");
        assert!(suspicion.enter(b.clone(), charge(1_500, 2_500)));
        assert!(suspicion.accuses(&a) && suspicion.accuses(&b));
        let vote = suspicion.vote_of(&b, at(4_000)).unwrap();
        assert_eq!((vote.silence, vote.unanswered), (Duration::from_millis(2_500), Duration::from_millis(1_500)));

        assert!(!suspicion.renew(&a, at(1_250)), "a quarter of a second is no news");
        assert!(suspicion.renew(&b, at(4_000)));
        let renewed = suspicion.vote_of(&b, at(4_100)).unwrap();
        assert_eq!((renewed.silence, renewed.unanswered), (Duration::from_millis(100), Duration::from_millis(100)));
        assert!(!suspicion.renew(&"c".parse().unwrap(), at(9_000)), "who accuses nobody has nothing to renew");

        suspicion.withdraw(&a);
        assert!(!suspicion.accuses(&a) && suspicion.accuses(&b));
        suspicion.clear();
        assert!(!suspicion.accuses(&b) && suspicion.vote_of(&b, at(5_000)).is_none());
    }
}
