//! Many at once: connections, nodes that come and go, peers whose queues are full.

use std::net::UdpSocket;
use std::time::Duration;

use bytes::Bytes;
use cluster_pool::{Channel, LinkClass, Message, Outcome, PeerConfig, PoolConfig, Router, request_fn};
use cluster_testkit::{TestCluster, TestNode, Wire};
use cluster_types::NodeId;
use tokio::task::JoinSet;

use crate::{PATIENCE, checked, nodes_or, until};

const ECHO: Channel = Channel(1);
const ENOUGH: Duration = Duration::from_secs(5);

fn echo() -> Router {
    let echo = request_fn(|_, body: Bytes| async move { Ok(body) });
    Router::builder().on_request(ECHO, echo).build().expect("one handler")
}

/// Asks the hub, again where the hub was too busy with handshakes to let it in.
async fn ask(spoke: &TestNode, hub_name: NodeId, hub: std::net::SocketAddr, body: String) {
    let peer = spoke.peer_at(&hub_name, hub, PeerConfig::default());
    let asked = async {
        loop {
            match peer.request(ECHO, body.clone(), PATIENCE).await {
                Ok(reply) => return assert_eq!(reply.body, body),
                Err(error) => assert_eq!(error.fate(), cluster_pool::Fate::NotSent, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("the hub lets everybody in");
}

/// Five hundred nodes, each with an endpoint of its own, connect to one at the same moment, ask, and stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_connections_at_once() {
    const SPOKES: usize = 500;
    let mut cluster = TestCluster::new(Wire::Loopback);
    let hub = cluster.node("hub", echo(), PoolConfig::new().with_max_total(600));
    let mut work = JoinSet::new();
    for i in 0..SPOKES {
        let spoke = cluster.node(&format!("s{i}"), Router::new(), PoolConfig::default());
        let (name, addr) = (hub.name().clone(), hub.addr);
        work.spawn(async move {
            ask(&spoke, name, addr, format!("first of {i}")).await;
            spoke
        });
    }
    let spokes = work.join_all().await;
    assert_eq!(hub.pool.links(LinkClass::Data).len(), SPOKES);
    assert_eq!(hub.pool.stats().places, SPOKES);
    // All at once over the connections that are there.
    let dialled: u64 = spokes.iter().map(|spoke| spoke.pool.stats().total.dials).sum();
    let mut work = JoinSet::new();
    for (i, spoke) in spokes.into_iter().enumerate() {
        let (name, addr) = (hub.name().clone(), hub.addr);
        work.spawn(async move {
            ask(&spoke, name, addr, format!("second of {i}")).await;
            spoke
        });
    }
    let spokes = work.join_all().await;
    let again: u64 = spokes.iter().map(|spoke| spoke.pool.stats().total.dials).sum();
    assert_eq!(dialled, again, "nobody dialled a second time");
    // They end all at once.
    let mut work = JoinSet::new();
    for spoke in spokes {
        work.spawn(async move { assert!(spoke.stop(ENOUGH).await) });
    }
    work.join_all().await;
    until("nothing is left of them", || (hub.pool.stats().places, hub.pool.open_links(LinkClass::Data)) == (0, 0))
        .await;
    assert!(hub.stop(ENOUGH).await);
    checked(SPOKES + 1, "500 connections at once to one node, 1,000 requests answered, no place left taken");
}

/// Nodes connect, ask, end and come again as others, round after round: the one they talk to is as it was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_come_and_go_by_the_hundred_and_leave_nothing() {
    const ROUNDS: usize = 5;
    let spokes = nodes_or(40);
    let mut cluster = TestCluster::new(Wire::Loopback);
    // Whoever goes without a word keeps his place for a while.
    let hub = cluster.node("hub", echo(), PoolConfig::new().with_max_total(ROUNDS * spokes));
    for round in 0..ROUNDS {
        let mut work = JoinSet::new();
        for i in 0..spokes {
            let spoke = cluster.node(&format!("r{round}-{i}"), Router::new(), PoolConfig::default());
            let (name, addr) = (hub.name().clone(), hub.addr);
            work.spawn(async move {
                ask(&spoke, name, addr, format!("{round} of {i}")).await;
                // Every second one goes away without a word of its pool's.
                if i % 2 == 0 { assert!(spoke.stop(ENOUGH).await) } else { drop(spoke) }
            });
        }
        work.join_all().await;
    }
    assert_eq!(hub.connections() as usize, ROUNDS * spokes);
    until("those that ended in order are gone", || hub.pool.stats().places <= ROUNDS * spokes / 2).await;
    assert!(hub.stop(ENOUGH).await);
    assert_eq!((hub.pool.stats().places, hub.pool.open_links(LinkClass::Data)), (0, 0));
    checked(spokes + 1, &format!("{} connections begun and ended, nothing left of them", ROUNDS * spokes));
}

/// What the process holds in memory, in bytes; `None` where there is no `/proc`.
fn resident() -> Option<usize> {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4_096)
}

/// Two hundred peers that never connect, each given five times what its queue holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_two_hundred_full_queues_is_bounded() {
    const PEERS: usize = 200;
    const BYTES: usize = 256 * 1_024;
    const BODY: usize = 32 * 1_024;
    const EACH: usize = 5 * BYTES / BODY;
    let mut cluster = TestCluster::new(Wire::Loopback);
    let a = cluster.node("a", Router::new(), PoolConfig::default());
    // Takes what comes and never answers.
    let deaf = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let nowhere = deaf.local_addr().expect("an address");
    let mut config = PeerConfig::default();
    config.message_len_max = 2 * BODY;
    let config = config.with_queue(100, BYTES);
    let before = resident();
    let mut peers = Vec::new();
    for i in 0..PEERS {
        let peer = a.peer_at(&format!("p{i}").parse().expect("a name"), nowhere, config.clone());
        let body = |n: usize| Message::new(ECHO, vec![n as u8; BODY]);
        let tickets: Vec<_> = (0..EACH).filter_map(|n| peer.try_send(body(n)).ok()).collect();
        assert_eq!(tickets.len(), EACH, "the oldest makes room for the newest");
        peers.push((peer, tickets));
    }
    for (peer, _) in &peers {
        let metrics = peer.metrics();
        assert!(metrics.queue_bytes <= BYTES, "{metrics:?}");
        assert_eq!(metrics.dropped as usize + metrics.queue_len, EACH, "{metrics:?}");
        assert!(metrics.queue_len >= BYTES / BODY - 1, "bounded, not empty: {metrics:?}");
    }
    let grown = before.zip(resident()).map_or(0, |(before, now)| now.saturating_sub(before));
    let (bound, given) = (PEERS * BYTES, PEERS * EACH * BODY);
    // Twice the bound is room for what allocators keep and for tasks; what was given is five times. Where other tests run in the same
    // process, theirs is in it.
    let alone = std::env::var_os("NEXTEST").is_some() || std::env::var_os("INTEGRATION_OUTPUT").is_some();
    assert!(!alone || grown < 2 * bound, "{grown} bytes for queues of {bound} in all, of {given} given");
    assert!(a.stop(ENOUGH).await, "nobody waits for who never comes");
    let mut ended = 0;
    for (_, tickets) in peers {
        for ticket in tickets {
            assert!(matches!(ticket.await, Outcome::NotSent(_)));
            ended += 1;
        }
    }
    assert_eq!(ended, PEERS * EACH);
    let figures = format!(
        "{} MiB given to 200 peers that never connect: {} MiB more held, of {} allowed, {ended} outcomes",
        given >> 20,
        grown >> 20,
        bound >> 20
    );
    checked(1, &figures);
}
