//! A process that has no descriptors left: it lives, says so, and recovers.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::agent::{Site, checked, cluster, cluster_command_by, text};

/// What the system gives the agent: some thirty for itself, and fewer than its admin address has places.
const DESCRIPTORS: &str = "48";

#[test]
fn an_agent_without_descriptors_lives_says_so_and_recovers() {
    let site = Site::new("prod");
    let mut first = site.agent("n1", &[]);
    let state = site.dir.path().join("n2.json");
    let limited = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"");
    let limited = cluster_command_by("sh", &["-c", &limited]);
    let state = state.to_str().expect("a path");
    let args = ["--join", &first.bind.clone(), "--admin", "127.0.0.1:0", "--state", state];
    let mut second = site.spawn_with(limited, "n2", "127.0.0.1:0", &args).ready();
    second.until_event("joined", "n1");
    first.until_event("link_up", "n2");
    let admin = second.admin.clone().expect("an admin address");

    // Silent connections are closed after five seconds, so new ones come as long as it takes until it says so.
    let held: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&admin).expect("the system queues it")).collect();
    second.until_error("no connection can be taken");
    // It cannot read its keys, either, and those before stay in use.
    second.signal(Signal::HUP);
    second.until_error("those before stay in use");

    // Membership goes on: others come, are seen and see it.
    let third = site.agent("n3", &["--join", &first.bind.clone()]);
    second.until_event("joined", "n3");
    second.until_event("link_up", "n3");
    let mut third = third;
    third.until_event("link_up", "n2");

    drop(held);
    let deadline = std::time::Instant::now() + crate::agent::PATIENCE;
    let answered = || {
        let members = cluster(&["members", "--admin", &admin]);
        members.status.success().then(|| text(&members.stdout))
    };
    let members = loop {
        if let Some(members) = answered() {
            break members;
        }
        assert!(std::time::Instant::now() < deadline, "it does not recover");
    };
    assert_eq!(members.lines().count(), 4, "{members}");
    second.signal(Signal::HUP);
    second.until_error("key and certificate were read again");
    for agent in [&mut first, &mut second, &mut third] {
        for event in ["failed", "suspected", "link_down"] {
            assert!(!agent.has_said(event), "{} said {event}: {:#?}", agent.name, agent.said);
        }
    }
    second.signal(Signal::TERM);
    assert_eq!(second.wait().0, Some(0));
    checked(
        3,
        "48 descriptors, all in use: said, nobody suspected, a newcomer linked; answers and reads its keys afterwards",
    );
}
