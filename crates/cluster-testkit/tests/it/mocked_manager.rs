//! The manager's units with mocks at their edges: what they ask of a seam, and what they make of its answers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster_manager::{Cluster, DiscoveryError, Host, Incarnation, JoinError, JoinSeed, Phase, Profile, State};
use cluster_pool::identity::authority::Validity;
use cluster_pool::transport::TransportDrops;
use cluster_pool::{Authority, CloseCode, Credentials, RuntimeSpawner, Spawner, Transport};
use cluster_testkit::MemoryNet;
use cluster_testkit::mocks::{MockDiscovery, MockResolver, MockSpawner, MockStorage, MockTransport, MockWallClock};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
const NOW_MS: u64 = 1_795_000_000_000;

fn authority() -> Authority {
    Authority::generate("test".parse().unwrap(), NOW_MS / 1_000).unwrap()
}

fn credentials(authority: &Authority, name: &str) -> Credentials {
    authority.issue(&name.parse().unwrap(), Validity::days(NOW_MS / 1_000, 30)).unwrap()
}

fn wall_clock() -> MockWallClock {
    let mut clock = MockWallClock::new();
    clock.expect_unix_ms().return_const(NOW_MS);
    clock
}

/// A machine with this network and this resolver.
fn host(transport: Arc<dyn Transport>, resolver: MockResolver) -> Host {
    Host {
        transport,
        spawner: Arc::new(RuntimeSpawner::current()),
        wall_clock: Arc::new(wall_clock()),
        resolver: Arc::new(resolver),
        storage: Arc::new(MockStorage::new()),
        seed: 7,
    }
}

fn start(net: &MemoryNet, authority: &Authority, name: &str, resolver: MockResolver) -> Cluster {
    let credentials = credentials(authority, name);
    let transport = Arc::new(net.transport(&credentials));
    Cluster::builder(credentials, Profile::Local).start_on(host(transport, resolver)).unwrap()
}

