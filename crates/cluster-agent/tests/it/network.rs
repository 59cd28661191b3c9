//! Nodes with addresses and networks of their own: cables that are pulled, switches that part, paths that work one way.
//!
//! Only within namespaces made for the test, where nothing can be damaged: `cargo xtask integration network` makes them.

mod lan;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::{Agent, PATIENCE, checked, nodes_or, rest, text};
use lan::Lan;

/// The `lan` profile's pause budget: whoever is heard again within it was never away.
const P: Duration = Duration::from_millis(6_300);
/// A verdict may be this early: what was under way when the path was cut is a sign of life, too.
const EARLY: Duration = Duration::from_millis(1_400);

/// Who was declared failed, by whom.
fn declared(agents: &mut [Agent]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for agent in agents {
        let name = agent.name.clone();
        let failed = agent.catch_up().iter().filter(|line| line["event"] == "failed");
        all.extend(failed.map(|line| (name.clone(), line["node"].as_str().unwrap_or_default().to_owned())));
    }
    all
}

/// Waits until an agent says it about a node in a line not yet said at `from`.
fn says_again(agent: &mut Agent, from: usize, event: &str, node: &str) {
    agent.until_from(from, &format!("{event} {node}"), |line| line["event"] == event && line["node"] == node);
}

#[test]
#[ignore = "needs networks of its own: cargo xtask integration network"]
fn nodes_with_addresses_of_their_own_meet_and_talk() {
    let lan = Lan::new(nodes_or(8));
    let agents = lan.cluster();
    let listed = lan.ask(1, &["members", "--json"]);
    let members: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("a JSON array");
    for (agent, i) in agents.iter().zip(1..) {
        let member = members.iter().find(|m| m["node"] == *agent.name).expect("a member");
        assert_eq!(member["addr"], format!("{}:7000", Lan::ip(i)).as_str());
    }
    let long = "x".repeat(60_000);
    for (to, what) in [("n2", "short"), ("n3", &long)] {
        let asked = lan.ask(1, &["request", to, what]);
        assert_eq!(text(&asked.stdout).trim_end(), what, "{}", text(&asked.stderr));
    }
    checked(agents.len(), "all know all by their own addresses; short and long requests answered");
}

/// The cable of one is pulled: the others declare it in time, it declares nobody, and when the cable is back so is it.
#[test]
#[ignore = "needs networks of its own: cargo xtask integration network"]
fn a_cable_that_is_pulled_costs_one_node_and_it_comes_back_by_itself() {
    let lan = Lan::new(nodes_or(5));
    let mut agents = lan.cluster();
    let marks: Vec<usize> = agents.iter_mut().map(|agent| agent.catch_up().len()).collect();
    lan.cable(3, false);
    let onset = Instant::now();
    let mut first = None;
    for i in (0..agents.len()).filter(|i| *i != 2) {
        agents[i].until_event("failed", "n3");
        first.get_or_insert(onset.elapsed());
    }
    let (first, last) = (first.expect("others"), onset.elapsed());
    assert!(first >= P - EARLY && last <= P + Duration::from_secs(6), "declared {first:?} to {last:?} after the cut");
    // The one that is alone cannot know that it is not the others who are gone; it tells nobody.
    for other in ["n1", "n2"] {
        agents[2].until_event("failed", other);
    }
    lan.cable(3, true);
    let healed = Instant::now();
    for i in (0..agents.len()).filter(|i| *i != 2) {
        says_again(&mut agents[i], marks[i], "alive", "n3");
    }
    let back = healed.elapsed();
    assert!(back <= Duration::from_secs(30), "{back:?}");
    // Nobody else is declared by those who were not cut off, and nobody has to say against the one that was that he lives.
    let only = declared(&mut agents);
    assert!(only.iter().all(|(by, node)| by == "n3" || node == "n3"), "{only:?}");
    for agent in agents.iter_mut().filter(|agent| agent.name != "n3") {
        let suspected =
            agent.catch_up().iter().filter(|line| line["event"] == "suspected" && line["node"] != "n3").count();
        assert_eq!(suspected, 0, "{}", agent.name);
    }
    checked(
        agents.len(),
        &format!(
            "declared {:.1} to {:.1} s after the cut, by all; back {:.1} s after the heal",
            first.as_secs_f64(),
            last.as_secs_f64(),
            back.as_secs_f64()
        ),
    );
}

