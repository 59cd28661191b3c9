//! How many data connections there may be, who makes room for whom, and what is counted.

use std::time::Duration;

use cluster_pool::{LinkClass, PoolConfig, PoolError};
use cluster_types::{Blame, Blamed};

use crate::node::{Node, authority, credentials, echo, until};

/// "a" with these settings, and so many others.
fn nodes(config: PoolConfig, others: usize) -> (Node, Vec<Node>) {
    let authority = authority("prod");
    let a = Node::with(&credentials(&authority, "a"), config);
    (a, (0..others).map(|i| Node::fresh(&credentials(&authority, &format!("b{i:02}")))).collect())
}

fn full(error: &PoolError) -> (usize, usize) {
    let PoolError::PoolFull { current, max } = error else { panic!("not full: {error}") };
    (*current, *max)
}

#[tokio::test]
async fn test_per_peer_limit_enforced() {
    // Each side has limits of its own: this one is reached first on the dialling side.
    let authority = authority("prod");
    let config = PoolConfig::new().with_max_per_peer(2);
    let [a, b] = ["a", "b"].map(|name| Node::with(&credentials(&authority, name), config.clone()));
    let first = a.pool.open_new(&b.name, b.addr).await.unwrap();
    let second = a.pool.open_new(&b.name, b.addr).await.unwrap();
    assert_ne!(first.id(), second.id(), "always a new one");
    let error = a.pool.open_new(&b.name, b.addr).await.unwrap_err();
    assert_eq!(full(&error), (2, 2));
    assert_eq!(full(&a.pool.get_or_create(&b.name, b.addr).await.unwrap_err()), (2, 2));
    assert_eq!(a.pool.stats().limits.callers, 2, "both are counted");
    assert_eq!(error.to_string(), "the pool is full: 2 of 2 connections are in use");
    assert_eq!(error.blame(), Blame::CallerMisused);
    for link in [&first, &second] {
        assert_eq!(echo(link, b"well?").await, b"well?");
    }
    // One of one's own ends with its last lease, here and there, and makes room.
    let copy = first.clone();
    drop(first);
    assert_eq!(echo(&copy, b"still?").await, b"still?");
    drop(copy);
    until("the other side lets go", || b.pool.open_links(LinkClass::Private) == 1).await;
    until("there is room again", || a.pool.open_links(LinkClass::Private) == 1).await;
    let third = a.pool.open_new(&b.name, b.addr).await.unwrap();
    assert_eq!(echo(&third, b"well?").await, b"well?");
}

#[tokio::test]
async fn test_max_total_connections_enforced() {
    let (a, others) = nodes(PoolConfig::new().with_max_total(2), 3);
    for b in &others[..2] {
        drop(a.data(b).await);
    }
    // The first was used last.
    assert_eq!(echo(&a.data(&others[0]).await.clone(), b"x").await, b"x");
    let third = a.data(&others[2]).await;
    assert_eq!(echo(&third, b"well?").await, b"well?");
    assert_eq!(a.data_links(), 2);
    let there: Vec<_> = a.pool.links(LinkClass::Data).iter().map(|link| link.node().to_string()).collect();
    assert_eq!(there, ["b00", "b02"], "the one that nobody had used for longest made room");
    assert_eq!(a.pool.stats().peers[&others[1].name].evictions, 1);
}

/// Fifty-one real servers, and room for fifty.
#[tokio::test]
async fn test_max_total_enforced_real_servers() {
    let (a, others) = nodes(PoolConfig::new().with_max_total(50), 51);
    let mut leases = Vec::new();
    for b in &others[..50] {
        leases.push(a.data(b).await);
    }
    assert_eq!(a.data_links(), 50);
    let last = &others[50];
    assert_eq!(full(&a.pool.get_or_create(&last.name, last.addr).await.unwrap_err()), (50, 50));
    drop(leases.remove(7));
    assert_eq!(echo(&a.data(last).await.clone(), b"well?").await, b"well?");
    assert_eq!(a.data_links(), 50);
    assert!(a.pool.current(LinkClass::Data, &others[7].name).is_none());
}

