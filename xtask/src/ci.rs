//! The gate: exactly what CI runs, in the order in which it fails soonest.

use std::path::Path;
use std::time::Instant;

use crate::cli::{ClusterTask, IntegrationArgs};
use crate::shell::{self, has_cargo_command};
use crate::{Outcome, crates, integration, interrupt, play, sim, tests, tidy};

/// A named step.
type Step = (&'static str, fn(&Path) -> Outcome);

/// Seeds of each scenario, which must cover every site of the worlds; campaigns of thousands are run by hand.
const SCENARIO_SEEDS: &str = "10";

const STEPS: [Step; 13] = [
    ("format", |root| shell::run(root, "cargo", &["fmt", "--all", "--check"])),
    ("tidy", |root| tidy::run(root, false)),
    ("lints", |root| {
        shell::run(
            root,
            "cargo",
            &[
                &["clippy", "--workspace", "--all-targets", "--quiet"],
                &tests::FEATURES[..],
                &["--", "--deny", "warnings"],
            ]
            .concat(),
        )
    }),
    ("licences", licences),
    ("docs", docs),
    ("tests", |root| tests::test(root, &[])),
    ("integration", |root| {
        let share = IntegrationArgs { quick: true, debug: true, ..IntegrationArgs::default() };
        integration::run(root, &share)
    }),
    ("crates", |root| crates::run_all(root, false)),
    ("examples", tests::examples),
    ("scenarios", |root| sim::run(root, &["--each".into(), SCENARIO_SEEDS.into()])),
    ("planted", |root| sim::run(root, &["planted".into()])),
    ("demo", |root| {
        shell::run(root, "cargo", &["run", "--release", "--quiet", "--", "demo", "--nodes", "16", "--json"])
    }),
    ("cluster", |root| {
        let started = play::run(root, &ClusterTask::Start { nodes: 3, ports: PORTS });
        // Whatever came of the start, nothing runs on.
        started.and(play::run(root, &ClusterTask::Stop))
    }),
];

/// Away from those that people use, and below those that systems give out.
const PORTS: u16 = 27_001;

pub(crate) fn run(root: &Path) -> Outcome {
    let mut table = String::new();
    for (name, step) in STEPS {
        let started = now();
        let outcome = step(root).and_then(|()| interrupt::check());
        let took = started.elapsed().as_secs();
        table += &format!("{name:<10} {:<6} {took:>5} s\n", if outcome.is_ok() { "ok" } else { "FAILED" });
        if let Err(reason) = outcome {
            println!("\n{table}");
            return Err(reason);
        }
    }
    println!("\n{table}");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a program for people may look at the clock")]
fn now() -> Instant {
    Instant::now()
}

fn licences(root: &Path) -> Outcome {
    if has_cargo_command("deny") {
        return shell::run(root, "cargo", &["deny", "check", "licenses", "bans", "sources"]);
    }
    println!("\n=== cargo deny is not installed: licences and duplicates are not checked here");
    Ok(())
}

fn docs(root: &Path) -> Outcome {
    // Through the environment of a child: `env` is on every system this runs on.
    shell::run(root, "env", &["RUSTDOCFLAGS=--deny warnings", "cargo", "doc", "--workspace", "--no-deps", "--quiet"])
}
