//! Each crate alone: built with its own dependencies and features and nobody else's, and how many crates that brings.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use crate::Outcome;
use crate::shell::{output, run};

/// What is built by itself: a crate, and arguments.
const ALONE: [(&str, &[&str]); 13] = [
    ("cluster-sites", &["--all-features"]),
    ("cluster-types", &[]),
    ("cluster-failure", &[]),
    ("cluster-failure", &["--all-features"]),
    ("cluster-gossip", &[]),
    ("cluster-gossip", &["--all-features"]),
    ("cluster-pool", &[]),
    ("cluster-pool", &["--all-features"]),
    ("cluster-manager", &[]),
    ("cluster-manager", &["--all-features"]),
    ("cluster-agent", &[]),
    ("cluster-testkit", &[]),
    ("cluster-testkit", &["--all-features"]),
];

/// How many crates a user should have to build at most, and how long that should take.
const AIM: &str = "aim: at most 150 crates, built from nothing in at most 90 s";

pub(crate) fn run_all(root: &Path, cold: bool) -> Outcome {
    let mut table = format!("{:<16} {:<15} {:>6}\n", "CRATE", "FEATURES", "CRATES");
    for (package, features) in ALONE {
        let of = ["--quiet", "--package", package];
        run(root, "cargo", &[&["check"], &of[..], features].concat())?;
        let tree = ["tree", "--package", package, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
        let tree = output(root, "cargo", &[&tree[..], features].concat())?;
        let all: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(" (").next()).collect();
        let features = if features.is_empty() { "default" } else { "all" };
        table += &format!("{package:<16} {features:<15} {:>6}\n", all.len());
    }
    println!("\n{table}{AIM}");
    if cold {
        for package in ["cluster-manager", "cluster-agent"] {
            let dir = crate::target(root).join("cold");
            let _is_made_anew = std::fs::remove_dir_all(&dir);
            let started = Instant::now();
            let dir_text = crate::shell::text_of(&dir)?;
            run(root, "cargo", &["build", "--quiet", "--package", package, "--target-dir", dir_text])?;
            println!("{package} from nothing: {:.0} s", started.elapsed().as_secs_f64());
            let _is_only_space = std::fs::remove_dir_all(&dir);
        }
    }
    Ok(())
}