#[tokio::test]
async fn test_pool_exhausted_error() {
    let (a, others) = nodes(PoolConfig::new().with_max_total(1), 2);
    let held = a.data(&others[0]).await;
    let error = a.pool.get_or_create(&others[1].name, others[1].addr).await.unwrap_err();
    assert_eq!(full(&error), (1, 1));
    assert_eq!(a.pool.stats().total.dials, 1, "no dial was made for it");
    assert_eq!(full(&a.pool.get_or_create_at(others[1].addr).await.unwrap_err()), (1, 1));
    assert_eq!(a.pool.stats().limits.callers, 2, "by name and by address");
    drop(held);
    drop(a.data(&others[1]).await);
}

#[tokio::test]
async fn test_pool_exhaustion_error_handling() {
    let (a, others) = nodes(PoolConfig::new().with_max_total(1), 2);
    let link = a.data(&others[0]).await.link().clone();
    // Without a lease, an open stream is use enough.
    let stream = link.open_bi().await.unwrap();
    assert_eq!(full(&a.pool.get_or_create(&others[1].name, others[1].addr).await.unwrap_err()), (1, 1));
    assert_eq!(echo(&link, b"well?").await, b"well?", "the first still works");
    drop(stream);
    drop(a.data(&others[1]).await);
}

#[tokio::test]
async fn a_peer_for_whom_there_is_no_place_is_told_so() {
    let (a, others) = nodes(PoolConfig::new().with_max_total(1), 2);
    let held = a.data(&others[0]).await;
    let error = others[1].pool.get_or_create(&a.name, a.addr).await.unwrap_err();
    let PoolError::Dial { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.to_string(), "the peer has all the connections it may have");
    let limits = a.pool.stats().limits;
    assert_eq!((limits.peers, limits.callers), (1, 0), "counted where the place is missing");
    // An idle one makes room for a peer as well as for this side.
    drop(held);
    assert_eq!(echo(&others[1].data(&a).await.clone(), b"well?").await, b"well?");
    until("the other one made room", || a.pool.current(LinkClass::Data, &others[0].name).is_none()).await;
}

#[tokio::test]
async fn control_links_are_outside_of_all_limits() {
    let (mut a, others) = nodes(PoolConfig::new().with_max_total(1), 3);
    for b in &others {
        a.dial(b);
        a.dialled().await.unwrap();
    }
    drop(a.data(&others[0]).await);
    assert_eq!((a.pool.len(LinkClass::Control), a.data_links()), (3, 1));
}

#[tokio::test]
async fn test_idle_cleanup_loop_integration() {
    let idle = PoolConfig::new().with_idle(Duration::from_millis(200), Duration::from_millis(50));
    let (a, others) = nodes(idle, 2);
    let held = a.data(&others[0]).await;
    drop(a.data(&others[1]).await);
    until("the idle one is closed", || a.data_links() == 1).await;
    assert_eq!(a.pool.stats().total.evictions, 1);
    assert_eq!(echo(&held, b"well?").await, b"well?", "whoever holds it keeps it");
    until("the peer has let go of it, too", || others[1].data_links() == 0).await;
    drop(held);
    until("given back, it is closed as well", || a.data_links() == 0).await;
    // And it comes back when somebody asks.
    assert_eq!(echo(&a.data(&others[0]).await.clone(), b"again?").await, b"again?");
}