/// Four seconds without a network, and a cable that is loose: nobody is declared.
#[test]
#[ignore = "needs networks of its own: cargo xtask integration network"]
fn a_short_cut_and_a_loose_cable_fail_nobody() {
    let lan = Lan::new(nodes_or(6));
    let mut agents = lan.cluster();
    lan.cable(2, false);
    rest(Duration::from_secs(4));
    lan.cable(2, true);
    // A second off in every two, for a while.
    for _ in 0..5 {
        rest(Duration::from_secs(1));
        lan.cable(4, false);
        rest(Duration::from_secs(1));
        lan.cable(4, true);
    }
    rest(2 * P);
    assert_eq!(declared(&mut agents), Vec::new());
    lan.agree(agents.len());
    checked(agents.len(), "4 s without a cable, then one that is loose for 10 s: nobody declared, all linked");
}

/// One hears nobody for a while, and then is heard by nobody. In both cases it is gone for the others, takes nobody with it, and is
/// back when the path is.
#[test]
#[ignore = "needs networks of its own: cargo xtask integration network"]
fn a_path_that_works_one_way_costs_one_node_at_most() {
    // Whoever is deaf is heard: it dies for the others when it has given them up itself, after P, and closed its links.
    for (deaf, word, until) in [(true, "deaf", P), (false, "mute", Duration::ZERO)] {
        let lan = Lan::new(nodes_or(6));
        let mut agents = lan.cluster();
        let onset = Instant::now();
        if deaf {
            lan.deafen(4)
        } else {
            lan.mute(4)
        }
        for i in (0..agents.len()).filter(|i| *i != 3) {
            agents[i]
                .until_within(2 * PATIENCE, 0, "failed n4", |line| line["event"] == "failed" && line["node"] == "n4");
        }
        let took = onset.elapsed();
        assert!(took >= until + P - EARLY * 2 && took <= until + 2 * P, "{word}: {took:?}");
        let marks: Vec<usize> = agents.iter_mut().map(|agent| agent.catch_up().len()).collect();
        lan.mend();
        let healed = Instant::now();
        for i in (0..agents.len()).filter(|i| *i != 3) {
            says_again(&mut agents[i], marks[i], "alive", "n4");
        }
        assert!(healed.elapsed() <= Duration::from_secs(30), "{:?}", healed.elapsed());
        // What it thinks of the others meanwhile is its own.
        let only = declared(&mut agents);
        assert!(only.iter().all(|(by, node)| by == "n4" || node == "n4"), "{word}: {only:?}");
        let (took, back) = (took.as_secs_f64(), healed.elapsed().as_secs_f64());
        checked(
            agents.len(),
            &format!("{word}: declared by all after {took:.1} s, nobody else; back {back:.1} s after the heal"),
        );
    }
}

/// The path between two is gone, and only that: the others carry the probes, and nobody is declared.
#[test]
#[ignore = "needs networks of its own: cargo xtask integration network"]
fn two_that_do_not_reach_each_other_are_alive_for_all() {
    let lan = Lan::new(nodes_or(5));
    let mut agents = lan.cluster();
    lan.cut_one_way(1, 2);
    lan.cut_one_way(2, 1);
    // One accuser alone is believed after six times P; more than that is not waited for.
    rest(Duration::from_secs(40));
    assert_eq!(declared(&mut agents), Vec::new());
    // Each of the two probes the other every few seconds, and would suspect it every time were it not reached through the others.
    let mut suspicions = 0;
    for (by, of) in [(0, "n2"), (1, "n1")] {
        let said = agents[by].catch_up().iter();
        suspicions += said.filter(|line| line["event"] == "suspected" && line["node"] == of).count();
    }
    assert!(suspicions <= 2, "{suspicions} suspicions between the two");
    lan.mend();
    lan.agree(agents.len());
    let figures =
        format!("40 s without a path between two: probed through the others, {suspicions} suspicions, nobody declared");
    checked(agents.len(), &figures);
}

