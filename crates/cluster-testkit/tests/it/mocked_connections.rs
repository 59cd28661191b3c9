//! Links with mocks at their ends: connections that say nothing, and whoever serves the streams of peers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_pool::transport::{Incoming, TransportDrops, stream_code};
use cluster_pool::{
    Channel, CloseCode, ConnectError, Connection, ConnectionError, ConnectionPool, LinkClass, PeerConfig, PoolConfig,
    PoolError, Router, Serving,
};
use cluster_testkit::mocks::{MockConnection, MockStreamHandler, MockTransport};
use cluster_testkit::{TestCluster, Wire};
use tokio::io::AsyncReadExt;

use crate::mocked::{PATIENCE, addr, hello};

/// A dial that is connected, and then nobody says hello: the connection is put away, with the code for who was not met, and
/// the caller is told what became of it.
#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_before_the_hello_is_closed_and_the_dial_says_why() {
    let mut connection = MockConnection::new();
    connection.expect_accept_bi().times(1).returning(|| Err(ConnectionError::TimedOut));
    connection.expect_open_bi().never();
    connection.expect_send_datagram().never();
    connection.expect_close().withf(|code| *code == CloseCode::DONE).times(1).return_const(());
    let connection = Mutex::new(Some(connection));
    let mut transport = MockTransport::new();
    transport.expect_local_addr().return_const(addr(1));
    transport.expect_drops().return_const(TransportDrops::default());
    transport.expect_send_refused().return_const(addr(9));
    transport.expect_accept().returning(|| None);
    transport.expect_connect().withf(|at, class| *at == addr(2) && *class == LinkClass::Data).times(1).returning(
        move |_, _| {
            let connection = connection.lock().unwrap().take();
            Ok(Arc::new(connection.expect("one dial")))
        },
    );
    let pool = ConnectionPool::start(Arc::new(transport), hello(), PoolConfig::new(), Serving::default()).0;
    let node = "b".parse().unwrap();
    let PoolError::Dial { source, .. } = pool.get_or_create(&node, addr(2)).await.unwrap_err() else {
        panic!("not a failed dial")
    };
    assert!(source.chain().ends_with(&ConnectionError::TimedOut.to_string()), "{}", source.chain());
    let stats = pool.stats();
    assert_eq!((stats.total.dials, stats.total.failures, stats.places), (1, 1, 0), "it keeps no place");
}

/// Somebody comes in, and is gone before the greeting could be said: no stream is served, nothing is admitted, no place kept.
#[tokio::test(start_paused = true)]
async fn whoever_comes_in_and_is_gone_before_the_greeting_leaves_nothing() {
    let mut connection = MockConnection::new();
    let greeted = Arc::new(tokio::sync::Notify::new());
    let tried = Arc::clone(&greeted);
    connection
        .expect_remote_fingerprint()
        .return_const(TestCluster::new(Wire::memory()).credentials("b").fingerprint());
    connection.expect_open_bi().times(1).returning(move || {
        tried.notify_one();
        Err(ConnectionError::Reset)
    });
    connection.expect_accept_bi().never();
    connection.expect_set_stream_limit().never();
    let connection: Arc<dyn Connection> = Arc::new(connection);
    let mut incoming = Some(Incoming {
        remote_addr: addr(3),
        handshake: Box::pin(std::future::ready(Ok::<_, ConnectError>(connection))),
        refuse: Box::new(|| panic!("there is room for it")),
    });
    let mut transport = MockTransport::new();
    transport.expect_local_addr().return_const(addr(1));
    transport.expect_drops().return_const(TransportDrops::default());
    transport.expect_send_refused().return_const(addr(9));
    transport.expect_connect().never();
    transport.expect_accept().returning(move || incoming.take());
    let (pool, _events) = ConnectionPool::start(Arc::new(transport), hello(), PoolConfig::new(), Serving::default());
    tokio::time::timeout(PATIENCE, greeted.notified()).await.expect("it is greeted");
    let stats = pool.stats();
    assert_eq!((stats.places, stats.total.dials), (0, 0));
    assert_eq!(pool.open_links(LinkClass::Data), 0);
}

/// The system refuses to send to somebody again and again, and the owner of the pool reads nothing: the first hint waits for it, and
/// the others are dropped and counted, with what the transport has dropped before them.
#[tokio::test(start_paused = true)]
async fn hints_that_an_owner_does_not_read_are_counted() {
    let mut transport = MockTransport::new();
    transport.expect_local_addr().return_const(addr(1));
    transport.expect_accept().returning(|| None);
    transport.expect_send_refused().return_const(addr(9));
    let mut drops = TransportDrops::default();
    (drops.refusals, drops.datagrams) = (100, 7);
    transport.expect_drops().return_const(drops);
    let mut config = PoolConfig::new();
    config.event_queue_len = 1;
    let (pool, _unread) = ConnectionPool::start(Arc::new(transport), hello(), config, Serving::default());
    // One every 200 ms.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let limits = pool.stats().limits;
    assert_eq!((limits.unreachable_hints, limits.datagrams), (100 + 5, 7));
}

#[tokio::test(start_paused = true)]
async fn a_router_gives_each_stream_to_whoever_serves_its_channel() {
    let mut cluster = TestCluster::new(Wire::memory());
    let mut served = MockStreamHandler::new();
    served.expect_handle().withf(|link, _| link.node().as_str() == "a").times(2).returning(|_, mut stream| {
        stream.send.reset(CloseCode::OVERLOADED);
    });
    served.expect_handle_uni().never();
    let mut unwanted = MockStreamHandler::new();
    unwanted.expect_handle().never();
    let router =
        Router::builder().on_stream(Channel(1), Arc::new(served)).on_stream(Channel(2), Arc::new(unwanted)).build();
    let b = cluster.node("b", router.unwrap(), PoolConfig::default());
    let a = cluster.node("a", Router::new(), PoolConfig::default());
    let peer = a.peer(&b, PeerConfig::default());
    for _ in 0..2 {
        let mut stream = peer.open_stream(Channel(1), PATIENCE).await.unwrap();
        let error = stream.recv.read_u8().await.expect_err("the handler says no");
        assert_eq!(stream_code(&error), Some(CloseCode::OVERLOADED), "the handler's own word: {error}");
    }
}
