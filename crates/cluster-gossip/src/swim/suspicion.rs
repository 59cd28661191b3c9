//! What speaks against one member: who accuses it, and for how long each has heard nothing of it.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::{Instant, Life, NodeId};

use crate::seal::Proof;
use crate::wire::Vote;

/// Which sign of life an accuser heard last: the later run of its process, then the later sign by that one's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sign {
    pub(super) life: Life,
    pub(super) ms: u64,
}

impl Sign {
    /// A sign that this node itself heard then.
    pub(super) fn own(life: Life, heard: Instant) -> Self {
        Self { life, ms: u64::try_from(heard.since_origin().as_millis()).unwrap_or(u64::MAX) }
    }
}

/// One accuser's word.
#[derive(Debug, Clone)]
pub(super) struct Charge {
    /// What the accuser counts from.
    pub(super) sign: Sign,
    /// When it was signed: since that sign, and since the first probe in vain.
    pub(super) silence: Duration,
    pub(super) unanswered: Duration,
    /// The accuser's signature.
    pub(super) proof: Option<Proof>,
    /// When it was signed, on this node's clock, as far as that is sure.
    pub(super) signed_at: Instant,
    /// When it was signed as one teller has it, who may be wrong.
    pub(super) earliest: Option<(NodeId, Instant)>,
    /// The sign that the others were told of last.
    pub(super) told: Sign,
    /// For this node's own charge: whom it asked for help, and who said no.
    pub(super) helpers: Helpers,
}

/// An accuser that has heard the subject by so much later than it had said is news to the others.
pub(super) const RENEWED: Duration = Duration::from_millis(250);

/// Observers asked to probe, and how many said that they got no answer either.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Helpers {
    pub(super) asked: usize,
    pub(super) agreed: usize,
    /// The round was begun because the subject was overdue, not because it was its turn.
    pub(super) overdue: bool,
}

impl Charge {
    /// This node's own word at `now`, not signed yet.
    pub(super) fn own(now: Instant, sign: Sign, silent_since: Instant, unanswered_since: Instant) -> Self {
        Self {
            sign,
            silence: now.since(silent_since),
            unanswered: now.since(unanswered_since),
            proof: None,
            signed_at: now,
            earliest: None,
            told: sign,
            helpers: Helpers::default(),
        }
    }

    /// A word that `teller` passed on at `now`: if it is the accuser itself, as old as it says. Otherwise it was signed now at the latest, and
    /// earlier if a second teller says so as well: one alone may make a vote as old as it likes.
    pub(super) fn told_by(teller: &NodeId, now: Instant, vote: &Vote, proof: Option<Proof>) -> Self {
        let sign = Sign { life: vote.life, ms: vote.sign_ms };
        let claimed = now - vote.age;
        let first_hand = *teller == vote.accuser;
        Self {
            sign,
            silence: vote.silence,
            unanswered: vote.unanswered,
            proof,
            signed_at: if first_hand { claimed } else { now },
            earliest: (!first_hand).then(|| (teller.clone(), claimed)),
            told: sign,
            helpers: Helpers::default(),
        }
    }

    /// Since when the accuser has heard nothing.
    pub(super) fn silent_since(&self) -> Instant {
        self.signed_at - self.silence
    }

    /// Since when its first probe in vain is out.
    pub(super) fn unanswered_since(&self) -> Instant {
        self.signed_at - self.unanswered
    }

    /// Another copy of the same word: what two tellers say is sure.
    fn confirm(&mut self, copy: Self) {
        let mut sure = self.signed_at.min(copy.signed_at);
        self.earliest = match (self.earliest.take(), copy.earliest) {
            (Some((a, at)), Some((b, other))) if a == b => Some((a, at.min(other))),
            (Some((a, at)), Some((b, other))) => {
                sure = sure.min(at.max(other));
                Some(if at <= other { (a, at) } else { (b, other) })
            }
            (one, other) => one.or(other),
        };
        self.signed_at = sure;
    }

    /// Whether its sign is so much later than the one the others were told of that they should hear of it; from now on they were told.
    fn note_told(&mut self) -> bool {
        let later = Duration::from_millis(self.sign.ms.saturating_sub(self.told.ms));
        let news = self.sign.life != self.told.life || later > RENEWED;
        if news {
            self.told = self.sign;
        }
        news
    }
}

