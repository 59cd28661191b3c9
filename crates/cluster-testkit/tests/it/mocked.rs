//! Units with mocks at their edges: what they ask of a seam, and what they make of its answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_pool::client::ClientHost;
use cluster_pool::transport::TransportDrops;
use cluster_pool::{
    CertificateFault, Channel, ClientError, CloseCode, ConnectError, ConnectionConfig, ConnectionError,
    ConnectionManager, ConnectionPool, Hello, Link, LinkClass, Message, Outcome, Peer, PeerConfig, PeerError,
    PeerEvent, PoolConfig, PoolError, Refusal, Router, RuntimeSpawner, Serving, Side, Turned,
};
use cluster_testkit::mocks::{MockAdmission, MockMessageHandler, MockRequestHandler, MockResolver, MockTransport};
use cluster_testkit::{TestCluster, Wire};
use cluster_types::{Incarnation, Life, NodeId};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(crate) fn hello() -> Hello {
    Hello {
        node: "a".parse().unwrap(),
        client: false,
        cluster: "test".parse().unwrap(),
        life: Life::from_raw(1),
        incarnation: Incarnation::from_raw(1),
        addr: addr(1),
        dial: 0,
        draining: false,
        facts: cluster_types::Facts::NONE,
        meta_version: 0,
        proof: Vec::new(),
    }
}

/// A transport on which nobody comes in.
fn transport() -> MockTransport {
    let mut transport = MockTransport::new();
    transport.expect_local_addr().return_const(addr(1));
    transport.expect_accept().returning(|| None);
    transport.expect_send_refused().return_const(addr(9));
    transport.expect_drops().return_const(TransportDrops::default());
    transport
}

fn pool(transport: MockTransport) -> ConnectionPool {
    ConnectionPool::start(Arc::new(transport), hello(), PoolConfig::new().with_max_total(1), Serving::default()).0
}

fn b() -> NodeId {
    "b".parse().unwrap()
}

fn refused() -> ConnectError {
    let source =
        ConnectionError::Certificate { side: Side::Peer, fault: CertificateFault::Expired, detail: String::new() };
    ConnectError::Handshake { addr: addr(2), source }
}