async fn until(what: &str, state: impl Fn() -> bool) {
    let reached = async {
        while !state() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(start_paused = true)]
async fn a_node_takes_its_time_from_its_wall_clock() {
    let (net, authority) = (MemoryNet::new(), authority());
    let node = start(&net, &authority, "a", MockResolver::new());
    let own = node.member("a").expect("itself");
    assert_eq!((own.state, own.incarnation), (State::Alive, Incarnation::from_unix_ms(NOW_MS)));
    assert!(node.shutdown(PATIENCE).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_join_asks_for_its_names_in_each_round_and_says_what_it_was_told() {
    let (net, authority) = (MemoryNet::new(), authority());
    let mut resolver = MockResolver::new();
    resolver.expect_resolve().withf(|name| name == "db:1").times(1).returning(|_| Err("no such host".into()));
    let node = start(&net, &authority, "a", resolver);
    let seed: JoinSeed = "db:1".parse().unwrap();
    let JoinError::AllFailed { report } = node.join([seed]).await.unwrap_err() else { panic!("not a failed join") };
    assert_eq!(report.seeds.len(), 1);
    assert!(format!("{report:?}").contains("the name cannot be resolved: no such host"), "{report:?}");
    node.shutdown(PATIENCE).await;
}

/// What a discovery finds is looked up and joined through; a member that is known is not dialled for it again.
#[tokio::test(start_paused = true)]
async fn whoever_a_discovery_names_is_looked_up_and_joined_through() {
    let (net, authority) = (MemoryNet::new(), authority());
    let first = start(&net, &authority, "a", MockResolver::new());
    let addr = first.local_addr();
    let mut resolver = MockResolver::new();
    resolver.expect_resolve().withf(|name| name == "a.internal:1").returning(move |_| Ok(vec![addr]));
    let mut discovery = MockDiscovery::new();
    discovery.expect_describe().return_const("a mock".to_owned());
    discovery.expect_period().return_const(Duration::from_secs(30));
    discovery.expect_take_left_out().return_const(0_usize);
    discovery.expect_find().returning(|| Ok(vec!["a.internal:1".parse().unwrap()]));
    let credentials = credentials(&authority, "b");
    let transport = Arc::new(net.transport(&credentials));
    let builder = Cluster::builder(credentials, Profile::Local).discover(discovery);
    let second = builder.start_on(host(transport, resolver)).unwrap();
    until("a joined", || second.member("a").is_some()).await;
    until("b joined", || first.member("b").is_some()).await;
    let status = second.health().await.discoveries.pop().expect("it has one");
    assert_eq!((status.what.as_str(), status.found, status.strangers, status.last_error), ("a mock", 1, 1, None));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let status = second.health().await.discoveries.pop().expect("it has one");
    assert!(status.answers >= 2 && status.strangers == 0, "{status:?}");
    for node in [first, second] {
        assert!(node.shutdown(PATIENCE).await.is_clean());
    }
}

/// An answer that is too long is cut: the names that are not looked up, and what the discovery itself has left out, are counted.
#[tokio::test(start_paused = true)]
async fn what_is_left_out_of_the_answers_of_a_discovery_is_counted() {
    let (net, authority) = (MemoryNet::new(), authority());
    let mut resolver = MockResolver::new();
    resolver.expect_resolve().times(256).returning(|_| Ok(Vec::new()));
    let mut discovery = MockDiscovery::new();
    discovery.expect_describe().return_const("a mock".to_owned());
    discovery.expect_period().return_const(Duration::from_secs(3_600));
    let names: Vec<JoinSeed> = (0..300).map(|n| format!("n{n}.internal:1").parse().unwrap()).collect();
    discovery.expect_find().returning(move || Ok(names.clone()));
    discovery.expect_take_left_out().times(1).return_const(7_usize);
    let credentials = credentials(&authority, "a");
    let transport = Arc::new(net.transport(&credentials));
    let builder = Cluster::builder(credentials, Profile::Local).discover(discovery);
    let node = builder.start_on(host(transport, resolver)).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let left_out = node.metrics().await.value("cluster_limits_reached_total", "discovery");
    assert_eq!(left_out, Some(f64::from(300 - 256 + 7)));
    assert!(node.shutdown(PATIENCE).await.is_clean());
}

/// Alone it asks after a second, then more and more rarely, but never more rarely than it is told; errors are told and counted.
#[tokio::test(start_paused = true)]
async fn a_discovery_that_fails_is_asked_again_and_again() {
    let (net, authority) = (MemoryNet::new(), authority());
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut discovery = MockDiscovery::new();
    discovery.expect_describe().return_const("a mock".to_owned());
    discovery.expect_period().return_const(Duration::from_secs(8));
    let times = Arc::clone(&asked);
    discovery.expect_find().returning(move || {
        times.lock().unwrap().push(Instant::now());
        Err(DiscoveryError::Unavailable { what: "a mock".into(), reason: "it sleeps".into() })
    });
    let credentials = credentials(&authority, "a");
    let transport = Arc::new(net.transport(&credentials));
    let builder = Cluster::builder(credentials, Profile::Local).discover(discovery);
    let node = builder.start_on(host(transport, MockResolver::new())).unwrap();
    until("seven questions", || asked.lock().unwrap().len() >= 7).await;
    let waits: Vec<u128> = asked.lock().unwrap().windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!((500..=1_001).contains(&waits[0]) && (1_000..=2_001).contains(&waits[1]), "{waits:?}");
    assert!(waits[3..].iter().all(|wait| (4_000..=8_001).contains(wait)), "{waits:?}");
    let health = node.health().await;
    assert!(health.joining && !health.is_ready(), "nobody has said yet whether there is a cluster");
    assert!(health.to_string().contains("a discovery fails: a mock: it sleeps"), "{health}");
    let failures = node.metrics().await.value("cluster_discovery_failures_total", "a mock");
    assert!(failures >= Some(7.0), "{failures:?}");
    assert!(node.shutdown(PATIENCE).await.is_clean(), "it is not waited for");
    let asked_then = asked.lock().unwrap().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(asked.lock().unwrap().len(), asked_then, "a node that has stopped asks nobody");
}

/// A transport on which nobody comes in, at this address.
fn silent(addr: SocketAddr) -> MockTransport {
    let mut transport = MockTransport::new();
    transport.expect_local_addr().return_const(addr);
    transport.expect_accept().returning(|| None);
    transport.expect_send_refused().return_const(addr);
    transport.expect_revoke().return_const(());
    transport.expect_drops().return_const(TransportDrops::default());
    transport
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_its_transport_once_and_reports_each_phase() {
    let authority = authority();
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut transport = silent(addr);
    transport.expect_close().withf(|code| *code == CloseCode::SHUTDOWN).times(1).return_const(());
    transport.expect_wait_idle().times(1).return_const(());
    transport.expect_release().times(1).return_const(());
    let builder = Cluster::builder(credentials(&authority, "a"), Profile::Local);
    let node = builder.start_on(host(Arc::new(transport), MockResolver::new())).unwrap();
    let report = node.shutdown(PATIENCE).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.phases.iter().map(|phase| phase.phase).collect::<Vec<_>>(), Phase::ALL);
    assert_eq!(report.phases[0].acks, Some((0, 0)), "nobody was there to be told");
    assert_eq!(node.shutdown(PATIENCE).await, report, "the second call does nothing");
    assert!(!node.health().await.is_live() && node.health().await.leaving);
}

/// Nothing that was handed over is ever run, as on a machine that hangs: each phase ends at its limit, and so does the whole.
#[tokio::test(start_paused = true)]
async fn a_shutdown_of_a_node_that_does_not_turn_ends_at_its_limits() {
    let (net, authority) = (MemoryNet::new(), authority());
    let held = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut spawner = MockSpawner::new();
    let hold = Arc::clone(&held);
    spawner.expect_spawn().returning(move |task| hold.lock().unwrap().push(task));
    let credentials = credentials(&authority, "a");
    let transport = Arc::new(net.transport(&credentials));
    let host = Host { spawner: Arc::new(spawner), ..host(transport, MockResolver::new()) };
    let node = Cluster::builder(credentials, Profile::Local).start_on(host).unwrap();
    let health = node.health().await;
    assert!(!health.loop_answers && !health.is_live(), "it does not answer, and that is said: {health}");
    let began = Instant::now();
    let report = node.shutdown(PATIENCE).await;
    assert!(began.elapsed() <= Duration::from_secs(8), "{report}");
    let cut: Vec<Phase> = report.phases.iter().filter(|phase| !phase.ok).map(|phase| phase.phase).collect();
    assert_eq!(cut, [Phase::Leave, Phase::Gossip, Phase::Connections], "{report}");
    let limits = [5_100, 250, 0, 2_500, 0, 0].map(Duration::from_millis);
    for (phase, limit) in report.phases.iter().zip(limits) {
        assert!(phase.took <= limit, "{report}");
    }
    let error = report.into_result().unwrap_err().to_string();
    assert!(error.starts_with("the shutdown was cut short in: leave (after 5"), "{error}");
}

/// A file that is damaged is set aside, and what is known is written in its place: also once more at the end, before the farewell.
#[tokio::test(start_paused = true)]
async fn a_damaged_state_file_is_set_aside_and_the_members_are_written_down() {
    let (net, authority) = (MemoryNet::new(), authority());
    let mut storage = MockStorage::new();
    storage.expect_remove_unfinished().withf(|path| path == Path::new("state")).times(1).returning(|_| Ok(1));
    storage.expect_read().withf(|path| path == Path::new("state")).times(1).returning(|_| Ok(b"{ half".to_vec()));
    storage.expect_set_aside().times(1).returning(|_| Ok("state.damaged".into()));
    let written = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&written);
    storage.expect_replace().returning(move |_, bytes| {
        kept.lock().unwrap().push(String::from_utf8(bytes).unwrap());
        // Every second one fails: that is no reason to stop trying.
        if kept.lock().unwrap().len() % 2 == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let credentials = credentials(&authority, "a");
    let transport = Arc::new(net.transport(&credentials));
    let host = Host { storage: Arc::new(storage), ..host(transport, MockResolver::new()) };
    let node = Cluster::builder(credentials, Profile::Local).state("state").start_on(host).unwrap();
    assert!(node.remembered().is_empty());
    let others = ["b", "c"].map(|name| start(&net, &authority, name, MockResolver::new()));
    for (n, other) in others.iter().enumerate() {
        other.join([node.local_addr()]).await.unwrap();
        until("it is written down", || {
            written.lock().unwrap().last().is_some_and(|text| text.contains(&other.local_addr().to_string()))
        })
        .await;
        assert!(written.lock().unwrap().len() > n);
    }
    let before = written.lock().unwrap().len();
    assert!(node.shutdown(PATIENCE).await.is_clean());
    let written = written.lock().unwrap().clone();
    assert_eq!(written.len(), before + 1, "once more at the end");
    assert!(others.iter().all(|other| written[before].contains(&other.local_addr().to_string())), "{written:?}");
    for other in others {
        other.shutdown(PATIENCE).await;
    }
}

/// On a disk that is full for a while the members are written down when there is room again, though none has come or gone since. It
/// is tried more and more rarely meanwhile.
#[tokio::test(start_paused = true)]
async fn a_writing_that_failed_is_tried_again_though_nothing_changes() {
    let (net, authority) = (MemoryNet::new(), authority());
    let mut storage = MockStorage::new();
    storage.expect_remove_unfinished().returning(|_| Ok(0));
    storage.expect_read().returning(|_| Err(std::io::ErrorKind::NotFound.into()));
    let tries = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tried = Arc::clone(&tries);
    let full_until = Instant::now() + Duration::from_secs(200);
    storage.expect_replace().returning(move |_, _| {
        tried.lock().unwrap().push(Instant::now());
        if Instant::now() < full_until { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let credentials = credentials(&authority, "a");
    let transport = Arc::new(net.transport(&credentials));
    let host = Host { storage: Arc::new(storage), ..host(transport, MockResolver::new()) };
    let node = Cluster::builder(credentials, Profile::Local).state("state").start_on(host).unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tries = tries.lock().unwrap().clone();
    let waits: Vec<u64> = tries.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60], "twice as long each time, up to a minute");
    assert!(tries[8] < full_until && tries[9] >= full_until, "and no more once it is written");
    node.shutdown(PATIENCE).await;
}

/// What a former process wrote down is worth joining through; a file that cannot be read is a reason not to start.
#[tokio::test(start_paused = true)]
async fn what_was_written_down_is_remembered_and_what_cannot_be_read_is_said() {
    let (net, authority) = (MemoryNet::new(), authority());
    let mut storage = MockStorage::new();
    storage.expect_remove_unfinished().returning(|_| Err(std::io::ErrorKind::PermissionDenied.into()));
    let text = r#"{"version":1,"cluster":"test","node":"a","peers":[{"node":"b","addr":"10.0.0.2:7"}]}"#;
    storage.expect_read().returning(move |_| Ok(text.as_bytes().to_vec()));
    storage.expect_replace().returning(|_, _| Ok(()));
    let start = |storage: MockStorage| {
        let credentials = credentials(&authority, "a");
        let transport = Arc::new(net.transport(&credentials));
        let host = Host { storage: Arc::new(storage), ..host(transport, MockResolver::new()) };
        Cluster::builder(credentials, Profile::Local).state("state").start_on(host)
    };
    let node = start(storage).unwrap();
    assert_eq!(node.remembered(), ["10.0.0.2:7".parse().unwrap()]);
    assert!(node.shutdown(PATIENCE).await.is_clean());
    let mut storage = MockStorage::new();
    storage.expect_remove_unfinished().returning(|_| Ok(0));
    storage.expect_read().returning(|_| Err(std::io::ErrorKind::PermissionDenied.into()));
    let error = start(storage).unwrap_err().to_string();
    assert_eq!(error, "the state file state cannot be used: permission denied; mend it, or give another path");
}

/// An address that others cannot dial is found out before anything runs, and let go of.
#[tokio::test(start_paused = true)]
async fn an_address_that_cannot_be_told_starts_nothing() {
    let authority = authority();
    let mut transport = silent(SocketAddr::from(([0, 0, 0, 0], 1)));
    transport.expect_release().times(1).return_const(());
    let mut spawner = MockSpawner::new();
    spawner.expect_spawn().never();
    let host = Host { spawner: Arc::new(spawner), ..host(Arc::new(transport), MockResolver::new()) };
    let error = Cluster::builder(credentials(&authority, "a"), Profile::Local).start_on(host).unwrap_err();
    assert!(error.to_string().starts_with("0.0.0.0:1 cannot be dialled by others"), "{error}");
}

/// Everything that a node does runs where its host says, and ends with it.
#[tokio::test(start_paused = true)]
async fn every_task_of_a_node_is_its_hosts_and_ends() {
    let (net, authority) = (MemoryNet::new(), authority());
    let running = Arc::new(AtomicU64::new(0));
    let (begun, inner) = (Arc::clone(&running), RuntimeSpawner::current());
    let mut spawner = MockSpawner::new();
    spawner.expect_spawn().returning(move |task| {
        begun.fetch_add(1, Ordering::Relaxed);
        let ended = Arc::clone(&begun);
        inner.spawn(Box::pin(async move {
            task.await;
            ended.fetch_sub(1, Ordering::Relaxed);
        }));
    });
    let credentials = credentials(&authority, "a");
    let transport = Arc::new(net.transport(&credentials));
    let other = start(&net, &authority, "b", MockResolver::new());
    let host = Host { spawner: Arc::new(spawner), ..host(transport, MockResolver::new()) };
    let node = Cluster::builder(credentials, Profile::Local).start_on(host).unwrap();
    node.join([other.local_addr()]).await.unwrap();
    assert!(running.load(Ordering::Relaxed) > 2);
    assert!(node.shutdown(PATIENCE).await.is_clean());
    until("every task has ended", || running.load(Ordering::Relaxed) == 0).await;
    other.shutdown(PATIENCE).await;
}