/// A third of the nodes is behind another switch for half a minute: those that are more declare those that are fewer, each side goes on
/// by itself, and when the switches are joined all are one cluster again.
#[test]
#[ignore = "needs networks of its own: cargo xtask integration network"]
fn a_third_of_the_nodes_is_away_and_back() {
    let lan = Lan::new(nodes_or(9).max(6));
    let mut agents = lan.cluster();
    let count = agents.len();
    let away: Vec<usize> = (count - count / 3..count).collect();
    let onset = Instant::now();
    away.iter().for_each(|i| lan.switch(i + 1, 1));
    let names: Vec<String> = agents.iter().map(|agent| agent.name.clone()).collect();
    for agent in &mut agents[..count - away.len()] {
        away.iter().for_each(|gone| drop(agent.until_event("failed", &names[*gone])));
    }
    let took = onset.elapsed();
    assert!(took >= P - EARLY, "{took:?}");
    // Each side goes on.
    for (from, to) in [(1, 2), (away[0] + 1, away[1] + 1)] {
        let asked = lan.ask(from, &["request", &names[to - 1], "well?"]);
        assert_eq!(text(&asked.stdout), "well?\n", "{}", text(&asked.stderr));
    }
    // Nobody declares who is on his own side.
    for (by, node) in declared(&mut agents) {
        let side = |name: &str| names.iter().position(|n| n == name).is_some_and(|i| away.contains(&i));
        assert_ne!(side(&by), side(&node), "{by} declared {node}");
    }
    rest(Duration::from_secs(30).saturating_sub(onset.elapsed()));
    away.iter().for_each(|i| lan.switch(i + 1, 0));
    let healed = Instant::now();
    for agent in &mut agents[..count - away.len()] {
        away.iter().for_each(|back| drop(agent.until_event("alive", &names[*back])));
        agent.until("that halves are one again", |line| line["event"] == "merged");
    }
    lan.agree(agents.len());
    let back = healed.elapsed();
    assert!(back <= Duration::from_secs(30), "{back:?}");
    checked(
        count,
        &format!(
            "{} of {count} away for 30 s: declared after {:.1} s by the others, one cluster again {:.1} s after the heal",
            away.len(),
            took.as_secs_f64(),
            back.as_secs_f64()
        ),
    );
}

/// A machine comes back somewhere else: the same name, another address.
#[test]
#[ignore = "needs networks of its own: cargo xtask integration network"]
fn a_node_that_moves_is_found_where_it_is_now() {
    let mut lan = Lan::new(nodes_or(4));
    let mut agents = lan.cluster();
    let name = agents[2].name.clone();
    agents.remove(2).signal(Signal::KILL);
    let place = lan.add();
    let moved = lan.spawn(place, &name, &["--join", &format!("{}:7000", Lan::ip(1))]).ready();
    let here = format!("{}:7000", Lan::ip(place));
    for agent in &mut agents {
        agent.until(&format!("{name} at {here}"), |line| line["node"] == *name && line["addr"] == *here);
    }
    agents.push(moved);
    let asked = lan.ask(1, &["request", &name, "well?"]);
    assert_eq!(text(&asked.stdout), "well?\n", "{}", text(&asked.stderr));
    assert_eq!(declared(&mut agents), Vec::new());
    checked(agents.len() + 1, "killed, started at another address under its name: followed by all, declared by nobody");
}

/// A path becomes narrow while connections are open: what is long is cut smaller, and membership, which sends little, never notices.
#[test]
#[ignore = "needs networks of its own: cargo xtask integration network"]
fn a_path_that_becomes_narrow_fails_nobody() {
    let lan = Lan::new(4);
    let mut agents = lan.cluster();
    let long = "x".repeat(60_000);
    let ask = || lan.ask(1, &["request", "n2", &long, "--timeout", "30s"]);
    let first = ask();
    assert_eq!(text(&first.stdout).trim_end().len(), long.len(), "{}", text(&first.stderr));
    lan.widest_packet(2, 1_280);
    let second = ask();
    assert_eq!(text(&second.stdout).trim_end().len(), long.len(), "{}", text(&second.stderr));
    rest(2 * P);
    assert_eq!(declared(&mut agents), Vec::new());
    lan.agree(agents.len());
    checked(agents.len(), "a path of 1,280 bytes after one of 1,500: long requests answered, nobody declared");
}
