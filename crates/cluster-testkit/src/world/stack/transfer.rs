//! Users' traffic in a stack world: bytes on a stream, counted on the other side.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cluster_manager::{Channel, Cluster, Router};
use cluster_pool::link::LinkStream;
use cluster_pool::router::RouterBuilder;
use cluster_pool::{Link, StreamHandler};
use cluster_types::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::reachable;

const CHUNK: usize = 16 * 1024;

/// The channel of the streams that are counted.
const BULK: Channel = Channel(1);

/// A stream that is not open after this is not to be had.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a stream to its end, and answers how many bytes there were.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountingSink;

impl CountingSink {
    /// What a node serves that was not told anything else.
    pub(super) fn serve() -> RouterBuilder {
        Router::builder().on_stream(BULK, Arc::new(Self))
    }
}

#[async_trait]
impl StreamHandler for CountingSink {
    async fn handle(&self, _link: &Link, mut stream: LinkStream) {
        let mut count = 0u64;
        let mut chunk = vec![0; CHUNK];
        loop {
            match stream.recv.read(&mut chunk).await {
                Ok(0) => break,
                Ok(len) => count += len as u64,
                // Reset by the sender: dropping the other half tells it that nothing was acknowledged.
                Err(_) => return,
            }
        }
        if stream.send.write_all(&count.to_le_bytes()).await.is_ok() {
            stream.send.finish();
        }
    }
}

/// A transfer that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Since the world's origin.
    pub(super) begun: Duration,
}

/// Transfers that were not acknowledged in full. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(super) struct Transfers(Arc<Mutex<Vec<Transfer>>>);

impl Transfers {
    fn lock(&self) -> MutexGuard<'_, Vec<Transfer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends so many bytes and waits until the other side has counted them.
    pub(super) async fn run(self, transfer: Transfer, cluster: Cluster, to: NodeId, bytes: u64) {
        self.lock().push(transfer);
        if send(&cluster, &to, bytes).await == Some(bytes) {
            reachable!("a transfer is acknowledged in full");
            self.lock().retain(|other| *other != transfer);
        }
    }

    /// Those that were not acknowledged in full.
    pub(super) fn unfinished(&self) -> Vec<Transfer> {
        self.lock().clone()
    }
}

async fn send(cluster: &Cluster, to: &NodeId, bytes: u64) -> Option<u64> {
    let mut stream = cluster.open_stream(to, BULK, PATIENCE).await.ok()?;
    let chunk = [7; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let len = left.min(CHUNK as u64);
        stream.send.write_all(&chunk[..len as usize]).await.ok()?;
        left -= len;
    }
    stream.send.finish();
    let mut counted = [0; 8];
    stream.recv.read_exact(&mut counted).await.ok()?;
    Some(u64::from_le_bytes(counted))
}
