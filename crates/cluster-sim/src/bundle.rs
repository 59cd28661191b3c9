//! What belongs to a failure, on disk: the schedule as data, a picture of the run, the trace a line an event, and what each checker saw.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cluster_testkit::Trace;
use cluster_testkit::scenario::{Saved, entry};

use super::worker::{Job, Told, play};

/// Plays a failed job again with every line kept, and writes everything down.
pub(crate) fn write(bundles: &Path, job: &Job) -> io::Result<PathBuf> {
    let missing = || io::Error::other(format!("there is no scenario {}", job.scenario));
    let scenario = entry(&job.scenario).ok_or_else(missing)?.scenario(job.seed);
    let dir = bundles.join(format!("{}-{}-{}", job.scenario, job.seed, job.level));
    fs::create_dir_all(&dir)?;
    Saved::new(job.level, job.seed, scenario).save(&dir.join("schedule.json"))?;
    // In a process of its own: it may end badly.
    let everything = Job { picture: Some(dir.join("picture.html")), ..job.clone() };
    let Told { findings, lines, reported, peers, hash, .. } = super::campaign::run_one(&everything);
    fs::write(dir.join("trace.txt"), lines.join("\n") + "\n")?;
    let counts: String = reported.iter().map(|(event, count)| format!("{event}: {count}\n")).collect();
    let (findings, peers) = (findings.join("\n"), peers.join("\n"));
    let report = format!("findings:\n{findings}\n\nreported:\n{counts}\npeers:\n{peers}\n\ntrace {hash}\n");
    fs::write(dir.join("report.txt"), report)?;
    Ok(dir)
}

/// Plays a saved schedule.
pub(crate) fn replay(file: &Path, plant: Option<&str>) -> bool {
    if let Err(why) = plant.map_or(Ok(()), super::campaign::can_plant) {
        eprintln!("error: {why}");
        return false;
    }
    let saved = match Saved::load(file) {
        Ok(saved) => saved,
        Err(reason) => {
            eprintln!("error: {reason}");
            return false;
        }
    };
    let Saved { level, seed, scenario, .. } = saved;
    println!("{} at {level}, {} steps:", scenario.name, scenario.steps.len());
    for step in &scenario.steps {
        println!("  {:>9.3} s  {:?}", step.at_ms as f64 / 1_000.0, step.act);
    }
    let told = play(&scenario, level, seed, plant, &Trace::default());
    for (event, count) in &told.reported {
        println!("{event}: {count}");
    }
    told.peers.iter().for_each(|peer| println!("{peer}"));
    told.findings.iter().for_each(|finding| println!("broken: {finding}"));
    println!("trace {} over {} events", told.hash, told.events);
    told.findings.is_empty()
}
