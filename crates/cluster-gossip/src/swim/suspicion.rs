//! What speaks against one member: who accuses it, and for how long each has heard nothing of it.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::{Instant, Life, NodeId};

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

/// One accuser's word, on this node's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charge {
    /// What the accuser counts from. The rest is this node's notion of when that was.
    pub(super) sign: Sign,
    pub(super) silent_since: Instant,
    pub(super) unanswered_since: Instant,
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
    /// When the verdict of others, which was doubted here, is believed if nobody has refuted it.
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

    /// The accuser stood still for `gap`: what it counts begins so much later.
    pub(super) fn shift(&mut self, accuser: &NodeId, now: Instant, gap: Duration) {
        if let Some(charge) = self.charges.get_mut(accuser) {
            charge.silent_since = (charge.silent_since + gap).min(now);
            charge.unanswered_since = (charge.unanswered_since + gap).min(now);
            charge.sign = Sign::own(charge.sign.life, charge.silent_since);
            self.look_at = Instant::ORIGIN;
        }
    }

    /// The accuser has heard the subject after all: its silence counts from now. Says whether the others should know.
    pub(super) fn renew(&mut self, accuser: &NodeId, now: Instant) -> bool {
        let Some(charge) = self.charges.get_mut(accuser) else { return false };
        charge.sign = Sign::own(charge.sign.life, now);
        let news = charge.note_told();
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

    /// Enters an accuser's charge at `now`. Of two that count from one sign the longer silence holds: the other lost time on its way.
    pub(super) fn enter(&mut self, now: Instant, accuser: NodeId, charge: Charge) -> Heard {
        self.began.get_or_insert(now);
        let (heard, charge) = match self.charges.get(&accuser) {
            None => (Heard::New, charge),
            Some(held) if held.sign < charge.sign => {
                let mut charge = Charge { told: held.told, ..charge };
                (if charge.note_told() { Heard::Renewed } else { Heard::Known }, charge)
            }
            Some(held) if held.sign == charge.sign => {
                let silent_since = held.silent_since.min(charge.silent_since);
                let unanswered_since = held.unanswered_since.min(charge.unanswered_since);
                (Heard::Known, Charge { silent_since, unanswered_since, told: held.told, ..charge })
            }
            Some(_) => return Heard::Known,
        };
        self.charges.insert(accuser, charge);
        self.look_at = Instant::ORIGIN;
        heard
    }

    pub(super) fn vote_of(&self, accuser: &NodeId, now: Instant) -> Option<Vote> {
        let charge = self.charges.get(accuser)?;
        let (silence, unanswered) = (now.since(charge.silent_since), now.since(charge.unanswered_since));
        let Sign { life, ms: sign_ms } = charge.sign;
        Some(Vote { accuser: accuser.clone(), life, sign_ms, silence, unanswered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    /// Of an accuser whose clock shows what this one does.
    fn charge(silent: u64, unanswered: u64) -> Charge {
        let sign = Sign { life: Life::new(1, 1), ms: silent };
        let (silent_since, unanswered_since) = (at(silent), at(unanswered));
        Charge { sign, silent_since, unanswered_since, told: sign, helpers: Helpers::default() }
    }

    fn names() -> (NodeId, NodeId) {
        ("a".parse().unwrap(), "b".parse().unwrap())
    }

    #[test]
    fn charges_are_entered_once_renewed_and_cleared() {
        let (a, b) = names();
        let mut suspicion = Suspicion::default();
        assert!(!suspicion.accuses(&a));
        assert_eq!(suspicion.enter(at(2_100), a.clone(), charge(1_000, 2_000)), Heard::New);
        assert_eq!(suspicion.enter(at(2_200), a.clone(), charge(1_000, 2_000)), Heard::Known, "the same word again");
        assert_eq!(suspicion.enter(at(2_600), b.clone(), charge(1_500, 2_500)), Heard::New);
        assert!(suspicion.accuses(&a) && suspicion.accuses(&b));
        assert_eq!(suspicion.began, Some(at(2_100)), "the first of them");
        let vote = suspicion.vote_of(&b, at(4_000)).unwrap();
        assert_eq!((vote.silence, vote.unanswered), (Duration::from_millis(2_500), Duration::from_millis(1_500)));

        assert!(suspicion.renew(&b, at(4_000)));
        let renewed = suspicion.vote_of(&b, at(4_100)).unwrap();
        assert_eq!((renewed.silence, renewed.unanswered), (Duration::from_millis(100), Duration::from_millis(100)));
        assert!(!suspicion.renew(&"c".parse().unwrap(), at(9_000)), "who accuses nobody has nothing to renew");

        suspicion.clear();
        assert!(!suspicion.accuses(&b) && suspicion.vote_of(&b, at(5_000)).is_none());
        assert_eq!(suspicion.began, None);
    }

    /// Each copy lost the time of its way, and whoever passed it on could not know how much.
    #[test]
    fn of_the_copies_of_one_vote_the_oldest_is_the_truest() {
        let (a, _) = names();
        let mut suspicion = Suspicion::default();
        let copy = |late: u64| {
            let original = charge(1_000, 2_000);
            Charge { silent_since: at(1_000 + late), unanswered_since: at(2_000 + late), ..original }
        };
        for (late, held) in [(400, 1_400), (900, 1_400), (150, 1_150), (151, 1_150)] {
            let heard = suspicion.enter(at(3_000), a.clone(), copy(late));
            assert_eq!(heard == Heard::New, late == 400, "no copy is told on");
            let vote = suspicion.vote_of(&a, at(5_000)).unwrap();
            assert_eq!(vote.silence, Duration::from_millis(5_000 - held));
            assert_eq!(vote.unanswered, Duration::from_millis(5_000 - held - 1_000));
            assert_eq!(vote.sign_ms, 1_000, "what it counts from is passed on as it was said");
        }
    }

    /// By the accuser's own clock, whatever the ways were.
    #[test]
    fn only_a_later_sign_is_news_and_a_former_one_nothing() {
        let (a, _) = names();
        let mut suspicion = Suspicion::default();
        let word = |life: u32, sign: u64, seen: u64| Charge {
            sign: Sign { life: Life::new(1, life), ms: sign },
            ..charge(seen, seen)
        };
        assert_eq!(suspicion.enter(at(9_000), a.clone(), word(1, 5_000, 1_000)), Heard::New);
        assert_eq!(suspicion.enter(at(9_000), a.clone(), word(1, 5_251, 1_100)), Heard::Renewed);
        assert_eq!(suspicion.enter(at(9_000), a.clone(), word(1, 5_000, 900)), Heard::Known);
        assert_eq!(suspicion.vote_of(&a, at(9_000)).unwrap().silence, Duration::from_millis(7_900), "it came too late");
        assert_eq!(suspicion.enter(at(9_000), a.clone(), word(2, 7, 3_000)), Heard::Renewed, "another process of it");
        assert_eq!(suspicion.enter(at(9_000), a.clone(), word(1, 9_000, 500)), Heard::Known, "a former one");
        assert_eq!(suspicion.vote_of(&a, at(9_000)).unwrap().silence, Duration::from_millis(6_000));
    }

    /// Whoever hears its subject four times a second tells of it once in a while, and not never.
    #[test]
    fn many_small_steps_are_news_when_they_add_up() {
        let (a, b) = names();
        let mut suspicion = Suspicion::default();
        suspicion.enter(at(1_000), a.clone(), charge(0, 0));
        suspicion.enter(at(1_000), b.clone(), charge(0, 0));
        let own: Vec<bool> = [200, 400, 600].map(|ms| suspicion.renew(&a, at(ms))).to_vec();
        assert_eq!(own, [false, true, false]);
        let heard = [100, 200, 300, 400, 560].map(|ms| suspicion.enter(at(1_000), b.clone(), charge(ms, ms)));
        use Heard::{Known, Renewed};
        assert_eq!(heard, [Known, Known, Renewed, Known, Renewed], "each by what was told last");
    }

    #[test]
    fn an_accuser_that_stood_still_counts_less() {
        let (a, b) = names();
        let mut suspicion = Suspicion::default();
        suspicion.enter(at(5_000), a.clone(), charge(1_000, 2_000));
        suspicion.enter(at(5_000), b.clone(), charge(1_000, 2_000));
        suspicion.shift(&a, at(5_000), Duration::from_millis(300));
        let silence = |of: &NodeId| suspicion.vote_of(of, at(5_000)).unwrap().silence.as_millis();
        assert_eq!((silence(&a), silence(&b)), (3_700, 4_000));
        suspicion.shift(&a, at(5_000), Duration::from_secs(60));
        assert_eq!(
            suspicion.vote_of(&a, at(5_000)).unwrap().unanswered,
            Duration::ZERO,
            "nothing begins in the future"
        );
    }
}
