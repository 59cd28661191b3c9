//! What operators do to a cluster that goes on working: restarts one by one, new certificates, a new authority, a seed that is gone,
//! and what happens to it: half of it dies at once.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::{Agent, Site, checked, cluster, nodes_or, rest, text};

/// What agents said that nobody may have said.
fn accusations(agents: &mut [Agent]) -> Vec<Value> {
    let bad = |line: &&Value| line["event"] == "failed" || line["event"] == "suspected" || line["event"] == "conflict";
    agents.iter_mut().flat_map(|agent| agent.catch_up().iter().filter(bad).cloned().collect::<Vec<_>>()).collect()
}

/// How often an agent has said something about a node.
fn times(agent: &mut Agent, event: &str, node: &str) -> usize {
    agent.catch_up().iter().filter(|line| line["event"] == event && line["node"] == node).count()
}

/// Each in turn says goodbye, ends, and comes back at its old place through another one.
#[test]
fn a_rolling_restart_is_a_row_of_farewells_and_returns() {
    let site = Site::new("prod");
    let mut agents = site.cluster(nodes_or(5), &[]);
    let count = agents.len();
    let onset = Instant::now();
    for i in 0..count {
        let leaver = agents.remove(i);
        let (name, bind) = (leaver.name.clone(), leaver.bind.clone());
        for other in &mut agents {
            other.until_event("joined", &name);
        }
        leaver.signal(Signal::TERM);
        let (code, said, errors) = leaver.wait();
        assert_eq!(code, Some(0), "{name}: {errors}");
        assert!(said.iter().all(|line| line["event"] != "failed"), "{name}: {said:#?}");
        let through = agents[i % agents.len()].bind.clone();
        let mut again = site.spawn(&name, &bind, &["--join", &through]).ready();
        for other in &mut agents {
            other.until_event("left", &name);
            other.until_event("alive", &name);
            again.until_event("joined", &other.name);
        }
        agents.insert(i, again);
    }
    assert_eq!(accusations(&mut agents), Vec::<Value>::new());
    let took = onset.elapsed().as_secs_f64() / count as f64;
    checked(count, &format!("each left, ended and came back, {took:.2} s each; nobody was suspected"));
}

/// The one through which everybody came is gone for good: nobody needs it, and newcomers come through any other.
#[test]
fn a_seed_that_is_gone_is_missed_by_nobody() {
    let site = Site::new("prod");
    let mut agents = site.cluster(4, &["--profile", "local"]);
    let seed = agents.remove(0);
    let (gone, other) = (seed.bind.clone(), agents[0].bind.clone());
    seed.signal(Signal::KILL);
    // While it is not even known to be dead.
    let mut fifth = site.agent("n5", &["--profile", "local", "--join", &gone, "--join", &other]);
    for agent in &mut agents {
        agent.until_event("joined", "n5");
        fifth.until_event("joined", &agent.name);
        agent.until_event("failed", "n1");
    }
    // And when it is.
    let mut sixth = site.agent("n6", &["--profile", "local", "--join", &gone, "--join", &other]);
    for agent in agents.iter_mut().chain([&mut fifth]) {
        agent.until_event("joined", "n6");
        sixth.until_event("joined", &agent.name);
    }
    // Whoever knows only the seed says so and waits, until it is back, as a new life without seeds of its own.
    let mut lost = site.agent("n7", &["--profile", "local", "--join", &gone]);
    lost.until("that nobody is there", |line| line["event"] == "join_failed" && line["seed"] == *gone);
    let mut back = site.spawn("n1", &gone, &["--profile", "local"]).ready();
    for agent in agents.iter_mut().chain([&mut fifth, &mut sixth]) {
        // Who came after the verdict, as they may have, has never known it alive.
        let new = ["n5", "n6"].contains(&agent.name.as_str());
        let returned = |line: &Value| line["event"] == "alive" || new && line["event"] == "joined";
        agent.until("that the seed is back", |line| line["node"] == "n1" && line["addr"] == *gone && returned(line));
        agent.until_event("joined", "n7");
        back.until_event("joined", &agent.name);
        lost.until_event("joined", &agent.name);
    }
    checked(7, "newcomers came through others before and after the verdict; the seed came back and was found");
}

