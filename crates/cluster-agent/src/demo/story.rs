//! The acts of the demo, and the ledger of who has reported what.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::child::{Agent, Heard};
use super::{FAREWELL_PATIENCE, Figures, MEET_PATIENCE, NOTICE_PATIENCE};
use crate::Failure;
use crate::cli::DemoArgs;

/// Lines of all agents that may wait to be read: 64 agents with a burst of 64 events.
const LINES_MAX: usize = 4_096;

pub(super) struct Story {
    args: DemoArgs,
    pki: PathBuf,
    started: Instant,
    agents: Vec<Agent>,
    ledger: Ledger,
    heard: mpsc::Receiver<Heard>,
    sender: mpsc::Sender<Heard>,
}

/// Who has reported what about whom, and when it was read.
#[derive(Default)]
struct Ledger {
    reports: Vec<(usize, String, String, Instant)>,
    /// Whoever may be declared failed.
    dead: BTreeSet<String>,
    /// Agents whose output may end.
    ending: BTreeSet<usize>,
    false_failures: Vec<String>,
}

impl Ledger {
    fn note(&mut self, heard: &Heard, reporter: &str) {
        let text = |key: &str| heard.line[key].as_str().unwrap_or_default().to_owned();
        let (event, node) = (text("event"), text("node"));
        if event == "failed" && !self.dead.contains(&node) {
            self.false_failures.push(format!("{reporter} declared {node} failed, which was alive"));
        }
        self.reports.push((heard.agent, event, node, heard.at));
    }

    /// When each of `reporters` first said `event` of `node`; `None` while one has not.
    fn all_said(&self, reporters: &BTreeSet<usize>, event: &str, node: &str) -> Option<(Instant, Instant)> {
        let first = |reporter: &usize| {
            let said = |r: &&(usize, String, String, Instant)| r.0 == *reporter && r.1 == event && r.2 == node;
            self.reports.iter().find(said).map(|report| report.3)
        };
        let times: Vec<Instant> = reporters.iter().map(first).collect::<Option<_>>()?;
        Some((*times.iter().min()?, *times.iter().max()?))
    }
}

impl Story {
    pub(super) fn new(args: DemoArgs, pki: PathBuf) -> Self {
        let (sender, heard) = mpsc::channel(LINES_MAX);
        let started = Instant::now();
        Self { args, pki, started, agents: Vec::new(), ledger: Ledger::default(), heard, sender }
    }

    /// A line of the timeline, for people.
    pub(super) fn say(&self, what: &str) {
        let line = format!("{:7.3} s  {what}\n", self.started.elapsed().as_secs_f64());
        // Nobody reading the timeline is no reason to stop the demo.
        let _ = match self.args.json {
            true => std::io::stderr().write_all(line.as_bytes()),
            false => std::io::stdout().write_all(line.as_bytes()),
        };
    }

    pub(super) async fn play(&mut self) -> Result<Figures, Failure> {
        let nodes = self.args.nodes;
        let mut figures = Figures { demo: "ok", nodes, ..Figures::default() };
        figures.joined_ms = self.meet(nodes).await?;
        (figures.failed_first_ms, figures.failed_all_ms) = self.lose_one().await?;
        figures.left_all_ms = self.part_from_one().await?;
        self.close_down().await?;
        figures.false_failures = self.ledger.false_failures.len() as u64;
        match self.ledger.false_failures.first() {
            None => Ok(figures),
            Some(first) => Err(Failure::new(format!("{} false failures; the first: {first}", figures.false_failures))),
        }
    }

    async fn meet(&mut self, nodes: u16) -> Result<u64, Failure> {
        self.say(&format!("starting {nodes} agents on 127.0.0.1"));
        self.started = Instant::now();
        self.start_agent(None)?;
        let seed = self.first_address().await?;
        for _ in 1..nodes {
            self.start_agent(Some(&seed))?;
        }
        let everybody: BTreeSet<usize> = (0..self.agents.len()).collect();
        let mut last = self.started;
        for place in 0..self.agents.len() {
            let others: BTreeSet<usize> = everybody.iter().copied().filter(|other| *other != place).collect();
            let name = self.agents[place].name.clone();
            let met = self.until_all_say(&others, "joined", &name, MEET_PATIENCE).await?;
            last = last.max(met.1);
        }
        let took = millis(last - self.started);
        self.say(&format!("everybody knows everybody, after {took} ms"));
        Ok(took)
    }

