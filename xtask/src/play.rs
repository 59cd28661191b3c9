//! `cargo xtask cluster start|stop`: a cluster on this machine to play with, which outlives the task.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::ClusterTask;
use crate::shell::{output, run as shell, text_of};
use crate::{Outcome, interrupt};

/// How long they may take to meet, and to say goodbye.
const PATIENCE: Duration = Duration::from_secs(30);
const FAREWELL: Duration = Duration::from_secs(10);
/// From a node's port to that of its admin address.
const ADMIN_ABOVE: u16 = 100;

/// An agent that was started.
#[derive(Debug, Serialize, Deserialize)]
struct Started {
    name: String,
    id: i32,
    admin: String,
}

pub(crate) fn run(root: &Path, task: &ClusterTask) -> Outcome {
    let place = Place::new(root);
    match *task {
        ClusterTask::Start { nodes, ports } => place.start(root, nodes, ports),
        ClusterTask::Stop => place.stop(),
    }
}

/// Where its keys, its logs and its list of processes are.
#[derive(Debug)]
struct Place {
    dir: PathBuf,
    program: PathBuf,
}

impl Place {
    fn new(root: &Path) -> Self {
        let target = crate::target(root);
        Self { dir: target.join("cluster"), program: target.join("release/cluster") }
    }

    fn list(&self) -> PathBuf {
        self.dir.join("agents.json")
    }

    fn start(&self, root: &Path, nodes: u16, ports: u16) -> Outcome {
        interrupt::listen()?;
        if ports.checked_add(nodes).and_then(|end| end.checked_add(ADMIN_ABOVE)).is_none() || ports == 0 {
            return Err(format!("--ports {ports}: there is no room for {nodes} ports and their admin ports above it"));
        }
        let running: Vec<Started> = self.read()?.into_iter().filter(|agent| self.is_ours(agent)).collect();
        if !running.is_empty() {
            return Err(format!("{} agents are running: `cargo xtask cluster stop` ends them", running.len()));
        }
        shell(root, "cargo", &["build", "--release", "--quiet", "--package", "cluster-agent"])?;
        let told = |e: std::io::Error| format!("{}: {e}", self.dir.display());
        if self.dir.exists() {
            std::fs::remove_dir_all(&self.dir).map_err(told)?;
        }
        std::fs::create_dir_all(&self.dir).map_err(told)?;
        let pki = self.dir.join("pki");
        output(&self.dir, text_of(&self.program)?, &["pki", "init", text_of(&pki)?, "--cluster", "play"])?;
        let mut agents = Vec::new();
        let met = self.start_all(&pki, nodes, ports, &mut agents);
        let listed = met.and_then(|()| self.ask(&agents[0], &["members"]));
        let members = match listed {
            Ok(members) => members,
            Err(why) => {
                // The list in hand counts: the one on disk may be what could not be written.
                end(&agents.iter().filter(|agent| self.is_ours(agent)).collect::<Vec<_>>(), Signal::KILL);
                self.forget()?;
                return Err(format!("{why}; what they wrote is in {}", self.dir.display()));
            }
        };
        let first = &agents[0].admin;
        print!("{members}");
        println!("\n{nodes} agents are running; what they write is in {}.", self.dir.display());
        println!("  {} members --admin {first}", self.program.display());
        println!("  {} explain n{nodes} --admin {first}", self.program.display());
        println!("  cargo xtask cluster stop");
        Ok(())
    }

    fn start_all(&self, pki: &Path, nodes: u16, ports: u16, agents: &mut Vec<Started>) -> Outcome {
        for i in 0..nodes {
            agents.push(self.spawn(pki, i, ports)?);
            // Written after each: whatever happens, `stop` finds them.
            self.write(agents)?;
        }
        self.wait_until_met(agents)
    }

    /// What a command of the `cluster` binary says about an agent.
    fn ask(&self, agent: &Started, args: &[&str]) -> Result<String, String> {
        output(&self.dir, text_of(&self.program)?, &[args, &["--admin", &agent.admin]].concat())
    }

