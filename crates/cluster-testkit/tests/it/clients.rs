//! Clients against real servers on loopback: who is chosen, who is avoided, what is tried again and what never is.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use cluster_pool::client::{ClientHost, RetryError};
use cluster_pool::{
    ClientError, ConnectionConfig, ConnectionManager, PeerError, Policy, Resolver, Retry, RuntimeSpawner,
};
use cluster_testkit::links::{ECHO, Script, TestServer};
use cluster_testkit::{TestCluster, Wire};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

const PATIENCE: Duration = Duration::from_secs(10);

fn hosts(servers: &[TestServer]) -> Vec<String> {
    servers.iter().map(|server| server.addr().to_string()).collect()
}

async fn manager(
    servers: &[TestServer],
    change: impl FnOnce(ConnectionConfig) -> ConnectionConfig,
) -> ConnectionManager {
    let config = change(ConnectionConfig::new(hosts(servers)));
    ConnectionManager::start(&servers[0].client("app"), config).await.unwrap()
}

/// Runs an asynchronous property over drawn values.
fn property<S: Strategy>(cases: u32, strategy: S, check: impl AsyncFn(S::Value)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let run = runner.run(&strategy, |value| {
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), check(value)).await.unwrap() });
        Ok(())
    });
    run.unwrap();
}

/// However many servers and callers there are: everybody gets a connection to a server of the list, with its name.
#[test]
fn prop_connection_establishment() {
    property(8, (1usize..4, 1usize..12), async |(servers, callers)| {
        let servers = TestServer::start_all(servers);
        let manager = manager(&servers, |config| config).await;
        for _ in 0..callers {
            let connection = manager.get_connection().await.unwrap();
            let server = servers.iter().find(|server| server.addr() == connection.addr()).unwrap();
            assert_eq!(connection.node(), server.name());
            let reply = connection.request(ECHO, "hello", PATIENCE).await.unwrap();
            assert_eq!(reply.body, "hello");
        }
        let asked: u64 = servers.iter().map(TestServer::requests).sum();
        assert_eq!(asked as usize, callers);
    });
}

/// However many ask, at once or in turn: one connection to each server.
#[test]
fn prop_connection_reuse() {
    property(8, (1usize..4, 1usize..20, 1usize..4), async |(servers, callers, rounds)| {
        let servers = TestServer::start_all(servers);
        let manager = manager(&servers, |config| config.with_policy(Policy::RoundRobin)).await;
        for _ in 0..rounds {
            let mut at_once = tokio::task::JoinSet::new();
            for _ in 0..callers {
                let manager = manager.clone();
                at_once.spawn(async move { manager.get_connection().await.unwrap().link().id() });
            }
            at_once.join_all().await;
        }
        for server in &servers {
            assert!(server.connections() <= 1, "{} connections", server.connections());
        }
        let stats = manager.stats().total;
        assert_eq!(stats.dials, servers.iter().map(TestServer::connections).sum::<u64>());
        assert_eq!(stats.connected as u64, stats.dials);
    });
}

/// Three servers: in turn each gets a third; by load none is left out, and one that is slow gets less.
#[test]
fn prop_load_distribution() {
    property(4, 30usize..90, async |requests| {
        let servers = TestServer::start_all(3);
        let in_turn = manager(&servers, |config| config.with_policy(Policy::RoundRobin)).await;
        for _ in 0..requests {
            in_turn.get_connection().await.unwrap().request(ECHO, "x", PATIENCE).await.unwrap();
        }
        let counts: Vec<u64> = servers.iter().map(TestServer::requests).collect();
        assert!(counts.iter().all(|count| count.abs_diff(requests as u64 / 3) <= 1), "{counts:?} of {requests}");

        let slow = &servers[0];
        slow.act(Script::Delay(Duration::from_millis(50)));
        let by_load = manager(&servers, |config| config.with_policy(Policy::PowerOfTwoChoices)).await;
        let before = counts;
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let manager = by_load.clone();
            callers.spawn(async move {
                for _ in 0..20 {
                    manager.get_connection().await.unwrap().request(ECHO, "x", PATIENCE).await.unwrap();
                }
            });
        }
        callers.join_all().await;
        let counts: Vec<u64> = servers.iter().zip(&before).map(|(server, before)| server.requests() - before).collect();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        assert!(counts[0] < counts[1] && counts[0] < counts[2], "the slow one first: {counts:?}");
    });
}