#[tokio::test(start_paused = true)]
async fn a_pool_dials_where_it_is_told_once_for_all_and_keeps_no_place_for_who_does_not_come() {
    let mut transport = transport();
    let dialled = |at: &SocketAddr, class: &LinkClass| *at == addr(2) && *class == LinkClass::Data;
    // Two callers at once are one dial; the next one is another.
    transport.expect_connect().withf(dialled).times(2).returning(|_, _| Err(refused()));
    let pool = pool(transport);
    let node = b();
    let (first, second) = tokio::join!(pool.get_or_create(&node, addr(2)), pool.get_or_create(&node, addr(2)));
    for outcome in [first, second, pool.get_or_create(&node, addr(2)).await] {
        let PoolError::Dial { source, .. } = outcome.unwrap_err() else { panic!("not a failed dial") };
        assert!(source.chain().ends_with("it has expired: issue a new one"), "{}", source.chain());
    }
    let stats = pool.stats();
    assert_eq!((stats.total.dials, stats.total.failures, stats.places), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_closes_says_so_to_its_transport_and_lets_go_of_the_address() {
    let mut transport = transport();
    transport.expect_close().withf(|code| *code == CloseCode::SHUTDOWN).times(1).return_const(());
    transport.expect_wait_idle().times(1).return_const(());
    transport.expect_release().times(1).return_const(());
    let pool = pool(transport);
    assert!(pool.close(Duration::from_secs(1)).await);
    // It would be dialled, were it not closed.
    assert!(matches!(pool.get_or_create(&b(), addr(2)).await, Err(PoolError::Closing)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_backs_off_and_stops_dialling_when_the_breaker_opens() {
    let mut transport = transport();
    // Five, and one half-open trial 30 s later, before the message's time is over.
    transport.expect_connect().times(6).returning(|_, _| Err(refused()));
    let pool = pool(transport);
    let (peer, driver) = Peer::new(&pool, &Router::new(), b(), addr(2), PeerConfig::default()).unwrap();
    let mut events = peer.events();
    let mut drivers = tokio::task::JoinSet::new();
    drivers.spawn(driver.drive());
    let ticket = peer.send(Message::new(Channel(1), "x").with_time_to_live(Duration::from_secs(50))).await.unwrap();
    let error = peer.request(Channel(1), "x", PATIENCE).await.unwrap_err();
    assert!(matches!(error, PeerError::BreakerOpen { failures: 5, .. }), "{error}");
    assert!(matches!(ticket.await, Outcome::NotSent(_)));
    peer.close();
    let mut delays = Vec::new();
    while let Some(event) = events.next().await {
        if let PeerEvent::ConnectFailed { retry_in, .. } = event {
            delays.push(retry_in.as_secs());
        }
    }
    // Under a second, then the breaker's half minute, then twice that.
    assert_eq!(delays, [0, 0, 0, 0, 30, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_router_gives_each_handler_what_is_its_own() {
    let mut cluster = TestCluster::new(Wire::memory());
    let mut requests = MockRequestHandler::new();
    let asked = |from: &Link, channel: &Channel, body: &Bytes| {
        from.node().as_str() == "a" && *channel == Channel(1) && body == "question"
    };
    requests.expect_handle_request().withf(asked).times(1).returning(|_, _, _| Ok("answer".into()));
    let mut messages = MockMessageHandler::new();
    messages
        .expect_handle_message()
        .times(1)
        .returning(|_, message| Err(Turned::away(format!("not {:?}", message.body))));
    let router =
        Router::builder().on_request(Channel(1), Arc::new(requests)).on_message(Channel(2), Arc::new(messages));
    let b = cluster.node("b", router.build().unwrap(), PoolConfig::default());
    let a = cluster.node("a", Router::new(), PoolConfig::default());
    let peer = a.peer(&b, PeerConfig::default());
    assert_eq!(peer.request(Channel(1), "question", PATIENCE).await.unwrap().body, "answer");
    let ticket = peer.send(Message::new(Channel(2), "news")).await.unwrap();
    assert_eq!(ticket.await.to_string(), "not sent: the receiver refused it: refused");
    // A channel has one handler of a kind.
    let twice = Router::builder()
        .on_request(Channel(1), Arc::new(MockRequestHandler::new()))
        .on_request(Channel(1), Arc::new(MockRequestHandler::new()));
    assert_eq!(
        twice.build().unwrap_err().to_string(),
        "channel 1 has a handler already: each channel has one for messages, one for requests and one for streams"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_decides_who_gets_in_is_asked_with_the_hello_and_his_words_are_told() {
    let mut cluster = TestCluster::new(Wire::memory());
    let mut admission = MockAdmission::new();
    admission
        .expect_admit()
        .withf(|hello, class| hello.node.as_str() == "a" && !hello.client && *class == LinkClass::Data)
        .times(1)
        .returning(|_, _| Err(Refusal::Other("not today".into())));
    let b = cluster.node_admitting("b", Router::new(), PoolConfig::default(), Arc::new(admission));
    let a = cluster.node("a", Router::new(), PoolConfig::default());
    let PoolError::Dial { source, .. } = a.pool.get_or_create(b.name(), b.addr).await.unwrap_err() else {
        panic!("a dial")
    };
    assert_eq!(source.to_string(), "refused: not today");
}

#[tokio::test(start_paused = true)]
async fn a_client_asks_for_its_names_and_says_what_it_was_told() {
    let mut cluster = TestCluster::new(Wire::memory());
    let credentials = cluster.client_credentials("app");
    let (transport, _) = cluster.transport(&credentials);
    let mut resolver = MockResolver::new();
    resolver
        .expect_resolve()
        .withf(|name| name == "db.example:7946")
        .times(1)
        .returning(|_| Err("the name server is on holiday".into()));
    let host =
        ClientHost { transport, spawner: Arc::new(RuntimeSpawner::current()), resolver: Arc::new(resolver), seed: 1 };
    let error = ConnectionManager::start_on(host, &credentials, ConnectionConfig::new(["db.example:7946"])).await;
    let error = error.map(drop).unwrap_err();
    assert!(matches!(error, ClientError::NothingFound { .. }));
    assert_eq!(error.to_string(), "none of the hosts can be found: db.example:7946: the name server is on holiday");
}
