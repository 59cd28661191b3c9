//! Makes a schedule that fails smaller, until nothing can go: fewer faults, fewer nodes, less time (delta debugging; Zeller and Hildebrandt,
//! "Simplifying and Isolating Failure-Inducing Input", 2002).
//!
//! Each attempt is played in a process of its own and counts when the same check finds something. What belongs together goes together: a
//! fault and its end, a crash and the start after it. Randomness is keyed, so that what is taken away moves nothing else.

mod units;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster_testkit::Scenario;
use cluster_testkit::net::LinkModel;
use cluster_testkit::scenario::Saved;

use super::campaign::run_one;
use super::worker::Job;
use units::{Unit, units, without_node};

/// What is left of a schedule, and what it took.
#[derive(Debug)]
pub(crate) struct Shrunk {
    pub(crate) saved: Saved,
    /// Faults, and other things that are done: all that is not the first start of a node.
    pub(crate) acts: usize,
    pub(crate) nodes: usize,
    pub(crate) attempts: u64,
    pub(crate) took: Duration,
    /// Which check still finds something.
    pub(crate) check: String,
}

/// The check that a line of findings is of.
fn check_of(finding: &str) -> &str {
    finding.split_once(": ").map_or(finding, |(check, _)| check)
}

/// Shrinks a schedule that breaks a promise, for so long at most.
///
/// # Errors
/// In words: it breaks none, or cannot be written down.
pub(crate) fn shrink(job: &Job, saved: &Saved, dir: &Path, patience: Duration) -> Result<Shrunk, String> {
    let attempts = AtomicU64::new(0);
    let mut shrinker =
        Shrinker { job, saved, dir, attempts: &attempts, check: String::new(), until: Instant::now() + patience };
    let first = shrinker.findings(&saved.scenario)?;
    shrinker.check = check_of(first.first().ok_or("it breaks no promise: there is nothing to shrink")?).to_owned();
    let began = Instant::now();
    let scenario = shrinker.smallest(saved.scenario.clone());
    Ok(Shrunk {
        acts: units(&scenario).len(),
        nodes: scenario.nodes(),
        saved: Saved::new(saved.level, saved.seed, scenario),
        attempts: attempts.load(Ordering::Relaxed),
        took: began.elapsed(),
        check: shrinker.check,
    })
}

struct Shrinker<'a> {
    job: &'a Job,
    saved: &'a Saved,
    dir: &'a Path,
    attempts: &'a AtomicU64,
    check: String,
    until: Instant,
}

impl Shrinker<'_> {
    /// Plays a schedule; what its checks find.
    fn findings(&self, scenario: &Scenario) -> Result<Vec<String>, String> {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        let file = self.dir.join(format!("attempt-{number}.json"));
        Saved::new(self.saved.level, self.saved.seed, scenario.clone()).save(&file).map_err(|e| e.to_string())?;
        let told = run_one(&Job { schedule: Some(file.clone()), ..self.job.clone() });
        // What cannot be removed stays beside the result, and does no harm.
        let _ = std::fs::remove_file(&file);
        Ok(told.findings)
    }

    fn fails(&self, scenario: &Scenario) -> bool {
        if Instant::now() >= self.until || scenario.check().is_err() {
            return false;
        }
        let findings = self.findings(scenario).unwrap_or_default();
        findings.iter().any(|finding| check_of(finding) == self.check)
    }

    /// Of several attempts one that fails, tried two at a time.
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
            let before = size(&scenario);
            scenario = self.plainer(scenario);
            scenario = self.fewer_faults(scenario);
            scenario = self.fewer_nodes(scenario);
            scenario = self.shorter(scenario);
            if size(&scenario) >= before || Instant::now() >= self.until {
                return scenario;
            }
        }
    }

    /// Without traffic, unusual turns and long paths, if it fails all the same.
    fn plainer(&self, scenario: Scenario) -> Scenario {
        let changes: [fn(&mut Scenario); 3] =
            [|s| s.traffic = false, |s| s.storm = false, |s| s.links = LinkModel::lan()];
        changes.into_iter().fold(scenario, |scenario, change| {
            let mut attempt = scenario.clone();
            change(&mut attempt);
            if attempt != scenario && self.fails(&attempt) { attempt } else { scenario }
        })
    }

    /// Delta debugging over what is done: ever smaller parts are left out, until no single one can be.
    fn fewer_faults(&self, mut scenario: Scenario) -> Scenario {
        let mut parts = 2;
        loop {
            let all = units(&scenario);
            if all.is_empty() {
                return scenario;
            }
            let size = all.len().div_ceil(parts);
            let attempts: Vec<Scenario> = all.chunks(size).map(|out| without(&scenario, out)).collect();
            match self.any(&attempts) {
                Some(smaller) => {
                    scenario = smaller.clone();
                    parts = (parts - 1).max(2);
                }
                None if size == 1 => return scenario,
                None => parts = (parts * 2).min(all.len()),
            }
        }
    }

    fn fewer_nodes(&self, mut scenario: Scenario) -> Scenario {
        loop {
            let attempts: Vec<Scenario> =
                (0..scenario.nodes()).rev().map(|node| without_node(&scenario, node)).collect();
            match self.any(&attempts) {
                Some(smaller) => scenario = smaller.clone(),
                None => return scenario,
            }
        }
    }

    /// Pauses between what is done become shorter, and so does the end.
    fn shorter(&self, mut scenario: Scenario) -> Scenario {
        loop {
            let mut moments: Vec<u64> =
                scenario.steps.iter().map(|step| step.at_ms).chain([scenario.until_ms]).collect();
            moments.dedup();
            let gaps = moments.windows(2).filter(|pair| pair[1] - pair[0] >= GAP_MIN_MS);
            let attempts: Vec<Scenario> =
                gaps.map(|pair| earlier(&scenario, pair[1], (pair[1] - pair[0]) / 2)).collect();
            match self.any(&attempts) {
                Some(smaller) => scenario = smaller.clone(),
                None => return scenario,
            }
        }
    }
}

