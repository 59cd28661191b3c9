//! What an agent writes: exactly one JSON object a line, numbered, and never in the way of the agent.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::agent::{Site, cluster, cluster_command, text};

#[test]
fn lines_are_numbered_without_gaps_and_timed() {
    let site = Site::new("prod");
    let mut agents = site.cluster(4, &[]);
    for agent in &mut agents {
        let lines = agent.catch_up().to_vec();
        let numbers: Vec<u64> = lines[1..].iter().map(|line| line["seq"].as_u64().expect("a number")).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{}", agent.name);
        assert!(lines[1..].iter().all(|line| line["at_ms"].is_u64() && line["event"].is_string()), "{lines:#?}");
        assert_eq!(lines[0]["admin"], Value::Null);
        assert!(lines.iter().all(|line| line["node"] != agent.name.as_str() || line["event"] == "ready"));
    }
}

/// An agent that reports a thousand failed seeds a round, so that any pipe is full in a moment.
fn noisy(site: &Site) -> Child {
    let seeds: Vec<String> = (0..1_000).map(|i| format!("127.0.{}.{}:0", i / 250, i % 250 + 1)).collect();
    let mut command = cluster_command();
    command.args(["agent", "--name", "noisy", "--bind", "127.0.0.1:0", "--events", "json", "--admin", "127.0.0.1:0"]);
    command.arg("--pki").arg(site.pki()).args(["--join", &seeds.join(",")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the agent starts")
}

fn terminate(child: &mut Child) -> Option<i32> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::TERM).expect("the signal is sent");
    child.wait().expect("it can be waited for").code()
}

#[test]
fn a_stalled_reader_is_told_what_it_missed_and_never_blocks_the_agent() {
    let site = Site::new("prod");
    let mut child = noisy(&site);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let ready: Value = serde_json::from_str(&lines.next().expect("a line").expect("read")).expect("JSON");
    let admin = ready["admin"].as_str().expect("an address").to_owned();
    // Nothing is read until far more has happened than the pipe and the ring hold; the agent answers all the while.
    let mut other = site.agent("other", &["--join", ready["bind"].as_str().expect("an address")]);
    other.until_event("joined", "noisy");
    for _ in 0..200 {
        let members = cluster(&["members", "--admin", &admin, "--json"]);
        assert!(members.status.success(), "{}", text(&members.stderr));
    }
    let mut lagged = None;
    for (before, line) in (0u64..).zip(lines) {
        let line: Value = serde_json::from_str(&line.expect("read")).expect("exactly one JSON object a line");
        assert_eq!(line["seq"].as_u64(), Some(before + 1), "{line}");
        assert!(line["at_ms"].is_u64(), "{line}");
        match (line["event"].as_str(), &lagged) {
            (Some("lagged"), None) => lagged = line["missed"].as_u64(),
            (Some(event), Some(missed)) => {
                assert_eq!(event, "snapshot", "after lagged by {missed}");
                let members = line["members"].as_array().expect("members");
                assert_eq!(members.len(), 1, "{line}");
                assert_eq!((&members[0]["node"], &members[0]["state"]), (&"other".into(), &"alive".into()));
                break;
            }
            _ => {}
        }
    }
    assert!(lagged.is_some_and(|missed| missed > 0), "never lagged");
    child.kill().expect("it can be killed");
    child.wait().expect("it can be waited for");
}

#[test]
fn a_closed_pipe_ends_only_the_output() {
    let site = Site::new("prod");
    let mut child = noisy(&site);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let ready: Value = serde_json::from_str(&lines.next().expect("a line").expect("read")).expect("JSON");
    drop(lines);
    let mut other = site.agent("other", &["--join", ready["bind"].as_str().expect("an address")]);
    other.until_event("joined", "noisy");
    let admin = ready["admin"].as_str().expect("an address");
    assert!(cluster(&["members", "--admin", admin]).status.success());
    assert_eq!(terminate(&mut child), Some(0));
    other.until_event("left", "noisy");
}

#[test]
fn people_get_sentences_and_none_is_none() {
    let site = Site::new("prod");
    for (format, name, expected) in [("text", "n1", "n1 is ready on 127.0.0.1:"), ("none", "n2", "")] {
        let mut command = cluster_command();
        command.args(["agent", "--name", name, "--bind", "127.0.0.1:0", "--events", format, "--admin", "127.0.0.1:0"]);
        let mut child = command.arg("--pki").arg(site.pki()).stdout(Stdio::piped()).spawn().expect("the agent starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        if !expected.is_empty() {
            output.read_line(&mut first).expect("a line");
        } else {
            // It says nothing: its certificate on disk shows that it has come as far as its signal handlers.
            while !site.pki().join("n2.crt").exists() {
                std::thread::yield_now();
            }
        }
        assert!(first.starts_with(expected), "{first}");
        assert_eq!(terminate(&mut child), Some(0));
        let rest: Vec<String> = output.lines().map_while(Result::ok).collect();
        assert_eq!(rest.is_empty(), expected.is_empty(), "{rest:?}");
    }
}
