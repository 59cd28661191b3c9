//! Makes a schedule that fails smaller: each attempt is played in a process of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster_testkit::Scenario;
use cluster_testkit::scenario::Saved;
use cluster_testkit::shrink::{Attempts, file_name, smallest, units};

use super::campaign::run_one;
use super::worker::Job;

pub(crate) use cluster_testkit::shrink::Size;

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
    let mut processes = Processes::new(job, saved, dir, budget);
    let findings = processes.findings(&saved.scenario)?;
    let found =
        findings.iter().map(|finding| check_of(finding)).find(|found| check.is_none_or(|check| check == *found));
    processes.check = found.ok_or("it breaks no promise: there is nothing to shrink")?.to_owned();
    let scenario = smallest(&processes, &saved.scenario);
    Ok(Shrunk {
        size: Size::of(&scenario),
        saved: Saved::new(saved.level, saved.seed, scenario),
        attempts: processes.attempts.load(Ordering::Relaxed),
        cpu: processes.spent(),
        check: processes.check,
    })
}

struct Processes<'a> {
    job: &'a Job,
    saved: &'a Saved,
    dir: &'a Path,
    check: String,
    attempts: AtomicU64,
    spent_ms: AtomicU64,
    budget: Duration,
}

impl<'a> Processes<'a> {
    const fn new(job: &'a Job, saved: &'a Saved, dir: &'a Path, budget: Duration) -> Self {
        let (attempts, spent_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { job, saved, dir, check: String::new(), attempts, spent_ms, budget }
    }

    fn spent(&self) -> Duration {
        Duration::from_millis(self.spent_ms.load(Ordering::Relaxed))
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
}

impl Attempts for Processes<'_> {
    fn fails(&self, scenario: &Scenario) -> bool {
        let findings = self.findings(scenario).unwrap_or_default();
        findings.iter().any(|finding| check_of(finding) == self.check)
    }

    fn is_spent(&self) -> bool {
        self.spent() >= self.budget
    }
}

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
    let path = dir.join(file_name(&saved.scenario.name, saved.seed, check));
    saved.save(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}