    fn start_agent(&mut self, join: Option<&str>) -> Result<(), Failure> {
        let place = self.agents.len();
        let name = format!("n{}", place + 1);
        self.agents.push(Agent::start(place, name, &self.pki, join, self.sender.clone())?);
        Ok(())
    }

    async fn first_address(&mut self) -> Result<String, Failure> {
        let heard = self.next_line(Instant::now() + MEET_PATIENCE, "n1 to be ready").await?;
        let address = heard.line["bind"].as_str().filter(|_| heard.line["event"] == "ready");
        address.map(str::to_owned).ok_or_else(|| Failure::new(format!("n1 said {} instead of being ready", heard.line)))
    }

    async fn lose_one(&mut self) -> Result<(u64, u64), Failure> {
        let place = self.agents.len() - 1;
        let name = self.agents[place].name.clone();
        self.ledger.dead.insert(name.clone());
        self.ledger.ending.insert(place);
        self.say(&format!("killing {name} (SIGKILL)"));
        let killed = Instant::now();
        self.agents[place].signal(Signal::KILL);
        let survivors: BTreeSet<usize> = (0..place).collect();
        let (first, last) = self.until_all_say(&survivors, "failed", &name, NOTICE_PATIENCE).await?;
        let (first, last) = (millis(first - killed), millis(last - killed));
        self.say(&format!("{name} is reported failed by the first after {first} ms, by all after {last} ms"));
        Ok((first, last))
    }

    async fn part_from_one(&mut self) -> Result<u64, Failure> {
        let place = self.agents.len() - 2;
        let name = self.agents[place].name.clone();
        self.say(&format!("telling {name} to leave (SIGTERM)"));
        self.ledger.ending.insert(place);
        let told = Instant::now();
        self.agents[place].signal(Signal::TERM);
        let others: BTreeSet<usize> = (0..place).collect();
        let (_, last) = self.until_all_say(&others, "left", &name, FAREWELL_PATIENCE).await?;
        let took = millis(last - told);
        self.agents[place].wait(FAREWELL_PATIENCE).await.map_err(Failure::new)?;
        self.say(&format!("{name} left and ended; everybody saw it after {took} ms"));
        Ok(took)
    }

    /// Stops the rest and reads what they still have to say.
    async fn close_down(&mut self) -> Result<(), Failure> {
        let rest = self.agents.len() - 2;
        self.say(&format!("stopping the other {rest}"));
        self.agents[..rest].iter().for_each(|agent| agent.signal(Signal::TERM));
        for place in 0..rest {
            self.agents[place].wait(FAREWELL_PATIENCE).await.map_err(Failure::new)?;
        }
        while let Ok(heard) = self.heard.try_recv() {
            self.note(&heard);
        }
        Ok(())
    }

    async fn until_all_say(
        &mut self,
        reporters: &BTreeSet<usize>,
        event: &str,
        node: &str,
        patience: Duration,
    ) -> Result<(Instant, Instant), Failure> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(times) = self.ledger.all_said(reporters, event, node) {
                return Ok(times);
            }
            self.next_line(deadline, &format!("everybody to report {node} {event}")).await?;
        }
    }

    async fn next_line(&mut self, deadline: Instant, waiting_for: &str) -> Result<Heard, Failure> {
        let heard = tokio::time::timeout_at(deadline, self.heard.recv()).await;
        let heard = heard.map_err(|_elapsed| Failure::new(format!("waited in vain for {waiting_for}")))?;
        let heard = heard.ok_or_else(|| Failure::new("no agent is left to listen to"))?;
        self.note(&heard);
        if heard.line == Value::Null && !self.ledger.ending.contains(&heard.agent) {
            return Err(Failure::new(format!("{} ended early", self.agents[heard.agent].name)));
        }
        Ok(heard)
    }

    fn note(&mut self, heard: &Heard) {
        let reporter = self.agents[heard.agent].name.clone();
        self.ledger.note(heard, &reporter);
    }

    /// Ends whatever still runs.
    pub(super) async fn end_everybody(&mut self) {
        for agent in &mut self.agents {
            agent.signal(Signal::KILL);
            // Killed: how it ended says nothing.
            let _ = agent.wait(Duration::from_secs(2)).await;
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
