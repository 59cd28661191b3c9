//! Callers, crossing dials, dying links and evictions in one pool.

use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use cluster_pool::link::LinkStream;
use cluster_pool::planted::Bug;
use cluster_pool::{CloseCode, DialError, Link, LinkClass, PoolError, Serving, StreamHandler};
use cluster_types::NodeId;
use shuttle::future::spawn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{LONG, Node, Stage, dawdle, fails_in_some_order, in_any_order, until};

/// Places of the pool that is looked at: fewer than there are peers that somebody wants.
const PLACES: usize = 2;

/// Asks for a link, uses it for a moment, and looks at what it was told.
async fn call(node: Arc<Node>, peer: NodeId, addr: std::net::SocketAddr) {
    match node.pool.get_or_create(&peer, addr).await {
        Ok(lease) => {
            dawdle(2).await;
            drop(lease);
        }
        Err(PoolError::PoolFull { current, max }) => assert!(current >= max, "{current} of {max} is not full"),
        Err(PoolError::Dial { source, .. }) => {
            assert!(!matches!(*source, DialError::Closing), "a caller is told of somebody else's cancellation");
        }
        Err(other) => panic!("{other}"),
    }
}

/// Asks for a link, and goes away once it waits.
async fn call_and_go(node: Arc<Node>, peer: Arc<Node>) {
    let mut asking = Box::pin(node.pool.get_or_create(&peer.name, peer.addr));
    std::future::poll_fn(|cx| {
        // Whatever comes of it is nobody's.
        let _ = asking.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
    dawdle(1).await;
}

/// Looks at the totals of a pool that everybody pulls at.
async fn watch(node: Arc<Node>) {
    for _ in 0..6 {
        let [places, connected, _] = node.totals();
        assert!(places <= PLACES && connected <= PLACES, "{places} places and {connected} links of {PLACES}");
        dawdle(1).await;
    }
}

/// Everybody who can pull at the totals of a pool does: callers for one peer and for several, one who goes away, one for somebody who is not
/// there, a dial from the other side, a link that dies, and evictions, because there are fewer places than peers.
async fn everything_at_once(stage: Stage, bug: Option<Bug>) {
    let config = || Stage::config(bug);
    let a = Arc::new(stage.node(0, config().with_max_total(PLACES), Serving::default()));
    let [b, c] = [1, 2].map(|number| Arc::new(stage.node(number, config(), Serving::default())));
    let (nobody, nowhere): (NodeId, _) = ("nobody".parse().unwrap(), "127.0.0.1:9999".parse().unwrap());
    let mut tasks = vec![
        spawn(call_and_go(Arc::clone(&a), Arc::clone(&b))),
        spawn(call(Arc::clone(&a), b.name.clone(), b.addr)),
        spawn(call(Arc::clone(&a), b.name.clone(), b.addr)),
        spawn(call(Arc::clone(&a), c.name.clone(), c.addr)),
        spawn(call(Arc::clone(&b), a.name.clone(), a.addr)),
        spawn(call(Arc::clone(&a), nobody.clone(), nowhere)),
        spawn(watch(Arc::clone(&a))),
    ];
    let (cutter, other) = (Arc::clone(&b), a.name.clone());
    tasks.push(spawn(async move {
        for _ in 0..2 {
            dawdle(3).await;
            cutter.cut(&other);
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }

    // Nobody wants anything any more: each place is that of a link, and each link that has not ended is in the pool.
    for node in [&a, &b, &c] {
        until(|| matches!(node.totals(), [places, up, open] if places == up && up == open)).await;
    }
    let stats = a.pool.stats();
    assert_eq!(stats.total.dials, a.transport.dials(), "dials that were made and dials that were counted");
    assert!(stats.total.failures <= stats.total.dials);
    let of_nobody = stats.peers.get(&nobody).cloned().unwrap_or_default();
    assert_eq!((of_nobody.connected, of_nobody.dials), (0, of_nobody.failures), "who is not there is not in the pool");
    for node in [&a, &b, &c] {
        node.end().await;
    }
}

#[test]
fn totals_of_links_and_dials_are_right_in_any_order() {
    in_any_order(400, |stage| everything_at_once(stage, None));
}

/// The same steps with a mistake in them: some order shows it.
#[test]
fn mistakes_with_links_show_in_some_order() {
    for bug in [Bug::CallerTakesDialWithHim, Bug::PermitLeak, Bug::EndHitsSuccessor, Bug::KeepLoser] {
        assert!(fails_in_some_order(600, move |stage| everything_at_once(stage, Some(bug))), "{bug:?} never shows");
    }
}

/// What whoever is told that a link is over finds in the pool, in the same step: nothing of it.
fn is_out(node: &Node, other: &Node, who: &str) {
    assert!(node.pool.current(LinkClass::Data, &other.name).is_none(), "{who}: the current link");
    assert!(node.pool.lease(&other.name).is_none(), "{who}: leased");
    assert!(node.pool.links(LinkClass::Data).is_empty() && node.pool.is_empty(LinkClass::Data), "{who}: among them");
    let stats = node.pool.stats();
    assert_eq!((stats.total.connected, stats.places), (0, 0), "{who}: counted");
}

/// Serves no stream, and ends none.
#[derive(Debug)]
struct Holds;

#[async_trait]
impl StreamHandler for Holds {
    async fn handle(&self, _: &Link, _held: LinkStream) {
        std::future::pending().await
    }
}

/// Everybody who can hear of a link's end waits for it, in every way there is; then one side closes it.
async fn a_link_dies(stage: Stage, by_the_peer: bool) {
    let serving = || Serving { streams: Arc::new(Holds), ..Serving::default() };
    let [a, b] = [0, 1].map(|number| Arc::new(stage.node(number, Stage::config(None), serving())));
    let lease = a.pool.get_or_create(&b.name, b.addr).await.unwrap();
    until(|| b.pool.current(LinkClass::Data, &a.name).is_some()).await;
    let link = lease.link().clone();
    let [mut read, mut written] = [link.open_bi().await.unwrap(), link.open_bi().await.unwrap()];
    let told = |who: &'static str| {
        let (a, b) = (Arc::clone(&a), Arc::clone(&b));
        move || is_out(&a, &b, who)
    };
    let mut tasks = Vec::new();
    let (waiting, check) = (link.clone(), told("whoever waits for its end"));
    tasks.push(spawn(async move {
        waiting.closed().await;
        check();
    }));
    let check = told("whoever reads");
    tasks.push(spawn(async move {
        read.recv.read_to_end(&mut Vec::new()).await.unwrap_err();
        check();
    }));
    let check = told("whoever writes");
    tasks.push(spawn(async move {
        while written.send.write_all(b"on and on").await.is_ok() {
            dawdle(1).await;
        }
        check();
    }));
    let (opening, check) = (link.clone(), told("whoever opens streams"));
    tasks.push(spawn(async move {
        while opening.open_uni().await.is_ok() {
            dawdle(1).await;
        }
        check();
    }));
    let (sending, check) = (link.clone(), told("whoever sends datagrams"));
    tasks.push(spawn(async move {
        while sending.send_datagram("x").is_ok() {
            dawdle(1).await;
        }
        check();
    }));
    let (asking, check) = (link.clone(), told("whoever asks"));
    tasks.push(spawn(async move {
        asking.request(7, b"x", 10, LONG).await.unwrap_err();
        check();
    }));
    dawdle(2).await;
    if by_the_peer {
        b.cut(&a.name);
    } else {
        link.close(CloseCode::DONE);
        is_out(&a, &b, "whoever closed it");
    }
    for task in tasks {
        task.await.unwrap();
    }
    drop(lease);
    a.end().await;
    b.end().await;
}

#[test]
fn a_dead_link_is_out_of_the_pool_before_anybody_hears_of_it_in_any_order() {
    in_any_order(200, |stage| a_link_dies(stage, true));
    in_any_order(100, |stage| a_link_dies(stage, false));
}
