//! A system built on the cluster, tested in the simulated world: a counter that every node may raise, also while it is cut off.
//!
//! Each node holds what it and the others have counted, by node, and tells all others now and then; whoever hears takes the larger
//! number of each: a grow-only counter (Shapiro et al., "A comprehensive study of Convergent and Commutative Replicated Data Types",
//! 2011). Membership is not consensus, and this needs none. What a node has counted itself it keeps on its disk: a machine that goes down must
//! not count from nothing again, for the others would take no smaller number from it.
//!
//! Fifty worlds, each with faults of its own: in the end all say the same, and nothing that was counted is lost.
//! `cargo run --release -p cluster-testkit --example replicated_counter`

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster_manager::pool::Link;
use cluster_manager::{Channel, Message, Router, Typed};
use cluster_testkit::{DiskFile, SimNode, Simulation};
use serde::{Deserialize, Serialize};

const RAISES: u64 = 20;
const S: Duration = Duration::from_secs(1);

/// What every node is known to have counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts(BTreeMap<String, u64>);

impl Typed for Counts {
    const CHANNEL: Channel = Channel(1);
}

/// One node's replica. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
struct Replica(Arc<Mutex<Counts>>);

impl Replica {
    fn with<T>(&self, look: impl FnOnce(&mut Counts) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn merge(&self, other: Counts) {
        self.with(|own| {
            for (node, count) in other.0 {
                let known = own.0.entry(node).or_default();
                *known = count.max(*known);
            }
        });
    }

    fn total(&self) -> u64 {
        self.with(|counts| counts.0.values().sum())
    }
}

/// Raises this node's own count, on the disk first.
async fn raise(own: &DiskFile, replica: &Replica, node: &str) -> std::io::Result<bool> {
    let raised = replica.with(|counts| counts.0.get(node).copied().unwrap_or_default()) + 1;
    if raised > RAISES {
        return Ok(false);
    }
    own.write_at(0, &raised.to_le_bytes()).await?;
    own.sync().await?;
    replica.with(|counts| counts.0.insert(node.to_owned(), raised));
    Ok(true)
}

/// What runs on each machine from its boot on.
async fn counter(node: SimNode) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (replica, name) = (Replica::default(), node.name().to_string());
    let own = loop {
        match node.disk().open("own").await {
            Ok(file) => break file,
            // A disk that is full for a while has room later.
            Err(_) => node.sleep(S).await,
        }
    };
    if let Some(counted) = own.read().await?.first_chunk() {
        replica.merge(Counts([(name.clone(), u64::from_le_bytes(*counted))].into()));
    }
    node.expose(replica.clone());
    let told = replica.clone();
    let merge = move |_from: Link, counts: Counts| {
        told.merge(counts);
        async { Ok(()) }
    };
    let cluster = node.start(node.builder().router(Router::builder().on(merge).build()?)).await?;
    loop {
        // A disk that is full or slow for a while takes it later.
        let _ = raise(&own, &replica, &name).await;
        // Who is cut off hears it later: what is told next says all of it again.
        let counts = replica.with(|counts| counts.clone());
        drop(cluster.send_to_all(Message::of(&counts)?.with_time_to_live(S)).await);
        node.sleep(S).await;
    }
}

fn main() {
    let all = 5 * RAISES;
    let total = |node: &SimNode| node.exposed::<Replica>().map_or(0, |replica| replica.total());
    Simulation::new(5)
        .named("replicated_counter")
        .system(counter)
        .swarm(3 * S..40 * S)
        .then_quiet(60 * S)
        .invariant("nobody counts what nobody has", move |nodes| nodes.iter().all(|node| total(node) <= all))
        .finally("everybody has counted everything", move |node| total(node) == all)
        .seeds(0..50)
        .run();
}
