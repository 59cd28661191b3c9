//! Makes a schedule that fails smaller, until nothing can go: fewer nodes, fewer faults, less time, smaller amounts (delta debugging; Zeller
//! and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
//!
//! Each attempt is played in a process of its own and counts when the same check finds something. What belongs together goes together: a
//! fault and its end, a crash and the start after it. Randomness is keyed, so that what is taken away moves nothing else. No attempt leaves more
//! broken at its end than the first one did, or no time to recover: it would fail for that, with the mistake and without it.

mod fair;
mod plainer;
mod units;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cluster_testkit::Scenario;
use cluster_testkit::scenario::Saved;

use super::campaign::run_one;
use super::worker::Job;
use fair::End;
use plainer::{plainer, shorter, smaller};
use units::{units, without, without_nodes};

/// What is left of a schedule, and what it took.
#[derive(Debug)]
pub(crate) struct Shrunk {
    pub(crate) saved: Saved,
    pub(crate) size: Size,
    pub(crate) attempts: u64,
    /// Processor time of all attempts.
    pub(crate) cpu: Duration,
    /// Which check still finds something.
    pub(crate) check: String,
}

/// How large a schedule is: what is to become less, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    /// Faults, and other things that are done: all that is not the first start of a node.
    pub(crate) acts: usize,
    pub(crate) nodes: usize,
    /// Virtual time.
    pub(crate) ms: u64,
    amounts: u64,
    extras: usize,
}

impl Size {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let Scenario { until_ms, .. } = scenario;
        let (acts, nodes) = (units(scenario).len(), scenario.nodes());
        Self { acts, nodes, ms: *until_ms, amounts: plainer::amounts(scenario), extras: plainer::extras(scenario) }
    }
}

/// The check that a line of findings is of.
pub(crate) fn check_of(finding: &str) -> &str {
    finding.split_once(": ").map_or(finding, |(check, _)| check)
}

/// Shrinks a schedule that breaks a promise, for so much processor time at most. `check` is the one that must go on finding something;
/// the first one that does if none is given.
///
/// # Errors
/// In words: it breaks none, or cannot be written down.
pub(crate) fn shrink(
    job: &Job,
    saved: &Saved,
    dir: &Path,
    budget: Duration,
    check: Option<&str>,
) -> Result<Shrunk, String> {
    let mut shrinker = Shrinker::new(job, saved, dir, budget);
    let findings = shrinker.findings(&saved.scenario)?;
    let found =
        findings.iter().map(|finding| check_of(finding)).find(|found| check.is_none_or(|check| check == *found));
    shrinker.check = found.ok_or("it breaks no promise: there is nothing to shrink")?.to_owned();
    let scenario = shrinker.smallest(saved.scenario.clone());
    Ok(Shrunk {
        size: Size::of(&scenario),
        saved: Saved::new(saved.level, saved.seed, scenario),
        attempts: shrinker.attempts.load(Ordering::Relaxed),
        cpu: shrinker.spent(),
        check: shrinker.check,
    })
}

struct Shrinker<'a> {
    job: &'a Job,
    saved: &'a Saved,
    dir: &'a Path,
    check: String,
    attempts: AtomicU64,
    spent_ms: AtomicU64,
    budget: Duration,
    /// How the first one ends: what is smaller ends no worse.
    end: End,
    /// Attempts that did not fail, as text: none is made twice.
    in_vain: Mutex<HashSet<String>>,
}

impl<'a> Shrinker<'a> {
    fn new(job: &'a Job, saved: &'a Saved, dir: &'a Path, budget: Duration) -> Self {
        let (attempts, spent_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        let (end, in_vain) = (End::of(&saved.scenario), Mutex::default());
        Self { job, saved, dir, check: String::new(), attempts, spent_ms, budget, end, in_vain }
    }

    fn spent(&self) -> Duration {
        Duration::from_millis(self.spent_ms.load(Ordering::Relaxed))
    }

    fn is_spent(&self) -> bool {
        self.spent() >= self.budget
    }

    /// Plays a schedule; what its checks find.
    fn findings(&self, scenario: &Scenario) -> Result<Vec<String>, String> {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        let file = self.dir.join(format!("attempt-{number}.json"));
        Saved::new(self.saved.level, self.saved.seed, scenario.clone()).save(&file).map_err(|e| e.to_string())?;
        let began = Instant::now();
        let told = run_one(&Job { schedule: Some(file.clone()), ..self.job.clone() });
        let passed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.spent_ms.fetch_add(told.cpu_ms.unwrap_or(passed).max(1), Ordering::Relaxed);
        // What cannot be removed stays beside the result, and does no harm.
        let _ = std::fs::remove_file(&file);
        Ok(told.findings)
    }

    fn fails(&self, scenario: &Scenario) -> bool {
        if self.is_spent() || scenario.check().is_err() || !self.end.allows(&End::of(scenario)) {
            return false;
        }
        let known = || self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!("{scenario:?}");
        if known().contains(&text) {
            return false;
        }
        let findings = self.findings(scenario).unwrap_or_default();
        let fails = findings.iter().any(|finding| check_of(finding) == self.check);
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
            if Size::of(&scenario) >= before || self.is_spent() {
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

/// What `shrink BUNDLE` does: shrinks its schedule and writes the smallest one beside it.
pub(crate) fn command(bundle: &Path, plant: Option<&String>, budget: Duration) -> bool {
    if let Err(why) = plant.map_or(Ok(()), |name| super::campaign::can_plant(name)) {
        eprintln!("error: {why}");
        return false;
    }
    // Beside the schedule, in a bundle and out of one.
    let file = if bundle.is_dir() { bundle.join("schedule.json") } else { bundle.to_owned() };
    match Saved::load(&file).and_then(|saved| at(&file, &saved, plant, budget)) {
        Ok(path) => {
            println!("kept as {}", path.display());
            true
        }
        Err(reason) => {
            eprintln!("error: {reason}");
            false
        }
    }
}

/// Shrinks a schedule and writes the smallest one beside its file, under a name that says what it breaks.
pub(crate) fn at(file: &Path, saved: &Saved, plant: Option<&String>, budget: Duration) -> Result<PathBuf, String> {
    let dir = file.parent().unwrap_or_else(|| Path::new("."));
    let job = Job { plant: plant.cloned(), ..Job::new(saved.scenario.name.clone(), saved.seed, saved.level) };
    let shrunk = shrink(&job, saved, dir, budget, None)?;
    let Shrunk { saved, size, attempts, cpu, .. } = &shrunk;
    println!(
        "  shrunk to {} acts on {} nodes in {:.0} s of virtual time; {attempts} attempts, {:.0} s of processor time:",
        size.acts,
        size.nodes,
        size.ms as f64 / 1_000.0,
        cpu.as_secs_f64()
    );
    for unit in units(&saved.scenario) {
        for step in unit.iter().map(|n| &saved.scenario.steps[*n]) {
            println!("    {:>9.3} s  {:?}", step.at_ms as f64 / 1_000.0, step.act);
        }
    }
    keep(&shrunk, dir)
}

/// Writes the smallest schedule down, under a name that says what it breaks.
pub(crate) fn keep(Shrunk { saved, check, .. }: &Shrunk, dir: &Path) -> Result<PathBuf, String> {
    let words: Vec<&str> = check.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let path = dir.join(format!("{}-{}-{}.json", saved.scenario.name, saved.seed, words.join("-")));
    saved.save(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}
