//! Every planted mistake, from the seed that finds it to the smallest schedule that shows it: what a failure of the real thing would be
//! made of, and whether it becomes as small as is promised.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// These mistakes; all of them if none is named.
    mistakes: Vec<String>,
    /// Processor time for each, in seconds, beside what it takes to find it.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the smallest schedules are kept.
    #[arg(long, default_value = "target/sim/planted")]
    bundles: PathBuf,
}

impl Options {
    const fn budget(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[cfg(not(feature = "planted"))]
pub(crate) fn run(options: &Options) -> bool {
    let what = (options.budget(), &options.mistakes, &options.bundles);
    eprintln!("error: to plant {what:?} this program must be built with feature `planted`");
    false
}

#[cfg(feature = "planted")]
pub(crate) use shown::run;

#[cfg(feature = "planted")]
mod shown {
    use std::path::Path;
    use std::time::Duration;

    use cluster_testkit::planted::{SHOWN, Shown};
    use cluster_testkit::scenario::{Saved, entry};

    use super::Options;
    use crate::campaign::{can_plant, run_one};
    use crate::shrink::{Shrunk, Size, check_of, keep, shrink};
    use crate::worker::Job;

    /// Each mistake is found within so many seeds of the scenario that is about it.
    const SEEDS: u64 = 3;

    /// And becomes as small as this.
    const ACTS_MAX: usize = 4;
    const NODES_MAX: usize = 5;

    /// Finds them all, makes each as small as it can, and prints a line for each; says whether all are found and small.
    pub(crate) fn run(options: &Options) -> bool {
        let wanted = &options.mistakes;
        if let Some(why) = wanted.iter().find_map(|name| can_plant(name).err()) {
            eprintln!("error: {why}");
            return false;
        }
        if let Err(error) = std::fs::create_dir_all(&options.bundles) {
            eprintln!("error: {}: {error}", options.bundles.display());
            return false;
        }
        println!(
            "| mistake | scenario | seed | found by | acts, nodes, virtual time | smallest | attempts | processor time |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        let chosen = SHOWN.iter().filter(|shown| wanted.is_empty() || wanted.iter().any(|name| name == shown.mistake));
        let (mut all, mut missed) = (0, Vec::new());
        for shown in chosen {
            all += 1;
            if let Err(why) = show(shown, &options.bundles, options.budget()) {
                println!("| {} | {} | | {why} | | | | |", shown.mistake, shown.scenario);
                missed.push(shown.mistake);
            }
        }
        let good = all - missed.len();
        println!(
            "\n{good} of {all} mistakes are found within {SEEDS} seeds and become {ACTS_MAX} acts on {NODES_MAX} nodes or fewer"
        );
        if !missed.is_empty() {
            println!("not so: {}", missed.join(", "));
        }
        missed.is_empty()
    }

    fn show(shown: &Shown, dir: &Path, budget: Duration) -> Result<(), String> {
        let (job, saved) = find(shown)?;
        let before = Size::of(&saved.scenario);
        let shrunk = shrink(&job, &saved, dir, budget, Some(shown.check))?;
        let path = keep(&shrunk, dir)?;
        let Shrunk { size, attempts, cpu, .. } = shrunk;
        let words = |size: Size| format!("{}, {}, {:.0} s", size.acts, size.nodes, size.ms as f64 / 1_000.0);
        let Shown { mistake, scenario, check, .. } = shown;
        println!(
            "| {mistake} | {scenario} | {} | {check} | {} | {} | {attempts} | {:.1} s |",
            saved.seed,
            words(before),
            words(size),
            cpu.as_secs_f64()
        );
        if size.acts > ACTS_MAX || size.nodes > NODES_MAX {
            return Err(format!("the smallest one is too large: {}", path.display()));
        }
        let sound = run_one(&Job { schedule: Some(path), plant: None, ..job }).findings;
        sound
            .first()
            .map_or(Ok(()), |finding| Err(format!("the smallest one fails without the mistake, too: {finding}")))
    }

    /// The first seed that shows it.
    fn find(shown: &Shown) -> Result<(Job, Saved), String> {
        let entry = entry(shown.scenario).ok_or("there is no such scenario")?;
        let mut others = Vec::new();
        for seed in 1..=SEEDS {
            let plant = Some(shown.mistake.to_owned());
            let job = Job { plant, ..Job::new(shown.scenario.to_owned(), seed, shown.level) };
            let findings = run_one(&job).findings;
            if findings.iter().any(|finding| check_of(finding) == shown.check) {
                return Ok((job, Saved::new(shown.level, seed, entry.scenario(seed))));
            }
            others.extend(findings.into_iter().map(|finding| check_of(&finding).to_owned()));
        }
        others.dedup();
        Err(format!("not found within {SEEDS} seeds by {:?}; others: {}", shown.check, others.join(", ")))
    }
}
