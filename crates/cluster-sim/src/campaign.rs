//! Many seeds of many scenarios, each in a worker process; what they found, what they covered, how fast.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use cluster_testkit::scenario::{CATALOGUE, Entry, Saved, entry};
use cluster_testkit::{Level, LoopbackWorld};

use super::coverage::{Coverage, PRODUCT_FROM, WORLDS_FROM};
use super::stopwatch::Stopwatch;
use super::worker::{Job, Told};
use super::{bundle, shrink, verify};

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One scenario; all of them if none is named.
    name: Option<String>,
    /// So many seeds, spread over the scenarios.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// So many seeds of each scenario.
    #[arg(long, conflicts_with = "seeds")]
    each: Option<u64>,
    /// Exactly this seed.
    #[arg(long, conflicts_with_all = ["seeds", "each", "base", "fresh", "time"])]
    seed: Option<u64>,
    /// The seeds are those after this one.
    #[arg(long, default_value_t = 0, conflicts_with = "fresh")]
    base: u64,
    /// Draws the base, so that each run sees seeds that none has seen.
    #[arg(long)]
    fresh: bool,
    /// Goes on with further seeds until this is over: 90s, 30m, 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    time: Option<Duration>,
    /// Leaves failures as they are; otherwise the first ones are made smaller, a minute each.
    #[arg(long)]
    no_shrink: bool,
    /// All at this level: L0, the pure engine, or L1, the whole stack.
    #[arg(long, value_parser = super::parse_level)]
    level: Option<Level>,
    /// Runs each seed twice, in two processes, and compares the traces.
    #[arg(long)]
    verify: bool,
    /// Makes each process differ, to see that a comparison finds it.
    #[arg(long, hide = true)]
    disturb: bool,
    /// Plants a mistake into every node, to see what finds it (built with feature `planted`).
    #[arg(long, value_name = "MISTAKE")]
    plant: Option<String>,
    /// Where to write what belongs to a failure.
    #[arg(long, default_value = "target/sim")]
    bundles: PathBuf,
}

impl Options {
    /// How many seeds of so many scenarios.
    fn wanted(&self, scenarios: usize) -> u64 {
        self.each.map_or(self.seeds, |each| each.saturating_mul(scenarios as u64))
    }
}

/// So many failures are made smaller; the others usually have the same causes.
const SHRUNK_MAX: usize = 2;

/// A failure is made smaller for so long.
const SHRINKS_FOR: Duration = Duration::from_secs(60);

/// Makes the schedule of a bundle smaller, and says how it plays again.
fn shrink_in(bundle: &std::path::Path, job: &Job) {
    let file = bundle.join("schedule.json");
    let shrunk = Saved::load(&file).and_then(|saved| shrink::at(&file, &saved, job.plant.as_ref(), SHRINKS_FOR));
    match shrunk {
        Ok(path) => println!("  the smallest one: cargo xtask sim replay {}", path.display()),
        Err(reason) => println!("  it could not be made smaller: {reason}"),
    }
}

/// The names, and what they are about.
pub(crate) fn list() {
    for Entry { name, about, filed, .. } in CATALOGUE {
        let filed = if *filed { " (by name only: see docs/limitations.md)" } else { "" };
        println!("{name:<20} {about}{filed}");
    }
}

/// A span as on the command line.
fn parse_span(text: &str) -> Result<Duration, String> {
    let unit = text.chars().last().unwrap_or(' ');
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(format!("{text:?} is no time: give one like 90s, 30m or 2h")),
    };
    let number = &text[..text.len() - 1];
    let number: u64 = number.parse().map_err(|e| format!("{number:?} is no number of {unit}: {e}"))?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

/// Runs them; says whether all was well.
pub(crate) fn run(options: &Options, workers: usize) -> bool {
    let base = if options.fresh { fresh_base() } else { options.base };
    if options.fresh {
        println!("base seed {base}: --base {base} runs the same seeds again");
    }
    let Some(time) = options.time else { return run_from(options, base, workers) };
    let (began, mut base, mut good) = (Instant::now(), base, true);
    while began.elapsed() < time {
        good &= run_from(options, base, workers);
        // As many as the seeds of any scenario in one round, or more.
        base += options.each.unwrap_or(options.seeds);
    }
    good
}

/// Milliseconds since the beginning of 1970, cut to what is easily typed.
fn fresh_base() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis() % 1_000_000_000).unwrap_or(0))
}

