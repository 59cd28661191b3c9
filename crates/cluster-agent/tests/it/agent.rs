//! Agents as child processes, ended for certain, with bounded waits for what they say.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;

/// Longer than anything may take on a loaded machine, shorter than anyone's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn cluster_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("CLUSTER_")) {
        command.env_remove(key);
    }
    command
}

pub(crate) fn cluster(args: &[&str]) -> Output {
    cluster_command().args(args).output().expect("the binary runs")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A directory with an authority, and the agents started in it.
pub(crate) struct Site {
    pub(crate) dir: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new(cluster_name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let site = Self { dir };
        let made = cluster(&["pki", "init", site.pki().to_str().expect("a path"), "--cluster", cluster_name]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        site
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.dir.path().join("pki")
    }

    /// Starts an agent and waits until it is ready.
    pub(crate) fn agent(&self, name: &str, args: &[&str]) -> Agent {
        let agent = self.spawn(name, "127.0.0.1:0", args);
        agent.ready()
    }

    /// Starts `count` agents that join through the first, and waits until all know all.
    pub(crate) fn cluster(&self, count: usize, args: &[&str]) -> Vec<Agent> {
        let mut agents = vec![self.agent("n1", args)];
        let seed = agents[0].bind.clone();
        let joining = [args, &["--join", &seed]].concat();
        let rest: Vec<Agent> = (2..=count).map(|i| self.spawn(&format!("n{i}"), "127.0.0.1:0", &joining)).collect();
        agents.extend(rest.into_iter().map(Agent::ready));
        let names: Vec<String> = agents.iter().map(|agent| agent.name.clone()).collect();
        for agent in &mut agents {
            let own = agent.name.clone();
            for other in names.iter().filter(|name| **name != own) {
                agent.until(&format!("joined {other}"), |line| line["event"] == "joined" && line["node"] == **other);
            }
        }
        agents
    }

    pub(crate) fn spawn(&self, name: &str, bind: &str, args: &[&str]) -> Agent {
        let mut command = cluster_command();
        command.args(["agent", "--name", name, "--bind", bind, "--events", "json"]).arg("--pki").arg(self.pki());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Agent::new(name, command)
    }
}

/// A running agent. Killed when dropped.
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) bind: String,
    pub(crate) admin: Option<String>,
    /// Everything it has said so far.
    pub(crate) said: Vec<Value>,
    child: Child,
    lines: Receiver<Value>,
    errors: Receiver<String>,
}

impl Agent {
    fn new(name: &str, mut command: Command) -> Self {
        let mut child = command.spawn().expect("the agent starts");
        let (line_sender, lines) = sync_channel(100_000);
        let (error_sender, errors) = sync_channel(100_000);
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
                if line_sender.send(line).is_err() {
                    return;
                }
            }
        });
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if error_sender.send(line).is_err() {
                    return;
                }
            }
        });
        let name = name.to_owned();
        Self { name, bind: String::new(), admin: None, said: Vec::new(), child, lines, errors }
    }

    /// Waits for the first line, which must be `ready`.
    pub(crate) fn ready(mut self) -> Self {
        let ready = self.until("ready", |_| true);
        assert_eq!(ready["event"], "ready", "the first line of {}", self.name);
        assert_eq!(ready["node"], self.name.as_str());
        self.bind = ready["bind"].as_str().expect("an address").to_owned();
        self.admin = ready["admin"].as_str().map(str::to_owned);
        self
    }

    /// The first line not looked at yet for which `wanted` holds.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(line) = self.said.iter().find(|line| wanted(line)) {
            return line.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{} did not say {what}; {:#?}", self.name, self.said),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "{} ended without saying {what}: {:?}",
                        self.name,
                        self.errors.try_iter().collect::<Vec<_>>()
                    )
                }
            }
        }
    }

    pub(crate) fn until_event(&mut self, event: &str, node: &str) -> Value {
        self.until(&format!("{event} {node}"), |line| line["event"] == event && line["node"] == node)
    }

    /// Waits for a line of its log.
    pub(crate) fn until_error(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut logged = Vec::new();
        while let Ok(line) = self.errors.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if line.contains(words) {
                return;
            }
            logged.push(line);
        }
        panic!("{} did not log {words:?}; {logged:#?}", self.name);
    }

    /// Reads what it has said meanwhile.
    pub(crate) fn catch_up(&mut self) -> &[Value] {
        let new: Vec<Value> = self.lines.try_iter().collect();
        self.said.extend(new);
        &self.said
    }

    pub(crate) fn has_said(&mut self, event: &str) -> bool {
        self.catch_up().iter().any(|line| line["event"] == event)
    }

    /// Sends a signal; one that stops it is waited for until all its threads stand still.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let process = Pid::from_raw(id).expect("a process id");
        kill_process(process, signal).expect("the signal is sent");
        if signal == Signal::STOP {
            waitpid(Some(process), WaitOptions::UNTRACED).expect("it stops");
        }
    }

    /// Waits for its end: the exit code, what it still said, and its standard error.
    pub(crate) fn wait(mut self) -> (Option<i32>, Vec<Value>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(Instant::now() < deadline, "{} does not end; it said {:#?}", self.name, self.said);
            std::thread::park_timeout(Duration::from_millis(10));
        };
        self.said.extend(self.lines.iter());
        let errors: Vec<String> = self.errors.iter().collect();
        (status.code(), std::mem::take(&mut self.said), errors.join("\n"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing of a temporary kind is left in a directory.
pub(crate) fn temporary_files(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).expect("it can be read").map(|e| e.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.contains("tmp")).collect()
}
