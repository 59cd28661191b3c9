//! One agent as a child process: started, listened to, signalled, and ended for certain.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Failure;

/// A line that an agent wrote.
#[derive(Debug)]
pub(super) struct Heard {
    /// Which agent, by its place in the list.
    pub(super) agent: usize,
    /// When it was read.
    pub(super) at: Instant,
    /// What it says; `null` at the end of its output.
    pub(super) line: Value,
}

/// A running agent. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) name: String,
    process: Child,
    reader: JoinHandle<()>,
}

impl Agent {
    /// Starts one on a free port; what it says goes to `heard`.
    pub(super) fn start(
        place: usize,
        name: String,
        pki: &Path,
        join: Option<&str>,
        heard: mpsc::Sender<Heard>,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|e| Failure::new(format!("this program's own file: {e}")))?;
        let mut command = Command::new(program);
        command.args(["agent", "--name", &name, "--bind", "127.0.0.1:0", "--profile", "lan", "--events", "json"]);
        command.arg("--pki").arg(pki);
        if let Some(join) = join {
            command.args(["--join", join]);
        }
        // The story tells what happens; their logs would tell it again, sixteen times.
        if std::env::var_os("CLUSTER_LOG").is_none() {
            command.env("CLUSTER_LOG", "error");
        }
        // Settings in the environment are for the user's own agents, not for these.
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("CLUSTER_") && key != "CLUSTER_LOG") {
            command.env_remove(key);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().map_err(|e| Failure::new(format!("{name} cannot be started: {e}")))?;
        let output = process.stdout.take().ok_or_else(|| Failure::new("an agent without an output"))?;
        #[expect(clippy::disallowed_methods, reason = "ends with the child's output; aborted on drop")]
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            loop {
                let line = match lines.next_line().await {
                    Ok(Some(line)) => serde_json::from_str(&line).unwrap_or(Value::String(line)),
                    Ok(None) | Err(_) => Value::Null,
                };
                let end = line.is_null();
                let told = heard.send(Heard { agent: place, at: Instant::now(), line }).await;
                if end || told.is_err() {
                    return;
                }
            }
        });
        Ok(Self { name, process, reader })
    }

    /// Sends a signal; a process that has ended already does not mind.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may end between the look and the signal; its number is not given away before it is waited for.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for the end, and whether it was a good one. After `patience` it is killed.
    pub(super) async fn wait(&mut self, patience: Duration) -> Result<(), String> {
        match tokio::time::timeout(patience, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("{} ended with {status}", self.name)),
            Ok(Err(e)) => Err(format!("{} cannot be waited for: {e}", self.name)),
            Err(_elapsed) => {
                // Kills and waits; there is nothing else to try if that fails.
                let _ = self.process.kill().await;
                Err(format!("{} did not end within {patience:?} and was killed", self.name))
            }
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
