//! Joining through seeds: all at once, again with back-off until one of them lets this node in.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cluster_failure::{Backoff, BackoffConfig};
use cluster_types::{Instant, NodeId};

/// An address to join through, as the user gave it and as it resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed {
    /// What the user wrote.
    pub given: String,
    /// Where it is.
    pub addr: SocketAddr,
}

/// How a join through one seed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeedOutcome {
    /// Joined through this member.
    Joined(NodeId),
    /// Not joined, for this reason.
    Failed(String),
    /// Still being tried when another seed had let this node in.
    Unsettled,
}

/// What became of each seed in the round that ended a join.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JoinReport {
    /// By seed, in the order of their names.
    pub seeds: Vec<(String, SeedOutcome)>,
}

impl JoinReport {
    /// How many seeds let this node in.
    #[must_use]
    pub fn joined(&self) -> usize {
        self.seeds.iter().filter(|(_, outcome)| matches!(outcome, SeedOutcome::Joined(_))).count()
    }
}

/// Where one seed stands in the present round.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    Dialling,
    Asking(NodeId),
    Ended(SeedOutcome),
}

/// One join: rounds over all its seeds until one succeeds.
#[derive(Debug)]
pub(crate) struct Join {
    seeds: BTreeMap<Seed, Progress>,
    backoff: Backoff,
    retry: bool,
    next_round: Option<Instant>,
}

/// What to do after an input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JoinStep {
    /// Go on waiting.
    Wait,
    /// The round failed; another follows at [`Join::next_round`]. Tell of each seed.
    RoundFailed(JoinReport),
    /// It is over, well or not.
    Done(JoinReport),
}

impl Join {
    /// A join that begins its first round at once; with `retry` it never gives up.
    pub(crate) fn new(seeds: Vec<Seed>, retry: bool, now: Instant, seed: cluster_types::Seed) -> Self {
        let seeds = seeds.into_iter().map(|seed| (seed, Progress::Dialling)).collect();
        Self { seeds, backoff: Backoff::new(BackoffConfig::join(), seed), retry, next_round: Some(now) }
    }

    /// When the next round begins; `None` while one is under way.
    pub(crate) const fn next_round(&self) -> Option<Instant> {
        self.next_round
    }

    /// Begins a round if its time has come: the addresses to dial.
    pub(crate) fn begin_round(&mut self, now: Instant) -> Vec<SocketAddr> {
        if self.next_round.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.next_round = None;
        self.seeds.values_mut().for_each(|progress| *progress = Progress::Dialling);
        self.seeds.keys().map(|seed| seed.addr).collect()
    }

    /// A dial of an address ended; on success says which member to ask.
    pub(crate) fn handle_dialled(&mut self, addr: SocketAddr, outcome: &Result<NodeId, String>) -> Option<NodeId> {
        let mut ask = None;
        for (seed, progress) in &mut self.seeds {
            if seed.addr == addr && *progress == Progress::Dialling {
                *progress = match outcome {
                    Ok(node) => {
                        ask = Some(node.clone());
                        Progress::Asking(node.clone())
                    }
                    Err(reason) => Progress::Ended(SeedOutcome::Failed(reason.clone())),
                };
            }
        }
        ask
    }

    /// A member answered the request to join, or failed to.
    pub(crate) fn handle_asked(&mut self, node: &NodeId, outcome: &Result<(), String>) {
        for progress in self.seeds.values_mut().filter(|progress| **progress == Progress::Asking(node.clone())) {
            *progress = Progress::Ended(match outcome {
                Ok(()) => SeedOutcome::Joined(node.clone()),
                Err(reason) => SeedOutcome::Failed(reason.clone()),
            });
        }
    }

    /// Whether the round, or the whole join, is over.
    pub(crate) fn step(&mut self, now: Instant) -> JoinStep {
        if self.next_round.is_some() {
            return JoinStep::Wait;
        }
        let report = self.report();
        let settled = report.seeds.iter().all(|(_, outcome)| *outcome != SeedOutcome::Unsettled);
        if report.joined() > 0 {
            return JoinStep::Done(report);
        }
        if !settled {
            return JoinStep::Wait;
        }
        if !self.retry {
            return JoinStep::Done(report);
        }
        self.backoff.note_failure(now);
        self.next_round = Some(self.backoff.ready_at());
        JoinStep::RoundFailed(report)
    }

    fn report(&self) -> JoinReport {
        let outcome = |(seed, progress): (&Seed, &Progress)| match progress {
            Progress::Ended(outcome) => (seed.given.clone(), outcome.clone()),
            Progress::Dialling | Progress::Asking(_) => (seed.given.clone(), SeedOutcome::Unsettled),
        };
        JoinReport { seeds: self.seeds.iter().map(outcome).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    fn join(retry: bool) -> (Join, [SocketAddr; 2]) {
        let addrs = ["10.0.0.1:1".parse().unwrap(), "10.0.0.2:1".parse().unwrap()];
        let seeds = addrs.map(|addr: SocketAddr| Seed { given: addr.to_string(), addr });
        (Join::new(seeds.to_vec(), retry, at(0), cluster_types::Seed::new(1)), addrs)
    }

    fn failed(reason: &str) -> Result<NodeId, String> {
        Err(reason.to_owned())
    }

    #[test]
    fn one_seed_of_several_is_enough_and_nobody_waits_for_the_dead_ones() {
        let (mut join, [dead, alive]) = join(true);
        assert_eq!(join.begin_round(at(0)), [dead, alive]);
        assert!(join.begin_round(at(0)).is_empty(), "a round is under way");
        let node: NodeId = "a".parse().unwrap();
        assert_eq!(join.handle_dialled(alive, &Ok(node.clone())), Some(node.clone()));
        assert_eq!(join.step(at(4)), JoinStep::Wait);
        join.handle_asked(&node, &Ok(()));
        let JoinStep::Done(report) = join.step(at(5)) else { panic!("not done") };
        assert_eq!(report.joined(), 1);
        assert_eq!(report.seeds[0], (dead.to_string(), SeedOutcome::Unsettled));
    }

    #[test]
    fn all_seeds_unreachable_names_each_and_tries_again_from_100_ms_to_2_s() {
        let (mut join, [a, b]) = join(true);
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(join.begin_round(now).len(), 2);
            join.handle_dialled(a, &failed("no answer"));
            join.handle_dialled(b, &failed("refused"));
            let JoinStep::RoundFailed(report) = join.step(now) else { panic!("not failed") };
            assert_eq!(report.seeds.len(), 2);
            let next = join.next_round().unwrap();
            waits.push(next.since(now).as_millis());
            now = next;
        }
        assert!((50..=100).contains(&waits[0]), "{waits:?}");
        assert!(waits[5..].iter().all(|w| (1_000..=2_000).contains(w)), "{waits:?}");
    }

    #[test]
    fn without_retry_the_first_round_is_the_last() {
        let (mut join, [a, b]) = join(false);
        join.begin_round(at(0));
        join.handle_dialled(a, &failed("no answer"));
        let node: NodeId = "b".parse().unwrap();
        join.handle_dialled(b, &Ok(node.clone()));
        join.handle_asked(&node, &Err("not now".into()));
        let JoinStep::Done(report) = join.step(at(1)) else { panic!("not done") };
        assert_eq!(report.joined(), 0);
    }
}