/// Whichever of the servers is marked: nobody is sent there until its time is over, and then somebody is.
#[test]
fn prop_unhealthy_node_avoidance() {
    property(6, (0usize..3, prop::bool::ANY), async |(bad, in_turn)| {
        let servers = TestServer::start_all(3);
        let policy = if in_turn { Policy::RoundRobin } else { Policy::PowerOfTwoChoices };
        let mut config = ConnectionConfig::new(hosts(&servers)).with_policy(policy);
        config.avoid = Duration::from_millis(900);
        let manager = ConnectionManager::start(&servers[0].client("app"), config).await.unwrap();
        // Each has been met, so that names are known.
        while manager.hosts().iter().any(|host| host.node.is_none()) {
            drop(manager.get_connection().await.unwrap());
        }
        assert!(manager.mark_node_unhealthy(servers[bad].name()));
        assert!(!manager.mark_node_unhealthy(&"nobody".parse().unwrap()));
        let avoided = || manager.hosts()[bad].avoided_for.is_some();
        let mut asked = 0;
        while avoided() && asked < 50 {
            let connection = manager.get_connection().await.unwrap();
            assert!(connection.addr() != servers[bad].addr() || !avoided(), "sent to the one that is avoided");
            asked += 1;
        }
        assert!(asked > 10);
        let back = async {
            loop {
                let connection = manager.get_connection().await.unwrap();
                if connection.addr() == servers[bad].addr() {
                    connection.request(ECHO, "x", PATIENCE).await.unwrap();
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, back).await.expect("it is tried again");
        assert_eq!(manager.hosts()[bad].failures, 0, "and forgiven when it answers");
    });
}

/// However many failures come first: it succeeds if there are enough retries, and the delays are at least 100, 200, 400 ms.
#[test]
fn prop_retry_with_exponential_backoff() {
    property(6, 0u64..4, async |failures| {
        let server = TestServer::start_with_failures(failures);
        let manager = manager(std::slice::from_ref(&server), |config| config.with_max_retries(2)).await;
        let began = std::time::UNIX_EPOCH.elapsed().unwrap();
        let outcome = manager
            .execute_with_retry(Retry::Always, async |connection| connection.request(ECHO, "x", PATIENCE).await)
            .await;
        let took = std::time::UNIX_EPOCH.elapsed().unwrap() - began;
        let attempts = failures.min(2) + 1;
        assert_eq!(server.requests(), attempts);
        assert_eq!(outcome.is_ok(), failures <= 2, "{outcome:?}");
        let at_least: u64 = (0..attempts - 1).map(|n| 100 << n).sum();
        assert!(took >= Duration::from_millis(at_least), "{took:?} for {failures} failures");
        // What may have been done is not done again unless that is allowed.
        server.act(Script::FailFirst(1));
        let once = manager
            .execute_with_retry(Retry::WhenUnsent, async |connection| connection.request(ECHO, "x", PATIENCE).await)
            .await;
        assert!(once.is_err(), "{once:?}");
        assert_eq!(server.requests(), attempts + 1);
    });
}

#[tokio::test]
async fn what_was_turned_away_is_tried_elsewhere() {
    let servers = TestServer::start_all(2);
    servers[0].act(Script::Refuse);
    let manager = manager(&servers, |config| config.with_policy(Policy::RoundRobin)).await;
    for _ in 0..4 {
        let reply = manager
            .execute_with_retry(Retry::WhenUnsent, async |connection| connection.request(ECHO, "x", PATIENCE).await)
            .await;
        assert_eq!(reply.unwrap().body, "x");
    }
    assert!(servers[0].requests() >= 1 && servers[1].requests() == 4);
}

/// A server that is as bad as can be costs one host, and no other notices.
#[tokio::test]
async fn each_kind_of_bad_server_is_told_apart() {
    let servers = TestServer::start_all(2);
    let (bad, good) = (&servers[0], &servers[1]);
    let config = |config: ConnectionConfig| config.with_policy(Policy::RoundRobin);
    let manager = manager(&servers, config).await;
    let mut told = BTreeMap::new();
    for script in [Script::Refuse, Script::FailFirst(9), Script::DieMidRequest, Script::Stall] {
        bad.act(script);
        let connection = loop {
            let connection = manager.get_connection().await.unwrap();
            if connection.addr() == bad.addr() {
                break connection;
            }
        };
        // The others answer, or end, by themselves.
        let patience = if script == Script::Stall { Duration::from_millis(200) } else { PATIENCE };
        let error = connection.request(ECHO, "x", patience).await.unwrap_err();
        told.insert(format!("{script:?}"), format!("{error} [{:?}]", error.fate()));
        let well = manager.get_connection().await.unwrap();
        if well.addr() == good.addr() {
            well.request(ECHO, "x", PATIENCE).await.unwrap();
        }
    }
    insta::assert_debug_snapshot!(told);
    bad.act(Script::RefuseConnections);
    // Its clients are turned out, and not let in again.
    bad.node().pool.revoke("client/app".parse().unwrap());
    bad.node().pool.revoke(cluster_pool::Revocations::none());
    let turned_out = async {
        while manager.stats().total.connected > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, turned_out).await.unwrap();
    for _ in 0..6 {
        // Whoever does not let anybody in is passed over.
        assert_eq!(manager.get_connection().await.unwrap().addr(), good.addr());
    }
}

#[tokio::test]
async fn hosts_that_make_no_sense_are_named() {
    let server = TestServer::start();
    let app = server.client("app");
    let failed = async |hosts: &[&str]| {
        let started = ConnectionManager::start(&app, ConnectionConfig::new(hosts.iter().copied())).await;
        started.map(drop).unwrap_err()
    };
    assert!(matches!(failed(&[]).await, ClientError::NoHosts));
    let nothing = failed(&["no-such-host.invalid:7946", "127.0.0.1"]).await.to_string();
    assert!(nothing.starts_with("none of the hosts can be found: no-such-host.invalid:7946: "), "{nothing}");
    assert!(nothing.contains("; 127.0.0.1: "), "{nothing}");
    let not_a_client = ConnectionManager::start(&server.member("m"), ConnectionConfig::new(["127.0.0.1:9"])).await;
    assert!(matches!(not_a_client, Err(ClientError::NotAClient { .. })));

    // One that is there makes up for those that cannot be found; when all are gone, each is named.
    let host = server.addr().to_string();
    let manager =
        ConnectionManager::start(&app, ConnectionConfig::new([host.as_str(), "no-such-host.invalid:1"])).await;
    let manager = manager.unwrap();
    drop(manager.get_connection().await.unwrap());
    server.act(Script::RefuseConnections);
    server.node().pool.close(Duration::ZERO).await;
    let gone = async {
        loop {
            match manager.get_connection().await {
                Err(ClientError::AllFailed { failures }) => return failures,
                Err(other) => panic!("{other}"),
                // The end of the connection is on its way.
                Ok(_still) => tokio::task::yield_now().await,
            }
        }
    };
    let failures = tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    assert_eq!((failures.len(), failures[0].host.as_str()), (1, host.as_str()));
    assert!(manager.close(PATIENCE).await);
    let closed = manager
        .execute_with_retry(Retry::Always, async |connection| connection.request(ECHO, "x", PATIENCE).await)
        .await;
    assert!(matches!(closed, Err(RetryError::NoConnection { attempts: 1, source: ClientError::Closed })), "{closed:?}");
}

/// A name that moves: the answer is good for its time, and asked for again at once when nobody is there any more.
#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_again_when_its_time_is_over_or_nobody_is_there() {
    #[derive(Debug)]
    struct Names(std::sync::Mutex<(std::net::SocketAddr, u32)>);
    #[async_trait]
    impl Resolver for Names {
        async fn resolve(&self, name: &str) -> Result<Vec<std::net::SocketAddr>, String> {
            assert_eq!(name, "db:1");
            let mut names = self.0.lock().unwrap();
            names.1 += 1;
            Ok(vec![names.0])
        }
    }
    let mut cluster = TestCluster::new(Wire::memory());
    let [first, second] = ["a", "b"].map(|name| cluster.node(name, Default::default(), Default::default()));
    let app = cluster.client_credentials("app");
    let (transport, _) = cluster.transport(&app);
    let names = std::sync::Arc::new(Names(std::sync::Mutex::new((first.addr, 0))));
    let spawner = std::sync::Arc::new(RuntimeSpawner::current());
    let host = ClientHost { transport, spawner, resolver: std::sync::Arc::clone(&names) as _, seed: 1 };
    let manager = ConnectionManager::start_on(host, &app, ConnectionConfig::new(["db:1"])).await.unwrap();
    let node = async || manager.get_connection().await.map(|connection| connection.node().to_string());
    assert_eq!(node().await.unwrap(), "a");
    assert_eq!((node().await.unwrap(), names.0.lock().unwrap().1), ("a".into(), 1));
    names.0.lock().unwrap().0 = second.addr;
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!((node().await.unwrap(), names.0.lock().unwrap().1), ("b".into(), 2));
    names.0.lock().unwrap().0 = first.addr;
    assert!(second.stop(Duration::from_secs(1)).await);
    assert!(node().await.is_err(), "it is where it was known to be no more");
    assert_eq!(node().await.unwrap(), "a", "and is looked up at once");
}

/// Errors say what to make of them.
#[tokio::test]
async fn a_request_that_is_too_long_goes_nowhere() {
    let server = TestServer::start();
    let manager = manager(std::slice::from_ref(&server), |config| config).await;
    let connection = manager.get_connection().await.unwrap();
    let error = connection.request(ECHO, vec![0; (1 << 20) + 1], PATIENCE).await.unwrap_err();
    assert!(matches!(error, PeerError::TooLong { len: 1_048_577, max: 1_048_576, .. }), "{error}");
    assert_eq!(server.requests(), 0);
    let whole = connection.request(ECHO, vec![7; 1 << 20], PATIENCE).await.unwrap();
    assert_eq!(whole.body.len(), 1 << 20);
    assert!(server.addr().port() > 0 && server.node().pool.local_addr() == server.addr());
}
