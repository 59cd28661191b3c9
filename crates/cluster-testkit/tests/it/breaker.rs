//! The whole story of a breaker, through whole nodes: a member that is alive and has no place for anybody's connection, until it has one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster_manager::{
    Channel, Cluster, Delivery, Event, EventKind, Host, MemberTable, Message, Outcome, Profile, Router, State,
    Subscription, message_fn,
};
use cluster_pool::link::LinkStream;
use cluster_pool::{Authority, Link, StreamHandler, Ticket};
use cluster_testkit::{MemoryNet, SimNode, Simulation};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

const S: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(3_600);
const WORDS: Channel = Channel(1);
const HOLD: Channel = Channel(2);

/// What lies between two events beside the time that is measured: a refusal takes some milliseconds of timers, and no path.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Serves a stream for as long as its opener holds it.
#[derive(Debug)]
struct Holds;

#[async_trait]
impl StreamHandler for Holds {
    async fn handle(&self, _: &Link, mut stream: LinkStream) {
        // Dropped by its opener, it is reset.
        let _ = stream.recv.read_to_end(&mut Vec::new()).await;
    }
}

/// Who speaks, a member with one place for connections of users, and a third who holds it.
struct Scene {
    a: Cluster,
    b: Cluster,
    c: Cluster,
    held: Option<LinkStream>,
    events: Subscription<MemberTable, Event>,
    /// Of a message that waits for the member to have a place.
    ticket: Ticket,
}

fn start(net: &MemoryNet, authority: &Authority, name: &str, places: usize) -> Cluster {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let validity = cluster_pool::identity::authority::Validity::days(now, 1);
    let credentials = authority.issue(&name.parse().unwrap(), validity).unwrap();
    let host = Host::system(Arc::new(net.transport(&credentials))).unwrap();
    let take = message_fn(|_, _| async { Ok(()) });
    let router = Router::builder().on_message(WORDS, take).on_stream(HOLD, Arc::new(Holds)).build().unwrap();
    let builder = Cluster::builder(credentials, Profile::Lan).router(router).configure(|config| {
        config.pool.max_total = places;
        // Or the message is given up before the story is over.
        config.peers.queue_age_max = PATIENCE;
    });
    builder.start_on(host).unwrap()
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("never: {what}"))
}

impl Scene {
    async fn set() -> Self {
        let (net, authority) = (MemoryNet::new(), Cluster::local_authority("test").unwrap());
        let [a, b, c] = [("a", 10), ("b", 1), ("c", 10)].map(|(name, n)| start(&net, &authority, name, n));
        for node in [&b, &c] {
            node.join([a.local_addr()]).await.unwrap();
        }
        let know_all = async {
            while [&a, &b, &c].iter().any(|node| node.members().len() < 3) {
                tokio::time::sleep(AT_ONCE).await;
            }
        };
        within("all know all", know_all).await;
        let held = Some(c.open_stream(b.node(), HOLD, S).await.unwrap());
        let events = a.subscribe();
        let message = Message::new(WORDS, "at last").with_time_to_live(PATIENCE);
        let ticket = a.send(b.node(), message).await.unwrap();
        Self { a, b, c, held, events, ticket }
    }

    /// The next thing that happens to the breaker, and when; nobody may come to hold the member for dead meanwhile.
    async fn next(&mut self) -> (&'static str, Instant) {
        let next = async {
            loop {
                match self.events.recv().await.expect("the node runs") {
                    Delivery::Event { event, .. } if event.kind.as_str().starts_with("breaker_") => return event,
                    Delivery::Event { event, .. } => {
                        assert!(!matches!(event.kind, EventKind::Suspected(..) | EventKind::Failed(..)), "{event:?}");
                    }
                    _ => {}
                }
            }
        };
        let event = within("something happens to the breaker", next).await;
        assert_eq!(event.kind.node(), Some(self.b.node()));
        (event.kind.as_str(), Instant::now())
    }

    /// Waits for the next thing that happens to the breaker, which must be this one, so long after a moment; returns when it was.
    async fn expect(&mut self, what: &str, since: Instant, after: Duration) -> Instant {
        let (found, at) = self.next().await;
        assert_eq!(found, what);
        assert!((after..after + AT_ONCE).contains(&(at - since)), "{what} after {:?}, not {after:?}", at - since);
        at
    }

    /// How many breakers are open, and how often one opened, half opened, and closed: what a scrape says.
    async fn numbers(&self) -> [u64; 4] {
        let metrics = self.a.metrics().await;
        // What never happened has no line.
        let events = |kind| metrics.value("cluster_events_total", kind).unwrap_or_default() as u64;
        let open = metrics.value("cluster_peers_breaker_open", "").expect("a number that is always there") as u64;
        [open, events("breaker_open"), events("breaker_half_open"), events("breaker_closed")]
    }

    /// Dials that failed, times the breaker opened, links that came up: what its peer says.
    fn of_peer(&self) -> [u64; 3] {
        let metrics = self.a.peer(self.b.node()).unwrap().metrics();
        [metrics.connect_failures, metrics.breaker_opened, metrics.connects]
    }

