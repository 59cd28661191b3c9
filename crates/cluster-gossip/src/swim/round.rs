//! Questions under way, one a member that is asked and for whom it is asked. At rest there is one at most, and none for most of the time: a
//! short row, in order of their numbers.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_types::{Instant, NodeId};

use super::Probing;

/// One question under way.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) target: NodeId,
    pub(super) started: Instant,
    /// When the ping went out.
    pub(super) pinged: Instant,
    /// Whether the ping is out: it waits for a link that is being dialled.
    pub(super) sent: bool,
    /// Why it was begun.
    pub(super) why: Why,
    pub(super) stage: Stage,
}

/// Why somebody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is its turn, or something was heard or not heard that concerns it.
    Turn,
    /// It is late for its rhythm.
    Overdue,
    /// Others are silent, and everybody is asked: an answer says nothing about how well this node is.
    LookingAround,
    /// Somebody else wants to know.
    Helping,
}

/// How far a question has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Asked directly, on this node's own turn; again after half the time, for most losses are single.
    Direct { deadline: Instant, again: Option<Instant> },
    /// Asked through others.
    Indirect { deadline: Instant, asked: usize, nacks: usize, silent: BTreeSet<NodeId> },
    /// Asked for somebody else, whose question had number `seq`.
    Helping { deadline: Instant, asker: NodeId, seq: u64 },
}

impl Round {
    /// What is asked, for people.
    pub(super) const fn probing(&self) -> Probing {
        match self.stage {
            Stage::Direct { .. } => Probing::Direct,
            Stage::Indirect { .. } => Probing::Indirect,
            Stage::Helping { .. } => Probing::Helping,
        }
    }

    pub(super) const fn deadline(&self) -> Instant {
        match self.stage {
            Stage::Direct { again: Some(again), .. } => again,
            Stage::Direct { deadline, .. } | Stage::Indirect { deadline, .. } | Stage::Helping { deadline, .. } => {
                deadline
            }
        }
    }

    /// How long the path is, if an answer that comes now says so: not where nobody knows which of two pings was answered (Karn's rule).
    pub(super) fn sample(&self, now: Instant) -> Option<Duration> {
        let asked_once = !matches!(self.stage, Stage::Direct { again: None, .. } | Stage::Indirect { .. });
        asked_once.then(|| now.since(self.pinged))
    }

    /// Whether it is the subject's turn, so that an answer is a beat of its rhythm.
    pub(super) const fn is_scheduled(&self) -> bool {
        matches!((&self.stage, self.why), (Stage::Direct { .. }, Why::Turn))
    }
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(super) struct Rounds(Vec<(u64, Round)>);

impl Rounds {
    fn find(&self, seq: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&seq, |(known, _)| *known)
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Round> {
        self.find(seq).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, seq: u64) -> Option<&mut Round> {
        let at = self.find(seq).ok()?;
        Some(&mut self.0[at].1)
    }

    pub(super) fn insert(&mut self, seq: u64, round: Round) {
        match self.find(seq) {
            Ok(at) => self.0[at].1 = round,
            Err(at) => self.0.insert(at, (seq, round)),
        }
    }

    pub(super) fn remove(&mut self, seq: u64) -> Option<Round> {
        let at = self.find(seq).ok()?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// This node stood still for `gap`: whoever is asked has as much longer to answer, and this long at least, for what came meanwhile is
    /// read first.
    pub(super) fn shift(&mut self, now: Instant, gap: Duration, at_least: Duration) {
        for (_, round) in &mut self.0 {
            round.started = (round.started + gap).min(now);
            round.pinged = (round.pinged + gap).min(now);
            let later = |at: Instant| (at + gap).max(now + at_least);
            match &mut round.stage {
                Stage::Direct { deadline, again } => {
                    *again = again.map(later);
                    *deadline = later(*deadline).max(again.map_or(now, |again| again + at_least));
                }
                Stage::Indirect { deadline, .. } | Stage::Helping { deadline, .. } => *deadline = later(*deadline),
            }
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The earliest deadline of all.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.values().map(Round::deadline).min()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Round> {
        self.0.iter().map(|(_, round)| round)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Round)> {
        self.0.iter_mut().map(|(seq, round)| (*seq, round))
    }

    /// The numbers of those that are so.
    pub(super) fn numbers(&self, such: impl Fn(&Round) -> bool) -> Vec<u64> {
        self.0.iter().filter(|(_, round)| such(round)).map(|(seq, _)| *seq).collect()
    }
}
