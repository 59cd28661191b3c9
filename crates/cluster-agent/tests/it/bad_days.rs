//! Bad days: what is wrong is said in words, and whatever can go on goes on.

use std::net::UdpSocket;

use rustix::process::Signal;

use crate::agent::{Site, cluster, text};

#[test]
fn an_unreachable_seed_is_reported_and_tried_until_it_is_there() {
    let site = Site::new("prod");
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let mut early = site.agent("early", &["--join", &free]);
    let failed = early.until("join_failed", |line| line["event"] == "join_failed");
    assert_eq!(failed["seed"], free.as_str());
    assert!(failed.get("node").is_none(), "{failed}");
    assert!(failed["reason"].as_str().is_some_and(|r| r.contains("no answer") || r.contains("no link")), "{failed}");
    let mut late = site.spawn("late", &free, &[]).ready();
    early.until_event("joined", "late");
    late.until_event("joined", "early");
}

#[test]
fn a_seed_of_another_cluster_is_named_as_the_cause() {
    let (ours, theirs) = (Site::new("prod"), Site::new("test"));
    let stranger = theirs.agent("s", &[]);
    let mut agent = ours.agent("a", &["--join", &stranger.bind]);
    let failed = agent.until("join_failed", |line| line["event"] == "join_failed");
    assert!(failed["reason"].as_str().is_some_and(|r| r.contains("another authority")), "{failed}");
}

#[test]
fn a_port_in_use_is_an_error_that_says_so() {
    let site = Site::new("prod");
    let first = site.agent("a", &[]);
    let (code, said, errors) = site.spawn("b", &first.bind, &[]).wait();
    assert_eq!((code, said.len()), (Some(1), 0));
    assert!(errors.contains(&first.bind) && errors.contains("another process holds the port"), "{errors}");
}

#[test]
fn without_keys_the_agent_prints_the_two_commands_that_make_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = dir.path().join("none");
    let pki = pki.to_str().expect("a path");
    let agent = cluster(&["agent", "--name", "a", "--bind", "127.0.0.1:0", "--pki", pki]);
    assert_eq!(agent.status.code(), Some(1));
    let errors = text(&agent.stderr);
    for command in [format!("cluster pki init {pki} --cluster NAME"), format!("cluster pki issue {pki} --name a")] {
        assert!(errors.contains(&command), "{errors}");
    }
    assert!(cluster(&["pki", "init", pki, "--cluster", "c"]).status.success());
    assert!(cluster(&["pki", "issue", pki, "--name", "a"]).status.success());
    let again = cluster(&["pki", "init", pki, "--cluster", "c"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("already holds a certificate authority"), "{}", text(&again.stderr));
}

#[test]
fn a_second_process_with_a_name_that_is_taken_is_turned_away() {
    let site = Site::new("prod");
    let mut agents = site.cluster(3, &[]);
    let (holder, seed) = (agents[1].bind.clone(), agents[0].bind.clone());
    // Through another member, and through the holder itself.
    for through in [seed, holder.clone()] {
        let (code, _, errors) = site.spawn("n2", "127.0.0.1:0", &["--join", &through]).wait();
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("the name n2 is taken") && errors.contains(&holder), "{errors}");
    }
    let fourth = site.agent("n4", &["--join", &holder]);
    for agent in &mut agents {
        agent.until_event("joined", &fourth.name);
        for event in ["failed", "left", "alive"] {
            assert!(!agent.has_said(event), "{} said {event}: {:#?}", agent.name, agent.said);
        }
    }
}

#[test]
fn a_shutdown_that_nobody_answers_ends_all_the_same_and_a_second_signal_ends_at_once() {
    let site = Site::new("prod");
    let mut agents = site.cluster(3, &["--admin", "127.0.0.1:0"]);
    let (patient, hurried) = (agents.remove(1), agents.remove(1));
    agents[0].signal(Signal::STOP);
    hurried.signal(Signal::STOP);
    // Both of its peers are stopped: its farewell cannot be acknowledged.
    patient.signal(Signal::TERM);
    let (code, said, errors) = patient.wait();
    assert_eq!(code, Some(0), "{errors}");
    let last = said.last().expect("a last line");
    assert_eq!((&last["event"], &last["phases"][0]["ok"]), (&"shutdown".into(), &false.into()), "{last}");
    assert_eq!(last["phases"][0]["acks"], 0, "{last}");
    let total: u64 = last["phases"].as_array().into_iter().flatten().filter_map(|p| p["ms"].as_u64()).sum();
    assert!(total < 8_000, "{last}");

    // It would wait five seconds for the stopped one. Signals sent close together are one: the first is known to have been
    // taken when it holds itself to have left.
    hurried.signal(Signal::CONT);
    hurried.signal(Signal::TERM);
    let admin = hurried.admin.clone().expect("an address");
    let leaving = || !text(&cluster(&["members", "--admin", &admin, "--json"]).stdout).contains("\"left\"");
    while leaving() {
        std::thread::yield_now();
    }
    hurried.signal(Signal::TERM);
    assert_eq!(hurried.wait().0, Some(1));
}

#[test]
fn usage_errors_end_with_two_and_say_what_is_allowed() {
    let site = Site::new("prod");
    let pki = site.pki();
    let pki = pki.to_str().expect("a path");
    for (args, said) in [
        (vec!["agent", "--bind", "127.0.0.1:0", "--pki", pki], "--name is missing"),
        (vec!["agent", "--name", "a", "--pki", pki], "--bind is missing"),
        (vec!["agent", "--name", "a", "--bind", "127.0.0.1:0", "--pki", pki, "--admin", "0.0.0.0:1"], "loopback"),
        (vec!["agent", "--name", "a b", "--bind", "127.0.0.1:0", "--pki", pki], "' ' at byte 1"),
        (vec!["agent", "--config", "/nonexistent.toml"], "cannot be read"),
        (vec!["agent", "--name", "a", "--bind", "0.0.0.0:0", "--pki", pki], "--advertise IP:PORT"),
        (vec!["members"], "--admin"),
        (vec!["nonsense"], "unrecognized subcommand"),
    ] {
        let output = cluster(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{args:?}: {}", text(&output.stderr));
    }
}
