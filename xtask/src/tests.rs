//! Running the tests: with cargo-nextest where it is installed, else with cargo itself.

use std::path::Path;

use crate::Outcome;
use crate::shell::{has_cargo_command, run};

/// What is tested beside the defaults.
pub(crate) const FEATURES: [&str; 2] =
    ["--features", "cluster-testkit/mocks,cluster-testkit/planted,cluster-sim/planted"];

/// Everything that needs no privilege: unit tests, integration tests on loopback, doctests.
pub(crate) fn test(root: &Path, args: &[String]) -> Outcome {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if !has_cargo_command("nextest") {
        return run(root, "cargo", &[&["test", "--workspace", "--quiet"], &FEATURES[..], &args[..]].concat());
    }
    run(root, "cargo", &[&["nextest", "run", "--workspace"], &FEATURES[..], &args[..]].concat())?;
    // nextest runs no doctests; with arguments of the caller's, only what was asked for.
    if !args.is_empty() {
        return Ok(());
    }
    run(root, "cargo", &[&["test", "--workspace", "--doc", "--quiet"], &FEATURES[..]].concat())
}

/// Benchmarks by the layer they measure.
pub(crate) fn bench(root: &Path, args: &[String]) -> Outcome {
    match args.first().map(String::as_str) {
        None | Some("layer1") => run(root, "cargo", &["bench", "--package", "cluster-failure", "--bench", "layer1"]),
        Some("membership") => {
            run(root, "cargo", &["bench", "--package", "cluster-gossip", "--bench", "membership"])?;
            sim(root, &["memory".to_owned()])
        }
        Some("peers") => {
            let peers = root.join("bench/peers");
            run(&peers, "cargo", &["run", "--release", "--quiet", "--", "blocked"])?;
            run(&peers, "cargo", &["run", "--release", "--quiet", "--", "crash"])?;
            run(&peers, "cargo", &["run", "--release", "--quiet", "--", "ping"])
        }
        Some("links") => run(&root.join("bench/peers"), "cargo", &["run", "--release", "--quiet", "--", "links"]),
        Some("manager") => {
            run(root, "cargo", &["build", "--release", "--quiet", "--package", "cluster-agent"])?;
            let agent = crate::target(root).join("release/cluster").display().to_string();
            let part: Vec<&str> = args.get(1).map(String::as_str).into_iter().collect();
            let base = ["run", "--release", "--quiet", "--", "manager", "--agent", &agent];
            run(&root.join("bench/peers"), "cargo", &[&base[..], &part].concat())
        }
        Some("sim") => sim(root, &["speed".into()]),
        Some(other) => {
            Err(format!("there is no benchmark {other:?}: layer1, links, manager, membership, sim and peers are there"))
        }
    }
}

/// Runs every example of every crate to its end. They are built as the tests build them, so that after these nothing is built again.
pub(crate) fn examples(root: &Path) -> Outcome {
    run(root, "cargo", &[&["build", "--quiet", "--workspace", "--examples"], &FEATURES[..]].concat())?;
    let built = crate::target(root);
    let mut found = Vec::new();
    for package in std::fs::read_dir(root.join("crates")).map_err(|e| e.to_string())?.flatten() {
        let Ok(examples) = std::fs::read_dir(package.path().join("examples")) else { continue };
        found.extend(
            examples.flatten().filter_map(|file| Some(file.path().file_stem()?.to_string_lossy().into_owned())),
        );
    }
    found.sort();
    if found.is_empty() {
        return Err("no crate has an example".into());
    }
    for name in found {
        let example = built.join("debug/examples").join(name);
        run(root, &example.display().to_string(), &[])?;
    }
    Ok(())
}

/// What the runner does beside scenarios.
const RUNNER_WORDS: [&str; 10] =
    ["speed", "membership", "decide", "memory", "quiet", "list", "replay", "scenarios", "help", "--help"];

/// Simulated clusters: the runner, optimised.
pub(crate) fn sim(root: &Path, args: &[String]) -> Outcome {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let base = ["run", "--quiet", "--release", "--package", "cluster-sim"];
    // Mistakes are not built into what measures and judges, unless one is asked for.
    let features: &[&str] = if args.contains(&"--plant") { &["--features", "planted", "--"] } else { &["--"] };
    // Whatever is not a word of the runner's own is a scenario, or an option of a run over scenarios.
    let own = args.first().is_some_and(|first| RUNNER_WORDS.contains(first));
    let what: &[&str] = if own { &[] } else { &["scenarios"] };
    run(root, "cargo", &[&base[..], features, what, &args].concat())
}
