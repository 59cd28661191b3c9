//! The runner as a user meets it: real processes.

use std::path::Path;
use std::process::{Command, Output};

fn run(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cluster-sim")).args(args).current_dir(dir).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// One of each kind: starts, ends, losses, pauses, bulk, clogged paths, new certificates, several faults at once; the engine alone and the whole
/// stack.
#[test]
fn the_same_seed_gives_the_same_trace_in_two_processes() {
    let dir = tempfile::tempdir().unwrap();
    for scenario in [
        "quick-restart",
        "loss-15",
        "thin-link",
        "simultaneous",
        "starved",
        "clogged",
        "rotation",
        "metadata",
        "everything",
        "swarm",
    ] {
        let output = run(&["scenarios", scenario, "--seeds", "1", "--verify", "--level", "L1"], dir.path());
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

/// The summary as a user reads it. How many events there were, and how long it took, says nothing of what was run, and is left out.
#[test]
fn a_summary_says_what_ran_at_which_level_and_for_how_long() {
    let dir = tempfile::tempdir().unwrap();
    let mut said = String::new();
    for args in ["crash-one", "halves"].map(|name| [name, "--seeds", "2", "--level", "L0"]) {
        let output = run(&[&["scenarios"][..], &args].concat(), dir.path());
        assert!(output.status.success(), "{}", text(&output));
        said += &format!("$ cargo xtask sim {}\n{}\n", args.join(" "), String::from_utf8_lossy(&output.stdout));
    }
    insta::with_settings!({ filters => vec![
        (r"\| \d+ \|\n", "| [events] |\n"),
        (r"(\d+) runs in \d+ s, \d+ s of a core", "$1 runs in [time]"),
    ] }, { insta::assert_snapshot!(said) });
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
    assert!(text(&output).contains("x.json: it is cut short (EOF"), "{}", text(&output));
    let output = run(&["scenarios", "closed-links", "--level", "L0"], dir.path());
    assert!(text(&output).contains("nothing to show at that level"), "{}", text(&output));
    let output = run(&["scenarios", "--level", "L7"], dir.path());
    assert_eq!(output.status.code(), Some(2));
}

/// What is wrong with a file is said with its name, its place, and what to do; by each command that reads one.
#[test]
fn a_schedule_that_cannot_be_played_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = cluster_testkit::scenario::entry("crash-one").unwrap().scenario(3);
    let good = serde_json::json!({ "version": 1, "level": "L1", "seed": 3, "scenario": scenario });
    let mut of_tomorrow = good.clone();
    of_tomorrow["version"] = 2.into();
    of_tomorrow["scenario"] = "in another form".into();
    let mut of_nobody = good.clone();
    of_nobody["scenario"]["steps"][1]["act"] = serde_json::json!({ "Pause": 77 });
    let mut cut_from_nobody = good.clone();
    cut_from_nobody["scenario"]["steps"][1]["act"] = serde_json::json!({ "Split": [[0], [88]] });
    let whole = good.to_string();
    let bad = [
        (whole[..whole.len() / 2].to_owned(), "it is cut short (EOF", "copy it once more"),
        (String::new(), "it is cut short (EOF", "copy it once more"),
        (
            of_tomorrow.to_string(),
            "it has version 2, and this program reads version 1",
            "play it with the program that wrote it",
        ),
        (of_nobody.to_string(), "step 1, Pause(77) at 0 ms", "node 77 was never started, or not yet"),
        (cut_from_nobody.to_string(), "step 1, Split([0], [88]) at 0 ms", "node 88 is never started"),
        ("[1, 2]".to_owned(), "it is not a saved schedule", "invalid"),
    ];
    for (contents, what, hint) in bad {
        // As the file of a bundle, which may be named by its directory.
        let file = dir.path().join("schedule.json");
        std::fs::write(&file, &contents).unwrap();
        for (command, path) in [("replay", file.as_path()), ("replay", dir.path()), ("shrink", dir.path())] {
            let output = run(&[command, path.to_str().unwrap()], dir.path());
            let said = text(&output);
            assert_eq!(output.status.code(), Some(1), "{command}: {said}");
            assert!(said.contains("error: ") && said.contains("schedule.json: "), "{command}: {said}");
            assert!(said.contains(what) && said.contains(hint), "{command}: {said}");
        }
    }
    let output = run(&["replay", "no-such-file.json"], dir.path());
    assert!(text(&output).contains("error: no-such-file.json: No such file"), "{}", text(&output));
}

/// A few of them, of core, pool, loop and disk; `cargo xtask sim planted` does so with all there are.
#[cfg(feature = "planted")]
#[test]
fn planted_mistakes_become_as_small_as_promised_and_play_again_elsewhere() {
    use cluster_testkit::planted::SHOWN;
    use cluster_testkit::scenario::Saved;

    let dir = tempfile::tempdir().unwrap();
    let some = ["RootsNeverMatch", "WrongAddress", "LoseAnswers", "RejectedUncounted", "RememberNobody"];
    let output = run(&[&["planted", "--bundles", "kept"], &some[..]].concat(), dir.path());
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("5 of 5 mistakes are found within 3 seeds and become 4 acts on 5 nodes or fewer"), "{said}");
    let kept: Vec<_> = std::fs::read_dir(dir.path().join("kept")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(kept.len(), some.len(), "one file each, and nothing else: {kept:?}");
    for mistake in some {
        let shown = SHOWN.iter().find(|shown| shown.mistake == mistake).unwrap();
        let (check, words) = (shown.check, shown.check.replace([' ', '\''], "-"));
        let names = |path: &&std::path::PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(shown.scenario) && name.ends_with(&format!("-{words}.json"))
        };
        let file = kept.iter().find(names).unwrap_or_else(|| panic!("a name that says {check}: {kept:?}"));
        assert!(Saved::load(file).unwrap().scenario.nodes() <= 5);
        // In another process: with the mistake it breaks the same promise, without it none.
        let again = run(&["replay", file.to_str().unwrap(), "--plant", mistake], dir.path());
        assert!(!again.status.success() && text(&again).contains(&format!("broken: {check}: ")), "{}", text(&again));
        let sound = run(&["replay", file.to_str().unwrap()], dir.path());
        assert!(sound.status.success(), "{}", text(&sound));
    }
    let output = run(&["planted", "Nothing"], dir.path());
    assert!(text(&output).contains("there is no mistake \"Nothing\" to plant"), "{}", text(&output));
}

/// From the mistake to the schedule that shows it, as somebody at a terminal would go.
#[cfg(feature = "planted")]
#[test]
fn a_planted_mistake_gives_a_schedule_and_a_command_that_show_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["scenarios", "simultaneous", "--seeds", "3", "--plant", "KeepLoser", "--no-shrink"];
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

/// A failure is made smaller, and what is left breaks the same promise again.
#[cfg(feature = "planted")]
#[test]
fn a_planted_failure_is_made_smaller_and_what_is_left_fails_again() {
    use cluster_testkit::scenario::Saved;
    use cluster_testkit::{Act, Level, Scenario};
    use std::time::Duration;

    let s = Duration::from_secs;
    // Verdicts fall two seconds early: the pause is the cause, and all else is beside it.
    let scenario = Scenario::new("planted")
        .cluster(4)
        .at(s(4), Act::Metadata { node: 0, zone: "a".to_owned(), version: 1 })
        .at(s(5), Act::Pause(2))
        .at(s(6), Act::CloseLinks { node: 0, to: 1 })
        .at(s(7), Act::StepWallClock { node: 1, by_ms: 90_000 })
        .at(s(11), Act::Resume(2))
        .at(s(13), Act::Crash(3))
        .at(s(15), Act::Start { node: 3, seeds: vec![0] })
        .then_quiet(s(15));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("schedule.json");
    Saved::new(Level::L1, 1, scenario).save(&file).unwrap();
    let output = run(&["shrink", file.to_str().unwrap(), "--plant", "VerdictBeforeP"], dir.path());
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let kept = said.lines().find_map(|line| line.strip_prefix("kept as ")).expect(&said);
    assert!(kept.ends_with("planted-1-a-verdict-has-the-votes-that-it-needs.json"), "{kept}");
    let saved = Saved::load(Path::new(kept)).unwrap();
    let left: Vec<&Act> = saved.scenario.steps.iter().map(|step| &step.act).collect();
    let others = left.iter().filter(|act| !matches!(act, Act::Start { .. } | Act::Pause(_) | Act::Resume(_)));
    assert_eq!(others.count(), 0, "the pause alone is left: {left:?}");
    assert!(saved.scenario.nodes() <= 3 && saved.scenario.until_ms < 30_000, "{said}");
    // Without the mistake it breaks nothing: there is nothing to shrink.
    let output = run(&["shrink", kept], dir.path());
    assert!(!output.status.success() && text(&output).contains("it breaks no promise"), "{}", text(&output));
}

/// The page is opened in a real browser, where there is one, and shows the cause.
#[cfg(feature = "planted")]
#[test]
fn the_picture_of_a_planted_failure_shows_its_cause_in_a_browser() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["scenarios", "halves", "--seed", "1", "--plant", "VerdictBeforeP", "--no-shrink"];
    assert!(!run(&args, dir.path()).status.success());
    let page = dir.path().join("target/sim/halves-1-L1/picture.html");
    assert!(page.is_file());
    let profile = dir.path().join("profile");
    let flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
    let quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom"];
    let drawn = Command::new("chromium")
        .args(flags)
        .args(quiet)
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}#finding=0", page.display()))
        .output();
    // Where there is no browser, nobody looks.
    let Ok(drawn) = drawn else { return };
    let dom = text(&drawn);
    // What the page says of itself is on its body; its script names the same words.
    let body = dom.split_once("<body").expect("a body").1.split_once('>').unwrap().0.to_owned();
    let number = |name: &str| -> usize {
        let (_, rest) = body.split_once(&format!("data-{name}=\"")).unwrap_or_else(|| panic!("no {name} in {body}"));
        rest.split_once('"').unwrap().0.parse().unwrap()
    };
    assert!(body.contains("data-ready=\"true\"") && !body.contains("data-error"), "{body}");
    assert!(number("lanes") >= 5 && number("events") > 50 && number("arrows") > 100);
    // The cut is a cause, and so is the suspicion that led to the verdict.
    assert!(number("causes") >= 2);
    let cause = |id: &str| dom.split('<').any(|tag| tag.contains(id) && tag.contains("cause"));
    assert!(cause("id=\"fault-0\""), "the cut is marked");
}
