//! One seed of one scenario in a process of its own: nothing that an earlier seed left behind can touch it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use cluster_manager::ClusterConfig;
use cluster_testkit::assertions::{Seen, catalogue};
use cluster_testkit::play::{Outcome, run_configured};
use cluster_testkit::scenario::{Saved, entry};
use cluster_testkit::world::stack::Configure;
use cluster_testkit::{Act, Level, Scenario, Trace, picture};
use serde::{Deserialize, Serialize};

/// What one process does.
#[derive(Debug, Clone, Args, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Job {
    /// The scenario.
    pub(crate) scenario: String,
    /// The seed.
    #[arg(long)]
    pub(crate) seed: u64,
    /// How much of the real thing runs.
    #[arg(long, value_parser = super::parse_level)]
    pub(crate) level: Level,
    /// Keep the lines of the trace from this event on.
    #[arg(long, default_value_t = 0)]
    pub(crate) lines_from: u64,
    /// And up to before this one.
    #[arg(long, default_value_t = 0)]
    pub(crate) lines_to: u64,
    /// Does something at five seconds that differs from process to process: to see that a comparison finds it.
    #[arg(long, hide = true)]
    pub(crate) disturb: bool,
    /// Plants a mistake into every node.
    #[arg(long, hide = true)]
    pub(crate) plant: Option<String>,
    /// Plays this schedule, and not the one of the scenario's name.
    #[arg(long, hide = true)]
    pub(crate) schedule: Option<PathBuf>,
    /// Keeps every line, and draws a picture of the run into this file.
    #[arg(long, hide = true)]
    pub(crate) picture: Option<PathBuf>,
}

impl Job {
    /// A seed of a scenario, played without keeping lines.
    pub(crate) const fn new(scenario: String, seed: u64, level: Level) -> Self {
        Self {
            scenario,
            seed,
            level,
            lines_from: 0,
            lines_to: 0,
            disturb: false,
            plant: None,
            schedule: None,
            picture: None,
        }
    }

    /// The job on the command line of a worker.
    pub(crate) fn args(&self) -> Vec<String> {
        let Self { scenario, seed, level, lines_from, lines_to, disturb, plant, schedule, picture } = self;
        let pairs = [("--seed", seed.to_string()), ("--level", level.to_string())];
        let window = [("--lines-from", lines_from.to_string()), ("--lines-to", lines_to.to_string())];
        let rest = pairs.into_iter().chain(window).flat_map(|(flag, value)| [flag.to_owned(), value]);
        let disturb = disturb.then(|| "--disturb".to_owned());
        let plant = plant.iter().flat_map(|name| ["--plant".to_owned(), name.clone()]);
        let schedule = schedule.iter().flat_map(|file| ["--schedule".to_owned(), file.display().to_string()]);
        let args = ["one".to_owned(), scenario.clone()].into_iter().chain(rest).chain(disturb);
        let picture = picture.iter().flat_map(|file| ["--picture".to_owned(), file.display().to_string()]);
        args.chain(plant).chain(schedule).chain(picture).collect()
    }

    /// The command that runs it again.
    pub(crate) fn again(&self) -> String {
        let plant = self.plant.as_ref().map_or_else(String::new, |name| format!(" --plant {name}"));
        format!("cargo xtask sim {} --seed {} --level {}{plant}", self.scenario, self.seed, self.level)
    }

    /// What is to be played.
    fn scenario(&self) -> Result<Scenario, String> {
        if let Some(file) = &self.schedule {
            return Saved::load(file).map(|saved| saved.scenario);
        }
        let entry = entry(&self.scenario);
        let entry = entry
            .ok_or_else(|| format!("there is no scenario {:?}; `cargo xtask sim list` names them", self.scenario))?;
        Ok(entry.scenario(self.seed))
    }

    pub(crate) fn window(mut self, window: Range<u64>) -> Self {
        (self.lines_from, self.lines_to) = (window.start, window.end);
        self
    }
}

/// What a worker tells.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) findings: Vec<String>,
    pub(crate) hash: String,
    pub(crate) events: u64,
    pub(crate) span_ms: u64,
    pub(crate) left_out: usize,
    pub(crate) checkpoints: Vec<String>,
    pub(crate) sites: Vec<Seen>,
    pub(crate) reported: BTreeMap<String, usize>,
    pub(crate) peers: Vec<String>,
    pub(crate) lines: Vec<String>,
    /// Processor time of the worker, where the system tells.
    #[serde(default)]
    pub(crate) cpu_ms: Option<u64>,
}

