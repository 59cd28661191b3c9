//! Joining through seeds: all at once, again with back-off until one of them lets this node in.

mod seed;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cluster_failure::{Backoff, BackoffConfig};
use cluster_types::{Instant, NodeId};

pub use seed::{Seed, SeedError};

/// How a join through one seed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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

/// Addresses of one name that are dialled; a name server may answer with any number.
const ADDRESSES_MAX: usize = 16;

/// Seeds that may be added to one join while it is under way.
const SEEDS_MAX: usize = 4_096;

/// Where one seed stands in the present round.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// Its name is looked up.
    Resolving,
    Dialling,
    Asking(NodeId),
    Ended(SeedOutcome),
}

/// One join: rounds over all its seeds until one succeeds.
#[derive(Debug)]
pub(crate) struct Join {
    seeds: Vec<Seed>,
    /// Of the present round: each seed, and where it is. A name may be in several places.
    places: BTreeMap<(Seed, Option<SocketAddr>), Progress>,
    backoff: Backoff,
    retry: bool,
    next_round: Option<Instant>,
    /// Places that were not looked at, because there were too many, and of which nobody was told yet.
    left_out: u64,
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
        Self {
            seeds,
            places: BTreeMap::new(),
            backoff: Backoff::new(BackoffConfig::join(), seed),
            retry,
            next_round: Some(now),
            left_out: 0,
        }
    }

    /// Whether a round that fails is followed by another.
    pub(crate) const fn goes_on(&self) -> bool {
        self.retry
    }

    /// More seeds, for the next round.
    pub(crate) fn add(&mut self, seeds: Vec<Seed>) {
        let room = SEEDS_MAX.saturating_sub(self.seeds.len());
        let mut new: Vec<Seed> = seeds.into_iter().filter(|seed| !self.seeds.contains(seed)).collect();
        self.left_out += new.len().saturating_sub(room) as u64;
        new.truncate(room);
        self.seeds.extend(new);
    }

    /// Places that were left out since this was last asked.
    pub(crate) const fn take_left_out(&mut self) -> u64 {
        std::mem::replace(&mut self.left_out, 0)
    }

    /// When the next round begins; `None` while one is under way.
    pub(crate) const fn next_round(&self) -> Option<Instant> {
        self.next_round
    }

    /// Begins a round if its time has come: the addresses to dial, and the names to look up first.
    pub(crate) fn begin_round(&mut self, now: Instant) -> (Vec<SocketAddr>, Vec<String>) {
        let (mut dials, mut names) = (Vec::new(), Vec::new());
        if self.next_round.is_none_or(|at| now < at) {
            return (dials, names);
        }
        self.next_round = None;
        self.places.clear();
        for seed in &self.seeds {
            let (addr, progress) = match seed {
                Seed::Addr(addr) => (Some(*addr), Progress::Dialling),
                Seed::Name(_) => (None, Progress::Resolving),
            };
            // Given twice, it is asked once.
            if self.places.insert((seed.clone(), addr), progress).is_none() {
                match seed {
                    Seed::Addr(addr) => dials.push(*addr),
                    Seed::Name(name) => names.push(name.clone()),
                }
            }
        }
        (dials, names)
    }

    /// A name was looked up: the addresses to dial.
    pub(crate) fn handle_resolved(&mut self, name: &str, found: Result<Vec<SocketAddr>, String>) -> Vec<SocketAddr> {
        let seed = Seed::Name(name.to_owned());
        let place = (seed.clone(), None);
        if self.places.get(&place) != Some(&Progress::Resolving) {
            cluster_sites::reachable!(crate::sites::LOOKUP_TOO_LATE);
            // The answer to a round that is over.
            return Vec::new();
        }
        let found = found.and_then(|found| if found.is_empty() { Err("it has no address".into()) } else { Ok(found) });
        match found {
            Ok(found) => {
                self.places.remove(&place);
                let mut dials = Vec::new();
                self.left_out += found.len().saturating_sub(ADDRESSES_MAX) as u64;
                for addr in found.into_iter().take(ADDRESSES_MAX) {
                    // Where two seeds are in one place, one dial serves both.
                    let dialling = |((_, at), progress): (&(Seed, Option<SocketAddr>), &Progress)| {
                        *at == Some(addr) && *progress == Progress::Dialling
                    };
                    if !self.places.iter().any(dialling) {
                        dials.push(addr);
                    }
                    self.places.insert((seed.clone(), Some(addr)), Progress::Dialling);
                }
                dials
            }
            Err(reason) => {
                let reason = format!("the name cannot be resolved: {reason}");
                self.places.insert(place, Progress::Ended(SeedOutcome::Failed(reason)));
                Vec::new()
            }
        }
    }

    /// A dial of an address ended; on success says which member to ask.
    pub(crate) fn handle_dialled(&mut self, addr: SocketAddr, outcome: &Result<NodeId, String>) -> Option<NodeId> {
        let mut ask = None;
        for ((_, place), progress) in &mut self.places {
            if *place == Some(addr) && *progress == Progress::Dialling {
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
        for progress in self.places.values_mut().filter(|progress| **progress == Progress::Asking(node.clone())) {
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
        cluster_sites::reachable!(crate::sites::JOIN_ROUND_FAILED);
        self.backoff.note_failure(now);
        self.next_round = Some(self.backoff.ready_at());
        JoinStep::RoundFailed(report)
    }

    fn report(&self) -> JoinReport {
        let outcome = |((seed, place), progress): (&(Seed, Option<SocketAddr>), &Progress)| {
            let shown = match (seed, place) {
                (Seed::Name(name), Some(addr)) => format!("{name} ({addr})"),
                _ => seed.to_string(),
            };
            match progress {
                Progress::Ended(outcome) => (shown, outcome.clone()),
                Progress::Resolving | Progress::Dialling | Progress::Asking(_) => (shown, SeedOutcome::Unsettled),
            }
        };
        JoinReport { seeds: self.places.iter().map(outcome).collect() }
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
        let seeds = addrs.map(Seed::Addr);
        (Join::new(seeds.to_vec(), retry, at(0), cluster_types::Seed::new(1)), addrs)
    }

    fn failed(reason: &str) -> Result<NodeId, String> {
        Err(reason.to_owned())
    }

    #[test]
    fn one_seed_of_several_is_enough_and_nobody_waits_for_the_dead_ones() {
        let (mut join, [dead, alive]) = join(true);
        assert_eq!(join.begin_round(at(0)).0, [dead, alive]);
        assert!(join.begin_round(at(0)).0.is_empty(), "a round is under way");
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
            assert_eq!(join.begin_round(now).0.len(), 2);
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

    #[test]
    fn a_name_is_looked_up_in_each_round_and_may_be_in_several_places() {
        let seed: Seed = "db:7000".parse().unwrap();
        let mut join = Join::new(vec![seed.clone(), seed], true, at(0), cluster_types::Seed::new(1));
        assert_eq!(join.begin_round(at(0)), (vec![], vec!["db:7000".to_owned()]), "given twice, asked once");
        assert_eq!(join.step(at(1)), JoinStep::Wait);
        assert!(join.handle_resolved("other:1", failed_lookup()).is_empty());
        assert!(join.handle_resolved("db:7000", failed_lookup()).is_empty());
        let JoinStep::RoundFailed(report) = join.step(at(2)) else { panic!("not failed") };
        let why = SeedOutcome::Failed("the name cannot be resolved: no such host".into());
        assert_eq!(report.seeds, [("db:7000".to_owned(), why)]);

        let again = join.next_round().unwrap();
        assert_eq!(join.begin_round(again).1, ["db:7000"]);
        assert!(join.handle_resolved("db:7000", Ok(vec![])).is_empty());
        let JoinStep::RoundFailed(report) = join.step(again) else { panic!("not failed") };
        assert!(matches!(&report.seeds[0].1, SeedOutcome::Failed(why) if why.ends_with("it has no address")));

        let again = join.next_round().unwrap();
        join.begin_round(again);
        let [dead, alive] = ["10.0.0.1:7000", "10.0.0.2:7000"].map(|addr| addr.parse::<SocketAddr>().unwrap());
        assert_eq!(
            join.handle_resolved("db:7000", Ok(vec![dead, alive, dead])),
            [dead, alive],
            "said twice, dialled once"
        );
        assert!(join.handle_resolved("db:7000", Ok(vec![dead])).is_empty(), "a second answer is none");
        join.handle_dialled(dead, &failed("no answer"));
        let node: NodeId = "b".parse().unwrap();
        assert_eq!(join.handle_dialled(alive, &Ok(node.clone())), Some(node.clone()));
        join.handle_asked(&node, &Ok(()));
        let JoinStep::Done(report) = join.step(again) else { panic!("not done") };
        assert_eq!(report.seeds[0], ("db:7000 (10.0.0.1:7000)".to_owned(), SeedOutcome::Failed("no answer".into())));
        assert_eq!(report.seeds[1], ("db:7000 (10.0.0.2:7000)".to_owned(), SeedOutcome::Joined(node)));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let addr = |n: usize| SocketAddr::from(([10, 0, (n / 250) as u8, 1], 1_000 + n as u16));
        let seed: Seed = "db:7000".parse().unwrap();
        let mut join = Join::new(vec![seed.clone()], true, at(0), cluster_types::Seed::new(1));
        join.begin_round(at(0));
        let dials = join.handle_resolved("db:7000", Ok((0..ADDRESSES_MAX + 3).map(addr).collect()));
        assert_eq!((dials.len(), join.take_left_out(), join.take_left_out()), (ADDRESSES_MAX, 3, 0));
        join.add((0..SEEDS_MAX - 1).map(|n| Seed::Addr(addr(n))).collect());
        assert_eq!(join.take_left_out(), 0, "there is room for these");
        join.add(vec![seed, Seed::Addr(addr(0)), Seed::Addr(addr(SEEDS_MAX)), Seed::Addr(addr(SEEDS_MAX + 1))]);
        assert_eq!(join.take_left_out(), 2, "those that it has need no room");
    }

    fn failed_lookup() -> Result<Vec<SocketAddr>, String> {
        Err("no such host".into())
    }
}
