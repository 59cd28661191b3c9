//! A connection that ends under a request: its caller knows, and nothing of it stays.

use std::time::{Duration, Instant};

use cluster_pool::{ConnectionConfig, ConnectionManager, Fate, LinkClass, PeerConfig, PoolConfig, Router};
use cluster_testkit::links::{ECHO, Script};
use cluster_testkit::{TestCluster, TestServer, Wire};

use crate::{PATIENCE, checked, until};

/// The server ends the connection in the middle of the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_connection_dies_during_ping() {
    let server = TestServer::start();
    let config = ConnectionConfig::new([server.addr().to_string()]);
    let manager = ConnectionManager::start(&server.client("app"), config).await.expect("started");
    let connection = manager.get_connection().await.expect("a connection");
    assert_eq!(manager.stats().total.connected, 1);
    server.act(Script::DieMidRequest);
    let error = connection.request(ECHO, "ping", PATIENCE).await.expect_err("it ends before it answers");
    assert_eq!(error.fate(), Fate::MaybeDelivered, "{error}");
    assert_eq!(manager.stats().total.connected, 0, "it is out before the error is told");
    drop(connection);
    until("its place is free", || manager.stats().places == 0).await;
    // The next one is served as if nothing had been.
    server.act(Script::Echo);
    let connection = manager.get_connection().await.expect("another connection");
    assert_eq!(connection.request(ECHO, "ping", PATIENCE).await.expect("answered").body, "ping");
    checked(2, "the other side ends the connection under a request: told as unknown, the pool is empty");
}

/// The other process goes away in the middle of the request, without a word: nothing is heard any more, and that is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_connection_fails_during_ping() {
    let mut cluster = TestCluster::new(Wire::Loopback);
    let a = cluster.node("a", Router::new(), PoolConfig::default());
    let b = cluster.node("b", stalling(), PoolConfig::default());
    let (peer, b_name) = (a.peer(&b, PeerConfig::default()), &b.name().clone());
    let end = async {
        until("the other side works on it", || b.messages() > 0).await;
        assert!(a.pool.current(LinkClass::Data, b.name()).is_some());
        b.kill(&cluster)
    };
    let began = Instant::now();
    let (answer, _killed) = tokio::join!(peer.request(ECHO, "x", PATIENCE), end);
    let error = answer.expect_err("nobody is left to answer");
    assert_eq!(error.fate(), Fate::MaybeDelivered, "{error}");
    assert!(a.pool.current(LinkClass::Data, b_name).is_none(), "it is out before the error is told");
    until("nothing is left of it", || (a.pool.stats().places, a.pool.open_links(LinkClass::Data)) == (0, 0)).await;
    assert!(a.stop(Duration::from_secs(5)).await);
    let found = began.elapsed();
    assert!(found < Duration::from_secs(12), "{found:?}");
    let found = found.as_secs_f64();
    checked(
        2,
        &format!("the other process goes away under a request: told as unknown after {found:.1} s, the pool is empty"),
    );
}

/// Takes every request and never answers.
fn stalling() -> Router {
    let never = cluster_pool::request_fn(|_, _| std::future::pending());
    Router::builder().on_request(ECHO, never).build().expect("one handler")
}