fn run_from(options: &Options, base: u64, workers: usize) -> bool {
    let chosen: Vec<&Entry> = match &options.name {
        None => CATALOGUE.iter().filter(|entry| !entry.filed).collect(),
        Some(name) => match entry(name) {
            Some(entry) => vec![entry],
            None => {
                eprintln!("error: there is no scenario {name:?}; these there are:");
                list();
                return false;
            }
        },
    };
    if let Err(why) = options.plant.as_deref().map_or(Ok(()), can_plant) {
        eprintln!("error: {why}");
        return false;
    }
    let jobs = jobs(options, &chosen, base);
    if jobs.is_empty() {
        eprintln!("error: nothing to run: {:?} has nothing to show at that level", options.name);
        return false;
    }
    let (began, watch) = (Instant::now(), Stopwatch::start_with_children());
    let told = work_through(&jobs, workers, options.verify);
    let results: Vec<(&Job, &Told)> = jobs.iter().zip(&told).collect();
    summary(&results, began.elapsed(), watch.seconds());
    let failed: Vec<&(&Job, &Told)> = results.iter().filter(|(_, told)| !told.findings.is_empty()).collect();
    for (n, (job, told)) in failed.iter().enumerate() {
        println!("\n{} seed {} at {} broke a promise:", job.scenario, job.seed, job.level);
        told.findings.iter().for_each(|finding| println!("  {finding}"));
        println!("  again: {}", job.again());
        match bundle::write(&options.bundles, job) {
            Ok(path) => {
                println!("  picture, schedule, trace and report: {}", path.display());
                if n < SHRUNK_MAX && !options.no_shrink {
                    shrink_in(&path, job);
                }
            }
            Err(error) => println!("  the bundle cannot be written to {}: {error}", options.bundles.display()),
        }
    }
    // At one level, or of one scenario, some sites cannot be hit.
    let all_covered = options.name.is_some() || options.level.is_some() || covered(&results);
    if failed.is_empty() && all_covered {
        println!("\nall {} runs kept every promise", results.len());
    }
    failed.is_empty() && all_covered
}

#[cfg(feature = "planted")]
pub(crate) fn can_plant(name: &str) -> Result<(), String> {
    let names = cluster_testkit::planted::names();
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(format!("there is no mistake {name:?} to plant: {}", names.join(", ")))
}

#[cfg(not(feature = "planted"))]
pub(crate) fn can_plant(name: &str) -> Result<(), String> {
    Err(format!("to plant {name:?} this program must be built with feature `planted`"))
}

/// Prints the table; says whether it may pass.
fn covered(results: &[(&Job, &Told)]) -> bool {
    let mut coverage = Coverage::default();
    for (job, told) in results {
        coverage.add(job, &told.sites);
    }
    println!("\n{coverage}");
    println!(
        "missed sites of the worlds fail a run of {WORLDS_FROM} seeds and more, those of the product one of {PRODUCT_FROM}"
    );
    coverage.missing() == 0
}

/// The seeds of each scenario, in turn, until there are enough.
fn jobs(options: &Options, chosen: &[&Entry], base: u64) -> Vec<Job> {
    let job = |entry: &Entry, seed: u64, n: u64| {
        let level = options.level.unwrap_or_else(|| entry.level(n));
        let scenario = entry.name.to_owned();
        let fits = match level {
            Level::L0 => entry.at_l0,
            Level::L1 => true,
            Level::L2 => !entry.large && LoopbackWorld::can_play(&entry.scenario(seed)),
        };
        let (disturb, plant) = (options.disturb, options.plant.clone());
        fits.then(|| Job { disturb, plant, ..Job::new(scenario, seed, level) })
    };
    if let Some(seed) = options.seed {
        return chosen.iter().filter_map(|entry| job(entry, seed, 0)).collect();
    }
    let seeds = options.wanted(chosen.len());
    let mut jobs = Vec::new();
    // What is capped leaves its share to the others.
    for n in 0.. {
        let before = jobs.len();
        for entry in chosen.iter().filter(|entry| n < entry.runs_max) {
            if (jobs.len() as u64) < seeds {
                jobs.extend(job(entry, base + n + 1, n));
            }
        }
        if jobs.len() == before {
            break;
        }
    }
    jobs
}

fn work_through(jobs: &[Job], workers: usize, twice: bool) -> Vec<Told> {
    // The longest first, so that none is left alone at the end.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(length(&jobs[i])));
    let (next, progress) = (AtomicUsize::new(0), Progress::new(jobs.len()));
    let results: Mutex<Vec<Told>> = Mutex::new(vec![Told::default(); jobs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(|| {
                while let Some(&i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let told = if twice { verify::run_twice(&jobs[i]) } else { run_one(&jobs[i]) };
                    progress.note(&told);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[i] = told;
                }
            });
        }
    });
    progress.end();
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How long a job is beside others: what is run a few times only is the longest, and of that the whole stack.
fn length(job: &Job) -> (bool, bool, bool) {
    let (rare, large) = entry(&job.scenario).map_or((false, false), |e| (e.runs_max < u64::MAX, e.large));
    (rare, large && job.level == Level::L1, large)
}