/// Plays the job and prints what came of it.
pub(crate) fn work(job: &Job) -> ExitCode {
    let mut scenario = match job.scenario() {
        Ok(scenario) => scenario,
        Err(reason) => {
            eprintln!("error: {reason}");
            return ExitCode::from(2);
        }
    };
    if std::env::var_os("RUST_LOG").is_some_and(|level| level == "trace") {
        // The only one of this process.
        let _ = tracing::subscriber::set_global_default(FormatsAndForgets);
    }
    let trace = match job.picture {
        Some(_) => Trace::with_everything(),
        None => Trace::with_lines(job.lines_from..job.lines_to),
    };
    watch(trace.clone());
    if job.disturb {
        let by_ms = i64::from(std::process::id());
        scenario = scenario.at(Duration::from_secs(5), Act::StepWallClock { node: 0, by_ms });
    }
    let outcome = run_configured(&scenario, job.level, job.seed, trace.clone(), planting(job.plant.as_deref()));
    if let Some(file) = &job.picture {
        let title = format!("{} seed {} at {}", job.scenario, job.seed, job.level);
        let page = picture::page(&scenario, &outcome, &trace, &title, &job.again());
        if let Err(error) = std::fs::write(file, page) {
            eprintln!("error: the picture cannot be written to {}: {error}", file.display());
        }
    }
    let told = tell(outcome, &trace);
    match serde_json::to_string(&told) {
        Ok(line) => println!("{line}"),
        Err(error) => {
            eprintln!("error: the outcome cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Plays a scenario with everything watched.
pub(crate) fn play(scenario: &Scenario, level: Level, seed: u64, planted: Option<&str>, trace: &Trace) -> Told {
    tell(run_configured(scenario, level, seed, trace.clone(), planting(planted)), trace)
}

/// What plants a mistake into the settings of every node.
fn planting(name: Option<&str>) -> Option<Configure> {
    let name = name?.to_owned();
    Some(Arc::new(move |config: &mut _| plant(&name, config)))
}

#[cfg(feature = "planted")]
fn plant(name: &str, config: &mut ClusterConfig) {
    cluster_testkit::planted::plant(name, config);
}

/// The campaign has refused to plant anything.
#[cfg(not(feature = "planted"))]
const fn plant(_name: &str, _config: &mut ClusterConfig) {}

fn tell(outcome: Outcome, trace: &Trace) -> Told {
    let Outcome { findings, hash, events, reports, peers, span, left_out } = outcome;
    let mut findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let sites = catalogue();
    let broken = sites.iter().filter(|seen| seen.is_broken());
    findings.extend(broken.map(|seen| format!("always: {} ({}), {} times not", seen.name, seen.place, seen.misses)));
    let mut reported = BTreeMap::new();
    for report in &reports {
        *reported.entry(report.kind.as_str().to_owned()).or_default() += 1;
    }
    let mut lines = trace.lines();
    if lines.is_empty() && trace.events() == 0 {
        // The engine's world keeps no packets: its reports are its trace.
        lines =
            reports.iter().map(|r| format!("{:?} node {} reports {:?}", r.at.since_origin(), r.by, r.kind)).collect();
    }
    Told {
        findings,
        hash: format!("{hash:032x}"),
        events,
        span_ms: u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
        left_out,
        checkpoints: trace.checkpoints().iter().map(|hash| format!("{hash:032x}")).collect(),
        sites,
        reported,
        peers,
        lines,
        cpu_ms: cpu_ms(),
    }
}

/// Processor time of this process so far: of its first thread, which does the work. Linux tells it in nanoseconds.
fn cpu_ms() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(told.split_whitespace().next()?.parse::<u64>().ok()? / 1_000_000)
}

/// Takes every log line there is, formats it, and drops it: a run that depends on what is logged shows itself by its trace.
#[derive(Debug)]
struct FormatsAndForgets;

impl tracing::Subscriber for FormatsAndForgets {
    fn enabled(&self, _metadata: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        drop(format!("{event:?}"));
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}

/// Nothing has happened for so long in real time: somebody spins and lets no virtual time pass.
const LIVELOCK: Duration = Duration::from_secs(30);

/// No seed takes so long in real time: seven virtual days take a few minutes.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Ends the process when the world no longer moves.
fn watch(trace: Trace) {
    std::thread::spawn(move || {
        let (mut last, mut looks) = ((0, 0), 0);
        loop {
            std::thread::sleep(LIVELOCK);
            looks += 1;
            let now = (trace.events(), trace.last_at().as_millis());
            // A world of the engine alone has no trace: it has as long as any.
            if (now == last && now.0 > 0) || LIVELOCK * looks >= PATIENCE {
                let what = format!("livelock: the world does not end, and is at {} ms of virtual time", now.1);
                let told = Told { findings: vec![what], events: now.0, ..Told::default() };
                if let Ok(line) = serde_json::to_string(&told) {
                    println!("{line}");
                }
                std::process::exit(0);
            }
            last = now;
        }
    });
}
