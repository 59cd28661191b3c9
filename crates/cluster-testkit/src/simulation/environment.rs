//! What a simulation reads from its environment: the same program runs many seeds, one again, or one schedule that was kept.

use std::path::PathBuf;
use std::time::Duration;

/// Set to a number, a simulation runs exactly that seed; set to `A..B`, these.
pub const SEED_VARIABLE: &str = "SIMULATION_SEED";

/// Set to the path of a bundle or of its schedule, a simulation plays that, with its own systems.
pub const SCHEDULE_VARIABLE: &str = "SIMULATION_SCHEDULE";

/// Set to `1`, each seed runs twice and the traces must be equal.
pub const VERIFY_VARIABLE: &str = "SIMULATION_VERIFY";

/// How many seeds run at once; as many as there are cores when nothing is said.
pub const JOBS_VARIABLE: &str = "SIMULATION_JOBS";

/// For how many seconds a failure is made smaller; `0` does not. Thirty when nothing is said.
pub const SHRINK_VARIABLE: &str = "SIMULATION_SHRINK";

/// Where failures are written down; `target/simulation` when nothing is said.
pub const DIR_VARIABLE: &str = "SIMULATION_DIR";

/// A night on one machine, and more.
const SEEDS_MAX: u64 = 10_000_000;

const SHRINK: Duration = Duration::from_secs(30);

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) seeds: Option<Vec<u64>>,
    pub(super) schedule: Option<PathBuf>,
    pub(super) verify: bool,
    pub(super) jobs: usize,
    pub(super) shrink: Duration,
    pub(super) dir: PathBuf,
}

impl Environment {
    /// # Panics
    /// A variable says what it cannot: with its name, what it says, and what it may.
    pub(super) fn read() -> Self {
        Self::of(|name| std::env::var(name).ok()).unwrap_or_else(|what| panic!("{what}"))
    }

    fn of(said: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let said = |name: &str| said(name).filter(|text| !text.trim().is_empty());
        let number = |name: &str, what: &str| {
            let parsed =
                said(name).map(|text| text.trim().parse::<u64>().map_err(|_no| format!("{name} is {text:?}: {what}")));
            parsed.transpose()
        };
        let verify = match said(VERIFY_VARIABLE).as_deref().map(str::trim) {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(text) => return Err(format!("{VERIFY_VARIABLE} is {text:?}: give 1 or 0")),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = number(JOBS_VARIABLE, "give how many seeds run at once")?.map_or(cores, |jobs| jobs.max(1) as usize);
        let shrink = number(SHRINK_VARIABLE, "give seconds, or 0")?.map_or(SHRINK, Duration::from_secs);
        Ok(Self {
            seeds: said(SEED_VARIABLE).map(|text| seeds(&text)).transpose()?,
            schedule: said(SCHEDULE_VARIABLE).map(PathBuf::from),
            verify,
            jobs,
            shrink,
            dir: said(DIR_VARIABLE).map_or_else(default_dir, PathBuf::from),
        })
    }
}

fn seeds(text: &str) -> Result<Vec<u64>, String> {
    let wrong = || format!("{SEED_VARIABLE} is {text:?}: give a number, or A..B");
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_no| wrong());
    match text.split_once("..") {
        None => Ok(vec![number(text)?]),
        Some((from, to)) => {
            let (from, to) = (number(from)?, number(to)?);
            if to > from.saturating_add(SEEDS_MAX) {
                return Err(format!("{SEED_VARIABLE} is {text:?}: at most {SEEDS_MAX} seeds at once"));
            }
            let seeds: Vec<u64> = (from..to).collect();
            if seeds.is_empty() { Err(wrong()) } else { Ok(seeds) }
        }
    }
}

/// Beside what cargo builds, where a test of a workspace has another directory than its members.
fn default_dir() -> PathBuf {
    let built = std::env::current_exe().ok().and_then(|exe| {
        let target = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file())?;
        Some(target.to_owned())
    });
    built.unwrap_or_else(|| PathBuf::from("target")).join("simulation")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &[(&str, &str)]) -> Result<Environment, String> {
        Environment::of(|name| said.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn nothing_said_is_all_seeds_on_all_cores_and_half_a_minute_of_shrinking() {
        let Environment { seeds, schedule, verify, jobs, shrink, dir } = read(&[]).unwrap();
        assert_eq!((seeds, schedule, verify, shrink), (None, None, false, Duration::from_secs(30)));
        assert!(jobs >= 1 && dir.ends_with("simulation"), "{jobs} {dir:?}");
    }

    #[test]
    fn what_is_said_counts_and_what_cannot_be_is_named() {
        let said = [(SEED_VARIABLE, "7..9"), (VERIFY_VARIABLE, "1"), (JOBS_VARIABLE, "3"), (SHRINK_VARIABLE, "0")];
        let Environment { seeds, verify, jobs, shrink, .. } = read(&said).unwrap();
        assert_eq!((seeds, verify, jobs, shrink), (Some(vec![7, 8]), true, 3, Duration::ZERO));
        assert_eq!(read(&[(SEED_VARIABLE, " 5")]).unwrap().seeds, Some(vec![5]));
        assert_eq!(read(&[(SEED_VARIABLE, "")]).unwrap().seeds, None);
        assert_eq!(read(&[(VERIFY_VARIABLE, "maybe")]).unwrap_err(), "SIMULATION_VERIFY is \"maybe\": give 1 or 0");
        let many = read(&[(SEED_VARIABLE, "0..18446744073709551615")]).unwrap_err();
        assert!(many.ends_with("at most 10000000 seeds at once"), "{many}");
        for wrong in ["x", "3..", "9..7", "1..2..3"] {
            let what = read(&[(SEED_VARIABLE, wrong)]).unwrap_err();
            assert_eq!(what, format!("SIMULATION_SEED is {wrong:?}: give a number, or A..B"));
        }
        assert_eq!(
            read(&[(JOBS_VARIABLE, "all")]).unwrap_err(),
            "SIMULATION_JOBS is \"all\": give how many seeds run at once"
        );
    }
}
