//! The commands around the agent.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::agent::{cluster, cluster_command, text};

#[test]
fn the_demo_plays_to_its_end_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().expect("a directory");
    let demo = cluster_command().args(["demo", "--nodes", "3", "--json"]).env("TMPDIR", scratch.path()).output();
    let demo = demo.expect("the demo runs");
    assert!(demo.status.success(), "{}", text(&demo.stderr));
    let last = text(&demo.stdout);
    let result: Value = serde_json::from_str(last.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&result["demo"], &result["nodes"], &result["false_failures"]), (&"ok".into(), &3.into(), &0.into()));
    for figure in ["joined_ms", "failed_first_ms", "failed_all_ms", "left_all_ms"] {
        assert!(result[figure].is_u64(), "{result}");
    }
    assert_eq!(std::fs::read_dir(scratch.path()).expect("readable").count(), 0, "a file was left behind");
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    [Signal::INT, Signal::TERM].into_iter().for_each(interrupted_by);
}

fn interrupted_by(signal: Signal) {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut command = cluster_command();
    command.args(["demo", "--nodes", "4"]).env("TMPDIR", scratch.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = command.spawn().expect("the demo starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(demo.stdout.take().expect("piped")));
    let met = lines.by_ref().map_while(Result::ok).any(|line| line.contains("everybody knows everybody"));
    assert!(met);
    let pid = i32::try_from(demo.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("the signal is sent");
    let status = demo.wait().expect("it can be waited for");
    assert_eq!(status.code(), Some(1));
    // The agents hold the other end of this pipe: its end means that every one of them is gone.
    assert_eq!(lines.map_while(Result::ok).filter(|line| line.contains("agent")).count(), 0);
    assert_eq!(std::fs::read_dir(scratch.path()).expect("readable").count(), 0, "a file was left behind");
}

#[test]
fn every_command_has_help() {
    for args in [
        vec!["--help"],
        vec!["agent", "--help"],
        vec!["members", "--help"],
        vec!["leave", "--help"],
        vec!["explain", "--help"],
        vec!["health", "--help"],
        vec!["events", "--help"],
        vec!["send", "--help"],
        vec!["request", "--help"],
        vec!["config", "check", "--help"],
        vec!["completions", "--help"],
        vec!["pki", "revoke", "--help"],
        vec!["pki", "--help"],
        vec!["pki", "init", "--help"],
        vec!["pki", "issue", "--help"],
        vec!["demo", "--help"],
    ] {
        let help = cluster(&args);
        assert!(help.status.success() && text(&help.stdout).contains("Usage:"), "{args:?}");
    }
}

#[test]
fn an_admin_address_where_nobody_answers_is_named() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let members = cluster(&["members", "--admin", &free]);
    assert_eq!(members.status.code(), Some(1));
    assert!(text(&members.stderr).contains(&format!("no agent answers at {free}")), "{}", text(&members.stderr));
}
