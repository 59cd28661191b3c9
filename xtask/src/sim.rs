//! Simulated clusters: what the runner understands, and running it, optimised.

use std::path::Path;

use crate::Outcome;
use crate::shell::run as run_visibly;

/// What the runner does beside scenarios.
const RUNNER_WORDS: [&str; 13] = [
    "planted",
    "speed",
    "membership",
    "decide",
    "memory",
    "quiet",
    "liars",
    "list",
    "replay",
    "shrink",
    "scenarios",
    "help",
    "--help",
];

/// Its options, and whether a value comes after them.
const RUNNER_OPTIONS: [(&str, bool); 19] = [
    ("--base", true),
    ("--each", true),
    ("--fresh", false),
    ("--for", true),
    ("--no-shrink", false),
    ("--seconds", true),
    ("--help", false),
    ("--verify", false),
    ("--disturb", false),
    ("--jobs", true),
    ("--seeds", true),
    ("--seed", true),
    ("--level", true),
    ("--plant", true),
    ("--bundles", true),
    ("--nodes-max", true),
    ("--part", true),
    ("--html", true),
    ("--hours", true),
];

pub(crate) fn run(root: &Path, args: &[String]) -> Outcome {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let base = ["run", "--quiet", "--release", "--package", "cluster-sim"];
    // Mistakes are not built into what measures and judges, unless one is asked for.
    let plants = args.contains(&"--plant") || args.first() == Some(&"planted");
    let features: &[&str] = if plants { &["--features", "planted", "--"] } else { &["--"] };
    // Whatever is not a word of the runner's own is a scenario, or an option of a run over scenarios.
    let own = args.first().is_some_and(|first| RUNNER_WORDS.contains(first));
    let what: &[&str] = if own { &[] } else { &["scenarios"] };
    run_visibly(root, "cargo", &[&base[..], features, what, &args].concat())
}

/// Whether the runner would understand this, without asking it.
pub(crate) fn check(args: &[String], is_scenario: impl Fn(&str) -> bool) -> Outcome {
    let mut plain = Vec::new();
    let mut args = args.iter().map(String::as_str);
    while let Some(word) = args.next() {
        if !word.starts_with('-') {
            plain.push(word);
            continue;
        }
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let Some((_, takes_value)) = RUNNER_OPTIONS.iter().find(|(option, _)| *option == name) else {
            return Err(format!("the runner has no option {name}"));
        };
        if *takes_value && value.or_else(|| args.next()).is_none() {
            return Err(format!("{name} lacks its value"));
        }
    }
    match plain[..] {
        [] | ["replay" | "shrink", _] | ["planted", ..] => Ok(()),
        [word] if RUNNER_WORDS.contains(&word) || is_scenario(word) => Ok(()),
        ["speed", "targets" | "stack" | "engine"] => Ok(()),
        ["scenarios", name] if is_scenario(name) => Ok(()),
        ["scenarios", unknown, ..] | [unknown] => Err(format!("there is no scenario {unknown:?}")),
        [_, further, ..] => Err(format!("{further:?} is a word too many")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(words: &str) -> Outcome {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        check(&words, |name| name == "halves")
    }

    #[test]
    fn what_the_runner_does_not_know_is_named() {
        for good in [
            "",
            "halves",
            "scenarios halves --level L1",
            "--verify --seeds 400",
            "halves --seed=17",
            "list",
            "--help",
            "membership --nodes-max 1000 --html FILE",
            "membership --part paths --jobs 1",
            "replay target/schedule.json",
            "halves --plant KeepLoser",
            "planted",
            "planted KeepLoser RefutesOnce --seconds 30",
        ] {
            assert_eq!(judged(good), Ok(()), "{good}");
        }
        for (bad, word) in [
            ("tea", "\"tea\""),
            ("scenarios tea", "\"tea\""),
            ("halves tea", "\"tea\""),
            ("--tea", "--tea"),
            ("halves --seeds", "--seeds"),
        ] {
            assert!(judged(bad).is_err_and(|why| why.contains(word)), "{bad}");
        }
    }
}
