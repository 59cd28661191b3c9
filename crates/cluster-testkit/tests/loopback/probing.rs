//! Probes over real QUIC: direct, through others, unanswered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_manager::pool::identity::authority::Validity;
use cluster_manager::{
    Authority, Cluster, Delivery, Event, EventKind, Evidence, Host, MemberTable, Profile, State, Subscription,
};
use cluster_pool::{LinkClass, PoolError};
use cluster_testkit::Paths;

use crate::{PATIENCE, checked, until};

/// The pause budget of the profile that these nodes use: silence is no death before it.
const P: Duration = Duration::from_secs(2);

/// Whole nodes with paths between them that can be cut.
struct Mesh {
    paths: Paths,
    nodes: Vec<Cluster>,
}

impl Mesh {
    /// Nodes of the `local` profile that all know each other and are linked.
    async fn of(names: &[&str]) -> Self {
        let (paths, authority) = (Paths::new(), Cluster::local_authority("test").expect("an authority"));
        let nodes: Vec<Cluster> = names.iter().map(|name| start(name, &paths, &authority)).collect();
        let seed = nodes[0].local_addr();
        for node in &nodes[1..] {
            node.join([seed]).await.expect("joined");
        }
        let mesh = Self { paths, nodes };
        let met = || {
            let all = |node: &Cluster| node.members().iter().filter(|m| m.state == State::Alive).count() == names.len();
            mesh.nodes.iter().all(|node| all(node) && node.links(LinkClass::Control).len() == names.len() - 1)
        };
        until("all are linked with all", met).await;
        mesh
    }

    fn addr(&self, i: usize) -> SocketAddr {
        self.nodes[i].local_addr()
    }

    async fn end(self) {
        self.paths.mend();
        for node in self.nodes {
            node.shutdown(Duration::from_secs(8)).await;
        }
    }
}

fn start(name: &str, paths: &Paths, authority: &Authority) -> Cluster {
    let now_s = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let node = name.parse().expect("a name");
    let credentials = authority.issue(&node, Validity::days(now_s, 1)).expect("issued");
    let host = Host::system(Arc::new(paths.transport(&credentials))).expect("randomness");
    Cluster::builder(credentials, Profile::Local).start_on(host).expect("started")
}

