//! `cargo xtask integration`: whole clusters under real faults, one test at a time where they measure, with a table at the end.
//!
//! The tests are ordinary tests of the crates. What is added here: each runs as a process group of its own that is ended for
//! certain, what its nodes wrote is kept where it fails, and what it has checked stands in a table, in its own words or in its name's.

mod child;
mod plan;
mod report;
mod sandbox;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::IntegrationArgs;
use crate::{Outcome, interrupt, target};
use child::Running;
pub(crate) use plan::stage_of;
use plan::{Stage, Test};
use report::Finished;

/// How often running tests are looked at.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(root: &Path, args: &IntegrationArgs) -> Outcome {
    interrupt::listen()?;
    let started = Instant::now();
    let stages = plan::build(root, args)?;
    if args.list {
        for (stage, test) in stages.iter().flat_map(|stage| stage.tests.iter().map(move |test| (stage, test))) {
            println!("{}::{}", stage.name, test.name);
        }
        return Ok(());
    }
    if stages.iter().all(|stage| stage.tests.is_empty()) {
        return Err(format!("no test matches {:?}: `cargo xtask integration --list` names them", args.filter));
    }
    let outputs = target(root).join("integration");
    let mut finished = Vec::new();
    let mut skipped = Vec::new();
    let bar = progress(stages.iter().map(|stage| stage.tests.len()).sum());
    for stage in &stages {
        match stage.obstacle(args) {
            Some(why) if !stage.tests.is_empty() => {
                bar.inc(stage.tests.len() as u64);
                tell(&bar, &format!("skipped {}: {why}", stage.name));
                skipped.push((stage, why));
            }
            _ => finished.extend(run_stage(stage, args, &outputs, &bar)?),
        }
    }
    bar.finish_and_clear();
    print!("\n{}", report::table(&finished, &skipped));
    let failed = finished.iter().filter(|test| test.failure.is_some()).count();
    let left_out: usize = skipped.iter().map(|(stage, _)| stage.tests.len()).sum();
    let took = humantime::format_duration(Duration::from_secs(started.elapsed().as_secs()));
    println!("\n{} passed, {failed} failed, {left_out} skipped in {took}", finished.len() - failed);
    if args.keep {
        println!("what the nodes wrote is in {}", outputs.display());
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} integration tests failed")) }
}

fn progress(tests: usize) -> ProgressBar {
    let bar = ProgressBar::new(tests as u64);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} [{elapsed}] {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

/// Above the progress line where there is one, else as a line.
fn tell(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        println!("{line}");
    } else {
        bar.println(line);
    }
}

/// Runs the tests of a stage, as many at once as it allows. Whatever happens, nothing of them runs on.
fn run_stage(
    stage: &Stage,
    args: &IntegrationArgs,
    outputs: &Path,
    bar: &ProgressBar,
) -> Result<Vec<Finished>, String> {
    let mut waiting = stage.tests.iter();
    let mut running: Vec<Running> = Vec::new();
    let mut finished = Vec::new();
    loop {
        while running.len() < stage.at_once
            && let Some(test) = waiting.next()
        {
            running.push(Running::start(stage, test, args, output_of(outputs, stage, test))?);
        }
        if running.is_empty() {
            return Ok(finished);
        }
        let names: Vec<&str> = running.iter().map(|test| test.name()).collect();
        bar.set_message(format!("{}: {}", stage.name, names.join(", ")));
        std::thread::park_timeout(LOOK);
        // Dropping them ends their process groups.
        interrupt::check()?;
        let mut still = Vec::new();
        for mut test in running {
            match test.look()? {
                None => still.push(test),
                Some(outcome) => {
                    bar.inc(1);
                    tell(bar, &outcome.line());
                    outcome.tidy_up(args.keep);
                    finished.push(outcome);
                }
            }
        }
        running = still;
    }
}

fn output_of(outputs: &Path, stage: &Stage, test: &Test) -> PathBuf {
    outputs.join(stage.name).join(test.name.replace("::", "."))
}
