//! A connection that ends under a request: its caller knows, and nothing of it stays.

use std::time::{Duration, Instant};

use cluster_pool::{ConnectionConfig, ConnectionManager, Fate, LinkClass, PeerConfig, PoolConfig, Router};
use cluster_testkit::links::{ECHO, Script};
use cluster_testkit::{TestCluster, TestServer, Wire};

use crate::{PATIENCE, checked};

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
    let stats = manager.stats();
    assert_eq!((stats.total.connected, stats.places), (0, 0), "it is out before the error is told");
    drop(connection);
    // The next one is served as if nothing had been.
    server.act(Script::Echo);
    let connection = manager.get_connection().await.expect("another connection");
    assert_eq!(connection.request(ECHO, "ping", PATIENCE).await.expect("answered").body, "ping");
    checked(2, "the other side ends the connection under a request: told as unknown, the pool is empty");
}

/// The other process goes away in the middle of the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_connection_fails_during_ping() {
    let mut cluster = TestCluster::new(Wire::Loopback);
    let a = cluster.node("a", Router::new(), PoolConfig::default());
    let b = cluster.node("b", stalling(), PoolConfig::default());
    let peer = a.peer(&b, PeerConfig::default());
    let end = async {
        // Once the other side works on it.
        let deadline = Instant::now() + PATIENCE;
        while b.messages() == 0 {
            assert!(Instant::now() < deadline, "the request never arrived");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(a.pool.current(LinkClass::Data, b.name()).is_some());
        b.kill(&cluster)
    };
    let (answer, _killed) = tokio::join!(peer.request(ECHO, "x", PATIENCE), end);
    let error = answer.expect_err("nobody is left to answer");
    assert_eq!(error.fate(), Fate::MaybeDelivered, "{error}");
    let left = (a.pool.stats().places, a.pool.open_links(LinkClass::Data));
    assert_eq!(left, (0, 0), "it is out before the error is told");
    assert!(a.stop(Duration::from_secs(5)).await);
    checked(2, "the other process goes away under a request: told as unknown, the pool is empty");
}

/// Takes every request and never answers.
fn stalling() -> Router {
    let never = cluster_pool::request_fn(|_, _| std::future::pending());
    Router::builder().on_request(ECHO, never).build().expect("one handler")
}
