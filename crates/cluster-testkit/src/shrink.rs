//! Makes a schedule that fails smaller, until nothing can go: fewer nodes, fewer faults, less time, smaller amounts (delta debugging; Zeller
//! and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
//!
//! An attempt counts when the same check finds something. What belongs together goes together: a fault and its end, a crash and the start
//! after it. Randomness is keyed, so that what is taken away moves nothing else. No attempt leaves more broken at its end than the first one
//! did, or no time to recover: it would fail for that, with the mistake and without it.

mod fair;
mod plainer;
mod units;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::Scenario;
use fair::End;
use plainer::{plainer, shorter, smaller};
pub use units::units;
use units::{without, without_nodes};

/// How large a schedule is: what is to become less, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Faults, and other things that are done: all that is not the first start of a node.
    pub acts: usize,
    /// Nodes that are ever started.
    pub nodes: usize,
    /// Milliseconds of virtual time.
    pub ms: u64,
    amounts: u64,
    extras: usize,
}

impl Size {
    /// That of a schedule.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let Scenario { until_ms, .. } = scenario;
        let (acts, nodes) = (units(scenario).len(), scenario.nodes());
        Self { acts, nodes, ms: *until_ms, amounts: plainer::amounts(scenario), extras: plainer::extras(scenario) }
    }
}

/// Plays attempts, several at once.
pub trait Attempts: Sync {
    /// Whether the check in question finds something in a schedule.
    fn fails(&self, scenario: &Scenario) -> bool;
    /// Whether no more may be made.
    fn is_spent(&self) -> bool;
}

/// The smallest schedule that was found to fail, in the time that the attempts have. The one that is given must.
pub fn smallest(attempts: &impl Attempts, scenario: &Scenario) -> Scenario {
    let shrinker = Shrinker { attempts, end: End::of(scenario), in_vain: Mutex::default() };
    shrinker.smallest(scenario.clone())
}

/// The file name of a schedule that is kept: it says what it breaks.
#[must_use]
pub fn file_name(scenario: &str, seed: u64, check: &str) -> String {
    let words: Vec<&str> = check.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("{scenario}-{seed}-{}.json", words.join("-"))
}

struct Shrinker<'a, A> {
    attempts: &'a A,
    /// How the first one ends: what is smaller ends no worse.
    end: End,
    /// Attempts that did not fail, as text: none is made twice.
    in_vain: Mutex<HashSet<String>>,
}

impl<A: Attempts> Shrinker<'_, A> {
    fn fails(&self, scenario: &Scenario) -> bool {
        if self.attempts.is_spent() || scenario.check().is_err() || !self.end.allows(&End::of(scenario)) {
            return false;
        }
        let known = || self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!("{scenario:?}");
        if known().contains(&text) {
            return false;
        }
        let fails = self.attempts.fails(scenario);
        if !fails {
            known().insert(text);
        }
        fails
    }

    /// Of several attempts the first that fails, tried two at a time.
    fn any<'s>(&self, attempts: &'s [Scenario]) -> Option<&'s Scenario> {
        attempts.chunks(PARALLEL).find_map(|chunk| {
            let failed: Vec<bool> = std::thread::scope(|scope| {
                let running: Vec<_> = chunk.iter().map(|attempt| scope.spawn(|| self.fails(attempt))).collect();
                running.into_iter().map(|run| run.join().unwrap_or(false)).collect()
            });
            chunk.iter().zip(failed).find_map(|(attempt, failed)| failed.then_some(attempt))
        })
    }

    fn smallest(&self, mut scenario: Scenario) -> Scenario {
        loop {
            let before = Size::of(&scenario);
            scenario = self.while_any(scenario, plainer);
            scenario = self.fewer_nodes(scenario);
            scenario = self.fewer_faults(scenario);
            scenario = self.while_any(scenario, shorter);
            scenario = self.while_any(scenario, smaller);
            if Size::of(&scenario) >= before || self.attempts.is_spent() {
                return scenario;
            }
        }
    }

    /// Makes changes for as long as one of them still fails.
    fn while_any(&self, mut scenario: Scenario, changes: impl Fn(&Scenario) -> Vec<Scenario>) -> Scenario {
        while let Some(changed) = self.any(&changes(&scenario)) {
            scenario = changed.clone();
        }
        scenario
    }

    /// Leaves out what is done.
    fn fewer_faults(&self, scenario: Scenario) -> Scenario {
        self.fewer(scenario, |scenario| {
            let all = units(scenario);
            (all.len(), Box::new(move |scenario, out| without(scenario, &all[out])))
        })
    }

    /// Leaves out nodes, the last ones first: others join through the first ones.
    fn fewer_nodes(&self, scenario: Scenario) -> Scenario {
        self.fewer(scenario, |scenario| {
            let all: Vec<usize> = (0..scenario.nodes()).rev().collect();
            (all.len(), Box::new(move |scenario, out| without_nodes(scenario, &all[out])))
        })
    }

    /// Delta debugging: ever smaller parts are left out, until no single one can be.
    fn fewer(&self, mut scenario: Scenario, parts_of: impl Fn(&Scenario) -> (usize, LeaveOut)) -> Scenario {
        let mut parts = 2;
        loop {
            let (count, without) = parts_of(&scenario);
            if count == 0 {
                return scenario;
            }
            let size = count.div_ceil(parts);
            let starts = (0..count).step_by(size);
            let attempts: Vec<Scenario> =
                starts.map(|from| without(&scenario, from..(from + size).min(count))).collect();
            match self.any(&attempts) {
                Some(smaller) => {
                    scenario = smaller.clone();
                    parts = (parts - 1).max(2);
                }
                None if size == 1 => return scenario,
                None => parts = (parts * 2).min(count),
            }
        }
    }
}

/// A schedule without some of its parts.
type LeaveOut = Box<dyn Fn(&Scenario, std::ops::Range<usize>) -> Scenario>;

/// Attempts at once: as many as the machine has cores, usually.
const PARALLEL: usize = 2;
