//! Mutation tests: every survivor is a change of the code that no test notices. A crate below its share fails.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Outcome;
use crate::cli::MutantsArgs;
use crate::shell::has_cargo_command;

/// What is judged together.
#[derive(Debug)]
struct Group {
    name: &'static str,
    package: &'static str,
    /// Files of the package; none: all.
    files: &'static [&'static str],
    /// Tests that wait out a time-out of seconds, and hold nothing that the others do not run through.
    slow: &'static [&'static str],
    /// Noticed changes in a hundred that compile.
    at_least: u32,
}

const GROUPS: [Group; 4] = [
    Group { name: "cluster-types", package: "cluster-types", files: &[], slow: &[], at_least: 90 },
    Group { name: "cluster-failure", package: "cluster-failure", files: &[], slow: &[], at_least: 90 },
    Group { name: "cluster-gossip", package: "cluster-gossip", files: &[], slow: &[], at_least: 80 },
    Group {
        name: "links",
        package: "cluster-pool",
        files: &["peer.rs", "peer/**", "pool.rs", "pool/**"],
        slow: &[
            "a_connection_that_says_nothing_is_ended",
            "a_thousand_streams_wait_in_the_transport",
            "a_stream_that_stops_in_the_middle_is_ended_and_the_link_stays",
        ],
        at_least: 80,
    },
];

pub(crate) fn run(root: &Path, args: &MutantsArgs) -> Outcome {
    if !has_cargo_command("mutants") {
        return Err("cargo-mutants is not installed: `cargo install cargo-mutants --locked`".into());
    }
    check(args)?;
    let mut short = Vec::new();
    for group in GROUPS.iter().filter(|group| args.package.is_empty() || args.package.iter().any(|p| p == group.name)) {
        let figures = group.run(root, args)?;
        println!("{}: {figures}", group.name);
        if figures.percent() < f64::from(group.at_least) {
            short.push(format!("{} is below {} %", group.name, group.at_least));
        }
    }
    if short.is_empty() { Ok(()) } else { Err(short.join(", ")) }
}

/// Whether there is a threshold for all that is asked for.
pub(crate) fn check(args: &MutantsArgs) -> Outcome {
    let unknown = |name: &&String| !GROUPS.iter().any(|group| group.name == name.as_str());
    let Some(unknown) = args.package.iter().find(unknown) else { return Ok(()) };
    let names: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
    Err(format!("{unknown:?} has no threshold: {} have", names.join(", ")))
}

impl Group {
    fn run(&self, root: &Path, args: &MutantsArgs) -> Result<Figures, String> {
        let out = crate::target(root).join("mutants").join(self.name);
        std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
        let mut command = Command::new("cargo");
        command.args(["mutants", "--no-shuffle", "--package", self.package, "--exclude", "**/planted.rs"]);
        // What Debug prints is for people, and no promise.
        command.args(["--exclude-re", "impl (fmt::)?Debug", "--timeout", "90"]).arg("--output").arg(&out);
        for file in self.files {
            command.arg("--file").arg(format!("crates/{}/src/{file}", self.package));
        }
        if args.one_in > 1 {
            command.args(["--sharding", "round-robin", "--shard", &format!("0/{}", args.one_in)]);
        }
        command.args(&args.rest);
        if has_cargo_command("nextest") {
            command.args(["--test-tool", "nextest", "--", "--fail-fast"]);
            if !self.slow.is_empty() {
                command.args(["-E", &format!("not test(/{}/)", self.slow.join("|"))]);
            }
        }
        println!("\n=== {command:?}");
        let status = command.current_dir(root).status().map_err(|e| format!("cargo mutants cannot be started: {e}"))?;
        // 2: some were missed; 3: some timed out. That is judged here.
        if !matches!(status.code(), Some(0 | 2 | 3)) {
            return Err(format!("cargo mutants failed ({status}); its logs are in {}", out.display()));
        }
        let outcomes = out.join("mutants.out/outcomes.json");
        let text = std::fs::read_to_string(&outcomes).map_err(|e| format!("{}: {e}", outcomes.display()))?;
        Figures::read(&text).map_err(|e| format!("{}: {e}", outcomes.display()))
    }
}

/// What became of the changes that compile.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    noticed: u64,
    missed: u64,
}

impl Figures {
    fn read(outcomes: &str) -> Result<Self, String> {
        let outcomes: Value = serde_json::from_str(outcomes).map_err(|e| e.to_string())?;
        let count = |of: &str| outcomes[of].as_u64().ok_or_else(|| format!("no number {of:?}"));
        Ok(Self { noticed: count("caught")? + count("timeout")?, missed: count("missed")? })
    }

    /// Of nothing, all is noticed.
    fn percent(&self) -> f64 {
        let all = self.noticed + self.missed;
        if all == 0 { 100.0 } else { 100.0 * self.noticed as f64 / all as f64 }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.noticed + self.missed;
        write!(f, "{} of {all} changes that compile are noticed, {:.1} %", self.noticed, self.percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_are_noticed_and_what_does_not_compile_does_not_count() {
        let figures = Figures::read(r#"{"total_mutants":10,"missed":2,"caught":5,"timeout":1,"unviable":2}"#).unwrap();
        assert_eq!(figures, Figures { noticed: 6, missed: 2 });
        assert_eq!(figures.to_string(), "6 of 8 changes that compile are noticed, 75.0 %");
        assert_eq!(Figures { noticed: 0, missed: 0 }.percent(), 100.0);
        assert!(Figures::read("{}").unwrap_err().contains("caught"));
    }
}