/// The first event for which `wanted` gives something.
async fn event<T>(
    events: &mut Subscription<MemberTable, Event>,
    what: &str,
    wanted: impl Fn(&EventKind) -> Option<T>,
) -> T {
    let find = async {
        loop {
            match events.recv().await {
                Some(Delivery::Event { event, .. }) => {
                    if let Some(found) = wanted(&event.kind) {
                        return found;
                    }
                }
                Some(_) => {}
                None => panic!("the events ended before {what}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("no {what}"))
}

fn suspected(kind: &EventKind, node: &str) -> Option<Evidence> {
    match kind {
        EventKind::Suspected(member, evidence) if member.node().as_str() == node => Some(evidence.clone()),
        _ => None,
    }
}

fn failed(kind: &EventKind, node: &str) -> Option<Evidence> {
    match kind {
        EventKind::Failed(member, evidence) if member.node().as_str() == node => Some(evidence.clone()),
        _ => None,
    }
}

/// A number of a node, as its operators see it.
async fn number(node: &Cluster, name: &str) -> u64 {
    let metrics = node.metrics().await;
    let sample = metrics.samples().iter().find(|sample| sample.name == name);
    sample.unwrap_or_else(|| panic!("no number {name}")).value as u64
}

/// Rounds of all of them that nobody answered.
async fn unanswered(nodes: &[Cluster]) -> u64 {
    let mut sum = 0;
    for node in nodes {
        sum += number(node, "cluster_probes_unanswered_total").await;
    }
    sum
}

/// Probes of both sides are answered, round after round, and nobody is accused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_swim_ping_ack_real_network() {
    let mesh = Mesh::of(&["a", "b"]).await;
    let mut answered = 0;
    for (node, other) in [(&mesh.nodes[0], "b"), (&mesh.nodes[1], "a")] {
        let deadline = Instant::now() + PATIENCE;
        while number(node, "cluster_probes_total").await < 5 {
            assert!(Instant::now() < deadline, "{} does not probe", node.node());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(number(node, "cluster_probes_unanswered_total").await, 0);
        let rtt = node.member(other).and_then(|member| member.rtt).expect("a round trip was measured");
        assert!(rtt > Duration::ZERO && rtt < Duration::from_millis(500), "{rtt:?}");
        let explained = node.explain(&other.parse().expect("a name")).await.expect("explained");
        assert!(explained.to_string().contains("alive"), "{explained}");
        answered += number(node, "cluster_probes_total").await;
    }
    checked(2, &format!("{answered} probes, all answered; round trips measured"));
    mesh.end().await;
}

/// One answered ping over a link of its own: the smallest thing that must work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_direct_ping_ack_over_network() {
    let mesh = Mesh::of(&["a", "b"]).await;
    let a = &mesh.nodes[0];
    until("a has probed", || a.member("b").is_some_and(|member| member.rtt.is_some())).await;
    let links = a.links(LinkClass::Control);
    assert_eq!(links.len(), 1, "one control link carries it");
    assert_eq!((links[0].node().as_str(), links[0].remote_addr()), ("b", mesh.addr(1)));
    checked(2, "a ping and its acknowledgement over one control link");
    mesh.end().await;
}

/// The path between two of four is cut: each is reached through the others, for many times the span after which silence is
/// death, and nobody is declared. The others' probing goes on as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_swim_indirect_ping_real_network() {
    let mesh = Mesh::of(&["a", "b", "c", "d"]).await;
    let mut watching: Vec<_> = mesh.nodes.iter().map(Cluster::subscribe).collect();
    mesh.paths.cut(mesh.addr(0), mesh.addr(1));
    let onset = Instant::now();
    // Nothing is waited for but time: one accuser alone is believed after six times P.
    tokio::time::sleep(7 * P).await;
    for node in &mesh.nodes {
        assert!(node.members().iter().all(|m| m.state != State::Failed), "{}: {:?}", node.node(), node.members());
    }
    // Whoever probes over the path that is cut is answered through the others, round after round: nobody accuses anybody.
    let mut probes = (0, 0);
    for node in &mesh.nodes[..2] {
        probes.0 += number(node, "cluster_probes_total").await;
        probes.1 += number(node, "cluster_probes_unanswered_total").await;
    }
    // Were nobody asked, or nobody answered for others, every sixth round would be in vain.
    assert!(probes.0 > 50 && probes.1 <= probes.0 / 20, "{} of {} rounds were answered by nobody", probes.1, probes.0);
    // Nobody said it for a moment, either.
    for (node, events) in mesh.nodes.iter().zip(&mut watching) {
        while let Ok(Some(delivery)) = tokio::time::timeout(Duration::ZERO, events.recv()).await {
            let Delivery::Event { event, .. } = delivery else { continue };
            assert!(!matches!(event.kind, EventKind::Failed(..)), "{}: {event:?}", node.node());
        }
    }
    // It was really cut: what is sent now goes nowhere.
    let across = mesh.nodes[0].link(mesh.nodes[1].node()).await;
    assert!(across.is_err(), "a path that is cut was dialled");
    checked(
        4,
        &format!(
            "{:.0} s without a path between two: reached through the others, nobody declared",
            onset.elapsed().as_secs_f64()
        ),
    );
    mesh.end().await;
}

/// All paths to one of four are cut: the direct probe times out, the others are asked and reach it neither, it is suspected
/// with that evidence, and declared after the pause budget and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_indirect_ping_via_intermediaries() {
    let mesh = Mesh::of(&["a", "b", "c", "d"]).await;
    let mut events = mesh.nodes[0].subscribe();
    let before = unanswered(&mesh.nodes[..3]).await;
    let onset = Instant::now();
    (0..3).for_each(|i| mesh.paths.cut(mesh.addr(i), mesh.addr(3)));
    event(&mut events, "suspicion of d", |kind| suspected(kind, "d")).await;
    let evidence = event(&mut events, "verdict on d", |kind| failed(kind, "d")).await;
    let took = onset.elapsed();
    assert!(took >= P - Duration::from_millis(1_200), "{took:?} after the last sign of life is too early");
    assert!(evidence.silence >= P - Duration::from_millis(100), "{evidence:?}");
    until("all three hold it to have failed", || {
        mesh.nodes[..3].iter().all(|node| node.member("d").is_some_and(|m| m.state == State::Failed))
    })
    .await;
    for node in &mesh.nodes[..3] {
        assert!(node.members().iter().filter(|m| m.state == State::Failed).count() == 1);
    }
    assert!(unanswered(&mesh.nodes[..3]).await > before, "no round went through the others in vain");
    checked(4, &format!("direct and indirect probes in vain, suspected, declared after {:.1} s", took.as_secs_f64()));
    mesh.end().await;
}

/// A member that cannot be reached: a dial times out and is named, nothing of it stays in the pool, and membership has come to
/// its verdict by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_unreachable_target_handling() {
    let mesh = Mesh::of(&["a", "b", "c"]).await;
    let (a, b) = (&mesh.nodes[0], mesh.nodes[1].node().clone());
    let mut events = a.subscribe();
    [0, 2].iter().for_each(|i| mesh.paths.cut(mesh.addr(*i), mesh.addr(1)));
    let (link, ()) = tokio::join!(a.link(&b), async {
        event(&mut events, "suspicion of b", |kind| suspected(kind, "b")).await;
    });
    let error = link.expect_err("nobody can reach it");
    assert!(matches!(error, PoolError::Dial { .. }), "{error:?}");
    assert!(error.to_string().contains('b'), "{error}");
    assert_eq!(a.open_links(LinkClass::Data), 0, "who was not reached is not in the pool");
    event(&mut events, "verdict on b", |kind| failed(kind, "b")).await;
    assert!(matches!(a.link(&b).await, Err(PoolError::NotAMember { .. })));
    checked(3, "a dial times out and names whom; suspected, declared; nothing of it in the pool");
    mesh.end().await;
}
