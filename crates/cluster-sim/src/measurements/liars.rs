//! Clusters with a member that lies, by the thousand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster_gossip::SwimConfig;
#[cfg(feature = "planted")]
use cluster_manager::{ClusterConfig, Profile};
use cluster_testkit::liars::{Outcome, live_through};

use super::batch::run;

/// Findings that are printed; of more only the number.
const PRINTED: usize = 20;

/// Progress is told so often.
const TOLD_EVERY: usize = 5_000;

/// Prints what a liar did to so many clusters; whether it did nothing that it must not.
pub(crate) fn liars(jobs: usize, base: u64, seeds: usize, plant: Option<&str>) -> bool {
    let config = match config(plant) {
        Ok(config) => config,
        Err(reason) => {
            eprintln!("error: {reason}");
            return false;
        }
    };
    let done = AtomicUsize::new(0);
    let outcomes: Vec<Outcome> = run(jobs, seeds, |i| {
        let outcome = live_through(&config, base + i as u64);
        let count = done.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_multiple_of(TOLD_EVERY) {
            eprintln!("{count} of {seeds}");
        }
        outcome
    })
    .into_iter()
    .map(Option::unwrap_or_default)
    .collect();
    let lies: u64 = outcomes.iter().map(|outcome| outcome.lies).sum();
    let suspicions: usize = outcomes.iter().map(|outcome| outcome.suspicions).sum();
    let mut declared: Vec<Duration> = outcomes.iter().filter_map(|outcome| outcome.declared_after).collect();
    declared.sort();
    let failed = outcomes.iter().filter(|outcome| !outcome.findings.is_empty()).count();
    println!("{seeds} clusters with a liar, {lies} lies: honest members suspected {suspicions} times");
    if let Some(last) = declared.last() {
        let at = |share: usize| declared[(declared.len() - 1) * share / 100].as_secs_f64();
        let (median, most, last) = (at(50), at(99), last.as_secs_f64());
        println!(
            "{} deaths, known to all after {median:.1} s (median), {most:.1} s (99 %), {last:.1} s",
            declared.len()
        );
    }
    let findings = outcomes
        .iter()
        .enumerate()
        .flat_map(|(i, outcome)| outcome.findings.iter().map(move |finding| (base + i as u64, finding)));
    for (seed, finding) in findings.take(PRINTED) {
        println!("seed {seed}: {finding}");
    }
    println!("{failed} of {seeds} broke a promise");
    failed == 0
}

#[cfg(feature = "planted")]
fn config(plant: Option<&str>) -> Result<SwimConfig, String> {
    let mut config = ClusterConfig::new(Profile::Lan);
    let Some(name) = plant else { return Ok(config.swim) };
    cluster_testkit::planted::plant(name, &mut config);
    if config.swim.bug.is_none() {
        return Err(format!("{name:?} is no mistake of the core"));
    }
    Ok(config.swim)
}

#[cfg(not(feature = "planted"))]
fn config(plant: Option<&str>) -> Result<SwimConfig, String> {
    match plant {
        None => Ok(SwimConfig::lan()),
        Some(name) => Err(format!("to plant {name:?} this program must be built with feature `planted`")),
    }
}
