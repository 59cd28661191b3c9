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