    fn spawn(&self, pki: &Path, i: u16, ports: u16) -> Result<Started, String> {
        let name = format!("n{}", i + 1);
        let (bind, admin) = (format!("127.0.0.1:{}", ports + i), format!("127.0.0.1:{}", ports + i + ADMIN_ABOVE));
        let file = |kind: &str| {
            let path = self.dir.join(format!("{name}.{kind}"));
            File::create(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        let mut command = Command::new(&self.program);
        command.args(["agent", "--name", &name, "--bind", &bind, "--admin", &admin, "--events", "json", "--pki"]);
        command.arg(pki).stdin(Stdio::null()).stdout(file("events")?).stderr(file("log")?).process_group(0);
        if i > 0 {
            command.args(["--join", &format!("127.0.0.1:{ports}")]);
        }
        let child = command.spawn().map_err(|e| format!("{} cannot be started: {e}", self.program.display()))?;
        let id = i32::try_from(child.id()).map_err(|_too_large| "a process id is too large".to_owned())?;
        Ok(Started { name, id, admin })
    }

    /// Waits until each lists all as alive.
    fn wait_until_met(&self, agents: &[Started]) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        for agent in agents {
            while !self.is_ours(agent) || self.alive_at(agent) != agents.len() {
                interrupt::check()?;
                // Somebody else may answer at its address.
                if !self.is_ours(agent) {
                    let log = std::fs::read_to_string(self.dir.join(format!("{}.log", agent.name)));
                    return Err(format!("{} ended: {}", agent.name, log.unwrap_or_default().trim()));
                }
                if Instant::now() > deadline {
                    return Err(format!("they have not met within {} s", PATIENCE.as_secs()));
                }
                std::thread::park_timeout(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// How many members an agent holds to be alive.
    fn alive_at(&self, agent: &Started) -> usize {
        let listed = self.ask(agent, &["members", "--json"]);
        let listed: Option<Vec<Value>> = listed.ok().and_then(|listed| serde_json::from_str(&listed).ok());
        listed.map_or(0, |members| members.iter().filter(|member| member["state"] == "alive").count())
    }

    fn stop(&self) -> Outcome {
        let agents = self.read()?;
        let ours: Vec<&Started> = agents.iter().filter(|agent| self.is_ours(agent)).collect();
        if agents.is_empty() {
            println!("no cluster is running here");
            return Ok(());
        }
        end(&ours, Signal::TERM);
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline && ours.iter().any(|agent| self.is_ours(agent)) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let (late, gone): (Vec<&Started>, Vec<&Started>) = ours.into_iter().partition(|agent| self.is_ours(agent));
        println!("{} agents have said goodbye and ended", gone.len());
        end(&late, Signal::KILL);
        self.forget()?;
        let names = |agents: &[&Started]| agents.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
        if !late.is_empty() {
            let limit = FAREWELL.as_secs();
            return Err(format!("{} did not end within {limit} s and were ended by force", names(&late)));
        }
        let lost: Vec<&Started> = agents.iter().filter(|a| !gone.iter().any(|gone| gone.id == a.id)).collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("{} had ended before they were told to", names(&lost))) }
    }

    /// Whether the process is there and is the agent that was started: ids are used again.
    fn is_ours(&self, agent: &Started) -> bool {
        let command = std::fs::read(format!("/proc/{}/cmdline", agent.id));
        let dir = self.dir.to_string_lossy();
        match command {
            Ok(command) => String::from_utf8_lossy(&command).contains(&*dir),
            // Without /proc its admin address must answer for it.
            Err(_) => is_there(agent.id) && (Path::new("/proc/self").exists() || self.alive_at(agent) > 0),
        }
    }

    fn read(&self) -> Result<Vec<Started>, String> {
        match std::fs::read_to_string(self.list()) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| format!("{}: {e}", self.list().display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(format!("{}: {error}", self.list().display())),
        }
    }

    fn write(&self, agents: &[Started]) -> Outcome {
        let text = serde_json::to_string(agents).map_err(|e| e.to_string())?;
        std::fs::write(self.list(), text).map_err(|e| format!("{}: {e}", self.list().display()))
    }

    fn forget(&self) -> Outcome {
        match std::fs::remove_file(self.list()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("{}: {error}", self.list().display()))
            }
            _ => Ok(()),
        }
    }
}

/// Sends them a signal; who has ended meanwhile needs none.
fn end(agents: &[&Started], signal: Signal) {
    for process in agents.iter().filter_map(|agent| Pid::from_raw(agent.id)) {
        let _may_have_ended = kill_process(process, signal);
    }
}

fn is_there(id: i32) -> bool {
    Pid::from_raw(id).is_some_and(|process| test_kill_process(process).is_ok())
}
