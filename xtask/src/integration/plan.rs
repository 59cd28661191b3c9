//! Which tests there are, in which stage, and what they need.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::sandbox;
use crate::cli::IntegrationArgs;
use crate::shell::{self, output};
use crate::tests::FEATURES;

/// Where the tests of a stage live, and how they are run.
#[derive(Debug)]
struct Place {
    stage: &'static str,
    package: &'static str,
    target: &'static str,
    /// Modules of the test binary that belong to the stage; none: all of them.
    modules: &'static [&'static str],
    /// Tests that run beside each other: those whose figures are small run alone, those that mostly wait do not.
    at_once: usize,
    /// Needs networks of its own.
    networks: bool,
}

const PLACES: [Place; 3] = [
    Place { stage: "links", package: "cluster-testkit", target: "loopback", modules: &[], at_once: 1, networks: false },
    Place {
        stage: "processes",
        package: "cluster-agent",
        target: "it",
        modules: &["life", "bad_days", "changes", "exhaustion", "talking", "measured", "soak"],
        at_once: 1,
        networks: false,
    },
    Place {
        stage: "network",
        package: "cluster-agent",
        target: "it",
        modules: &["network"],
        at_once: 3,
        networks: true,
    },
];

/// What takes minutes and is not for the gate.
const LONG: [&str; 1] = ["measured"];

/// A part of the whole, with what there is to run.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    /// Where `cargo test` would run it.
    pub(super) dir: PathBuf,
    pub(super) at_once: usize,
    pub(super) networks: bool,
    pub(super) tests: Vec<Test>,
}

#[derive(Debug)]
pub(super) struct Test {
    /// With its modules, as the test binary knows it.
    pub(super) name: String,
}

impl Stage {
    /// Why this stage cannot be run here, if so.
    pub(super) fn obstacle(&self, args: &IntegrationArgs) -> Option<String> {
        match (self.networks, args.no_netns) {
            (false, _) => None,
            (true, true) => Some("--no-netns".into()),
            (true, false) => sandbox::obstacle(),
        }
    }
}

/// The stage that runs a test of a package's target, if one does.
pub(crate) fn stage_of(package: &str, target: &str, test: &str) -> Option<&'static str> {
    let has = |place: &&Place| place.package == package && place.target == target && place.has(test);
    PLACES.iter().find(has).map(|place| place.stage)
}

/// Builds what is needed, and finds the tests that are wanted.
pub(super) fn build(root: &Path, args: &IntegrationArgs) -> Result<Vec<Stage>, String> {
    let mut stages = Vec::new();
    for place in PLACES {
        let program = program_of(root, &place, args.debug)?;
        let all = names(&program, &[])?;
        let ignored = names(&program, &["--ignored"])?;
        let tests = all.into_iter().filter(|name| place.has(name) && wanted(place.stage, name, &ignored, args));
        stages.push(Stage {
            name: place.stage,
            dir: root.join("crates").join(place.package),
            at_once: place.at_once,
            networks: place.networks,
            tests: tests.map(|name| Test { name }).collect(),
            program,
        });
    }
    Ok(stages)
}

impl Place {
    fn has(&self, test: &str) -> bool {
        self.modules.is_empty() || self.modules.contains(&module(test))
    }
}

fn module(test: &str) -> &str {
    test.split("::").next().unwrap_or_default()
}

fn wanted(stage: &str, test: &str, ignored: &[String], args: &IntegrationArgs) -> bool {
    // What is not ignored is run by `cargo xtask test`.
    let in_share = !args.quick || ignored.iter().any(|name| name == test) && !LONG.contains(&module(test));
    let full = format!("{stage}::{test}");
    in_share && (args.filter.is_empty() || args.filter.iter().any(|part| full.contains(part.as_str())))
}

/// Builds a test binary, and says where it is.
fn program_of(root: &Path, place: &Place, debug: bool) -> Result<PathBuf, String> {
    // Unoptimised just as the tests are built, so that after them nothing is built again; optimised each crate by itself, so
    // that the agent is what its users get.
    let release = ["--release", "--package", place.package, "--test", place.target];
    let what: Vec<&str> = if debug { [&["--workspace"], &FEATURES[..]].concat() } else { release.to_vec() };
    let base = ["test", "--quiet", "--no-run", "--message-format=json-render-diagnostics"];
    let args = [&base[..], &what].concat();
    println!("=== cargo {}", args.join(" "));
    let built = Command::new("cargo").args(&args).current_dir(root).stderr(Stdio::inherit()).output();
    let built = built.map_err(|e| format!("cargo cannot be started: {e}"))?;
    if !built.status.success() {
        return Err(format!("`cargo {}` failed ({})", args.join(" "), built.status));
    }
    let told = String::from_utf8_lossy(&built.stdout);
    let manifest = root.join("crates").join(place.package).join("Cargo.toml");
    let program = told.lines().filter_map(|line| serde_json::from_str(line).ok()).find_map(|line: Value| {
        let here = line["target"]["name"] == place.target
            && line["target"]["kind"][0] == "test"
            && line["manifest_path"].as_str().map(Path::new) == Some(&manifest);
        here.then(|| line["executable"].as_str().map(PathBuf::from)).flatten()
    });
    program.ok_or_else(|| format!("{} has no test {}", place.package, place.target))
}

fn names(program: &Path, args: &[&str]) -> Result<Vec<String>, String> {
    let program = shell::text_of(program)?;
    let listed = output(Path::new("."), program, &[&["--list", "--format", "terse"], args].concat())?;
    Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gates_share_is_what_the_tests_leave_out_and_is_not_long() {
        let ignored = ["network::cut".to_owned(), "measured::sixteen".to_owned()];
        let quick = IntegrationArgs { quick: true, ..Default::default() };
        assert!(wanted("network", "network::cut", &ignored, &quick));
        assert!(!wanted("processes", "measured::sixteen", &ignored, &quick));
        assert!(!wanted("processes", "life::meet", &ignored, &quick));
        let all = IntegrationArgs::default();
        assert!(
            wanted("processes", "life::meet", &ignored, &all)
                && wanted("processes", "measured::sixteen", &ignored, &all)
        );
    }

    #[test]
    fn a_test_belongs_to_one_stage_or_to_none() {
        assert_eq!(stage_of("cluster-agent", "it", "network::cut"), Some("network"));
        assert_eq!(stage_of("cluster-agent", "it", "life::meet"), Some("processes"));
        assert_eq!(stage_of("cluster-agent", "it", "commands::help"), None);
        assert_eq!(stage_of("cluster-testkit", "loopback", "many::meet"), Some("links"));
        assert_eq!(stage_of("cluster-testkit", "it", "many::meet"), None);
    }

    #[test]
    fn a_filter_is_any_part_of_stage_and_name() {
        let some = IntegrationArgs { filter: vec!["network".into(), "::meet".into()], ..Default::default() };
        assert!(wanted("network", "network::cut", &[], &some) && wanted("processes", "life::meet", &[], &some));
        assert!(!wanted("processes", "life::killed", &[], &some));
    }
}