#[tokio::test]
async fn everything_is_counted_by_peer_and_in_all() {
    let (a, others) = nodes(impatient(), 2);
    for _ in 0..10 {
        drop(a.data(&others[0]).await);
    }
    let held = a.data(&others[1]).await;
    assert_eq!(echo(&held, &[7; 10_000]).await.len(), 10_000);
    others[0].pool.close(Duration::ZERO).await;
    until("the end is noticed", || a.data_links() == 1).await;
    a.pool.get_or_create(&"nobody".parse().unwrap(), "127.0.0.1:9".parse().unwrap()).await.unwrap_err();
    let stats = a.pool.stats();
    let [first, second] = [&stats.peers[&others[0].name], &stats.peers[&others[1].name]];
    assert_eq!((first.connected, first.dials, first.reuses, first.failures), (0, 1, 9, 0));
    assert_eq!((second.connected, second.idle, second.dials), (1, 0, 1));
    assert!(second.rtt.is_some() && second.bytes_sent > 10_000 && second.bytes_received > 10_000, "{second:?}");
    let total = &stats.total;
    assert_eq!((total.connected, total.dials, total.reuses, total.failures, total.idle), (1, 3, 9, 1, 0));
    assert_eq!((total.bytes_sent, total.bytes_received), (second.bytes_sent, second.bytes_received));
    // And of two that are there, each its own, and both in all.
    let third = a.data(&others[1]).await;
    drop(third);
    drop(held);
    until("nobody uses it", || a.pool.stats().total.idle == 1).await;
    let again = a.pool.stats();
    assert_eq!((again.peers[&others[1].name].reuses, again.total.reuses), (1, 10));
    let back = others[1].pool.stats();
    assert_eq!((back.total.connected, back.total.dials), (1, 0), "the other side counts what came in");
}

/// By address, too: whoever answers there has all the connections it may have, and that is what is told.
#[tokio::test]
async fn a_full_peer_is_told_as_such_by_its_address() {
    let authority = authority("prod");
    // The other side would take two.
    let [a, b] = [("a", 1), ("b", 2)]
        .map(|(name, max)| Node::with(&credentials(&authority, name), PoolConfig::new().with_max_per_peer(max)));
    let own = a.pool.open_new(&b.name, b.addr).await.unwrap();
    let error = a.pool.get_or_create_at(b.addr).await.unwrap_err();
    assert_eq!((full(&error), a.pool.stats().limits.callers), ((1, 1), 1));
    drop(own);
}

/// What a pool says of itself.
#[tokio::test]
async fn a_pool_says_what_it_holds_and_whether_it_takes_more() {
    let (a, others) = nodes(impatient(), 1);
    let b = &others[0];
    assert!(a.pool.is_empty(LinkClass::Data) && b.pool.is_empty(LinkClass::Data));
    let lease = a.data(b).await;
    until("both know", || b.data_links() == 1).await;
    assert!(!a.pool.is_empty(LinkClass::Data) && !b.pool.is_empty(LinkClass::Data));
    assert!(a.pool.is_empty(LinkClass::Control));
    assert_eq!((a.pool.dropped_datagrams(), a.pool.refused_handshakes()), (0, 0));

    // Who is there, without a link that stays.
    let who = a.pool.who_is_at(b.addr, Duration::from_secs(5)).await.expect("somebody answers");
    assert_eq!((who.node, who.addr, who.draining), (b.name.clone(), b.addr, false));
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(a.pool.who_is_at(silent.local_addr().unwrap(), Duration::from_millis(50)).await.is_none());

    assert!(!b.pool.is_draining());
    b.pool.drain();
    assert!(b.pool.is_draining());
    let who = a.pool.who_is_at(b.addr, Duration::from_secs(5)).await.expect("it still answers");
    assert!(who.draining, "and says that it is about to go");
    drop(lease);
}

/// An owner that reads nothing: what it is told waits, datagrams and requests are dropped, and each is counted.
#[tokio::test]
async fn what_an_owner_does_not_read_in_time_is_dropped_and_counted() {
    let authority = authority("prod");
    let mut one_event = PoolConfig::new();
    one_event.event_queue_len = 1;
    let [mut a, b] = [("a", PoolConfig::new()), ("b", one_event)]
        .map(|(name, config)| Node::with(&credentials(&authority, name), config));
    a.dial(&b);
    let link = a.dialled().await.unwrap();
    until("the news of the link fills the queue", || b.pool.len(LinkClass::Control) == 1).await;
    until("a datagram is dropped", || {
        link.send_datagram(vec![7; 10]).unwrap();
        b.pool.dropped_datagrams() > 0
    })
    .await;
    let refused = link.request(1, b"well?", 100, Duration::from_secs(5)).await.unwrap_err();
    assert!(!matches!(refused, cluster_pool::link::RequestError::Timeout { .. }), "it is told at once: {refused}");
    assert_eq!(b.pool.stats().limits.control_requests, 1);
    assert_eq!(a.pool.stats().limits.control_requests, 0);
}

