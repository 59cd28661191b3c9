//! Many senders on several threads while the peer's link flaps: nothing leaks, nothing is out of order, nothing waits for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cluster_pool::peer::NotSent;
use cluster_pool::{
    Channel, CloseCode, Link, LinkClass, Message, Outcome, Overflow, PeerConfig, PoolConfig, Received, Router,
    message_fn, request_fn,
};
use cluster_testkit::{TestCluster, Wire};
use tokio::task::JoinSet;

use crate::{PATIENCE, checked};

const WORDS: Channel = Channel(1);
const ECHO: Channel = Channel(2);
const SENDERS: u64 = 64;
const EACH: u64 = 50;

/// Bodies are a sender's number and a count.
fn read(body: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().expect("sixteen bytes"));
    (word(0), word(8))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_senders_and_a_flapping_link() {
    let taken: Arc<Mutex<BTreeMap<u64, Vec<u64>>>> = Arc::default();
    let take = {
        let taken = Arc::clone(&taken);
        message_fn(move |_: Link, message: Received| {
            let taken = Arc::clone(&taken);
            async move {
                let (sender, count) = read(&message.body);
                taken.lock().expect("no panic").entry(sender).or_default().push(count);
                Ok(())
            }
        })
    };
    let echo = request_fn(|_, body: Bytes| async move { Ok(body) });
    let serving = Router::builder().on_message(WORDS, take).on_request(ECHO, echo).build().expect("one handler each");
    let mut cluster = TestCluster::new(Wire::Loopback);
    let (a, b) =
        (cluster.node("a", Router::new(), PoolConfig::default()), cluster.node("b", serving, PoolConfig::default()));
    let peer = a.peer(&b, PeerConfig::default().with_queue(200, 4 << 20).with_overflow(Overflow::Wait));
    let (delivered, unknown, answered) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (peer, delivered, unknown) = (peer.clone(), Arc::clone(&delivered), Arc::clone(&unknown));
        let answered = Arc::clone(&answered);
        senders.spawn(async move {
            for count in 0..EACH {
                let body = [sender.to_le_bytes(), count.to_le_bytes()].concat();
                let ticket = peer.send(Message::new(WORDS, body.clone())).await.expect("there will be room");
                if count % 10 == 0
                    && let Ok(reply) = peer.request(ECHO, body.clone(), Duration::from_secs(10)).await
                {
                    assert_eq!(reply.body, body);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                match ticket.await {
                    Outcome::Delivered { .. } => delivered.fetch_add(1, Ordering::Relaxed),
                    Outcome::MaybeDelivered(_) => unknown.fetch_add(1, Ordering::Relaxed),
                    Outcome::NotSent(NotSent::Expired) => 0,
                    Outcome::NotSent(other) => panic!("{other}"),
                };
            }
        });
    }
    // The link is closed again and again, from either side, whenever a few more messages have got through.
    let mut flaps = 0;
    let flapping = async {
        let mut seen = 0;
        loop {
            let now = delivered.load(Ordering::Relaxed) + unknown.load(Ordering::Relaxed);
            if now >= seen + 50 {
                seen = now;
                flaps += 1;
                let (node, other) = if flaps % 2 == 0 { (&a, &b) } else { (&b, &a) };
                if let Some(link) = node.pool.current(LinkClass::Data, other.name()) {
                    link.close(CloseCode::DONE);
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let all = async {
        while let Some(done) = senders.join_next().await {
            done.expect("no panic")
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(PATIENCE, all) => ended.expect("every message ends"),
        () = flapping => {}
    }
    assert!(flaps > 5, "{flaps}");
    let (delivered, unknown) = (delivered.load(Ordering::Relaxed), unknown.load(Ordering::Relaxed));
    assert!(
        delivered > SENDERS * EACH / 2 && answered.load(Ordering::Relaxed) > 0,
        "{delivered} delivered, {unknown} unknown"
    );
    let taken = taken.lock().expect("no panic").clone();
    let count: u64 = taken.values().map(|counts| counts.len() as u64).sum();
    assert!(
        (delivered..=delivered + unknown).contains(&count),
        "{count} taken, {delivered} delivered, {unknown} unknown"
    );
    // Each sender waits for the end of one before it sends the next: its own are in order, and none is there twice.
    assert!(taken.values().all(|counts| counts.is_sorted_by(|a, b| a < b)));
    let metrics = peer.metrics();
    assert_eq!((metrics.queued, metrics.queue_len, metrics.in_flight), (metrics.ended(), 0, 0), "{metrics:?}");
    for node in [&a, &b] {
        assert!(node.stop(Duration::from_secs(5)).await);
        assert_eq!((node.pool.stats().places, node.pool.open_links(LinkClass::Data)), (0, 0));
    }
    checked(2, &format!("64 senders, {flaps} flaps: {delivered} delivered, {unknown} unknown, each in order and once"));
}

/// Connected and closed as fast as it goes: no place and no link is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_connecting_and_closing_leaves_nothing() {
    let mut cluster = TestCluster::new(Wire::Loopback);
    let nodes: Vec<_> = (0..4).map(|i| cluster.node(&format!("n{i}"), Router::new(), PoolConfig::default())).collect();
    let mut work = JoinSet::new();
    for from in 0..4usize {
        for to in (0..4).filter(|to| *to != from) {
            let (pool, name, addr) = (nodes[from].pool.clone(), nodes[to].name().clone(), nodes[to].addr);
            work.spawn(async move {
                let mut connected = 0;
                for _ in 0..60 {
                    if let Ok(lease) = pool.get_or_create(&name, addr).await {
                        connected += 1;
                        lease.close(CloseCode::DONE);
                    }
                }
                connected
            });
        }
    }
    let all = tokio::time::timeout(PATIENCE, work.join_all()).await.expect("no dial hangs");
    assert!(all.iter().all(|connected| *connected > 30), "{all:?}");
    for node in &nodes {
        assert!(node.stop(Duration::from_secs(5)).await);
        assert_eq!((node.pool.stats().places, node.pool.open_links(LinkClass::Data)), (0, 0));
    }
    let connected: usize = all.iter().sum();
    checked(4, &format!("{connected} connections opened and closed as fast as it goes, nothing left"));
}