/// Runs a job in a process of its own. Whatever becomes of the process is a finding.
pub(crate) fn run_one(job: &Job) -> Told {
    run_one_with(job, "off")
}

pub(crate) fn run_one_with(job: &Job, log: &str) -> Told {
    let failed = |what: String| Told { findings: vec![what], ..Told::default() };
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(error) => return failed(format!("this program does not find itself: {error}")),
    };
    let output = Command::new(exe).args(job.args()).env("RUST_LOG", log).stdin(Stdio::null()).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return failed(format!("the worker did not start: {error}")),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().last().map(serde_json::from_str) {
        Some(Ok(told)) => told,
        _ => failed(format!("the worker ended with {}: {}", output.status, tail(&output.stderr))),
    }
}

/// The last lines of what a worker said.
fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}

/// The live line.
struct Progress {
    all: usize,
    began: Instant,
    /// Done, failed, virtual milliseconds.
    so_far: Mutex<(usize, usize, u64)>,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { all, began: Instant::now(), so_far: Mutex::new((0, 0, 0)) }
    }

    fn note(&self, told: &Told) {
        let mut so_far = self.so_far.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        so_far.0 += 1;
        so_far.1 += usize::from(!told.findings.is_empty());
        so_far.2 += told.span_ms;
        let (done, failed, span) = *so_far;
        let took = self.began.elapsed().as_secs_f64().max(0.001);
        let line = format!(
            "{done} of {} seeds, {failed} failed, {:.1} seeds/s, {:.0} times real time",
            self.all,
            done as f64 / took,
            span as f64 / 1_000.0 / took
        );
        // Where nobody watches, a line now and then.
        if std::io::stderr().is_terminal() {
            eprint!("\r{line}  ");
            // A terminal that is gone wants no progress.
            let _ = std::io::stderr().flush();
        } else if done.is_multiple_of(100) {
            eprintln!("{line}");
        }
    }

    fn end(&self) {
        if std::io::stderr().is_terminal() {
            eprintln!();
        }
    }
}

fn summary(results: &[(&Job, &Told)], took: Duration, on_cores: f64) {
    let mut rows: BTreeMap<(&str, Level), (usize, usize, u64, u64)> = BTreeMap::new();
    for (job, told) in results {
        let row = rows.entry((&job.scenario, job.level)).or_default();
        row.0 += 1;
        row.1 += usize::from(!told.findings.is_empty());
        row.2 += told.span_ms;
        row.3 += told.events;
    }
    println!("| scenario | level | seeds | failed | virtual time | events |\n|---|---|---|---|---|---|");
    for ((name, level), (seeds, failed, span, events)) in &rows {
        println!("| {name} | {level} | {seeds} | {failed} | {:.0} s | {events} |", *span as f64 / 1_000.0);
    }
    for level in [Level::L0, Level::L1, Level::L2] {
        let these = rows.iter().filter(|((_, l), _)| *l == level).map(|(_, row)| row);
        let (seeds, span) = these.fold((0, 0), |(seeds, span), row| (seeds + row.0, span + row.2));
        if seeds > 0 {
            println!("{level}: {seeds} seeds, {:.1} virtual hours", span as f64 / 3_600_000.0);
        }
    }
    println!("{} runs in {:.0} s, {on_cores:.0} s of a core", results.len(), took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }

    fn jobs_of(words: &[&str]) -> Vec<Job> {
        let options = Words::parse_from([&["sim"], words].concat()).options;
        let chosen: Vec<&Entry> = CATALOGUE.iter().filter(|entry| !entry.filed).collect();
        jobs(&options, &chosen, 0)
    }

    #[test]
    fn so_many_of_each_are_of_each() {
        let jobs = jobs_of(&["--each", "10"]);
        for entry in CATALOGUE.iter().filter(|entry| !entry.filed) {
            let seeds = jobs.iter().filter(|job| job.scenario == entry.name).count();
            // What a scenario that is too long for ten does not play, the others do.
            let most = entry.runs_max.min(10) as usize;
            assert!((most..=most + 1).contains(&seeds), "{}: {seeds}", entry.name);
        }
        assert_eq!(jobs_of(&["--seeds", "7"]).len(), 7);
    }

    /// One worker that is left with the longest at the end works alone.
    #[test]
    fn the_longest_comes_first() {
        let mut jobs = jobs_of(&["--each", "10"]);
        jobs.sort_by_key(|job| std::cmp::Reverse(length(job)));
        assert!(jobs[..3].iter().all(|job| job.scenario == "quiet-week"));
        let large = |job: &Job| entry(&job.scenario).is_some_and(|entry| entry.large);
        assert!(jobs[3..].iter().take_while(|job| large(job)).count() >= 40);
    }
}