/// Datagrams leave when the thread that sends them gives way: until then the oldest make room. One that fits no packet is dropped.
#[tokio::test]
async fn datagrams_that_cannot_be_sent_are_counted() {
    let (mut a, others) = nodes(PoolConfig::new(), 1);
    a.dial(&others[0]);
    let link = a.dialled().await.unwrap();
    for _ in 0..64 {
        link.send_datagram(vec![7; 1_000]).unwrap();
    }
    assert_eq!(a.pool.stats().limits.datagrams, 0, "so many there is room for");
    for _ in 0..64 {
        link.send_datagram(vec![7; 1_000]).unwrap();
    }
    let crowded = a.pool.stats().limits.datagrams;
    assert!((32..=64).contains(&crowded), "{crowded}");
    link.send_datagram(vec![7; 60_000]).unwrap();
    assert_eq!(a.pool.stats().limits.datagrams, crowded + 1);
}

/// Dials that lead nowhere end soon: how long they take is not what is tested.
fn impatient() -> PoolConfig {
    let mut config = PoolConfig::new();
    config.dial_timeout = Duration::from_millis(500);
    config
}

/// On several threads, round after round: whoever asks at the same moment for the same peer gets the same link, also when a link
/// from the peer arrives meanwhile, and right after the one before has died.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_at_the_same_moment_never_find_the_pool_full_of_each_other() {
    let (a, others) = nodes(PoolConfig::new(), 3);
    for round in 0..40 {
        let b = &others[round % 3];
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(9));
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..9 {
            let (from, to, addr) =
                if caller == 8 { (&b.pool, a.name.clone(), a.addr) } else { (&a.pool, b.name.clone(), b.addr) };
            let (pool, start) = (from.clone(), std::sync::Arc::clone(&start));
            callers.spawn(async move {
                start.wait().await;
                pool.get_or_create(&to, addr).await.map(drop).map_err(|e| e.to_string())
            });
        }
        while let Some(outcome) = callers.join_next().await {
            assert_eq!(outcome.unwrap(), Ok(()), "round {round}");
        }
        let lease = a.data(b).await;
        assert_eq!(echo(&lease, b"well?").await, b"well?");
        // The next round for this peer begins with a link that has just ended.
        lease.close(cluster_pool::CloseCode::DONE);
    }
}

#[tokio::test]
async fn nobody_is_closed_for_a_peer_that_has_all_it_may_have() {
    let (a, others) = nodes(PoolConfig::new().with_max_total(2), 2);
    let held = a.data(&others[0]).await;
    drop(a.data(&others[1]).await);
    assert_eq!(full(&a.pool.open_new(&others[0].name, others[0].addr).await.unwrap_err()), (1, 1));
    assert_eq!(a.data_links(), 2, "the idle one stays: its place would not have helped");
    drop(held);
}

/// Room for one: whoever waits for a dial gets a link that lives, though another wants its place at that moment.
#[tokio::test]
async fn a_link_is_not_evicted_while_it_is_being_given() {
    let (a, others) = nodes(PoolConfig::new().with_max_total(1), 2);
    for _ in 0..20 {
        let (first, second) = tokio::join!(
            a.pool.get_or_create(&others[0].name, others[0].addr),
            a.pool.get_or_create(&others[1].name, others[1].addr)
        );
        let given = [first, second].into_iter().filter_map(Result::ok);
        for lease in given {
            assert_eq!(echo(&lease, b"well?").await, b"well?");
        }
    }
}
