//! The runner as a user meets it: real processes.

use std::path::Path;
use std::process::{Command, Output};

fn run(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cluster-sim")).args(args).current_dir(dir).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// One of each kind: starts, ends, cuts, losses, pauses, bulk, everything; the engine alone and the whole stack.
#[test]
fn the_same_seed_gives_the_same_trace_in_two_processes() {
    let dir = tempfile::tempdir().unwrap();
    for scenario in ["everything", "quick-restart", "loss-15", "thin-link", "simultaneous", "starved"] {
        let output = run(&["scenarios", scenario, "--seeds", "2", "--verify", "--level", "L1"], dir.path());
        assert!(output.status.success(), "{scenario}: {}", text(&output));
    }
    let output = run(&["scenarios", "halves", "--seeds", "4", "--verify", "--level", "L0"], dir.path());
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_run_that_differs_is_caught_and_the_first_event_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["scenarios", "crash-one", "--seed", "1", "--verify", "--disturb"], dir.path());
    assert!(!output.status.success());
    let said = text(&output);
    let (_, shown) = said.split_once("two runs of one seed differ, first here:").expect(&said);
    let lines: Vec<&str> = shown.lines().skip(1).take(2).collect();
    // The same place of the trace, the same time, other contents.
    assert!(lines.iter().all(|line| line.contains("5s step the wall clock of 0 by ")), "{said}");
    assert_ne!(lines[0], lines[1]);
}

#[test]
fn a_failure_comes_with_a_schedule_that_plays_again() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["scenarios", "crash-one", "--seed", "3"], dir.path());
    assert!(output.status.success(), "{}", text(&output));
    assert!(!dir.path().join("target").exists(), "no failure, no bundle");

    // A schedule that cannot hold: nobody may be declared failed, and somebody dies.
    let entry = cluster_testkit::scenario::entry("crash-one").unwrap();
    let scenario = entry.scenario(3).expecting(|e| e.no_failures = true);
    let saved = serde_json::json!({ "version": 1, "level": "L1", "seed": 3, "scenario": scenario });
    let file = dir.path().join("schedule.json");
    std::fs::write(&file, saved.to_string()).unwrap();
    let output = run(&["replay", file.to_str().unwrap()], dir.path());
    assert!(!output.status.success());
    let said = text(&output);
    assert!(said.contains("broken: nobody is declared failed: at "), "{said}");
    assert!(said.contains("Crash("), "the steps are shown: {said}");
}

#[test]
fn what_cannot_be_run_is_said_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["scenarios", "no-such"], dir.path());
    assert!(!output.status.success());
    assert!(text(&output).contains("there is no scenario \"no-such\""), "{}", text(&output));
    let file = dir.path().join("x.json");
    std::fs::write(&file, "{").unwrap();
    let output = run(&["replay", file.to_str().unwrap()], dir.path());
    assert!(text(&output).contains("it is not a saved schedule"), "{}", text(&output));
    let output = run(&["scenarios", "closed-links", "--level", "L0"], dir.path());
    assert!(text(&output).contains("nothing to show at that level"), "{}", text(&output));
    let output = run(&["scenarios", "--level", "L7"], dir.path());
    assert_eq!(output.status.code(), Some(2));
}

/// From the mistake to the schedule that shows it, as somebody at a terminal would go.
#[cfg(feature = "planted")]
#[test]
fn a_planted_mistake_gives_a_schedule_and_a_command_that_show_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["scenarios", "simultaneous", "--seeds", "3", "--plant", "KeepLoser"];
    let output = run(&args, dir.path());
    assert!(!output.status.success());
    let said = text(&output);
    let again = said.lines().find_map(|line| line.trim().strip_prefix("again: cargo xtask sim ")).expect(&said);
    assert!(again.ends_with("--level L1 --plant KeepLoser"), "{again}");
    let broken = said.lines().find(|line| line.contains("one live link a pair")).expect(&said);
    let bundle = dir.path().join("target/sim/simultaneous-1-L1");
    let trace = std::fs::read_to_string(bundle.join("trace.txt")).unwrap();
    assert!(trace.lines().count() > 1_000 && trace.contains("packet 0 -> 1"));
    let report = std::fs::read_to_string(bundle.join("report.txt")).unwrap();
    assert!(report.contains(broken.trim()), "{report}");

    let args: Vec<&str> = std::iter::once("scenarios").chain(again.split(' ')).collect();
    let output = run(&args, dir.path());
    assert!(!output.status.success() && text(&output).contains(broken), "{}", text(&output));
    // The schedule is what was done, not what was wrong: without the mistake it holds.
    let output = run(&["replay", bundle.join("schedule.json").to_str().unwrap()], dir.path());
    assert!(output.status.success(), "{}", text(&output));
    let output = run(&["scenarios", "--plant", "Nothing"], dir.path());
    assert!(text(&output).contains("there is no mistake \"Nothing\" to plant: SkipRefutation"), "{}", text(&output));
}
