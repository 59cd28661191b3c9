//! A seed that broke a promise: what it broke, what was done, and what is written down for whoever looks for the cause.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::environment::{Environment, SCHEDULE_VARIABLE, SEED_VARIABLE};
use super::run::{LIVELOCKED, Plan};
use super::{BROKEN_AT, Simulation};
use crate::judge::Finding;
use crate::picture;
use crate::scenario::{Level, Saved, Scenario, Step};
use crate::shrink::{self, Attempts, Size};
use crate::trace::Trace;

/// A seed that broke a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Every promise it broke; the systems' own errors first.
    pub findings: Vec<Finding>,
    /// What was done when, by the schedule and by the nemesis.
    pub scenario: Scenario,
    /// Where it was written down.
    pub bundle: Option<PathBuf>,
    /// Whether anything was played at all.
    played: bool,
    /// The file it was played from, where it was kept in one.
    schedule: Option<PathBuf>,
    /// What else there is to say of it.
    notes: Vec<String>,
}

impl Failure {
    pub(super) const fn new(seed: u64, findings: Vec<Finding>, scenario: Scenario) -> Self {
        Self { seed, findings, scenario, bundle: None, played: true, schedule: None, notes: Vec::new() }
    }

    /// It was played from a schedule that was kept, if it was.
    pub(super) fn of_schedule(mut self, file: Option<&Path>) -> Self {
        self.schedule = file.map(Path::to_owned);
        self
    }

    /// Nothing was played: with why.
    pub(super) fn unplayable(findings: Vec<Finding>, scenario: Scenario) -> Self {
        Self { played: false, ..Self::new(0, findings, scenario) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.played {
            return self.findings.iter().try_for_each(|finding| write!(f, "nothing was played: {}", finding.what));
        }
        let promises = if self.findings.len() == 1 { "a promise" } else { "promises" };
        writeln!(f, "{} seed {} broke {promises}:", self.scenario.name, self.seed)?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"))?;
        writeln!(f, "what was done:")?;
        steps(&self.scenario).iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        match &self.schedule {
            Some(file) => write!(f, "to run it again: {SCHEDULE_VARIABLE}={} {}", file.display(), command()),
            None => write!(f, "to run it again: {SEED_VARIABLE}={} {}", self.seed, command()),
        }
    }
}

/// What is done, a line a step.
fn steps(scenario: &Scenario) -> Vec<String> {
    let line = |step: &Step| format!("  {:>9.3} s  {:?}", step.at_ms as f64 / 1_000.0, step.act);
    scenario.steps.iter().map(line).collect()
}

impl std::error::Error for Failure {}

/// The test that this is called in, or the program.
pub(super) fn name_of_this() -> String {
    let thread = std::thread::current();
    thread.name().filter(|name| *name != "main").map_or_else(program, str::to_owned)
}

fn program() -> String {
    let exe = std::env::current_exe().ok();
    let stem = exe.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| "simulation".to_owned())
}

/// What runs this program again.
fn command() -> String {
    let thread = std::thread::current();
    match thread.name().filter(|name| *name != "main") {
        Some(test) => format!("cargo test {test}"),
        None => std::env::args().next().unwrap_or_else(program),
    }
}

/// What is in a file's name is in a name of ours, as far as it can be.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    name.chars().map(plain).collect()
}

impl Simulation {
    /// Writes a failure down, makes it smaller, and says where.
    pub(super) fn write_down(&self, failure: &mut Failure, environment: &Environment) {
        if !failure.played {
            return;
        }
        // What is played again does not take the place of what it was played from.
        let again = if environment.schedule.is_some() { "-again" } else { "" };
        let name = format!("{}-{}{again}", file_name(&failure.scenario.name), failure.seed);
        let dir = environment.dir.join(name);
        match self.bundle(failure, &dir) {
            Ok(repeats) => {
                failure.notes.push(format!("written down in {}: picture.html shows it", dir.display()));
                let first = failure.findings.first().cloned().filter(|_| repeats);
                if let Some(first) = first.filter(|_| !environment.shrink.is_zero()) {
                    failure.notes.extend(self.shrunk(failure, &first, &dir, environment.shrink));
                }
                failure.bundle = Some(dir);
            }
            Err(error) => failure.notes.push(format!("it could not be written down in {}: {error}", dir.display())),
        }
    }

