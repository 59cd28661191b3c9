//! A system built on the cluster, tested in the simulated world: a counter that every node may raise, also while it is cut off.
//!
//! Each node holds what it and the others have counted, by node, and tells all others now and then; whoever hears takes the larger
//! number of each: a grow-only counter (Shapiro et al., "A comprehensive study of Convergent and Commutative Replicated Data Types",
//! 2011). Membership is not consensus, and this needs none. Ten worlds, each with a cut of its own: in the end all say the same.
//! `cargo run --release -p cluster-testkit --example replicated_counter`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster_manager::pool::Link;
use cluster_manager::{Channel, Cluster, Message, Router, Typed};
use cluster_testkit::{StackConfig, StackWorld};
use serde::{Deserialize, Serialize};

const NODES: usize = 5;
const RAISES: u64 = 20;

/// What every node is known to have counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts(BTreeMap<String, u64>);

impl Typed for Counts {
    const CHANNEL: Channel = Channel(1);
}

impl Counts {
    fn merge(&mut self, other: Self) {
        for (node, count) in other.0 {
            let own = self.0.entry(node).or_default();
            *own = count.max(*own);
        }
    }

    fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// One node's replica. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
struct Replica(Arc<Mutex<Counts>>);

impl Replica {
    fn with<T>(&self, look: impl FnOnce(&mut Counts) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn router(&self) -> Router {
        let replica = self.clone();
        let merge = move |_from: Link, counts: Counts| {
            replica.with(|own| own.merge(counts));
            async { Ok(()) }
        };
        Router::builder().on(merge).build().expect("one handler")
    }

    /// Raises, and tells the others, until it is stopped.
    async fn live(self, cluster: Cluster) {
        let own = cluster.node().to_string();
        for round in 0_u64.. {
            if round < RAISES {
                self.with(|counts| *counts.0.entry(own.clone()).or_default() += 1);
            }
            let counts = self.with(|counts| counts.clone());
            let Ok(message) = Message::of(&counts) else { return };
            // Who is cut off hears it later: what is told next says all of it again.
            drop(cluster.send_to_all(message.with_time_to_live(Duration::from_secs(1))).await);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn run(seed: u64) -> u64 {
    let replicas: Vec<Replica> = (0..NODES).map(|_| Replica::default()).collect();
    let serving = replicas.clone();
    let serve = Arc::new(move |i: usize| Arc::new(serving[i].router()) as _);
    let mut world = StackWorld::new(StackConfig { serve: Some(serve), ..StackConfig::default() }, seed);
    world.start_cluster(NODES);
    world.run_until(Duration::from_secs(10), StackWorld::everybody_knows_everybody).expect("they meet");
    for (i, replica) in replicas.iter().enumerate() {
        let cluster = world.cluster(i).clone();
        world.spawn_on(i, replica.clone().live(cluster));
    }
    // Another one is cut off in each world, while everybody counts.
    let alone = seed as usize % NODES;
    let others: Vec<usize> = (0..NODES).filter(|i| *i != alone).collect();
    world.run_for(Duration::from_secs(3));
    world.partition(&[alone], &others);
    world.run_for(Duration::from_secs(30));
    let apart = [alone, others[0]].map(|i| replicas[i].with(|counts| counts.total()));
    assert_ne!(apart[0], apart[1], "they counted apart");
    world.heal();
    let all = NODES as u64 * RAISES;
    let agreed = |_: &StackWorld| replicas.iter().all(|replica| replica.with(|counts| counts.total()) == all);
    let took = world.run_until(Duration::from_secs(60), agreed).expect("all say the same in the end");
    println!(
        "seed {seed}: cut off, one said {} and the others {}; together again all said {all} after {took:?}",
        apart[0], apart[1]
    );
    assert_eq!(world.stop_all(), Vec::<String>::new(), "nothing is left");
    all
}

fn main() {
    let totals: Vec<u64> = (0..10).map(run).collect();
    assert!(totals.iter().all(|total| *total == NODES as u64 * RAISES));
}
