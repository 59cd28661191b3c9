//! A path that falls silent without a word: found within ten seconds, and replaced when there is another.

use std::time::Duration;

use bytes::Bytes;
use cluster_pool::{Channel, LinkClass, Message, Outcome, PeerConfig, PeerEvent, PoolConfig, Router, request_fn};
use cluster_testkit::net::Group;
use cluster_testkit::{LinkModel, TestCluster, Wire};
use tokio::time::Instant;

const ECHO: Channel = Channel(1);

fn echo() -> Router {
    Router::builder().on_request(ECHO, request_fn(|_, body: Bytes| async move { Ok(body) })).build().unwrap()
}

/// Both ways, one way, and the other way: whoever uses the link learns of it within 10 s, and the next link is there as soon as
/// the path is.
#[tokio::test(start_paused = true)]
async fn a_half_open_path_is_found_within_ten_seconds_and_replaced() {
    for (to_b, to_a) in [(true, true), (true, false), (false, true)] {
        let mut cluster = TestCluster::new(Wire::simulated(1, LinkModel::lan()));
        let (a, b) =
            (cluster.node("a", Router::new(), PoolConfig::default()), cluster.node("b", echo(), PoolConfig::default()));
        let peer = a.peer(&b, PeerConfig::default());
        let mut events = peer.events();
        peer.request(ECHO, "up?", Duration::from_secs(5)).await.unwrap();
        let Wire::Simulated(net, _) = cluster.wire().clone() else { unreachable!("simulated") };
        let [at_a, at_b] = [1, 2].map(|host| Group::of([host]));
        let mut cuts = Vec::new();
        if to_b {
            cuts.push(net.cut_one_way(at_a.clone(), at_b.clone()));
        }
        if to_a {
            cuts.push(net.cut_one_way(at_b, at_a));
        }
        let began = Instant::now();
        // Messages wait meanwhile, and are not lost.
        let ticket = peer.send(Message::new(Channel(9), "x").with_time_to_live(Duration::from_secs(50))).await.unwrap();
        loop {
            if let Some(PeerEvent::Disconnected { reason }) = events.next().await {
                assert!(reason.contains("idle time") || reason.contains("closed"), "{reason}");
                break;
            }
        }
        let found = began.elapsed();
        assert!(found <= Duration::from_secs(10), "{found:?} for {to_b} {to_a}");
        drop(cuts);
        let reply = peer.request(ECHO, "again?", Duration::from_secs(10)).await.unwrap();
        assert_eq!(reply.body, "again?");
        assert!(matches!(ticket.await, Outcome::NotSent(_) | Outcome::MaybeDelivered(_)), "nobody serves channel 9");
        assert_eq!(peer.metrics().connects, 2);
    }
}

/// A pause of five seconds is no silence.
#[tokio::test(start_paused = true)]
async fn a_stop_of_five_seconds_costs_no_link() {
    let mut cluster = TestCluster::new(Wire::simulated(2, LinkModel::lan()));
    let (a, b) =
        (cluster.node("a", Router::new(), PoolConfig::default()), cluster.node("b", echo(), PoolConfig::default()));
    let peer = a.peer(&b, PeerConfig::default());
    let before = peer.request(ECHO, "up?", Duration::from_secs(5)).await.unwrap();
    let held = a.pool.lease(b.name()).unwrap();
    b.pause();
    let waiting = peer.request(ECHO, "are you there?", Duration::from_secs(9));
    let resume = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        b.resume();
    };
    let (reply, ()) = tokio::join!(waiting, resume);
    assert_eq!(reply.unwrap().life, before.life);
    assert!(!held.is_dead());
    assert_eq!((peer.metrics().connects, a.pool.len(LinkClass::Data)), (1, 1));
}

/// One that is left alone rests: its streams are closed, then its link; and it is back when it is wanted.
#[tokio::test(start_paused = true)]
async fn a_peer_at_rest_holds_nothing_and_is_back_when_it_is_wanted() {
    let mut cluster = TestCluster::new(Wire::simulated(3, LinkModel::lan()));
    let (a, b) = (
        cluster.node("a", Router::new(), PoolConfig::default()),
        cluster.node("b", Router::new(), PoolConfig::default()),
    );
    let (to_b, from_a) = (a.peer(&b, PeerConfig::default()), b.peer(&a, PeerConfig::default()));
    let mut events = to_b.events();
    for round in 0..3 {
        let ticket = to_b.send(Message::new(ECHO, "x")).await.unwrap();
        from_a.receive().await.unwrap();
        assert!(matches!(ticket.await, Outcome::Delivered { .. }), "round {round}");
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert!(to_b.is_connected() && a.pool.links(LinkClass::Data)[0].is_idle(), "it rests on a link that is there");
    }
    assert_eq!(to_b.metrics().connects, 1, "to rest is not to disconnect");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(!to_b.is_connected());
    assert_eq!((a.pool.stats().places, b.pool.stats().places), (0, 0));
    let ticket = to_b.send(Message::new(ECHO, "x")).await.unwrap();
    from_a.receive().await.unwrap();
    assert!(matches!(ticket.await, Outcome::Delivered { .. }));
    let first = events.next().await;
    assert!(matches!(first, Some(PeerEvent::Connected { .. })), "{first:?}");
    to_b.close();
    while let Some(event) = events.next().await {
        assert!(!matches!(event, PeerEvent::ConnectFailed { .. }));
    }
}