/// Attempts at once: as many as the machine has cores, usually.
const PARALLEL: usize = 2;

/// A pause that is shorter is short enough.
const GAP_MIN_MS: u64 = 2_000;

/// What is to become less, the most important first.
fn size(scenario: &Scenario) -> (usize, usize, u64) {
    (units(scenario).len(), scenario.nodes(), scenario.until_ms)
}

fn without(scenario: &Scenario, out: &[Unit]) -> Scenario {
    let gone = |n: &usize| out.iter().any(|unit| unit.contains(n));
    let steps = scenario.steps.iter().enumerate().filter(|(n, _)| !gone(n)).map(|(_, step)| step.clone());
    Scenario { steps: steps.collect(), ..scenario.clone() }
}

/// Everything from a moment on happens so much earlier.
fn earlier(scenario: &Scenario, from: u64, by: u64) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.steps.iter_mut().filter(|step| step.at_ms >= from).for_each(|step| step.at_ms -= by);
    scenario.until_ms -= by;
    scenario
}

/// What `shrink BUNDLE` does: shrinks its schedule and writes the smallest one beside it.
pub(crate) fn command(bundle: &Path, plant: Option<&String>, patience: Duration) -> bool {
    let file = if bundle.is_dir() { bundle.join("schedule.json") } else { bundle.to_owned() };
    match Saved::load(&file).and_then(|saved| at(&file, &saved, plant, patience)) {
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
pub(crate) fn at(file: &Path, saved: &Saved, plant: Option<&String>, patience: Duration) -> Result<PathBuf, String> {
    let dir = file.parent().unwrap_or_else(|| Path::new("."));
    let job = Job { plant: plant.cloned(), ..Job::new(saved.scenario.name.clone(), saved.seed, saved.level) };
    let Shrunk { saved, acts, nodes, attempts, took, check } = shrink(&job, saved, dir, patience)?;
    println!(
        "  shrunk to {acts} acts on {nodes} nodes in {:.0} s of virtual time; {attempts} attempts, {:.0} s:",
        saved.scenario.until_ms as f64 / 1_000.0,
        took.as_secs_f64()
    );
    for unit in units(&saved.scenario) {
        for step in unit.iter().map(|n| &saved.scenario.steps[*n]) {
            println!("    {:>9.3} s  {:?}", step.at_ms as f64 / 1_000.0, step.act);
        }
    }
    let words: Vec<&str> = check.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let path = dir.join(format!("{}-{}-{}.json", saved.scenario.name, saved.seed, words.join("-")));
    saved.save(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}
