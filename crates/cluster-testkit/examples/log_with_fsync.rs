//! A log that acknowledges a write when two of three machines have it on their disks. With `fsync` it loses nothing, whatever machines go
//! down; without it the simulator finds a write that was acknowledged and is gone, and makes the story as short as it can.
//!
//! `cargo run --release -p cluster-testkit --example log_with_fsync` runs a hundred worlds with `fsync`; with `-- --without-fsync` it is left out.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use cluster_manager::pool::Link;
use cluster_manager::{Channel, Router};
use cluster_pool::{ConnectionConfig, ConnectionManager, Turned, request_fn};
use cluster_testkit::{DiskFile, Nemesis, SimClient, SimNode, Simulation};

const APPEND: Channel = Channel(1);
const READ: Channel = Channel(2);
const NODES: usize = 3;
const ENTRY: usize = 8;
const S: Duration = Duration::from_secs(1);

/// The log of one machine.
#[derive(Debug, Clone)]
struct Log {
    file: DiskFile,
    fsync: bool,
}

impl Log {
    async fn append(&self, entry: &[u8]) -> std::io::Result<()> {
        self.file.append(entry).await?;
        if self.fsync { self.file.sync().await } else { Ok(()) }
    }
}

/// What runs on each machine: it takes entries, and tells what it has.
async fn replica(node: SimNode, fsync: bool) -> Result<(), Box<dyn Error + Send + Sync>> {
    let file = node.disk().open("log").await?;
    // The last entry may be torn: it was never acknowledged.
    let whole = file.len().await? / ENTRY * ENTRY;
    file.set_len(whole).await?;
    let log = Log { file, fsync };
    let reading = log.clone();
    let append = request_fn(move |_from: Link, entry: Bytes| {
        let log = log.clone();
        async move {
            log.append(&entry).await.map_err(|e| Turned::failed(e.to_string()))?;
            Ok(Bytes::new())
        }
    });
    let read = request_fn(move |_from: Link, _ask: Bytes| {
        let log = reading.clone();
        async move { log.file.read().await.map(Bytes::from).map_err(|e| Turned::failed(e.to_string())) }
    });
    let router = Router::builder().on_request(APPEND, append).on_request(READ, read).build()?;
    node.start(node.builder().router(router)).await?;
    Ok(())
}

/// Asks every machine for itself; what each answered.
async fn ask_all(each: &[ConnectionManager], channel: Channel, body: Bytes) -> Vec<Option<Bytes>> {
    let mut answers = Vec::new();
    for machine in each {
        let asked = async { machine.get_connection().await.ok()?.request(channel, body.clone(), S).await.ok() };
        answers.push(asked.await.map(|reply| reply.body));
    }
    answers
}

/// Writes numbers for half a minute, and remembers which of them two machines have acknowledged; at last it reads from all that answer.
async fn writer(client: SimClient) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut acknowledged = Vec::new();
    let mut each = Vec::new();
    for host in client.hosts() {
        each.push(client.connect(ConnectionConfig::new([host])).await?);
    }
    client.sleep(2 * S).await;
    for number in 0..60_u64 {
        let answers = ask_all(&each, APPEND, Bytes::copy_from_slice(&number.to_le_bytes())).await;
        if answers.iter().flatten().count() * 2 > NODES {
            acknowledged.push(number);
        }
        client.sleep(S / 2).await;
    }
    client.sleep(30 * S).await;
    let mut found: Vec<u64> = Vec::new();
    for log in ask_all(&each, READ, Bytes::new()).await.into_iter().flatten() {
        found.extend(log.chunks_exact(ENTRY).filter_map(|entry| Some(u64::from_le_bytes(*entry.first_chunk()?))));
    }
    match acknowledged.iter().find(|number| !found.contains(number)) {
        Some(lost) => Err(format!("{lost} was acknowledged, and no machine has it").into()),
        None => Ok(()),
    }
}

/// Lets machines go down, two at a time now and then.
async fn power_cuts(nemesis: Nemesis) -> Result<(), String> {
    let mut draws = nemesis.rng("cuts");
    loop {
        nemesis.sleep(S * (1 + draws.below(5) as u32)).await;
        let first = draws.below(NODES as u64) as usize;
        let down = if draws.below(2) == 0 { vec![first] } else { vec![first, (first + 1) % NODES] };
        for node in &down {
            nemesis.crash(*node).await?;
        }
        nemesis.sleep(S).await;
        for node in &down {
            nemesis.start(*node).await?;
        }
    }
}

fn main() {
    let fsync = !std::env::args().any(|arg| arg == "--without-fsync");
    Simulation::new(NODES)
        .named("log_with_fsync")
        .system(move |node| replica(node, fsync))
        .client(writer)
        .nemesis(3 * S..30 * S, power_cuts)
        .seeds(0..100)
        .run();
}
