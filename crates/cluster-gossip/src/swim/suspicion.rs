//! What speaks against one member: who accuses it, and for how long each has heard nothing of it.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::{Instant, NodeId};

use crate::wire::Vote;

/// One accuser's word, on this node's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charge {
    pub(super) silent_since: Instant,
    pub(super) unanswered_since: Instant,
    /// For this node's own charge: whom it asked for help, and who said no.
    pub(super) helpers: Helpers,
}

/// An accuser that has heard the subject by so much later than was known is news. Less may be the time a copy lost on its way.
pub(super) const RENEWED: Duration = Duration::from_millis(250);

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
    pub(super) charges: BTreeMap<NodeId, Charge>,
    /// When the case is worth another look, if the evidence stays as it is.
    pub(super) look_at: Instant,
    /// When this node asked the suspect itself, last, whether it lives.
    pub(super) asked_at: Option<Instant>,
}

impl Suspicion {
    pub(super) fn clear(&mut self) {
        self.charges.clear();
        self.asked_at = None;
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
    pub(super) fn enter(&mut self, accuser: NodeId, charge: Charge) -> bool {
        let former = self.charges.insert(accuser, charge);
        self.look_at = Instant::ORIGIN;
        former.is_none()
    }

    pub(super) fn vote_of(&self, accuser: &NodeId, now: Instant) -> Option<Vote> {
        let charge = self.charges.get(accuser)?;
        let (silence, unanswered) = (now.since(charge.silent_since), now.since(charge.unanswered_since));
        Some(Vote { accuser: accuser.clone(), silence, unanswered })
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
