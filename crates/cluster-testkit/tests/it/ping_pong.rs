//! The classic: two peers, a ball, and somebody who closes connections at random. Over everything that carries links.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster_pool::{
    Channel, CloseCode, LinkClass, Message, Outcome, Peer, PeerConfig, PeerMetrics, PoolConfig, Router,
};
use cluster_testkit::{LinkModel, TestCluster, TestNode, Wire};
use cluster_types::Seed;

const BALL: Channel = Channel(1);
const ROUNDS: u64 = 300;

/// What came of a game.
struct Played {
    /// Balls that were hit a second time, because nobody knew whether the first had arrived.
    again: u64,
    closed: u64,
    metrics: [PeerMetrics; 2],
}

async fn play(wire: Wire, seed: u64) -> Played {
    let mut cluster = TestCluster::new(wire);
    let [a, b] = ["a", "b"].map(|name| cluster.node(name, Router::new(), PoolConfig::default()));
    let (ping, pong) = (a.peer(&b, PeerConfig::default()), b.peer(&a, PeerConfig::default()));
    let rounds = Arc::new(AtomicU64::new(0));
    let back = pong.clone();
    b.spawn(async move {
        while let Some(ball) = back.receive().await {
            hit(&back, ball.body.to_vec()).await;
        }
    });
    let mut draws = Seed::new(seed).stream();
    let closes = Arc::new(AtomicU64::new(0));
    let (counted, mut moments) = (Arc::clone(&closes), Seed::new(seed).derive("moments", 0).stream());
    // In the middle of things, where nothing takes time; and at any moment, where it does.
    let in_the_middle = || {
        if moments.below(8) == 0 {
            counted.fetch_add(u64::from(close_one(&a, &b)), Ordering::Relaxed);
        }
    };
    let game = serve_and_return(&ping, Arc::clone(&rounds), in_the_middle);
    tokio::pin!(game);
    let again = loop {
        let pause = Duration::from_micros(500 + draws.below(40_000));
        tokio::select! {
            again = &mut game => break again,
            () = tokio::time::sleep(pause) => {
                closes.fetch_add(u64::from(close_one(&a, &b)), Ordering::Relaxed);
            }
        }
    };
    assert_eq!(rounds.load(Ordering::Relaxed), ROUNDS);
    let metrics = [ping.metrics(), pong.metrics()];
    for node in [&a, &b] {
        assert!(node.stop(Duration::from_secs(5)).await, "nothing is in the way of its end");
    }
    Played { again, closed: closes.load(Ordering::Relaxed), metrics }
}

fn close_one(a: &TestNode, b: &TestNode) -> bool {
    let link = a.pool.current(LinkClass::Data, b.name());
    link.iter().for_each(|link| link.close(CloseCode::DONE));
    link.is_some()
}

/// Sends a ball until it is known to have arrived, or that it may have.
async fn hit(peer: &Peer, ball: Vec<u8>) {
    loop {
        let Ok(ticket) = peer.send(Message::new(BALL, ball.clone())).await else { return };
        match ticket.await {
            Outcome::NotSent(why) if peer.is_connected() => panic!("not sent: {why}"),
            Outcome::NotSent(_) => {}
            Outcome::Delivered { .. } | Outcome::MaybeDelivered(_) => return,
        }
    }
}

async fn serve_and_return(peer: &Peer, rounds: Arc<AtomicU64>, mut in_the_middle: impl FnMut()) -> u64 {
    let mut again = 0;
    for round in 0..ROUNDS {
        hit(peer, round.to_le_bytes().to_vec()).await;
        in_the_middle();
        loop {
            // A ball that may have been lost on either way is hit again.
            match tokio::time::timeout(Duration::from_millis(300), peer.receive()).await {
                Ok(Some(ball)) if ball.body == round.to_le_bytes()[..] => break,
                Ok(Some(old)) => {
                    assert!(u64::from_le_bytes(old.body[..].try_into().unwrap()) < round, "a ball of the future")
                }
                Ok(None) => panic!("closed in the middle of the game"),
                Err(_elapsed) => {
                    again += 1;
                    hit(peer, round.to_le_bytes().to_vec()).await;
                }
            }
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    again
}

fn check(played: &Played) {
    let Played { again, closed, metrics } = played;
    let [ping, pong] = metrics;
    assert!(*closed > 20, "a game that nobody disturbs shows nothing: {closed}");
    assert!(ping.delivered + ping.maybe_delivered == ROUNDS + again, "{ping:?}");
    assert!(ping.reconnects + pong.reconnects > 20, "{ping:?}");
    for metrics in metrics {
        assert_eq!(
            metrics.queued,
            metrics.ended() + metrics.in_flight as u64 + metrics.queue_len as u64,
            "{metrics:?}"
        );
        assert_eq!((metrics.expired, metrics.dropped, metrics.rejected), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn ping_pong_in_memory() {
    check(&play(Wire::memory(), 1).await);
}

#[tokio::test]
async fn ping_pong_over_loopback() {
    check(&play(Wire::Loopback, 2).await);
}

#[tokio::test(start_paused = true)]
async fn ping_pong_over_the_simulated_network() {
    check(&play(Wire::simulated(3, LinkModel::lan()), 3).await);
    check(&play(Wire::simulated(4, LinkModel::lan().with_loss(0.1)), 4).await);
}
