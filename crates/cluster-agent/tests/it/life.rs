//! The life of a cluster: meeting, losing one, a pause, a restart, a farewell.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::{Agent, PATIENCE, Site, cluster, rest, temporary_files, text};

fn events_about(agent: &mut Agent, node: &str) -> Vec<String> {
    let about = |line: &&Value| line["node"] == node;
    agent.catch_up().iter().filter(about).map(|line| line["event"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The members as an agent lists them, once they are as `wanted`.
fn until_members(admin: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = cluster(&["members", "--admin", admin, "--json"]);
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        let members: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("a JSON array");
        if wanted(&members) {
            return members;
        }
        assert!(Instant::now() < deadline, "never as wanted: {members:#?}");
    }
}

#[test]
fn agents_meet_and_show_each_other_with_metadata() {
    let site = Site::new("prod");
    let args = ["--admin", "127.0.0.1:0", "--zone", "eu", "--meta", "role=db"];
    let agents = site.cluster(3, &args);
    let admin = agents[2].admin.clone().expect("an admin address");
    // A member is known before its link is up and its metadata is fetched: what is known of it grows for a moment.
    let complete = |m: &Value| (m["rtt_us"].is_u64() || m["node"] == "n3") && m["meta"]["role"].is_string();
    let members = until_members(&admin, |members| members.len() == 3 && members.iter().all(complete));
    let names: Vec<&str> = members.iter().filter_map(|m| m["node"].as_str()).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    for member in &members {
        assert_eq!(member["state"], "alive");
        assert_eq!(member["meta"], serde_json::json!({ "zone": "eu", "role": "db" }), "{member}");
        assert!(member["incarnation"].as_u64().is_some_and(|i| i < 1 << 53));
        assert_eq!(member["rtt_us"].is_null(), member["node"] == "n3", "only a link has a round trip: {member}");
        let agent = agents.iter().find(|agent| member["node"] == agent.name.as_str()).expect("one of ours");
        assert_eq!(member["addr"], agent.bind.as_str());
    }
    let table = text(&cluster(&["members", "--admin", &admin]).stdout);
    assert!(table.starts_with("NODE") && table.lines().count() == 4, "{table}");
    assert_eq!(temporary_files(&site.pki()), Vec::<String>::new());
}

#[test]
fn a_killed_agent_is_reported_failed_by_all_with_evidence_and_nobody_else_is() {
    let site = Site::new("prod");
    let mut agents = site.cluster(4, &["--profile", "local"]);
    agents.pop().expect("the fourth").signal(Signal::KILL);
    let verdicts: Vec<Value> = agents.iter_mut().map(|agent| agent.until_event("failed", "n4")).collect();
    // Whoever judged did so after P with the votes it takes; the others may have heard of the verdict before the votes.
    let judged = verdicts.iter().filter(|verdict| verdict["evidence"]["accusation"] == "probe_unanswered");
    let enough = |v: &Value| v["evidence"]["accusers"].as_array().is_some_and(|accusers| accusers.len() >= 2);
    assert!(judged.clone().any(enough), "{verdicts:#?}");
    for verdict in judged {
        assert!(verdict["evidence"]["silence_ms"].as_u64().is_some_and(|ms| ms >= 1_900), "{verdict}");
    }
    for agent in &mut agents {
        let failures = agent.catch_up().iter().filter(|line| line["event"] == "failed").count();
        assert_eq!(failures, 1, "{}", agent.name);
    }
}

/// The one figure the whole design turns on: a process stopped for five seconds is not dead.
#[test]
fn a_stop_of_five_seconds_of_one_of_sixteen_fails_nobody() {
    let site = Site::new("prod");
    let mut agents = site.cluster(16, &[]);
    agents[6].signal(Signal::STOP);
    // The stop itself is the five seconds; nothing is waited for.
    rest(Duration::from_secs(5));
    agents[6].signal(Signal::CONT);
    for i in (0..16).filter(|i| *i != 6) {
        agents[i].until("alive n7", |line| line["event"] == "alive" && line["node"] == "n7");
    }
    for agent in &mut agents {
        let bad: Vec<Value> = agent.catch_up().iter().filter(|line| line["event"] == "failed").cloned().collect();
        assert!(bad.is_empty(), "{}: {bad:?}", agent.name);
    }
    assert!(!agents[6].has_said("suspected"), "the stopped one accuses nobody");
}

#[test]
fn the_same_command_line_after_a_kill_is_the_same_node_with_a_new_life() {
    let site = Site::new("prod");
    for restarted in [2, 0] {
        let mut agents = site.cluster(4, &["--admin", "127.0.0.1:0"]);
        let (seed, name) = (agents[1].bind.clone(), agents[restarted].name.clone());
        let (bind, admin) = (agents[restarted].bind.clone(), agents[restarted].admin.clone().expect("an address"));
        let former = agents[1 + usize::from(restarted == 2) * 2].until_event("joined", &name);
        agents.remove(restarted).signal(Signal::KILL);
        // The first agent was started without seeds, and starts again without: the others must find it.
        let join: &[&str] = if restarted == 0 { &[] } else { &["--join", &seed] };
        let again = site.spawn(&name, &bind, &[join, &["--admin", &admin]].concat());
        let mut again = again.ready();
        assert_eq!(again.bind, bind);
        for agent in &mut agents {
            let alive = agent.until_event("alive", &name);
            assert!(alive["incarnation"].as_u64() > former["incarnation"].as_u64(), "{alive}");
            assert_eq!(events_about(agent, &name).iter().filter(|e| *e == "failed").count(), 0);
            again.until_event("joined", &agent.name);
        }
    }
}

#[test]
fn a_farewell_is_heard_as_left_and_the_shutdown_is_reported_in_six_phases() {
    let site = Site::new("prod");
    let mut agents = site.cluster(4, &[]);
    let mut leaver = agents.pop().expect("the fourth");
    for agent in &agents {
        leaver.until_event("link_up", &agent.name);
    }
    leaver.signal(Signal::TERM);
    for agent in &mut agents {
        agent.until_event("left", "n4");
    }
    let (code, said, errors) = leaver.wait();
    assert_eq!(code, Some(0), "{errors}");
    let last = said.last().expect("a last line");
    assert_eq!(last["event"], "shutdown");
    let phases = last["phases"].as_array().expect("phases");
    let names: Vec<&str> = phases.iter().filter_map(|p| p["phase"].as_str()).collect();
    assert_eq!(names, ["leave", "gossip", "health", "connections", "registry", "events"]);
    assert!(phases.iter().all(|p| p["ok"] == true && p["ms"].is_u64()), "{last}");
    assert_eq!(phases[0]["acks"], 3, "{last}");
    for agent in &mut agents {
        assert!(!agent.has_said("failed"), "{}", agent.name);
    }
}

#[test]
fn sixteen_told_to_stop_at_the_same_moment_all_end_within_two_seconds() {
    let site = Site::new("prod");
    let agents = site.cluster(16, &[]);
    agents.iter().for_each(|agent| agent.signal(Signal::INT));
    for agent in agents {
        let name = agent.name.clone();
        let (code, said, errors) = agent.wait();
        assert_eq!(code, Some(0), "{name}: {errors}");
        assert!(said.iter().all(|line| line["event"] != "failed"), "{name}");
        let last = said.last().expect("a last line");
        let phases = last["phases"].as_array().expect("phases");
        assert!(phases.iter().all(|p| p["ok"] == true), "{name}: {last}");
        let took: u64 = phases.iter().filter_map(|p| p["ms"].as_u64()).sum();
        assert!(took <= 2_000, "{name}: {last}");
    }
}

#[test]
fn leave_on_the_admin_address_is_a_farewell() {
    let site = Site::new("prod");
    let mut agents = site.cluster(2, &["--admin", "127.0.0.1:0"]);
    let leaver = agents.pop().expect("the second");
    let left = cluster(&["leave", "--admin", leaver.admin.as_deref().expect("an address")]);
    assert!(left.status.success(), "{}", text(&left.stderr));
    agents[0].until_event("left", "n2");
    assert_eq!(leaver.wait().0, Some(0));
}

#[test]
fn a_node_with_a_state_file_finds_its_cluster_without_seeds() {
    let site = Site::new("prod");
    let mut agents = site.cluster(2, &[]);
    let state = site.dir.path().join("n3.json");
    let state = state.to_str().expect("a path");
    let mut third = site.agent("n3", &["--state", state, "--join", &agents[0].bind.clone()]);
    for agent in &mut agents {
        third.until_event("joined", &agent.name);
        agent.until_event("joined", "n3");
    }
    third.signal(Signal::TERM);
    assert_eq!(third.wait().0, Some(0));
    // Nobody answers, as after a power cut: what was remembered stays.
    agents.iter().for_each(|agent| agent.signal(Signal::STOP));
    let mut alone = site.agent("n3", &["--state", state]);
    alone.until("join_failed", |line| line["event"] == "join_failed");
    drop(alone);
    agents.iter().for_each(|agent| agent.signal(Signal::CONT));
    let mut third = site.agent("n3", &["--state", state]);
    for agent in &mut agents {
        third.until_event("joined", &agent.name);
        agent.until_event("alive", "n3");
    }
}
