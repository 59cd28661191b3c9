//! Detection, dissemination, mistakes and cost by size, loss and path, and by the moment of the crash.

use std::path::PathBuf;

use cluster_gossip::SwimConfig;

use super::batch::{LARGE, run, run_all};
use super::worst;
use crate::measure::{Conditions, Crash, Outcome, Path, crash_at, html, markdown, phases};

/// What can be had alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Sizes and losses over paths of 1 to 2 ms.
    Sizes,
    /// Three sizes over all the other paths.
    Paths,
    /// One crash at each tenth of the probe period.
    Phases,
    /// Ten thousand nodes, one world.
    Large,
    /// Many die at once, paths are long, somebody comes back, everybody is busy.
    Worst,
}

impl Part {
    const ALL: [Self; 5] = [Self::Sizes, Self::Paths, Self::Phases, Self::Large, Self::Worst];
}

/// A table with what it says above it.
type Table = (String, Vec<(Conditions, Outcome)>);

/// Prints the parts asked for, all of them where none is. False where a healthy node was declared failed at up to 15 % of loss with
/// settings that are meant for the path.
pub(crate) fn membership(jobs: usize, seed: u64, nodes_max: usize, part: Option<Part>, page: Option<&PathBuf>) -> bool {
    let mut tables: Vec<Table> = Vec::new();
    let mut good = true;
    for part in Part::ALL.into_iter().filter(|this| part.is_none_or(|part| part == *this)) {
        let wanted = match part {
            Part::Phases => {
                print_phases(jobs, seed);
                continue;
            }
            Part::Worst => {
                good &= worst::print(jobs, seed, nodes_max);
                continue;
            }
            Part::Sizes => sizes(seed, nodes_max),
            Part::Paths => paths(seed, nodes_max),
            Part::Large => large(seed, nodes_max),
        };
        for (name, cells) in wanted.into_iter().filter(|(_, cells)| !cells.is_empty()) {
            let rows = run_all(jobs, &cells);
            println!("### {name}\n\n{}", markdown(&rows));
            good &= rows.len() == cells.len() && rows.iter().all(is_good);
            tables.push((name, rows));
        }
    }
    if let Some(path) = page {
        if let Err(error) = std::fs::write(path, html(&tables)) {
            eprintln!("error: {} cannot be written: {error}", path.display());
            return false;
        }
        println!("plots: {}", path.display());
    }
    good
}

/// 30 % of loss, and the settings of a local network on the other side of the world, are shown for what they are.
fn is_good((conditions, outcome): &(Conditions, Outcome)) -> bool {
    let meant = conditions.path != Path::WORLD || conditions.swim == SwimConfig::wan();
    conditions.loss > 0.2 || !meant || outcome.failed_wrongly() == 0
}

type Wanted = Vec<(String, Vec<Conditions>)>;

fn sizes(seed: u64, nodes_max: usize) -> Wanted {
    let sizes = [10, 30, 100, 300, 1_000].into_iter().filter(|nodes| *nodes <= nodes_max);
    let cells = sizes.flat_map(|nodes| {
        let cell = move |loss| Conditions::new(nodes, Path::LAN, loss, SwimConfig::lan(), seed);
        [cell(0.0), cell(0.05), cell(0.15), cell(0.3), cell(0.0).with_pauses()]
    });
    vec![(format!("lan(), paths of {}", Path::LAN), cells.collect())]
}

fn paths(seed: u64, nodes_max: usize) -> Wanted {
    let (lan, wan) = (("lan()", SwimConfig::lan()), ("wan()", SwimConfig::wan()));
    let tables = [
        (&lan, Path::HOST),
        (&lan, Path::METRO),
        (&lan, Path::CONTINENT),
        (&wan, Path::CONTINENT),
        (&lan, Path::WORLD),
        (&wan, Path::WORLD),
    ];
    let table = |((name, swim), path): (&(&str, SwimConfig), Path)| {
        // A crash that nobody declares is a minute of everybody asking everybody: two sizes and one crash a world show that.
        let astray = path == Path::WORLD && *name == "lan()";
        let sizes: &[usize] = if astray { &[16, 64] } else { &[16, 64, 300] };
        let cell = |nodes, loss| {
            let conditions = Conditions::new(nodes, path, loss, swim.clone(), seed);
            if astray { Conditions { crashes: 1, ..conditions } } else { conditions }
        };
        let sizes = sizes.iter().filter(|nodes| **nodes <= nodes_max);
        let cells = sizes.flat_map(|nodes| [0.0, 0.15].map(|loss| cell(*nodes, loss)));
        (format!("{name}, paths of {path}"), cells.collect())
    };
    tables.into_iter().map(table).collect()
}

fn large(seed: u64, nodes_max: usize) -> Wanted {
    let cell = |loss| {
        let rest = std::time::Duration::from_secs(10);
        Conditions {
            rest,
            crashes: 1,
            worlds: 1,
            ..Conditions::new(2 * LARGE, Path::LAN, loss, SwimConfig::lan(), seed)
        }
    };
    let cells = if nodes_max < 2 * LARGE { Vec::new() } else { vec![cell(0.0), cell(0.15)] };
    vec![(format!("lan(), paths of {}, one world and one crash a row", Path::LAN), cells)]
}

/// Five worlds, each crashed at ten moments: worlds of one seed are the same until then.
fn print_phases(jobs: usize, seed: u64) {
    const TENTHS: usize = 10;
    const SEEDS: usize = 5;
    for path in [Path::LAN, Path::WORLD] {
        let conditions = Conditions::new(64, path, 0.0, SwimConfig::lan(), seed);
        let crashes = run(jobs, TENTHS * SEEDS, |i| {
            crash_at(&conditions, seed + (i % SEEDS) as u64, (i / SEEDS) as f64 / TENTHS as f64)
        });
        let crashes: Vec<Crash> = crashes.into_iter().flatten().collect();
        let rows: Vec<(f64, Vec<Crash>)> = crashes
            .chunks(SEEDS)
            .enumerate()
            .map(|(tenth, these)| (tenth as f64 / TENTHS as f64, these.to_vec()))
            .collect();
        println!("### 64 nodes, lan(), paths of {path}: a crash at each tenth of a period\n\n{}", phases(&rows));
    }
}
