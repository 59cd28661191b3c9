//! Whole nodes: what a request by name costs beside bare quinn, whether membership stays true under load, how long it takes to begin
//! and to end, what an agent at rest costs.

mod agents;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster_manager::pool::identity::authority::Validity;
use cluster_manager::pool::{QuicConfig, QuicTransport};
use cluster_manager::{Authority, Channel, Cluster, Host, NodeId, Profile, Router, request_fn};

use crate::links::measure::alternate;
use crate::links::{Ask, FLAVOURS, Flavour, HEAD, block, echo, requests_for, row};

const ECHO: Channel = Channel(1);
const PATIENCE: Duration = Duration::from_secs(10);

fn router() -> Router {
    Router::builder()
        .on_request(ECHO, request_fn(|_, body: Bytes| async move { Ok(body) }))
        .build()
        .expect("one handler")
}

fn authority() -> Authority {
    Cluster::local_authority("bench").expect("keys")
}

/// On the runtime it is called in, endpoint and all.
fn start_here(authority: &Authority, name: &str) -> Cluster {
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let credentials = authority.issue(&name.parse().expect("a name"), Validity::days(now, 1)).expect("issued");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let transport = QuicTransport::bind(any, QuicConfig::default(), &credentials).expect("a port");
    let host = Host::system(Arc::new(transport)).expect("randomness");
    Cluster::builder(credentials, Profile::Lan).router(router()).start_on(host).expect("it starts")
}

async fn meet(a: &Cluster, b: &Cluster) {
    b.join([a.local_addr()]).await.expect("joined");
    while a.member(b.node().as_str()).is_none() {
        tokio::task::yield_now().await;
    }
}

fn ask_by_name(cluster: &Cluster, node: &NodeId) -> Ask {
    let (cluster, node) = (cluster.clone(), node.clone());
    Arc::new(move |body| {
        let (cluster, node) = (cluster.clone(), node.clone());
        Box::pin(async move { cluster.request(&node, ECHO, body, PATIENCE).await.expect("answered").body })
    })
}

fn requests() {
    println!("| by name / bare quinn | {HEAD}");
    for flavour in FLAVOURS {
        let runtime = flavour.runtime();
        let (a, b, bare) = runtime.block_on(async {
            let authority = authority();
            let (a, b) = (start_here(&authority, "a"), start_here(&authority, "b"));
            meet(&a, &b).await;
            (a, b, echo::bare().await)
        });
        let ours = ask_by_name(&a, b.node());
        compare_requests(flavour.name(), &runtime, &ours, &bare.ask);
    }
    // As nodes are started: each on a thread of its own, callers elsewhere.
    let runtime = Flavour::CurrentThread.runtime();
    let authority = authority();
    let start =
        |name: &str| runtime.block_on(Cluster::local(name, &authority).router(router()).start()).expect("it starts");
    let (a, b) = (start("a"), start("b"));
    runtime.block_on(meet(&a, &b));
    let (bare, _stop) = echo::bare_on_threads();
    compare_requests("own threads", &runtime, &ask_by_name(&a, b.node()), &bare.ask);
}

fn compare_requests(flavour: &str, runtime: &tokio::runtime::Runtime, ours: &Ask, bare: &Ask) {
    for in_flight in [1, 64] {
        let run = |ask: &Ask| runtime.block_on(block(ask, requests_for(in_flight), in_flight));
        let pair = alternate(requests_for(in_flight), || run(ours), || run(bare));
        row("request", flavour, in_flight, &pair);
    }
}

async fn five() -> Vec<Cluster> {
    let authority = authority();
    let mut nodes: Vec<Cluster> = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let node = Cluster::local(name, &authority).router(router()).start().await.expect("it starts");
        if let Some(first) = nodes.first() {
            node.join([first.local_addr()]).await.expect("joined");
        }
        nodes.push(node);
    }
    while nodes.iter().any(|node| node.members().len() < 5) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    nodes
}

