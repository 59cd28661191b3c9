//! Joining: through the seeds of the owner, through whoever a discovery finds, and again where this node once joined.

use std::time::Duration;

use cluster_types::{EventKind, Instant, NodeId};

use super::{Engine, Output};
use crate::join::{Join, JoinStep, Seed as JoinSeed, SeedOutcome};

/// Places that a discovery found and that wait for the end of a join.
const DISCOVERED_MAX: usize = 4_096;

/// How often a node that has lost everybody looks where it once joined.
const LOOK_FOR_CLUSTER: Duration = Duration::from_secs(10);

impl Engine {
    /// A node that holds everybody else to have failed may be the one that was cut off, and the others may have moved meanwhile:
    /// beside dialling where they were, it looks where it once found them.
    pub(super) fn look_for_cluster(&mut self, now: Instant) {
        let alone = self.swim.live_others() == 0 && !self.swim.lost_members().is_empty();
        let can_look = !self.joined_through.is_empty() && self.join.is_none() && self.swim.farewell().is_none();
        if !alone || !can_look {
            self.look_for_cluster = Instant::END;
        } else if self.look_for_cluster == Instant::END {
            self.look_for_cluster = now + LOOK_FOR_CLUSTER;
        } else if now >= self.look_for_cluster {
            cluster_sites::reachable!(crate::sites::LOOKS_FOR_ITS_CLUSTER);
            self.look_for_cluster = now + LOOK_FOR_CLUSTER;
            let seeds = self.joined_through.clone();
            self.join = Some(Join::new(seeds, false, now, self.seed.derive("join", 1)));
            self.is_search = false;
        }
    }

    /// Joins through seeds; [`Output::JoinDone`] says when it is over. Takes the place of a join under way.
    pub fn join(&mut self, now: Instant, seeds: Vec<JoinSeed>, retry: bool) {
        self.joined_through.clone_from(&seeds);
        self.join = Some(Join::new(seeds, retry, now, self.seed.derive("join", 0)));
        self.is_search = false;
        if retry {
            // It may go on for long: what waits for its end would wait with it.
            let waiting = std::mem::take(&mut self.discovered);
            self.discovered(now, waiting);
        }
        self.handle_timeout(now);
    }

    /// Somebody may be at these places, who is no member here: joins through them, beside or after a join under way.
    pub fn discovered(&mut self, now: Instant, seeds: Vec<JoinSeed>) {
        if self.swim.farewell().is_some() {
            return;
        }
        match &mut self.join {
            Some(join) if join.goes_on() => {
                join.add(seeds);
                self.places_left_out += join.take_left_out();
            }
            // Its end is near, and it has no other round for more.
            Some(_) => self.keep_for_later(seeds),
            None => self.search(now, seeds),
        }
        self.handle_timeout(now);
    }

    fn keep_for_later(&mut self, seeds: Vec<JoinSeed>) {
        for seed in seeds {
            if self.discovered.contains(&seed) {
                continue;
            }
            if self.discovered.len() < DISCOVERED_MAX {
                self.discovered.push(seed);
            } else {
                self.places_left_out += 1;
            }
        }
    }

    fn search(&mut self, now: Instant, seeds: Vec<JoinSeed>) {
        if !self.has_joined {
            self.joined_through.clone_from(&seeds);
        }
        self.join = Some(Join::new(seeds, false, now, self.seed.derive("join", 2)));
        self.is_search = true;
    }

    pub(super) fn note_asked(&mut self, via: &NodeId, outcome: &Result<(), String>) {
        if let Some(join) = &mut self.join {
            join.handle_asked(via, outcome);
        }
    }

    pub(super) fn step_join(&mut self, now: Instant) {
        let Some(join) = &mut self.join else { return };
        let was_search = self.is_search;
        let report = match join.step(now) {
            JoinStep::Wait => return,
            JoinStep::RoundFailed(report) => report,
            JoinStep::Done(report) => {
                self.join = None;
                self.has_joined |= report.joined() > 0;
                if !self.is_search {
                    self.outputs.push_back(Output::JoinDone(report.clone()));
                }
                report
            }
        };
        if self.join.is_none() && !self.discovered.is_empty() && self.swim.farewell().is_none() {
            let next = std::mem::take(&mut self.discovered);
            self.search(now, next);
        }
        // A discovery may name places for ever where nobody is: once there is, or was, company, that is no news.
        if was_search && self.has_joined {
            return;
        }
        for (seed, outcome) in report.seeds {
            if let SeedOutcome::Failed(reason) = outcome {
                self.outputs.push_back(Output::Event(EventKind::JoinFailed { seed, reason }));
            }
        }
    }
}
