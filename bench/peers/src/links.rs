//! Links: what a connection from a pool costs, what a request over a peer costs beside bare QUIC and beside gRPC, what an idle
//! connection costs in memory, what a lock held over a round trip would cost. All of it in one process, over loopback.
//!
//! Ratios are of blocks that alternate, A B B A, so that a machine that slows down slows both; the figures are medians over
//! blocks. Time is CPU time of the whole process: both ends are in it.

pub(crate) mod echo;
mod grpc;
pub(crate) mod measure;
mod memory;
mod open_loop;
mod pools;
mod waiting;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use measure::{Sample, alternate};

/// Answers with what it is asked: 64 bytes there and back.
pub(crate) type Ask = Arc<dyn Fn(Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>> + Send + Sync>;

/// How tasks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    CurrentThread,
    MultiThread,
}

impl Flavour {
    pub(crate) fn runtime(self) -> Runtime {
        let built = match self {
            Self::CurrentThread => Builder::new_current_thread().enable_all().build(),
            Self::MultiThread => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        };
        built.expect("a runtime")
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CurrentThread => "one thread",
            Self::MultiThread => "two threads",
        }
    }
}

pub(crate) const FLAVOURS: [Flavour; 2] = [Flavour::CurrentThread, Flavour::MultiThread];

/// So many requests, with so many under way.
pub(crate) async fn block(ask: &Ask, requests: usize, in_flight: usize) {
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..in_flight {
        let ask = Arc::clone(ask);
        workers.spawn(async move {
            for _ in 0..requests / in_flight {
                let reply = ask(Bytes::from_static(&[7; 64])).await;
                assert_eq!(reply.len(), 64);
            }
        });
    }
    workers.join_all().await;
}

pub(crate) fn row(what: &str, flavour: &str, in_flight: usize, pair: &[Sample; 2]) {
    let [a, b] = pair;
    println!(
        "| {what} | {flavour} | {in_flight} | {:.1} | {:.1} | {:.2} | {:.1} | {:.1} | {:.2} |",
        a.cpu.as_secs_f64() * 1e6,
        b.cpu.as_secs_f64() * 1e6,
        pair_ratio(pair, |s| s.cpu),
        a.wall.as_secs_f64() * 1e6,
        b.wall.as_secs_f64() * 1e6,
        pair_ratio(pair, |s| s.wall),
    );
}

fn pair_ratio([a, b]: &[Sample; 2], of: impl Fn(&Sample) -> Duration) -> f64 {
    of(a).as_secs_f64() / of(b).as_secs_f64()
}

/// Each part by the word for it.
const PARTS: [(&str, &str, fn()); 6] = [
    ("pool", "A connection from a pool that has one", pools::compare),
    ("request", "A request of 64 bytes and its reply", requests),
    ("thread", "Endpoint and driver on a thread of their own, beside one runtime of two threads for all", threads),
    ("latency", "Latency at a fixed load", open_loop::compare),
    ("memory", "Memory of an idle pair of connections", memory::measure),
    ("lock", "A lock held over the round trip", waiting::compare),
];

pub(crate) fn compare(part: Option<&str>) {
    for (word, title, compare) in PARTS {
        if part.is_none_or(|part| part == word) {
            println!("## {title}\n");
            compare();
            println!();
        }
    }
}

pub(crate) const HEAD: &str = "runtime | in flight | CPU us | other | ratio | wall us | other | ratio |\n|---|---|---:|---:|---:|---:|---:|---:|---:|";

pub(crate) const fn requests_for(in_flight: usize) -> usize {
    if in_flight == 1 { 2_000 } else { 12_800 }
}

fn requests() {
    println!("| ours / other | {HEAD}");
    for flavour in FLAVOURS {
        let runtime = flavour.runtime();
        let (bare, peer) = runtime.block_on(async { (echo::bare().await, echo::peer().await) });
        let grpc = runtime.block_on(grpc::grpc());
        for in_flight in [1, 64] {
            let run = |ask: &Ask| runtime.block_on(block(ask, requests_for(in_flight), in_flight));
            for (what, other) in [("peer / bare quinn", &bare), ("peer / tonic over TLS", &grpc)] {
                let pair = alternate(requests_for(in_flight), || run(&peer.ask), || run(&other.ask));
                row(what, flavour.name(), in_flight, &pair);
            }
        }
    }
}

fn threads() {
    println!("| own thread / shared | {HEAD}");
    let apart = echo::own_thread();
    let runtime = Flavour::MultiThread.runtime();
    let shared = runtime.block_on(echo::peer());
    for in_flight in [1, 64] {
        let run = |ask: &Ask| runtime.block_on(block(ask, requests_for(in_flight), in_flight));
        let pair = alternate(requests_for(in_flight), || run(&apart.0.ask), || run(&shared.ask));
        row("peer", "callers on two threads", in_flight, &pair);
    }
}
