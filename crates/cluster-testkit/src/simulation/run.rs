//! Many seeds of a simulation: several at once, each on a thread of its own, until all are played or one has failed.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::environment::Environment;
use super::failure::Failure;
use super::seed_run::Ran;
use super::{Simulation, verify};
use crate::assertions::{Seen, catalogue};
use crate::judge::Finding;
use crate::panics::words;
use crate::play::Outcome;
use crate::scenario::{Level, Saved, Scenario};
use crate::trace::Trace;

/// How often the end of a seed is looked for, in real time.
const LOOK_AT_THREAD: Duration = Duration::from_millis(2);

/// How often a run of many seeds says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// The check of a world that does not move.
pub(super) const LIVELOCKED: &str = "livelock";

/// What is to be played: a seed, with all that it draws, or a schedule that was kept.
enum Wanted {
    Seed(u64),
    Schedule(u64, Box<Scenario>),
}

/// What is played: a schedule that a seed has drawn, or one that was kept.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) schedule: Scenario,
    /// Whether the nemesis is at work, or has been.
    pub(super) with_nemesis: bool,
}

impl Simulation {
    /// Runs every seed; or those that `SIMULATION_SEED` names, or the schedule that `SIMULATION_SCHEDULE` names.
    ///
    /// A failure is written down in `target/simulation`: its schedule, a picture, its trace; and is made smaller for half a minute. See
    /// [`SEED_VARIABLE`](super::SEED_VARIABLE) and its siblings for what the environment can say.
    ///
    /// # Panics
    /// A seed broke a promise: with all it broke, the schedule, and how to run it again. Or the environment says what cannot be.
    #[track_caller]
    pub fn run(&self) {
        let environment = Environment::read();
        if let Err(mut failure) = self.try_run_in(&environment) {
            self.write_down(&mut failure, &environment);
            panic!("{failure}");
        }
    }

    /// As [`run`](Self::run), and writes nothing down.
    ///
    /// # Errors
    /// The first seed that broke a promise; or the schedule cannot be played; or, [`covering`](Self::covering), a site was missed.
    ///
    /// # Panics
    /// The environment says what cannot be.
    pub fn try_run(&self) -> Result<(), Box<Failure>> {
        self.try_run_in(&Environment::read())
    }

    /// As [`try_run`](Self::try_run), each seed twice: where the traces differ, something that the system does is not drawn from the seed.
    ///
    /// # Errors
    /// As there; or two runs of a seed differ, with the first event that does.
    ///
    /// # Panics
    /// As there.
    pub fn try_run_twice(&self) -> Result<(), Box<Failure>> {
        self.try_run_in(&Environment { verify: true, ..Environment::read() })
    }