    /// Writes a failure down; whether what was done breaks the same without the nemesis.
    fn bundle(&self, failure: &Failure, dir: &Path) -> io::Result<bool> {
        fs::create_dir_all(dir)?;
        let command = format!("{SCHEDULE_VARIABLE}={} {}", dir.display(), command());
        let findings: Vec<String> = failure.findings.iter().map(ToString::to_string).collect();
        let report = |peers: &[String]| {
            format!("findings:\n{}\n\npeers:\n{}\n\nagain: {command}\n", findings.join("\n"), peers.join("\n"))
        };
        Saved::new(Level::L1, failure.seed, failure.scenario.clone()).save(&dir.join("schedule.json"))?;
        if failure.findings.iter().any(|finding| finding.check == LIVELOCKED) {
            // It would spin again, for as long; and what the nemesis did before nobody could ask.
            let by_seed = format!("{SEED_VARIABLE}={} {}", failure.seed, self::command());
            fs::write(dir.join("report.txt"), format!("findings:\n{}\n\nagain: {by_seed}\n", findings.join("\n")))?;
            return Ok(false);
        }
        let trace = Trace::with_everything();
        let plan = Plan { seed: failure.seed, schedule: failure.scenario.clone(), with_nemesis: false };
        let again = self.run_apart(&plan, trace.clone());
        let title = format!("{} seed {}", failure.scenario.name, failure.seed);
        fs::write(dir.join("picture.html"), picture::page(&again.played, &again.outcome, &trace, &title, &command))?;
        fs::write(dir.join("trace.txt"), trace.lines().join("\n") + "\n")?;
        fs::write(dir.join("report.txt"), report(&again.outcome.peers))?;
        let same = |finding: &Finding| failure.findings.first().is_some_and(|first| is_of_a_kind(first, finding));
        Ok(again.outcome.findings.iter().any(same))
    }

    /// Makes a failure smaller and keeps what is left; says so, a line a step.
    fn shrunk(&self, failure: &Failure, first: &Finding, dir: &Path, patience: Duration) -> Vec<String> {
        let tries = Tries { simulation: self, seed: failure.seed, first, began: now(), patience };
        let smallest = shrink::smallest(&tries, &failure.scenario);
        let Size { acts, nodes, ms, .. } = Size::of(&smallest);
        let file = dir.join(shrink::file_name(&file_name(&smallest.name), failure.seed, first.check));
        let kept = Saved::new(Level::L1, failure.seed, smallest.clone()).save(&file);
        let acts = if acts == 1 { "one act".to_owned() } else { format!("{acts} acts") };
        let mut lines = vec![format!("made smaller, {acts} on {nodes} nodes in {:.0} s:", ms as f64 / 1_000.0)];
        lines.extend(steps(&smallest));
        lines.push(match kept {
            Ok(()) => format!("to play that: {SCHEDULE_VARIABLE}={} {}", file.display(), command()),
            Err(error) => format!("it could not be kept in {}: {error}", file.display()),
        });
        lines
    }
}

/// Whether two findings say the same but for numbers and moments: what users check, and what their systems complain of, has one check for all
/// of it.
fn is_of_a_kind(one: &Finding, other: &Finding) -> bool {
    const USERS: [&str; 7] = ["a system", "a client", "at the end", "the nemesis", "invariant", "finally", "always"];
    let words = |finding: &Finding| {
        let what = finding.what.split(BROKEN_AT).next().unwrap_or_default();
        what.replace(|c: char| c.is_ascii_digit(), "")
    };
    one.check == other.check && (!USERS.contains(&one.check) || words(one) == words(other))
}

#[expect(clippy::disallowed_methods, reason = "how long a shrinking may take is people's time")]
fn now() -> Instant {
    Instant::now()
}

/// Smaller schedules of a simulation that failed.
struct Tries<'a> {
    simulation: &'a Simulation,
    seed: u64,
    /// What must go on being found.
    first: &'a Finding,
    began: Instant,
    patience: Duration,
}

impl Attempts for Tries<'_> {
    fn fails(&self, scenario: &Scenario) -> bool {
        let plan = Plan { seed: self.seed, schedule: scenario.clone(), with_nemesis: false };
        let ran = self.simulation.run_apart(&plan, Trace::default());
        ran.outcome.findings.iter().any(|finding| is_of_a_kind(self.first, finding))
    }

    fn is_spent(&self) -> bool {
        self.began.elapsed() >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_complains_of_is_one_thing_and_another() {
        let of_client = |what: &str| Finding::new("a client", what.to_owned());
        assert!(is_of_a_kind(&of_client("of client 0: 17 is lost"), &of_client("of client 0: 3 is lost")));
        assert!(!is_of_a_kind(&of_client("of client 0: 17 is lost"), &of_client("of client 0: nobody is there")));
        let broken = |what: &str| Finding::new("invariant", format!("{what}: not at 17.3s"));
        assert!(is_of_a_kind(&broken("all agree"), &Finding::new("invariant", "all agree: not at 200ms".to_owned())));
        assert!(!is_of_a_kind(&broken("all agree"), &broken("nobody counts too much")));
        let ours = |what: &str| Finding::new("story", what.to_owned());
        assert!(is_of_a_kind(&ours("a"), &ours("b")) && !is_of_a_kind(&ours("a"), &of_client("a")));
    }

    #[test]
    fn a_test_is_named_by_its_thread_and_its_file_by_plain_letters() {
        assert!(name_of_this().ends_with("a_test_is_named_by_its_thread_and_its_file_by_plain_letters"));
        assert_eq!(file_name("a::b c/d"), "a--b-c-d");
    }
}
