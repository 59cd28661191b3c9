//! Start, join, members, events, metadata, links, shutdown, and what a dropped handle leaves behind: nothing.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use cluster_manager::{
    Authority, Cluster, Delivery, Event, EventKind, JoinError, MemberTable, Metadata, Phase, StartError, State,
    Subscription,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

fn authority() -> Authority {
    Cluster::local_authority("test").expect("an authority")
}

async fn start(name: &str, authority: &Authority) -> Cluster {
    Cluster::local(name, authority).start().await.expect("it starts")
}

/// The first event for which `wanted` holds.
pub(crate) async fn until(
    events: &mut Subscription<MemberTable, Event>,
    what: &str,
    wanted: impl Fn(&EventKind) -> bool,
) {
    let find = async {
        loop {
            match events.recv().await {
                Some(Delivery::Event { event, .. }) if wanted(&event.kind) => return,
                Some(_) => {}
                None => panic!("the events ended before {what}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("no {what}"));
}

pub(crate) fn about<'a>(event: &'a str, node: &'a str) -> impl Fn(&EventKind) -> bool + 'a {
    move |kind| kind.as_str() == event && kind.node().is_some_and(|n| n.as_str() == node)
}

async fn pair(authority: &Authority) -> (Cluster, Cluster) {
    let (a, b) = (start("a", authority).await, start("b", authority).await);
    let mut events = a.subscribe();
    let report = b.join([a.local_addr()]).await.expect("joined");
    assert_eq!(report.joined(), 1);
    until(&mut events, "b joined", about("joined", "b")).await;
    (a, b)
}

/// The system's own resolver: a name may stand for addresses of which not all can be dialled.
#[tokio::test]
async fn a_seed_may_be_a_name() {
    let authority = Cluster::local_authority("names").expect("an authority");
    let a = Cluster::local("a", &authority).start().await.expect("started");
    let b = Cluster::local("b", &authority).start().await.expect("started");
    let seed: cluster_manager::JoinSeed = format!("localhost:{}", a.local_addr().port()).parse().expect("a seed");
    let report = b.join([seed]).await.expect("joined");
    assert_eq!(report.joined(), 1, "{report:?}");
    let nowhere: cluster_manager::JoinSeed = "nowhere.invalid:7000".parse().expect("a seed");
    let error = b.join([nowhere]).await.expect_err("nobody is there").to_string();
    assert!(error.contains("nowhere.invalid:7000: the name cannot be resolved"), "{error}");
    a.shutdown(PATIENCE).await;
    b.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn members_are_seen_from_both_sides_with_round_trips() {
    let (a, b) = pair(&authority()).await;
    for (seen_by, other) in [(&a, &b), (&b, &a)] {
        let members = seen_by.members();
        assert_eq!(members.iter().map(|m| m.node.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(members.iter().all(|m| m.state == State::Alive));
        let info = seen_by.member(other.node().as_str()).expect("known");
        assert_eq!(info.addr, other.advertised_addr());
        assert!(info.rtt.is_some_and(|rtt| rtt > Duration::ZERO));
        assert_eq!(seen_by.member(seen_by.node().as_str()).and_then(|own| own.rtt), None);
    }
    assert!(a.member("nobody").is_none());
}

/// However late its owner begins to read: what happened between the start and the first read are events, and not only a state.
#[tokio::test]
async fn the_first_event_is_not_missed_by_who_asks_from_the_start() {
    let authority = authority();
    let a = start("a", &authority).await;
    // Who listens to a discovery joins by itself, on a thread of its own: the handle is there when everything has happened.
    let found = cluster_manager::FixedDiscovery::new([a.local_addr()]);
    let mut starting = Box::pin(Cluster::local("b", &authority).discover(found).start_subscribed());
    let begun = std::future::poll_fn(|cx| std::task::Poll::Ready(starting.as_mut().poll(cx))).await;
    assert!(begun.is_pending(), "its thread has only begun");
    let probes =
        async || a.metrics().await.samples().iter().find(|s| s.name == "cluster_probes_total").map(|s| s.value);
    while probes().await < Some(1.0) {
        tokio::task::yield_now().await;
    }
    let (b, mut events) = starting.await.expect("it starts");
    assert!(b.member("a").is_some(), "it has happened before anybody could ask");
    let mut first = true;
    let joined = |kind: &EventKind| about("joined", "a")(kind);
    loop {
        match tokio::time::timeout(PATIENCE, events.recv()).await.expect("in time").expect("events") {
            Delivery::Snapshot { seq, state } => {
                assert!(first && seq == 0 && state.member("a").is_none(), "the beginning comes first");
                first = false;
            }
            Delivery::Event { event, .. } if joined(&event.kind) => break,
            other => assert!(matches!(other, Delivery::Event { .. }), "{other:?}"),
        }
    }
    // Who asks now finds it in the state.
    let Some(Delivery::Snapshot { state, .. }) = b.subscribe().recv().await else { panic!("a snapshot comes first") };
    assert!(state.member("a").is_some());
}

#[tokio::test]
async fn metadata_reaches_the_others() {
    let (a, b) = pair(&authority()).await;
    let mut events = a.subscribe();
    let metadata = Metadata::new([("role".to_owned(), "db".to_owned())]).expect("short");
    b.set_metadata(metadata.clone()).await;
    until(&mut events, "b updated", about("updated", "b")).await;
    assert_eq!(a.member("b").expect("known").metadata, metadata);
}

#[tokio::test]
async fn a_broadcast_is_an_event_at_the_others_and_too_long_a_one_is_refused() {
    let (a, b) = pair(&authority()).await;
    let mut events = a.subscribe();
    b.broadcast("hello").await.expect("taken");
    until(
        &mut events,
        "the broadcast",
        |kind| matches!(kind, EventKind::Broadcast { node, payload } if node.as_str() == "b" && **payload == *b"hello"),
    )
    .await;
    let error = b.broadcast(vec![0; 201]).await.expect_err("too long");
    assert_eq!(error.to_string(), "the broadcast is 201 bytes long: at most 200 are allowed; send it as a message");
}

/// The application says that it is not well: the others report it, and nobody is declared anything.
#[tokio::test]
async fn an_unwell_application_is_reported_by_the_others() {
    let (a, b) = pair(&authority()).await;
    let mut events = a.subscribe();
    b.set_healthy(false).await;
    until(&mut events, "the report", about("health_check_failed", "b")).await;
    assert_eq!(a.member("b").expect("known").state, State::Alive);
}

#[tokio::test]
async fn all_seeds_unreachable_is_an_error_that_names_each() {
    let a = start("a", &authority()).await;
    // Port 0 cannot be dialled at all; the node's own address answers, and is the node itself.
    let nowhere: SocketAddr = "127.0.0.9:0".parse().expect("an address");
    let error = a.join([nowhere, a.local_addr()]).await.expect_err("nobody is there");
    assert!(matches!(&error, JoinError::AllFailed { report } if report.seeds.len() == 2));
    let text = error.to_string();
    assert!(text.contains("127.0.0.9:0 cannot be dialled") && text.contains("it is this node's own address"), "{text}");
}

#[tokio::test]
async fn a_link_is_for_live_members_only() {
    let (a, b) = pair(&authority()).await;
    let link = a.link(b.node()).await.expect("a link");
    assert_eq!(link.node(), b.node());
    assert_eq!(a.link(b.node()).await.expect("the same").id(), link.id());
    let nobody = "nobody".parse().expect("a name");
    assert_eq!(a.link(&nobody).await.expect_err("unknown").to_string(), "nobody is not a live member of the cluster");
    // Nobody serves streams here: they are refused, and nothing hangs.
    let mut stream = link.open_bi().await.expect("a stream");
    tokio::io::AsyncWriteExt::write_all(&mut stream.send, b"hello?").await.expect("written");
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream.recv, &mut answer);
    tokio::time::timeout(PATIENCE, read).await.expect("answered").expect_err("reset");
}

#[tokio::test]
async fn shutdown_goes_through_its_phases_once() {
    let (a, b) = pair(&authority()).await;
    let (mut of_a, mut of_b) = (a.subscribe(), b.subscribe());
    let (first, second) = tokio::join!(b.shutdown(PATIENCE), b.shutdown(PATIENCE));
    assert_eq!(first, second, "the second call waits for the first");
    assert_eq!(first.phases.iter().map(|phase| phase.phase).collect::<Vec<_>>(), Phase::ALL);
    assert!(first.is_clean(), "{first}");
    assert_eq!(first.phases[0].acks, Some((1, 1)));
    until(&mut of_a, "b left", about("left", "b")).await;
    let ended = async { while of_b.recv().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the events of a node that is down end");
    assert!(b.members().is_empty());
    assert!(matches!(b.join([a.local_addr()]).await, Err(JoinError::ShuttingDown)));
    assert!(UdpSocket::bind(b.local_addr()).is_ok(), "the port is free again");
}

#[tokio::test]
async fn a_shutdown_without_any_time_still_closes_everything() {
    let (a, b) = pair(&authority()).await;
    let report = b.shutdown(Duration::ZERO).await;
    assert_eq!(report.phases.iter().map(|phase| phase.phase).collect::<Vec<_>>(), Phase::ALL);
    assert!(UdpSocket::bind(b.local_addr()).is_ok(), "the port is free");
    drop(a);
}

/// Names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("readable");
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim().to_owned()).collect()
}

#[tokio::test]
async fn a_dropped_handle_says_goodbye_and_leaves_no_thread_and_no_socket() {
    let authority = authority();
    let a = start("a", &authority).await;
    let b = start("dropped", &authority).await;
    let mut events = a.subscribe();
    b.join([a.local_addr()]).await.expect("joined");
    until(&mut events, "joined", about("joined", "dropped")).await;
    let addr = b.local_addr();
    drop(b);
    until(&mut events, "left", about("left", "dropped")).await;
    let gone = async {
        while threads().iter().any(|name| name == "cluster dropped") || UdpSocket::bind(addr).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the thread ends and lets go of the port");
}

#[tokio::test]
async fn a_taken_name_ends_the_join_and_the_loser_says_no_goodbye() {
    let authority = authority();
    let (a, b) = pair(&authority).await;
    let second = start("b", &authority).await;
    let mut events = a.subscribe();
    let joined = tokio::time::timeout(PATIENCE, second.join_patiently([a.local_addr()])).await.expect("it ends");
    assert!(matches!(joined, Err(JoinError::ShuttingDown)), "{joined:?}");
    assert_eq!(tokio::time::timeout(PATIENCE, second.name_lost()).await.expect("it is told"), b.advertised_addr());
    second.shutdown(PATIENCE).await;
    b.shutdown(PATIENCE).await;
    // The first thing said of "b" is the farewell of the one that held the name.
    until(&mut events, "left", |kind| kind.as_str() == "left").await;
}

#[tokio::test]
async fn an_open_stream_does_not_keep_a_node_from_closing() {
    let (a, b) = pair(&authority()).await;
    let link = a.link(b.node()).await.expect("a link");
    let stream = link.open_bi().await.expect("a stream");
    let report = a.shutdown(Duration::from_secs(1)).await;
    assert!(!report.is_clean(), "the stream was still open: {report}");
    assert!(UdpSocket::bind(a.local_addr()).is_ok(), "the port is free all the same");
    assert!(link.open_bi().await.is_err());
    drop(stream);
    let c = Cluster::local("c", &authority()).bind("0.0.0.0:0".parse().expect("an address")).start().await;
    assert!(matches!(c, Err(StartError::NotDialable { .. })), "{c:?}");
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let authority = authority();
    let a = start("a", &authority).await;
    let taken = Cluster::local("c", &authority).bind(a.local_addr()).start().await.expect_err("the port is taken");
    assert!(matches!(taken, StartError::Bind(_)), "{taken}");
    let bad = Cluster::local("c", &authority).configure(|config| config.swim.observers = 0).start().await;
    assert_eq!(
        bad.expect_err("nobody looks").to_string(),
        "[membership] observers = 0: it must be 1 to 256: somebody must look"
    );
    assert!(Cluster::local("not a name", &authority).start().await.is_err());
    assert!(!threads().iter().any(|name| name == "cluster c"));
}
