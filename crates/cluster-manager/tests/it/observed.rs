//! What happens to nodes, as whoever collects logs and numbers sees it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cluster_gossip::user_news::BROADCASTS_MAX;
use cluster_manager::pool::peer::MESSAGE_LEN_MAX;
use cluster_manager::{Channel, Cluster, ClusterConfig, Message, Metrics, NodeId, Router, message_fn, request_fn};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::handle::{PATIENCE, about, until};

/// Everything that was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_happens_is_counted_and_told_within_the_span_of_its_node() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let authority = Cluster::local_authority("test").expect("an authority");
    let router = Router::builder()
        .on_message(Channel(1), message_fn(|_, _| async { Ok(()) }))
        .on_request(Channel(1), request_fn(|_, body: Bytes| async move { Ok(body) }))
        .on_request(Channel(2), request_fn(|_, _| async { panic!("planted") }))
        .build();
    let a = Cluster::local("a", &authority).start().await.expect("it starts");
    let b = Cluster::local("b", &authority).router(router.expect("one handler each")).start().await.expect("it starts");
    let mut events = a.subscribe();
    b.join([a.local_addr()]).await.expect("joined");
    until(&mut events, "the newcomer", about("joined", "b")).await;
    a.send(b.node(), Message::new(Channel(1), "x")).await.expect("taken").await;
    a.request(b.node(), Channel(1), "x", PATIENCE).await.expect("answered");
    let failed = a.request(b.node(), Channel(2), "x", PATIENCE).await.expect_err("the handler panics");
    assert!(failed.to_string().contains("the handler panicked"), "{failed}");
    let nobody: NodeId = "nobody".parse().expect("a name");
    assert!(a.request(&nobody, Channel(1), "x", PATIENCE).await.is_err());

    let (of_a, of_b) = (a.metrics().await, b.metrics().await);
    for (name, label, value) in [
        ("cluster_live", "", 1.0),
        ("cluster_ready", "", 1.0),
        ("cluster_members", "alive", 2.0),
        ("cluster_members", "failed", 0.0),
        ("cluster_events_total", "joined", 1.0),
        ("cluster_links", "control", 1.0),
        ("cluster_links", "data", 1.0),
        ("cluster_peers", "", 1.0),
        ("cluster_messages_total", "delivered", 1.0),
        ("cluster_message_seconds_bucket", "+Inf", 1.0),
        ("cluster_requests_total", "", 2.0),
        ("cluster_replies_total", "", 1.0),
    ] {
        assert_eq!(of_a.value(name, label), Some(value), "{name} {label}");
    }
    for (what, value) in [("messages", 1.0), ("requests", 2.0), ("panicked", 1.0)] {
        assert_eq!(of_b.value("cluster_handled_total", what), Some(value), "{what}");
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || of_a.record());
    let page = recorder.handle().render();
    assert!(page.contains("cluster_messages_total{node=\"a\",outcome=\"delivered\"} 1"), "{page}");
    assert!(page.contains("# HELP cluster_ready "), "{page}");

    // What a peer did that is gone stays counted.
    assert!(b.shutdown(PATIENCE).await.is_clean());
    until(&mut events, "b left", about("left", "b")).await;
    let forgotten = async {
        while a.metrics().await.value("cluster_peers", "") != Some(0.0) {
            assert_eq!(a.metrics().await.value("cluster_messages_total", "delivered"), Some(1.0), "it never falls");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("its peer goes with it");
    assert_eq!(
        a.metrics().await.value("cluster_messages_total", "delivered"),
        Some(1.0),
        "what it did is not forgotten"
    );
    assert!(a.shutdown(Duration::from_secs(5)).await.is_clean());

    let log = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    for part in [
        "node{node=a cluster=test}: cluster::events: event=\"joined\" subject=\"b\"",
        "node{node=b cluster=test}: cluster::events: event=\"joined\" subject=\"a\"",
        "event=\"left\" subject=\"b\"",
        "shutdown{node=b}: cluster_manager::cluster::ending: shutdown phase phase=\"leave\"",
        "a handler panicked",
    ] {
        assert!(log.contains(part), "no {part:?} in\n{log}");
    }
}

/// How often a limit was reached.
fn limit(metrics: &Metrics, limit: &str) -> f64 {
    metrics.value("cluster_limits_reached_total", limit).unwrap_or_else(|| panic!("no {limit}"))
}

/// What the users of two nodes drive into limits is read from the numbers of those nodes, each under its own name.
#[tokio::test]
async fn a_limit_that_is_reached_is_read_from_the_numbers() {
    let authority = Cluster::local_authority("test").expect("an authority");
    let router = Router::builder()
        .on_request(Channel(1), request_fn(|_, _: Bytes| async { Ok(vec![7; MESSAGE_LEN_MAX + 1].into()) }))
        .on_request(Channel(2), request_fn(|_, _: Bytes| std::future::pending()))
        .build()
        .expect("one handler each");
    let tight = |config: &mut ClusterConfig| {
        config.peers.requests_max = 1;
        config.pool.max_total = 1;
    };
    let a = Cluster::local("a", &authority).configure(tight).start().await.expect("it starts");
    // Alone it tells nobody, so that none of them comes to its end.
    for _ in 0..BROADCASTS_MAX {
        a.broadcast("x").await.expect("there is room");
    }
    a.broadcast("x").await.expect_err("there is none");
    let b = Cluster::local("b", &authority).router(router).start().await.expect("it starts");
    let c = Cluster::local("c", &authority).start().await.expect("it starts");
    let mut events = a.subscribe();
    for (node, name) in [(&b, "b"), (&c, "c")] {
        node.join([a.local_addr()]).await.expect("joined");
        until(&mut events, "the newcomer", about("joined", name)).await;
    }
    let reply = a.request(b.node(), Channel(1), "x", PATIENCE).await.expect_err("it is too long");
    assert!(reply.to_string().contains("bytes"), "{reply}");
    a.request(b.node(), Channel(2), vec![7; MESSAGE_LEN_MAX + 1], PATIENCE).await.expect_err("it is too long");
    let waits = a.request(b.node(), Channel(2), "x", PATIENCE);
    let meanwhile = async {
        while b.metrics().await.value("cluster_handled_total", "requests") != Some(2.0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        a.request(b.node(), Channel(2), "x", Duration::from_millis(20)).await.expect_err("one at a time");
        // The only place of the pool is in use, for itself and for others.
        let (to_c, from_c) =
            (a.request(c.node(), Channel(2), "x", PATIENCE), c.request(a.node(), Channel(2), "x", PATIENCE));
        let reached = async {
            loop {
                let metrics = a.metrics().await;
                if ["pool_callers", "pool_peers"].iter().all(|place| limit(&metrics, place) >= 1.0) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            biased;
            _ = to_c => panic!("there is a place"),
            _ = from_c => panic!("there is a place"),
            () = reached => {}
        }
    };
    tokio::select! {
        biased;
        _ = waits => panic!("nobody answers"),
        () = meanwhile => {}
    }
    let (of_a, of_b) = (a.metrics().await, b.metrics().await);
    assert_eq!((limit(&of_b, "reply_len"), limit(&of_a, "reply_len")), (1.0, 0.0));
    assert_eq!((limit(&of_a, "request_len"), limit(&of_a, "requests")), (1.0, 1.0));
    assert_eq!(limit(&of_a, "broadcasts"), 1.0);
    for other in ["votes", "rivals", "tombstones", "join_places", "discovery", "pool_addresses", "peer_events"] {
        assert_eq!(limit(&of_a, other), 0.0, "{other}");
    }
    for node in [a, b, c] {
        node.shutdown(PATIENCE).await;
    }
}