/// All accusations of one member at its present incarnation.
#[derive(Debug, Clone, Default)]
pub(super) struct Suspicion {
    pub(super) charges: BTreeMap<NodeId, Charge>,
    /// When the case is worth another look, if the evidence stays as it is.
    pub(super) look_at: Instant,
    /// When this node asked the suspect itself, last, whether it lives.
    pub(super) asked_at: Option<Instant>,
    /// When the first of the accusations was heard here.
    pub(super) began: Option<Instant>,
    /// Two of those who say that it has failed, which is doubted here.
    pub(super) verdict_by: Vec<NodeId>,
    /// When that is believed if nobody has refuted it.
    pub(super) believed_at: Option<Instant>,
}

/// What an accusation that was heard is beside what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Of somebody who had not accused.
    New,
    /// Its accuser has heard the subject meanwhile, so much later that others should know.
    Renewed,
    /// Nothing new.
    Known,
}

impl Suspicion {
    pub(super) fn clear(&mut self) {
        *self = Self { look_at: self.look_at, ..Self::default() };
    }

    /// The accuser stood still for `gap`: what it counts begins so much later. Its word is to be signed anew.
    pub(super) fn shift(&mut self, accuser: &NodeId, now: Instant, gap: Duration) {
        if let Some(charge) = self.charges.get_mut(accuser) {
            let later = |since: Instant| now.since((since + gap).min(now));
            (charge.silence, charge.unanswered) = (later(charge.silent_since()), later(charge.unanswered_since()));
            (charge.signed_at, charge.proof) = (now, None);
            charge.sign = Sign::own(charge.sign.life, charge.silent_since());
            self.look_at = Instant::ORIGIN;
        }
    }

    /// The accuser has heard the subject after all: its silence counts from now, if that is so much later that the others should know. Its word is
    /// to be signed anew then.
    pub(super) fn renew(&mut self, accuser: &NodeId, now: Instant) -> bool {
        let Some(charge) = self.charges.get_mut(accuser) else { return false };
        let sign = Sign::own(charge.sign.life, now);
        let mut renewed = Charge { told: charge.told, helpers: charge.helpers, ..Charge::own(now, sign, now, now) };
        let news = renewed.note_told();
        if news {
            *charge = renewed;
            self.look_at = Instant::ORIGIN;
        }
        news
    }

    pub(super) fn accuses(&self, accuser: &NodeId) -> bool {
        self.charges.contains_key(accuser)
    }

    /// Every accuser's word as if it were said now.
    pub(super) fn votes(&self, now: Instant) -> Vec<Vote> {
        let votes = self.charges.keys().filter_map(|accuser| self.vote_of(accuser, now));
        let said_now = |(vote, _): (Vote, _)| Vote {
            silence: vote.silence + vote.age,
            unanswered: vote.unanswered + vote.age,
            age: Duration::ZERO,
            ..vote
        };
        votes.map(said_now).collect()
    }

    /// Enters an accuser's charge at `now`. Two that count from one sign are copies of each other.
    pub(super) fn enter(&mut self, now: Instant, accuser: NodeId, charge: Charge) -> Heard {
        self.began.get_or_insert(now);
        let (heard, charge) = match self.charges.get(&accuser) {
            None => (Heard::New, charge),
            Some(held) if held.sign < charge.sign => {
                let mut charge = Charge { told: held.told, ..charge };
                (if charge.note_told() { Heard::Renewed } else { Heard::Known }, charge)
            }
            Some(held) if held.sign == charge.sign => {
                let mut held = held.clone();
                held.helpers = charge.helpers;
                held.confirm(charge);
                (Heard::Known, held)
            }
            Some(_) => return Heard::Known,
        };
        self.charges.insert(accuser, charge);
        self.look_at = Instant::ORIGIN;
        heard
    }

