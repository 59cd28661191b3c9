//! The same tests again and again, at rest and with every core busy: what fails now and then fails here, and is named.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::cli::FlakeHuntArgs;
use crate::shell::has_cargo_command;
use crate::tests::FEATURES;

/// Tests that live in real time: links, whole nodes and processes on loopback.
const REAL_TIME: &str = "(package(cluster-agent) | package(cluster-manager) | package(cluster-pool)) & kind(test) \
    | binary(loopback) | test(real_sockets) | test(over_loopback)";

pub(crate) fn run(root: &Path, args: &FlakeHuntArgs) -> Outcome {
    if !has_cargo_command("nextest") {
        return Err("cargo-nextest is not installed: `cargo install cargo-nextest --locked`".into());
    }
    let started = Instant::now();
    let mut hunt = Hunt::default();
    let others = format!("not ({REAL_TIME})");
    // The short part comes first, so that a hunt that is cut short has seen everything once.
    let parts = [("others", args.others, others.as_str()), ("real time", args.real_time, REAL_TIME)];
    for (name, rounds, filter) in parts {
        for round in 0..rounds {
            if started.elapsed() > args.within {
                hunt.left_out.push(format!("{} of {rounds} rounds of {name}", rounds - round));
                break;
            }
            // Every second round has company on every core.
            if let Err(why) = hunt.round(root, name, filter, round % 2 == 1) {
                // What was found before counts all the same.
                let _found = hunt.report(started.elapsed());
                return Err(why);
            }
        }
    }
    hunt.report(started.elapsed())
}

#[derive(Debug, Default)]
struct Hunt {
    rounds: u32,
    tests: u64,
    /// How often each test failed, at rest and under load.
    failed: BTreeMap<String, [u32; 2]>,
    left_out: Vec<String>,
}

impl Hunt {
    fn round(&mut self, root: &Path, name: &str, filter: &str, loaded: bool) -> Outcome {
        let started = Instant::now();
        let load = loaded.then(Load::start);
        let base = ["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "fail"];
        let rest = ["--final-status-level", "fail", "--color", "never", "-E", filter];
        let mut command = Command::new("cargo");
        command.args([&base[..], &FEATURES, &rest].concat()).current_dir(root).stdin(Stdio::null());
        let output = command.output().map_err(|e| format!("cargo cannot be started: {e}"))?;
        drop(load);
        let told = String::from_utf8_lossy(&output.stderr);
        let (ran, failed) = read(&told);
        if ran == 0 || (failed.is_empty() && !output.status.success()) {
            return Err(format!("no tests were run ({}):\n{told}", output.status));
        }
        self.rounds += 1;
        self.tests += ran;
        let took = humantime::format_duration(Duration::from_secs(started.elapsed().as_secs()));
        let how = if loaded { "every core busy" } else { "at rest" };
        println!("round {:>2}  {name:<9}  {how:<15}  {ran:>4} tests  {:>2} failed  {took}", self.rounds, failed.len());
        if !failed.is_empty() {
            println!("{told}");
        }
        for test in failed {
            self.failed.entry(test).or_default()[usize::from(loaded)] += 1;
        }
        Ok(())
    }

    fn report(&self, took: Duration) -> Outcome {
        let took = humantime::format_duration(Duration::from_secs(took.as_secs()));
        println!("\n{} rounds, {} runs of tests, {took}", self.rounds, self.tests);
        for left_out in &self.left_out {
            println!("not run: {left_out}");
        }
        for (test, [rest, load]) in &self.failed {
            println!("{test}: failed {rest} times at rest, {load} times with every core busy");
        }
        match (self.failed.len(), self.left_out.is_empty()) {
            (0, true) => Ok(()),
            (0, false) => Err("time was up before every round was run".into()),
            (tests, _) => Err(format!("{tests} tests failed now and then")),
        }
    }
}

/// How many tests were run, and the names of those that failed.
fn read(told: &str) -> (u64, Vec<String>) {
    let summary = told.lines().find_map(|line| line.split_once("Summary [")?.1.split_once("] "));
    let ran = summary.and_then(|(_, rest)| rest.split([' ', '/']).next()?.parse().ok()).unwrap_or(0);
    let words = ["FAIL", "XFAIL", "TIMEOUT", "ABORT", "SIG", "LEAK-FAIL", "TRY"];
    let failed = told.lines().filter_map(|line| {
        let (word, rest) = line.trim().split_once(" [")?;
        words.iter().any(|known| word.starts_with(known)).then(|| name_in(rest)).flatten()
    });
    let mut failed: Vec<String> = failed.collect();
    failed.sort();
    failed.dedup();
    (ran, failed)
}

/// Behind the time in brackets and the count in parentheses, if there is one.
fn name_in(rest: &str) -> Option<String> {
    let after = rest.split_once("] ")?.1.trim();
    let name = if after.starts_with('(') { after.split_once(") ")?.1 } else { after };
    Some(name.trim().to_owned())
}

/// A thread on every core that does nothing, as fast as it can, until it is dropped.
#[derive(Debug)]
struct Load {
    done: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let done = Arc::new(AtomicBool::new(false));
        let spin = |done: Arc<AtomicBool>| {
            move || {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        };
        let threads = (0..cores).map(|_| std::thread::spawn(spin(Arc::clone(&done)))).collect();
        Self { done, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _it_only_spins = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_read_from_what_the_runner_says() {
        let told = "\
        FAIL [   0.014s] (1/105) cluster-pool::it strangers::somebody\n\
     TIMEOUT [ 120.0s] cluster-agent::it life::meet\n\
 FAIL + LEAK [   1.0s] cluster-pool::it a\n\
    SIGSEGV [   1.0s] (  9/105) cluster-pool b\n\
     Summary [  19.521s] 105 tests run: 103 passed, 1 failed, 1 timed out, 0 skipped\n\
        FAIL [   0.014s] (1/105) cluster-pool::it strangers::somebody\n";
        let failed = [
            "cluster-agent::it life::meet",
            "cluster-pool b",
            "cluster-pool::it a",
            "cluster-pool::it strangers::somebody",
        ];
        let failed = failed.map(str::to_owned);
        assert_eq!(read(told), (105, failed.to_vec()));
        assert_eq!(read("     Summary [  19.5s] 99/105 tests run: 99 passed"), (99, vec![]));
        assert_eq!(read("error: could not compile"), (0, vec![]));
    }
}
