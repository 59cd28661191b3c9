//! Agents as child processes, ended for certain, with bounded waits for what they say.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
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

/// The same, begun by another program.
pub(crate) fn cluster_command_by(program: &str, args: &[&str]) -> Command {
    let agent = cluster_command();
    let mut command = Command::new(program);
    for (key, _) in agent.get_envs() {
        command.env_remove(key);
    }
    command.args(args).arg(agent.get_program());
    command
}

pub(crate) fn cluster(args: &[&str]) -> Output {
    cluster_command().args(args).output().expect("the binary runs")
}

/// Lets time pass, all of it: where something must not happen, it has this long to happen.
pub(crate) fn rest(span: Duration) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        // A token left over from some channel wakes it early.
        std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
}

/// For the table of `cargo xtask integration`.
#[expect(clippy::print_stdout, reason = "it is read there")]
pub(crate) fn checked(nodes: usize, what: &str) {
    println!("checked: {nodes} | {what}");
}

/// How many nodes there are to be, where a test can have any number.
pub(crate) fn nodes_or(own: usize) -> usize {
    std::env::var("INTEGRATION_NODES").ok().and_then(|nodes| nodes.parse().ok()).unwrap_or(own)
}

/// Where what agents write is kept, if it is: a file for each, and one for each time it was started.
fn kept(name: &str, kind: &str) -> Option<File> {
    let dir = PathBuf::from(std::env::var_os("INTEGRATION_OUTPUT")?);
    let mut path = dir.join(format!("{name}.{kind}"));
    let mut start = 1;
    while path.exists() {
        start += 1;
        path = dir.join(format!("{name}-{start}.{kind}"));
    }
    File::create(path).ok()
}

/// Reads a stream of an agent line by line, keeps it where it is to be kept, and hands it on.
fn read<T: Send + 'static>(
    stream: impl std::io::Read + Send + 'static,
    mut kept: Option<File>,
    understand: impl Fn(String) -> T + Send + 'static,
) -> Receiver<T> {
    let (sender, lines) = sync_channel(100_000);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(file) = &mut kept {
                let _ = writeln!(file, "{line}");
            }
            if sender.send(understand(line)).is_err() {
                return;
            }
        }
    });
    lines
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
        self.spawn_with(cluster_command(), name, bind, args)
    }

    /// Starts an agent with a command that may begin with other programs.
    pub(crate) fn spawn_with(&self, mut command: Command, name: &str, bind: &str, args: &[&str]) -> Agent {
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
    pub(crate) fn new(name: &str, mut command: Command) -> Self {
        let mut child = command.spawn().expect("the agent starts");
        let json = |line: String| serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        let lines = read(child.stdout.take().expect("piped"), kept(name, "events"), json);
        let errors = read(child.stderr.take().expect("piped"), kept(name, "log"), |line| line);
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

    /// The first line for which `wanted` holds.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until_from(0, what, wanted)
    }

    /// The first line after so many for which `wanted` holds.
    pub(crate) fn until_from(&mut self, from: usize, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, from, what, wanted)
    }

    /// The same, for as long as it may take.
    pub(crate) fn until_within(
        &mut self,
        patience: Duration,
        from: usize,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        if let Some(line) = self.said.iter().skip(from).find(|line| wanted(line)) {
            return line.clone();
        }
        let deadline = Instant::now() + patience;
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

    /// What it has said since this was asked last; it is forgotten here.
    pub(crate) fn take_said(&mut self) -> Vec<Value> {
        self.catch_up();
        // What it logs is kept elsewhere, and would fill up its pipe.
        self.errors.try_iter().for_each(drop);
        std::mem::take(&mut self.said)
    }

    pub(crate) fn has_said(&mut self, event: &str) -> bool {
        self.catch_up().iter().any(|line| line["event"] == event)
    }

    /// Of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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
