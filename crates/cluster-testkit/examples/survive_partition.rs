//! Whoever leads is cut off from all others, again and again: what the nemesis sees, and what must hold all the while.
//!
//! The lowest name that a majority can see leads. That is no election: for as long as a pause is forgiven, both sides of a cut may see a leader,
//! and so a leader here asks itself first whether it still hears a majority. The same seed tells the same story to the packet.
//! `cargo run --release -p cluster-testkit --example survive_partition`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_manager::{NodeId, State};
use cluster_testkit::{Nemesis, SimNode, Simulation};

const NODES: usize = 5;
const S: Duration = Duration::from_secs(1);

/// Whether a node believes that it leads.
#[derive(Debug, Default)]
struct Leads(AtomicBool);

/// Whether this node is the lowest of a majority that it holds to be alive.
fn leads(node: &SimNode) -> bool {
    let members = node.cluster().members().into_iter();
    let mut alive: Vec<NodeId> = members.filter(|m| m.state == State::Alive).map(|m| m.node).collect();
    alive.sort();
    alive.len() * 2 > NODES && alive.first() == Some(node.name())
}

async fn candidate(node: SimNode) {
    node.expose(Leads::default());
    loop {
        let leading = leads(&node);
        node.exposed::<Leads>().iter().for_each(|flag| flag.0.store(leading, Ordering::Relaxed));
        node.sleep(S / 10).await;
    }
}

fn leader(nodes: &[SimNode]) -> Vec<usize> {
    let leads = |node: &&SimNode| node.exposed::<Leads>().is_some_and(|flag| flag.0.load(Ordering::Relaxed));
    nodes.iter().filter(leads).map(SimNode::index).collect()
}

/// Five times, whoever leads is cut off until another one does, and comes back.
async fn dethrone(nemesis: Nemesis, story: Arc<Mutex<Vec<String>>>) -> Result<(), String> {
    for _ in 0..5 {
        nemesis.sleep(5 * S).await;
        let [old] = leader(&nemesis.nodes())[..] else { continue };
        let cut = nemesis.now();
        nemesis.isolate(old).await?;
        let new = loop {
            nemesis.sleep(S / 10).await;
            let others: Vec<usize> = leader(&nemesis.nodes()).into_iter().filter(|node| *node != old).collect();
            if let [new] = others[..] {
                break new;
            }
        };
        let took = (nemesis.now() - cut).as_secs_f64();
        let line = format!("{:>6.1} s  {old} was cut off, {new} leads after {took:.1} s", cut.as_secs_f64());
        story.lock().map_err(|e| e.to_string())?.push(line);
        nemesis.heal().await?;
    }
    Ok(())
}

fn main() {
    let story = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&story);
    Simulation::new(NODES)
        .named("survive_partition")
        .workload(candidate)
        .nemesis(2 * S..100 * S, move |nemesis| dethrone(nemesis, Arc::clone(&told)))
        .finally("everybody sees the same leader", |node| leads(node) == (node.index() == 0))
        .run();
    story.lock().iter().for_each(|lines| lines.iter().for_each(|line| println!("{line}")));
}
