//! Real processes at rest: processor time and memory, as the system counts them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const AGENTS: usize = 16;
const SETTLE: Duration = Duration::from_secs(10);
const SPAN: Duration = Duration::from_secs(30);

struct Agents(Vec<Child>);

impl Drop for Agents {
    fn drop(&mut self) {
        for agent in &mut self.0 {
            // It may have ended by itself.
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

pub(super) fn at_rest(agent: Option<&Path>) {
    let Some(agent) = agent else {
        println!("not measured: give the agent's binary with --agent, as `cargo xtask bench manager` does");
        return;
    };
    let dir = std::env::temp_dir().join(format!("cluster-bench-{}", std::process::id()));
    let run = |args: &[&str]| Command::new(agent).args(args).stdout(Stdio::null()).status().expect("it runs");
    let pki = dir.to_str().expect("a path");
    assert!(run(&["pki", "init", pki, "--cluster", "bench"]).success());
    let mut agents = Agents(Vec::new());
    let mut seed = String::new();
    for i in 0..AGENTS {
        let name = format!("n{i}");
        let mut command = Command::new(agent);
        command.args(["agent", "--name", &name, "--bind", "127.0.0.1:0", "--pki", pki, "--events", "json"]);
        if !seed.is_empty() {
            command.args(["--join", &seed]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = lines.next().expect("a line").expect("text");
        if seed.is_empty() {
            let bind = ready.split("\"bind\":\"").nth(1).and_then(|rest| rest.split('"').next());
            seed = bind.expect("an address").to_owned();
        }
        // Read to its end, so that nobody waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        agents.0.push(child);
    }
    std::thread::sleep(SETTLE);
    let (before, began) = (cpu_of(&agents), Instant::now());
    std::thread::sleep(SPAN);
    let share = (cpu_of(&agents) - before) / began.elapsed().as_secs_f64() / AGENTS as f64 * 100.0;
    let resident: Vec<f64> = agents.0.iter().map(|agent| resident_mib(agent.id())).collect();
    let worst = resident.iter().copied().fold(0.0, f64::max);
    let mean = resident.iter().sum::<f64>() / AGENTS as f64;
    println!("{AGENTS} agents at rest: {share:.2} % of a core each, {mean:.1} MiB resident, at most {worst:.1}");
    drop(agents);
    // What is left is a few files in the directory for such.
    let _ = std::fs::remove_dir_all(dir);
}

/// Processor time of all so far, in seconds.
fn cpu_of(agents: &Agents) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let of = |agent: &Child| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
        ticks / TICKS_PER_SECOND
    };
    agents.0.iter().map(of).sum()
}

fn resident_mib(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().expect("a number") / 1024.0
}