    /// An accuser's word as it goes over the wire, with its signature.
    pub(super) fn vote_of(&self, accuser: &NodeId, now: Instant) -> Option<(Vote, Option<Proof>)> {
        let charge = self.charges.get(accuser)?;
        let Sign { life, ms: sign_ms } = charge.sign;
        let (silence, unanswered, age) = (charge.silence, charge.unanswered, now.since(charge.signed_at));
        let vote = Vote { accuser: accuser.clone(), life, sign_ms, silence, unanswered, age };
        Some((vote, charge.proof.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What the accuser signed, of a silence of 1 s: by its own clock since `sign`.
    fn vote(life: u32, sign_ms: u64, age: u64) -> Vote {
        let life = Life::new(1, life);
        Vote { accuser: accuser(), life, sign_ms, silence: ms(1_000), unanswered: ms(400), age: ms(age) }
    }

    fn accuser() -> NodeId {
        "a".parse().unwrap()
    }

    /// As `teller` passes it on.
    fn heard(suspicion: &mut Suspicion, now: u64, teller: &str, vote: Vote) -> Heard {
        let charge = Charge::told_by(&teller.parse().unwrap(), at(now), &vote, None);
        suspicion.enter(at(now), vote.accuser, charge)
    }

    /// Since when the accuser has heard nothing, as this node counts.
    fn silent_since(suspicion: &Suspicion) -> Instant {
        suspicion.charges[&accuser()].silent_since()
    }

    #[test]
    fn charges_are_entered_once_renewed_and_cleared() {
        let (a, b): (NodeId, NodeId) = (accuser(), "b".parse().unwrap());
        let mut suspicion = Suspicion::default();
        assert!(!suspicion.accuses(&a));
        assert_eq!(heard(&mut suspicion, 2_100, "a", vote(1, 1_000, 0)), Heard::New);
        assert_eq!(heard(&mut suspicion, 2_200, "a", vote(1, 1_000, 100)), Heard::Known, "the same word again");
        let sign = Sign::own(Life::new(1, 2), at(1_500));
        assert_eq!(
            suspicion.enter(at(2_600), b.clone(), Charge::own(at(2_600), sign, at(1_500), at(2_500))),
            Heard::New
        );
        assert!(suspicion.accuses(&a) && suspicion.accuses(&b));
        assert_eq!(suspicion.began, Some(at(2_100)), "the first of them");
        let (vote, _) = suspicion.vote_of(&b, at(4_000)).unwrap();
        assert_eq!((vote.silence, vote.unanswered, vote.age), (ms(1_100), ms(100), ms(1_400)));

        assert!(suspicion.renew(&b, at(4_000)));
        let (renewed, _) = suspicion.vote_of(&b, at(4_100)).unwrap();
        assert_eq!((renewed.silence, renewed.unanswered, renewed.age), (ms(0), ms(0), ms(100)));
        assert!(!suspicion.renew(&"c".parse().unwrap(), at(9_000)), "who accuses nobody has nothing to renew");

        suspicion.clear();
        assert!(!suspicion.accuses(&b) && suspicion.vote_of(&b, at(5_000)).is_none());
        assert_eq!(suspicion.began, None);
    }

    /// The accuser says itself how old its word is. From others it is as old as two of them say; one alone may say what it likes.
    #[test]
    fn the_age_of_a_vote_is_what_its_accuser_or_two_tellers_say() {
        // Now, teller, age it tells; since when the silence counts then.
        let told = |by: &[(u64, &str, u64)]| {
            let mut suspicion = Suspicion::default();
            for (now, teller, age) in by {
                heard(&mut suspicion, *now, teller, vote(1, 1_000, *age));
            }
            silent_since(&suspicion)
        };
        assert_eq!(told(&[(5_000, "a", 3_000)]), at(1_000), "signed at 2,000, a second after the sign");
        assert_eq!(told(&[(5_000, "x", 3_000)]), at(4_000), "one teller: signed by now");
        assert_eq!(told(&[(5_000, "x", 3_000), (6_000, "x", 4_000)]), at(4_000), "the same again");
        assert_eq!(told(&[(5_000, "x", 3_000), (5_500, "y", 2_900)]), at(1_600), "the later of the two");
        assert_eq!(told(&[(5_000, "x", 4_900), (5_500, "y", 2_900), (5_600, "z", 3_100)]), at(1_500));
        assert_eq!(told(&[(5_000, "x", 3_000), (5_500, "a", 3_400)]), at(1_100), "the accuser itself");
        assert_eq!(told(&[(5_000, "a", 3_000), (5_500, "x", 5_400)]), at(1_000), "it knows best");
    }

    /// Whatever it heard of the age, a node passes on what is sure.
    #[test]
    fn a_vote_is_passed_on_as_old_as_it_surely_is() {
        let mut suspicion = Suspicion::default();
        heard(&mut suspicion, 5_000, "x", vote(1, 1_000, 3_000));
        let age = |suspicion: &Suspicion| suspicion.vote_of(&accuser(), at(7_000)).unwrap().0;
        assert_eq!(
            (age(&suspicion).age, age(&suspicion).silence, age(&suspicion).sign_ms),
            (ms(2_000), ms(1_000), 1_000)
        );
        heard(&mut suspicion, 5_000, "y", vote(1, 1_000, 2_500));
        assert_eq!(age(&suspicion).age, ms(4_500));
    }

    /// By the accuser's own clock, whatever the ways were.
    #[test]
    fn only_a_later_sign_is_news_and_a_former_one_nothing() {
        let mut suspicion = Suspicion::default();
        assert_eq!(heard(&mut suspicion, 9_000, "a", vote(1, 5_000, 7_000)), Heard::New);
        assert_eq!(heard(&mut suspicion, 9_000, "a", vote(1, 5_251, 6_900)), Heard::Renewed);
        assert_eq!(heard(&mut suspicion, 9_000, "a", vote(1, 5_000, 7_100)), Heard::Known);
        assert_eq!(silent_since(&suspicion), at(1_100), "it came too late");
        assert_eq!(heard(&mut suspicion, 9_000, "a", vote(2, 7, 5_000)), Heard::Renewed, "another process of it");
        assert_eq!(heard(&mut suspicion, 9_000, "a", vote(1, 9_000, 7_500)), Heard::Known, "a former one");
        assert_eq!(silent_since(&suspicion), at(3_000));
    }

    /// Whoever hears its subject four times a second tells of it once in a while, and not never.
    #[test]
    fn many_small_steps_are_news_when_they_add_up() {
        let own: NodeId = "b".parse().unwrap();
        let mut suspicion = Suspicion::default();
        suspicion.enter(at(0), own.clone(), Charge::own(at(0), Sign::own(Life::new(1, 2), at(0)), at(0), at(0)));
        let renewed: Vec<bool> = [200, 400, 600].map(|ms| suspicion.renew(&own, at(ms))).to_vec();
        assert_eq!(renewed, [false, true, false]);
        heard(&mut suspicion, 1_000, "a", vote(1, 0, 0));
        let heard = [100, 200, 300, 400, 560].map(|sign| heard(&mut suspicion, 1_000, "a", vote(1, sign, 0)));
        use Heard::{Known, Renewed};
        assert_eq!(heard, [Known, Known, Renewed, Known, Renewed], "each by what was told last");
    }

    #[test]
    fn an_accuser_that_stood_still_counts_less() {
        let own: NodeId = "b".parse().unwrap();
        let mut suspicion = Suspicion::default();
        heard(&mut suspicion, 5_000, "a", vote(1, 1_000, 3_000));
        let sign = Sign::own(Life::new(1, 2), at(1_000));
        suspicion.enter(at(5_000), own.clone(), Charge::own(at(5_000), sign, at(1_000), at(2_000)));
        suspicion.shift(&own, at(5_000), ms(300));
        let charge = |of: &NodeId| suspicion.charges[of].clone();
        assert_eq!((charge(&accuser()).silent_since(), charge(&own).silent_since()), (at(1_000), at(1_300)));
        assert_eq!((charge(&own).unanswered_since(), charge(&own).sign.ms), (at(2_300), 1_300));
        suspicion.shift(&own, at(5_000), Duration::from_secs(60));
        let (vote, proof) = suspicion.vote_of(&own, at(5_000)).unwrap();
        assert_eq!((vote.unanswered, proof), (Duration::ZERO, None), "nothing begins in the future");
    }
}