    async fn end(self) {
        assert_eq!(self.a.member("b").unwrap().state, State::Alive, "no verdict");
        assert_eq!(within("delivered", self.ticket).await, Outcome::Delivered { life: self.b.life() });
        for node in [self.a, self.b, self.c] {
            assert!(node.shutdown(60 * S).await.is_clean());
        }
    }
}

/// Five failures open it; after 30 s one trial goes out and fails, after another 60 s the next, and the one 120 s later finds a place.
#[tokio::test(start_paused = true)]
async fn a_breaker_opens_tries_ever_more_rarely_and_closes_with_the_link_that_comes_up() {
    let mut scene = Scene::set().await;
    let (what, mut opened) = scene.next().await;
    assert_eq!(what, "breaker_open");
    assert_eq!(scene.numbers().await, [1, 1, 0, 0]);
    assert_eq!(scene.of_peer(), [5, 1, 0]);
    for (cool_down, tried) in [(30 * S, 1), (60 * S, 2)] {
        let trying = scene.expect("breaker_half_open", opened, cool_down).await;
        opened = scene.expect("breaker_open", trying, Duration::ZERO).await;
        assert_eq!(scene.numbers().await, [1, 1 + tried, tried, 0]);
        assert_eq!(scene.of_peer(), [5 + tried, 1 + tried, 0]);
    }
    scene.held = None;
    let trying = scene.expect("breaker_half_open", opened, 120 * S).await;
    scene.expect("breaker_closed", trying, Duration::ZERO).await;
    assert_eq!(scene.numbers().await, [0, 3, 3, 1]);
    assert_eq!(scene.of_peer(), [7, 3, 1]);
    scene.end().await;
}

/// The member comes by itself, long before the next trial: its link closes the breaker at once, and carries what waited.
#[tokio::test(start_paused = true)]
async fn a_link_from_the_member_closes_the_breaker_at_once() {
    let mut scene = Scene::set().await;
    assert_eq!(scene.next().await.0, "breaker_open");
    scene.held = None;
    tokio::time::sleep(5 * S).await;
    let called = Instant::now();
    let link = scene.b.link(scene.a.node()).await.unwrap();
    scene.expect("breaker_closed", called, Duration::ZERO).await;
    assert_eq!(scene.numbers().await, [0, 1, 0, 1]);
    assert_eq!(scene.of_peer()[..2], [5, 1], "no trial was needed");
    drop(link);
    scene.end().await;
}

/// On node 0: speaks to node 1, whose one place node 2 holds, and waits for its breaker to open and to close.
async fn speak_and_watch(node: SimNode) -> Result<(), String> {
    let began = Instant::now();
    let mut events = node.cluster().subscribe();
    let to = "n001".parse().map_err(|e| format!("a name: {e}"))?;
    // By then node 2 is there.
    node.sleep(5 * S).await;
    let message = Message::new(WORDS, "at last").with_time_to_live(PATIENCE);
    let _ticket = node.cluster().send(&to, message).await.map_err(|e| e.to_string())?;
    let mut story = Vec::new();
    while story.len() < 2 {
        match events.recv().await {
            Some(Delivery::Event { event, .. }) if event.kind.as_str().starts_with("breaker_") => {
                story.push((event.kind.as_str(), began.elapsed()));
            }
            Some(_) => {}
            None => return Err(format!("the node ended after {story:?}")),
        }
    }
    match story[..] {
        [("breaker_open", opened), ("breaker_closed", closed)] if opened < 15 * S && closed < 30 * S => Ok(()),
        _ => Err(format!("{story:?}")),
    }
}

/// On node 2: holds the place of node 1 until that ends.
async fn hold(node: SimNode) -> Result<(), String> {
    let to = "n001".parse().map_err(|e| format!("a name: {e}"))?;
    // It may not know it yet.
    let lease = loop {
        match node.cluster().link(&to).await {
            Ok(lease) => break lease,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let mut stream = lease.open_bi().await.map_err(|e| e.to_string())?;
    tokio::io::AsyncWriteExt::write_all(&mut stream.send, b"mine").await.map_err(|e| e.to_string())?;
    // It says nothing: this is its end.
    let _ = stream.recv.read_to_end(&mut Vec::new()).await;
    Ok(())
}

/// The member is started anew, as another life, before anybody has missed it: its breaker closes with the news, long before the next trial.
#[test]
fn a_new_life_closes_the_breaker_at_once() {
    let simulation = Simulation::new(3)
        .configure(|config| config.pool.max_total = 1)
        .system(|node| async move {
            node.start(node.builder().streams(Arc::new(Holds))).await.map_err(|e| e.to_string())?;
            match node.index() {
                0 => speak_and_watch(node).await,
                2 => hold(node).await,
                _ => Ok(()),
            }
        })
        .restart(20 * S..21 * S, 1)
        .then_quiet(20 * S);
    simulation.run();
}
