//! Figures from real processes: pauses, a hang, a kill, a leave and the cost at rest, one binary, one configuration, one run.
//! Ignored in the ordinary run for their length: `cargo xtask integration measured` runs them.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::{Agent, Site, checked, rest};

/// What an agent said since a line number, of one kind.
fn since(agent: &mut Agent, from: usize, event: &str) -> Vec<Value> {
    agent.catch_up()[from..].iter().filter(|line| line["event"] == event).cloned().collect()
}

/// Bytes sent over the loopback interface so far, IP headers included and the 14 of Ethernet not. By everybody on this machine: the figure at
/// rest means something only where nothing else talks over loopback.
fn loopback_bytes() -> u64 {
    let table = std::fs::read_to_string("/proc/net/dev").expect("the interfaces");
    let line = table.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("lo");
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let (bytes, packets) = (fields[8], fields[9]);
    bytes - 14 * packets
}

/// When each of the others said it, after `onset`; waits until all have.
fn all_say(agents: &mut [Agent], but: usize, event: &str, onset: Instant) -> Vec<Duration> {
    let node = agents[but].name.clone();
    let mut took = Vec::new();
    let deadline = onset + Duration::from_secs(30);
    let mut waiting: Vec<usize> = (0..agents.len()).filter(|i| *i != but).collect();
    while !waiting.is_empty() {
        assert!(Instant::now() < deadline, "{} never said {event} {node}", waiting.len());
        waiting.retain(|&i| {
            let said = agents[i].catch_up().iter().any(|line| line["event"] == event && line["node"] == *node);
            if said {
                took.push(onset.elapsed());
            }
            !said
        });
        rest(Duration::from_millis(2));
    }
    took.sort_unstable();
    took
}

fn run(nodes: usize) {
    let site = Site::new("prod");
    let mut agents = site.cluster(nodes, &[]);
    rest(Duration::from_secs(20));

    let before = loopback_bytes();
    rest(Duration::from_secs(60));
    let per_node = (loopback_bytes() - before) as f64 / (60.0 * nodes as f64);
    checked(nodes, &format!("at rest {per_node:.0} B/s sent by each"));

    for pause in [1, 2, 4, 5] {
        let marks: Vec<usize> = agents.iter_mut().map(|agent| agent.catch_up().len()).collect();
        agents[3].signal(Signal::STOP);
        rest(Duration::from_secs(pause));
        agents[3].signal(Signal::CONT);
        rest(Duration::from_secs(10));
        let failed: usize = (0..nodes).map(|i| since(&mut agents[i], marks[i], "failed").len()).sum();
        let accused = since(&mut agents[3], marks[3], "suspected").len();
        checked(nodes, &format!("one stopped for {pause} s: {failed} declared it, it accused {accused}"));
        assert_eq!((failed, accused), (0, 0), "a stop of {pause} s");
    }

    for (victim, signal, word) in [(4, Signal::STOP, "stopped for ever"), (2, Signal::KILL, "killed")] {
        let onset = Instant::now();
        agents[victim].signal(signal);
        let took = all_say(&mut agents, victim, "failed", onset);
        let (first, median, last) = (took[0], took[took.len() / 2], took[took.len() - 1]);
        checked(nodes, &format!("one {word}: declared first {first:.2?}, half {median:.2?}, all {last:.2?}"));
        assert!(first >= Duration::from_secs(5) && last <= Duration::from_secs(8), "{took:?}");
        // It is out of the way of the next one.
        agents.remove(victim);
    }

    let leaving = 1;
    let onset = Instant::now();
    agents[leaving].signal(Signal::TERM);
    let took = all_say(&mut agents, leaving, "left", onset);
    checked(nodes, &format!("one leaves: known to all after {:.2?}", took[took.len() - 1]));
    let wrong = agents.iter_mut().flat_map(|agent| since(agent, 0, "failed")).filter(|line| {
        let node = line["node"].as_str().unwrap_or_default();
        node != "n5" && node != "n3"
    });
    assert_eq!(wrong.count(), 0, "nobody else was declared");
}

#[test]
#[ignore = "takes two minutes"]
fn sixteen_agents_measured() {
    run(16);
}

#[test]
#[ignore = "takes two minutes and 64 processes"]
fn sixty_four_agents_measured() {
    run(64);
}