/// The three rounds of docs/operations.md, on a cluster that goes on: no link is lost, nobody is suspected, and in the end the old
/// authority opens no door.
#[test]
fn certificates_and_the_authority_itself_are_replaced_while_it_runs() {
    let site = Site::new("prod");
    let mut agents = site.cluster(4, &["--admin", "127.0.0.1:0"]);
    let seed = agents[0].bind.clone();
    for i in 0..agents.len() {
        for other in
            (0..agents.len()).filter(|other| *other != i).map(|other| agents[other].name.clone()).collect::<Vec<_>>()
        {
            agents[i].until_event("link_up", &other);
        }
    }
    // Somebody who was away keeps what was good before.
    let old = site.dir.path().join("old");
    copy(&site.pki(), &old);
    let issued = |dir: &std::path::Path, name: &str| {
        let made = cluster(&["pki", "issue", dir.to_str().expect("a path"), "--name", name]);
        assert!(made.status.success(), "{}", text(&made.stderr));
    };
    issued(&old, "n9");

    let new = site.dir.path().join("new");
    let made = cluster(&["pki", "init", new.to_str().expect("a path"), "--cluster", "prod"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let read = |dir: &std::path::Path, file: &str| fs::read(dir.join(file)).expect("it is there");
    let write = |file: &str, content: &[u8]| fs::write(site.pki().join(file), content).expect("written");
    // 1: both are trusted.
    write("ca.crt", &[read(&old, "ca.crt"), read(&new, "ca.crt")].concat());
    hang_up(&agents);
    // 2: certificates of the new one, one node after the other.
    for agent in &agents {
        for kind in ["key", "secret"] {
            let file = format!("{}.{kind}", agent.name);
            fs::write(new.join(&file), read(&old, &file)).expect("written");
        }
        issued(&new, &agent.name);
        let certificate = format!("{}.crt", agent.name);
        write(&certificate, &read(&new, &certificate));
        hang_up(std::slice::from_ref(agent));
    }
    // 3: the old one is trusted no more.
    write("ca.crt", &read(&new, "ca.crt"));
    write("ca.key", &read(&new, "ca.key"));
    hang_up(&agents);

    let mut newcomer = site.agent("n5", &["--join", &seed]);
    for agent in &mut agents {
        agent.until_event("link_up", "n5");
        newcomer.until_event("link_up", &agent.name);
    }
    assert_eq!(accusations(&mut agents), Vec::<Value>::new());
    for agent in &mut agents {
        assert!(!agent.has_said("link_down"), "{}: {:#?}", agent.name, agent.said);
    }
    // With a certificate of the old authority nobody gets in, even if he himself trusts both.
    let away = Site { dir: tempfile::tempdir().expect("a directory") };
    copy(&old, &away.pki());
    fs::write(away.pki().join("ca.crt"), [read(&old, "ca.crt"), read(&new, "ca.crt")].concat()).expect("written");
    let mut late = away.agent("n9", &["--join", &seed]);
    let refused = late.until("a refusal", |line| line["event"] == "join_failed");
    assert!(refused["reason"].as_str().is_some_and(|why| why.contains("refused this node's certificate")), "{refused}");
    checked(6, "both trusted, certificates exchanged, the old authority dropped: no link lost, nobody suspected");
}

/// Each says that it has read its keys again.
fn hang_up(agents: &[Agent]) {
    agents.iter().for_each(|agent| agent.signal(Signal::HUP));
    agents.iter().for_each(|agent| agent.until_error("key and certificate were read again"));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("it can be read") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// Half of a cluster is killed at the same moment and started again at once, without a seed: nobody is declared for it, and
/// everybody knows everybody's new life.
#[test]
fn half_of_a_cluster_dies_at_once_and_is_back() {
    let site = Site::new("prod");
    let mut agents = site.cluster(nodes_or(8), &[]);
    let count = agents.len();
    let mut dying = agents.split_off(count / 2);
    for survivor in &mut agents {
        dying.iter().for_each(|agent| drop(survivor.until_event("joined", &agent.name)));
    }
    for agent in &mut dying {
        agents.iter().for_each(|survivor| drop(agent.until_event("joined", &survivor.name)));
    }
    let onset = Instant::now();
    let places: Vec<(String, String)> = dying.iter().map(|agent| (agent.name.clone(), agent.bind.clone())).collect();
    dying.iter().for_each(|agent| agent.signal(Signal::KILL));
    drop(dying);
    let mut back: Vec<Agent> = places.iter().map(|(name, bind)| site.spawn(name, bind, &[])).collect();
    back = back.into_iter().map(Agent::ready).collect();
    for survivor in &mut agents {
        for (name, _) in &places {
            survivor.until_event("alive", name);
            assert_eq!(times(survivor, "failed", name), 0, "{}", survivor.name);
        }
    }
    let seen = onset.elapsed();
    let names: Vec<String> = agents.iter().chain(&back).map(|agent| agent.name.clone()).collect();
    for agent in &mut back {
        let own = agent.name.clone();
        names.iter().filter(|name| **name != own).for_each(|name| drop(agent.until_event("joined", name)));
    }
    assert!(seen < Duration::from_secs(30), "{seen:?}");
    // A verdict that was under way would have fallen by now.
    rest(Duration::from_secs(8));
    for agent in agents.iter_mut().chain(&mut back) {
        assert!(!agent.has_said("failed"), "{}: {:#?}", agent.name, agent.said);
    }
    checked(
        count,
        &format!("{} killed and back, known to all after {:.1} s; nobody declared", places.len(), seen.as_secs_f64()),
    );
}