    /// As [`try_run`](Self::try_run), and writes a failure down into a directory of its own in this one, made smaller for so long.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub fn try_run_into(&self, dir: &Path, shrink: Duration) -> Result<(), Box<Failure>> {
        let environment = Environment { dir: dir.to_owned(), shrink, ..Environment::read() };
        self.try_run_in(&environment).map_err(|mut failure| {
            self.write_down(&mut failure, &environment);
            failure
        })
    }

    /// Plays a schedule that was kept, the one in a bundle or its file, with this simulation's systems and checks.
    ///
    /// # Errors
    /// What it breaks; or it cannot be read, or be played.
    ///
    /// # Panics
    /// As [`try_run`](Self::try_run).
    pub fn try_schedule(&self, file: &Path) -> Result<(), Box<Failure>> {
        self.try_run_in(&Environment { schedule: Some(file.to_owned()), ..Environment::read() })
    }

    fn try_run_in(&self, environment: &Environment) -> Result<(), Box<Failure>> {
        let cannot = |what| {
            let findings = vec![Finding::new("the schedule can be played", what)];
            Box::new(Failure::unplayable(findings, self.scenario.clone()))
        };
        let spans =
            [("the nemesis", self.nemesis.as_ref().map(|(during, _)| during)), ("the swarm", self.swarm.as_ref())];
        for (who, during) in spans {
            if let Some(Range { start, end }) = during.filter(|during| during.is_empty()) {
                return Err(cannot(format!("{who} is at work from {start:?} to {end:?}")));
            }
        }
        let Some(wanted) = self.wanted(environment).map_err(cannot)? else { return Ok(()) };
        let first = self.plan(wanted.first().ok_or_else(|| cannot("there are no seeds".into()))?);
        first.schedule.check().map_err(cannot)?;
        if let Some((seed, Ran { outcome, played })) = self.first_failure(&wanted, environment) {
            let failure = Failure::new(seed, outcome.findings, played);
            return Err(Box::new(failure.of_schedule(environment.schedule.as_deref())));
        }
        let all = environment.seeds.is_none() && environment.schedule.is_none();
        let missed = if self.covering && all { missed() } else { Vec::new() };
        if missed.is_empty() { Ok(()) } else { Err(Box::new(Failure::new(first.seed, missed, first.schedule))) }
    }

    /// What is to be played; `None` where a schedule of another simulation is.
    fn wanted(&self, environment: &Environment) -> Result<Option<Vec<Wanted>>, String> {
        if let Some(file) = &environment.schedule {
            let file = if file.is_dir() { file.join("schedule.json") } else { file.clone() };
            let Saved { level, seed, scenario, .. } = Saved::load(&file)?;
            if level != Level::L1 {
                return Err(format!("{}: it is of {level}; whole nodes are L1", file.display()));
            }
            if scenario.name != self.scenario.name {
                say(&format!("{}: it is of {}; {} is not played", file.display(), scenario.name, self.scenario.name));
                return Ok(None);
            }
            return Ok(Some(vec![Wanted::Schedule(seed, Box::new(scenario))]));
        }
        let seeds = environment.seeds.as_ref().unwrap_or(&self.seeds);
        Ok(Some(seeds.iter().copied().map(Wanted::Seed).collect()))
    }

    fn plan(&self, wanted: &Wanted) -> Plan {
        match wanted {
            Wanted::Seed(seed) => Plan { seed: *seed, schedule: self.schedule(*seed), with_nemesis: true },
            Wanted::Schedule(seed, schedule) => {
                Plan { seed: *seed, schedule: Scenario::clone(schedule), with_nemesis: false }
            }
        }
    }

    /// Of all that fail the one that comes first, whichever has failed first.
    fn first_failure(&self, wanted: &[Wanted], environment: &Environment) -> Option<(u64, Ran)> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let failed: Mutex<Option<(usize, u64, Ran)>> = Mutex::new(None);
        let lock = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let comes_first = |n: usize| lock().as_ref().is_none_or(|(first, ..)| n < *first);
        let progress = Progress::new(&self.scenario.name, wanted.len());
        let work = || {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(wanted) = wanted.get(n).filter(|_| comes_first(n)) else { return };
                let plan = self.plan(wanted);
                let ran = self.run_plan(&plan, environment.verify);
                progress.say(done.fetch_add(1, Ordering::Relaxed) + 1);
                if !ran.outcome.findings.is_empty() {
                    let mut failed = lock();
                    if failed.as_ref().is_none_or(|(first, ..)| n < *first) {
                        *failed = Some((n, plan.seed, ran));
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..environment.jobs.min(wanted.len())).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        });
        let (_, seed, ran) = failed.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        Some((seed, ran))
    }

    fn run_plan(&self, plan: &Plan, verifying: bool) -> Ran {
        if verifying { verify::run_twice(self, plan) } else { self.run_apart(plan, Trace::default()) }
    }

    /// Runs a plan on a thread of its own: nothing that another seed left in this one's locals can touch it, and one that spins
    /// can be told of.
    pub(super) fn run_apart(&self, plan: &Plan, trace: Trace) -> Ran {
        let (this, mine, watched) = (self.clone(), plan.clone(), trace.clone());
        let run = move || this.run_schedule(mine.seed, &mine.schedule, mine.with_nemesis, trace);
        let running = std::thread::spawn(run);
        let mut before = None;
        let mut still = Duration::ZERO;
        while !running.is_finished() {
            // The thread that is joined below unparks nobody: this is the rate at which its end is noticed.
            std::thread::park_timeout(LOOK_AT_THREAD);
            // Not how many events there are: a loop may make these, and let no time pass.
            let now = watched.last_at();
            still = if before == Some(now) { still + LOOK_AT_THREAD } else { Duration::ZERO };
            before = Some(now);
            if still >= self.watchdog {
                let what = format!(
                    "no virtual time has passed for {still:?} since {now:?}: a task spins without an await that waits, or blocks its thread"
                );
                let findings = vec![Finding::new(LIVELOCKED, what)];
                return Ran { outcome: Outcome::broken(findings, &watched), played: plan.schedule.clone() };
            }
        }
        running.join().unwrap_or_else(|panic| {
            let findings = vec![Finding::new("the world", words(&*panic))];
            Ran { outcome: Outcome::broken(findings, &watched), played: plan.schedule.clone() }
        })
    }
}

/// Sites of the caller's own that nothing has hit.
fn missed() -> Vec<Finding> {
    let missed = catalogue().into_iter().filter(|seen| !seen.is_ours() && seen.hits == 0);
    missed.map(|Seen { name, place, .. }| Finding::new("missed by all seeds", format!("{name} ({place})"))).collect()
}

#[expect(clippy::print_stderr, reason = "it is for whoever waits")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Says now and then how far a run of many seeds is.
struct Progress<'a> {
    name: &'a str,
    seeds: usize,
    began: Instant,
    said: Mutex<Duration>,
}

impl<'a> Progress<'a> {
    #[expect(clippy::disallowed_methods, reason = "how long people wait is told in their time")]
    fn new(name: &'a str, seeds: usize) -> Self {
        Self { name, seeds, began: Instant::now(), said: Mutex::new(Duration::ZERO) }
    }

    fn say(&self, done: usize) {
        let passed = self.began.elapsed();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.saturating_sub(*said) >= PROGRESS {
            *said = passed;
            say(&format!("simulation {}: {done} of {} seeds in {:.0} s", self.name, self.seeds, passed.as_secs_f64()));
        }
    }
}
