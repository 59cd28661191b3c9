//! Benchmarks by the layer they measure, and the parts of each that can be run alone. What docs/promises.md names is looked up in
//! the same table.

use std::path::Path;

use crate::shell::run as run_visibly;
use crate::{Outcome, sim, target};

/// A benchmark by name.
#[derive(Debug)]
pub(crate) struct Bench {
    name: &'static str,
    /// What can be measured alone.
    parts: &'static [&'static str],
    measure: fn(&Path, Option<&str>) -> Outcome,
}

static BENCHES: [Bench; 6] = [
    Bench { name: "layer1", parts: &["heartbeat", "phi", "merge_rule", "publish"], measure: layer1 },
    Bench {
        name: "links",
        parts: &["pool", "request", "thread", "latency", "memory", "lock"],
        measure: |root, part| peers(root, &["links"], part),
    },
    Bench { name: "manager", parts: &["request", "load", "life", "agents"], measure: manager },
    Bench { name: "membership", parts: &[], measure: membership },
    Bench { name: "peers", parts: &OTHERS, measure: others },
    Bench { name: "sim", parts: &["targets", "stack", "engine"], measure: worlds },
];

/// Other people's crates beside ours.
const OTHERS: [&str; 4] = ["crash", "lifeguard", "rapid", "ping"];

/// The benchmark of that name, whole or in part; the first if nothing is said.
pub(crate) fn run(root: &Path, words: &[String]) -> Outcome {
    let (bench, part) = find(words)?;
    (bench.measure)(root, part)
}

/// What the words mean, or what there is instead.
pub(crate) fn find(words: &[String]) -> Result<(&'static Bench, Option<&str>), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (name, part) = match words[..] {
        [] => ("layer1", None),
        [name] => (name, None),
        [name, part] => (name, Some(part)),
        [_, _, further, ..] => return Err(format!("{further:?} is a word too many: a benchmark, and one part of it")),
    };
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        return Err(format!("there is no benchmark {name:?}: {} are there", names.join(", ")));
    };
    match part {
        Some(part) if bench.parts.is_empty() => Err(format!("{name} has no parts, and no {part:?}")),
        Some(part) if !bench.parts.contains(&part) => {
            Err(format!("{name} has no part {part:?}: {} are there", bench.parts.join(", ")))
        }
        _ => Ok((bench, part)),
    }
}

fn layer1(root: &Path, part: Option<&str>) -> Outcome {
    let base = ["bench", "--package", "cluster-failure", "--bench", "layer1"];
    let part: Vec<&str> = part.into_iter().flat_map(|part| ["--", part]).collect();
    run_visibly(root, "cargo", &[&base[..], &part].concat())
}

fn membership(root: &Path, _part: Option<&str>) -> Outcome {
    run_visibly(root, "cargo", &["bench", "--package", "cluster-gossip", "--bench", "membership"])?;
    sim::run(root, &["memory".to_owned()])
}

fn worlds(root: &Path, part: Option<&str>) -> Outcome {
    let words: Vec<String> = ["speed"].into_iter().chain(part).map(str::to_owned).collect();
    sim::run(root, &words)
}

fn others(root: &Path, part: Option<&str>) -> Outcome {
    let wanted = |other: &&str| part.is_none_or(|part| part == *other);
    OTHERS.into_iter().filter(wanted).try_for_each(|other| peers(root, &[other], None))
}

fn manager(root: &Path, part: Option<&str>) -> Outcome {
    run_visibly(root, "cargo", &["build", "--release", "--quiet", "--package", "cluster-agent"])?;
    let agent = target(root).join("release/cluster").display().to_string();
    peers(root, &["manager", "--agent", &agent], part)
}

/// Runs the program of bench/peers, which is a workspace of its own.
fn peers(root: &Path, what: &[&str], part: Option<&str>) -> Outcome {
    let part: Vec<&str> = part.into_iter().collect();
    let base = ["run", "--release", "--quiet", "--"];
    run_visibly(&root.join("bench/peers"), "cargo", &[&base[..], what, &part].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[&str]) -> Result<(&'static str, Option<String>), String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        find(&words).map(|(bench, part)| (bench.name, part.map(str::to_owned)))
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        assert_eq!(found(&[]), Ok(("layer1", None)));
        assert_eq!(found(&["links", "lock"]), Ok(("links", Some("lock".into()))));
        let why = found(&["tea"]).unwrap_err();
        assert!(why.contains("\"tea\"") && why.contains("layer1, links"), "{why}");
        let why = found(&["links", "tea"]).unwrap_err();
        assert!(why.contains("\"tea\"") && why.contains("latency, memory, lock"), "{why}");
        let why = found(&["membership", "tea"]).unwrap_err();
        assert!(why.contains("membership has no parts"), "{why}");
        let why = found(&["links", "lock", "pool"]).unwrap_err();
        assert!(why.contains("\"pool\" is a word too many"), "{why}");
    }

    /// The parts are told apart by the program in bench/peers: in lines of a table that begin with the word for each.
    #[test]
    fn parts_are_those_that_the_program_knows() {
        for (name, file) in [("links", "links.rs"), ("manager", "manager.rs")] {
            let path = crate::root().join("bench/peers/src").join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            let rows = text.lines().filter_map(|line| line.trim_start().strip_prefix("(\""));
            let known: Vec<&str> = rows.filter_map(|row| row.split('"').next()).collect();
            let bench = BENCHES.iter().find(|bench| bench.name == name).unwrap();
            assert_eq!(bench.parts, known, "{}", path.display());
        }
    }
}
