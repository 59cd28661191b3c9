//! One test as a process group: started, looked at, ended with everything that it started.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::plan::{Stage, Test};
use super::report::Finished;
use super::sandbox;
use crate::cli::IntegrationArgs;

/// A test that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// Where nothing is said: long enough to see that nothing grows with every turn.
const SOAK: Duration = Duration::from_secs(60);
const QUICK_SOAK: Duration = Duration::from_secs(20);

/// A test that runs. Dropping it ends it and all its processes.
#[derive(Debug)]
pub(super) struct Running {
    stage: &'static str,
    name: String,
    child: Child,
    started: Instant,
    limit: Duration,
    output: PathBuf,
    /// Its group was ended, and its id may be another's by now.
    ended: bool,
}

impl Running {
    pub(super) fn start(stage: &Stage, test: &Test, args: &IntegrationArgs, output: PathBuf) -> Result<Self, String> {
        let told = |e: std::io::Error| format!("{}: {e}", output.display());
        // What an earlier run left there is about an earlier run.
        if output.exists() {
            std::fs::remove_dir_all(&output).map_err(told)?;
        }
        std::fs::create_dir_all(&output).map_err(told)?;
        let log = File::create(output.join("test.log")).map_err(told)?;
        let mut command = if stage.networks {
            let mut command = sandbox::command();
            command.arg(&stage.program).env("INTEGRATION_NETWORKS", "1");
            command
        } else {
            Command::new(&stage.program)
        };
        let soak = args.soak.unwrap_or(if args.quick { QUICK_SOAK } else { SOAK });
        command
            .args(["--exact", &test.name, "--include-ignored", "--nocapture", "--test-threads=1"])
            .env("INTEGRATION_OUTPUT", &output)
            .env("INTEGRATION_SOAK_SECONDS", soak.as_secs().to_string())
            .current_dir(&stage.dir)
            .stdin(Stdio::null())
            .stderr(log.try_clone().map_err(told)?)
            .stdout(log)
            .process_group(0);
        if let Some(nodes) = args.nodes {
            command.env("INTEGRATION_NODES", nodes.to_string());
        }
        let child = command.spawn().map_err(|e| format!("{} cannot be started: {e}", stage.program.display()))?;
        let limit = LIMIT + if test.name.starts_with("soak") { soak } else { Duration::ZERO };
        let name = test.name.clone();
        Ok(Self { stage: stage.name, name, child, started: Instant::now(), limit, output, ended: false })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What became of it, if it has ended or takes too long.
    pub(super) fn look(&mut self) -> Result<Option<Finished>, String> {
        let told = |e: &dyn std::fmt::Display| format!("{}: {e}", self.name);
        let process = process(&self.child).ok_or_else(|| told(&"it has no process id"))?;
        // Only looked at: until it is waited for, its id is nobody else's.
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let has_ended = waitid(WaitId::Pid(process), how).map_err(|e| told(&e))?.is_some();
        let took = self.started.elapsed();
        if !has_ended && took < self.limit {
            return Ok(None);
        }
        let left = if has_ended { members_of(self.child.id()) } else { Vec::new() };
        let status = self.end().map_err(|e| format!("{}: {e}", self.name))?;
        let limit = humantime::format_duration(self.limit);
        let failure = match (has_ended, status.success(), left.is_empty()) {
            (false, ..) => Some(format!("did not end within {limit}")),
            (true, false, _) => Some(format!("failed ({status})")),
            (true, true, false) => Some(format!("left processes behind: {}", left.join(", "))),
            (true, true, true) => None,
        };
        Ok(Some(Finished::new(self.stage, &self.name, took, &self.output, failure)))
    }

    /// Ends the whole group, and waits for the test itself.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        if !self.ended
            && let Some(group) = process(&self.child)
        {
            let _nobody_left = kill_process_group(group, Signal::KILL);
        }
        self.ended = true;
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.end();
    }
}

fn process(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// The processes of a group that still run, by name; nobody where there is no `/proc`.
fn members_of(group: u32) -> Vec<String> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let stats = processes.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter_map(|stat| member(&stat, group)).collect()
}

/// The name in a line of `/proc/ID/stat`, if the process is of the group and has not ended.
fn member(stat: &str, group: u32) -> Option<String> {
    let (head, tail) = stat.rsplit_once(')')?;
    let mut fields = tail.split_whitespace();
    let (state, of) = (fields.next()?, fields.nth(1)?);
    let name = head.split_once('(')?.1;
    (state != "Z" && of.parse() == Ok(group)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_of_a_group_is_read_from_any_name() {
        assert_eq!(member("17 (a (b) c) S 1 42 42 0", 42).as_deref(), Some("a (b) c"));
        assert_eq!(member("17 (x) S 1 41 42 0", 42), None);
        assert_eq!(member("17 (x) Z 1 42 42 0", 42), None);
        assert_eq!(member("nonsense", 42), None);
    }

    #[test]
    fn this_process_is_found_in_its_own_group() {
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        assert!(!members_of(u32::try_from(group).unwrap()).is_empty());
    }
}