/// 10,000 requests a second from the first to all others, for ten seconds.
fn under_load() {
    const SPAN: Duration = Duration::from_secs(10);
    let runtime = Flavour::CurrentThread.runtime();
    runtime.block_on(async {
        let nodes = five().await;
        let before: Vec<_> = unanswered(&nodes).await;
        let asks: Vec<Ask> = nodes[1..].iter().map(|node| ask_by_name(&nodes[0], node.node())).collect();
        let (mut running, began, mut sent) = (tokio::task::JoinSet::new(), Instant::now(), 0_usize);
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        while began.elapsed() < SPAN {
            ticks.tick().await;
            // Whatever the ticks missed is made up for.
            while sent < (began.elapsed().as_secs_f64() * 10_000.0) as usize {
                let ask = Arc::clone(&asks[sent % asks.len()]);
                running.spawn(async move { ask(Bytes::from_static(&[7; 64])).await.len() });
                sent += 1;
            }
            while running.try_join_next().is_some() {}
        }
        running.join_all().await;
        let took = began.elapsed();
        let after = unanswered(&nodes).await;
        let probes: f64 = after.iter().zip(&before).map(|(a, b)| a.0 - b.0).sum();
        let missed: f64 = after.iter().zip(&before).map(|(a, b)| a.1 - b.1).sum();
        let suspected: f64 = after.iter().zip(&before).map(|(a, b)| a.2 - b.2).sum();
        println!(
            "{sent} requests in {:.1} s: {:.0}/s; {probes} probes, {missed} unanswered, {suspected} suspicions",
            took.as_secs_f64(),
            sent as f64 / took.as_secs_f64()
        );
        for node in nodes {
            node.shutdown(PATIENCE).await;
        }
    });
}

/// Probes, probes without an answer, and suspicions, by node.
async fn unanswered(nodes: &[Cluster]) -> Vec<(f64, f64, f64)> {
    let mut all = Vec::new();
    for node in nodes {
        let metrics = node.metrics().await;
        let value = |name, label| metrics.value(name, label).unwrap_or(0.0);
        all.push((
            value("cluster_probes_total", ""),
            value("cluster_probes_unanswered_total", ""),
            value("cluster_events_total", "suspected"),
        ));
    }
    all
}

fn begin_and_end() {
    const ROUNDS: usize = 20;
    let runtime = Flavour::CurrentThread.runtime();
    let (mut joined, mut ended) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        runtime.block_on(async {
            let began = Instant::now();
            let mut nodes = five().await;
            joined.push(began.elapsed());
            // At rest: what the meeting left is done.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let leaver = nodes.pop().expect("five");
            let began = Instant::now();
            let report = leaver.shutdown(PATIENCE).await;
            ended.push(began.elapsed());
            assert!(report.is_clean(), "{report}");
            for node in nodes {
                node.shutdown(PATIENCE).await;
            }
        });
    }
    for (what, mut spans) in
        [("first start to five members knowing all", joined), ("shutdown of a member at rest", ended)]
    {
        spans.sort();
        let [median, worst] = [spans[ROUNDS / 2], spans[ROUNDS - 1]].map(|span| span.as_secs_f64() * 1e3);
        println!("{what}: median {median:.0} ms, worst of {ROUNDS} {worst:.0} ms");
    }
}

pub(crate) fn compare(part: Option<&str>, agent: Option<&Path>) {
    let parts: [(&str, &str, &dyn Fn()); 4] = [
        ("request", "A request by name and its reply, 64 bytes", &requests),
        ("load", "Five members, 10,000 requests a second", &under_load),
        ("life", "Beginning and ending, five nodes in one process", &begin_and_end),
        ("agents", "Sixteen agents at rest", &|| agents::at_rest(agent)),
    ];
    for (word, title, measure) in parts {
        if part.is_none_or(|part| part == word) {
            println!("## {title}\n");
            measure();
            println!();
        }
    }
}
