//! Two pools with each other.

use std::sync::Arc;

use async_trait::async_trait;
use cluster_pool::link::LinkStream;
use cluster_pool::{CloseCode, Lease, Link, LinkClass, PoolConfig, PoolEvent, Serving, StreamHandler};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;

use crate::node::{Node, PATIENCE, authority, credentials, echo, until};
use crate::seam::Seam;

fn pair() -> (Node, Node) {
    let authority = authority("prod");
    (Node::fresh(&credentials(&authority, "a")), Node::fresh(&credentials(&authority, "b")))
}

/// As [`pair`], with the transport of the first, which counts.
fn counted_pair() -> (Arc<Seam>, Node, Node) {
    let authority = authority("prod");
    let of_a = credentials(&authority, "a");
    let seam = Seam::bind(&of_a, None);
    let a = Node::watched(&seam, &of_a);
    (seam, a, Node::fresh(&credentials(&authority, "b")))
}

#[tokio::test]
async fn test_connection_reuse_verified() {
    let (a, b) = pair();
    for n in 0..10u8 {
        let link = a.data(&b).await;
        assert_eq!(echo(&link, &[n]).await, [n]);
    }
    assert_eq!((a.data_links(), b.data_links()), (1, 1));
}

#[tokio::test]
async fn ten_callers_at_once_share_one_dial() {
    let (seam, a, b) = counted_pair();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (pool, name, addr) = (a.pool.clone(), b.name.clone(), b.addr);
        callers.spawn(async move { pool.get_or_create(&name, addr).await.unwrap().id() });
    }
    let ids = callers.join_all().await;
    assert!(ids.windows(2).all(|w| w[0] == w[1]), "{ids:?}");
    assert_eq!((seam.dials(), a.pool.stats().total.dials), (1, 1));
}

/// Both wait for the same dial when one of them goes: the one who began it, or the other one.
#[tokio::test]
async fn a_cancelled_caller_cancels_nothing_for_the_others() {
    for first_goes in [true, false] {
        let (seam, a, b) = counted_pair();
        let call = || Box::pin(a.pool.get_or_create(&b.name, b.addr));
        let (mut first, mut second) = (call(), call());
        assert!(futures_poll_once(&mut first).await.is_none(), "the dial has only begun");
        assert!(futures_poll_once(&mut second).await.is_none(), "it waits for the same");
        let (goes, stays) = if first_goes { (first, second) } else { (second, first) };
        drop(goes);
        let link = tokio::time::timeout(PATIENCE, stays).await.unwrap().unwrap();
        assert_eq!(echo(&link, b"still here").await, b"still here");
        assert_eq!((seam.dials(), a.pool.stats().total.dials), (1, 1), "and nobody dialled again");
    }
}

async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_link_that_came_in_is_used_for_going_out() {
    let (a, b) = pair();
    drop(a.data(&b).await);
    until("b has adopted it", || b.data_links() == 1).await;
    let link = b.data(&a).await;
    assert!(!link.is_outbound());
    assert_eq!(echo(&link, b"back").await, b"back");
}

#[tokio::test]
async fn control_and_data_are_two_connections() {
    let (mut a, b) = pair();
    a.dial(&b);
    let control = a.link_up().await;
    let data = a.data(&b).await;
    assert_ne!(control.id(), data.id());
    assert_eq!(control.class(), LinkClass::Control);
}

#[tokio::test]
async fn datagrams_and_requests_cross_a_control_link() {
    let (mut a, mut b) = pair();
    a.dial(&b);
    let link = a.link_up().await;
    link.send_datagram(b"ping".to_vec()).unwrap();
    let bytes =
        b.event("datagram", |e| if let PoolEvent::Datagram { bytes, .. } = e { Some(bytes) } else { None }).await;
    assert_eq!(&bytes[..], b"ping");

    let server = async {
        let request = b.event("request", |e| if let PoolEvent::Request(r) = e { Some(r) } else { None }).await;
        assert_eq!((request.frame.kind, &request.frame.body[..]), (77, &b"question"[..]));
        request.answer(78, b"answer".to_vec());
    };
    let (answer, ()) = tokio::join!(link.request(77, b"question", 100, PATIENCE), server);
    let answer = answer.unwrap();
    assert_eq!((answer.kind, &answer.body[..]), (78, &b"answer"[..]));
}

/// Answers by which name its side knows the link that a stream came on.
#[derive(Debug)]
struct Which;

#[async_trait]
impl StreamHandler for Which {
    async fn handle(&self, link: &Link, mut stream: LinkStream) {
        stream.send.write_all(format!("{:?}", link.id()).as_bytes()).await.unwrap();
        stream.send.finish();
    }
}

/// Two nodes whose dials cross: none says a word before both are connected.
fn crossing_pair() -> (Node, Node) {
    let (authority, crossing) = (authority("prod"), Arc::new(Barrier::new(2)));
    let [a, b] = ["a", "b"].map(|name| {
        let credentials = credentials(&authority, name);
        let seam = Seam::bind(&credentials, Some(Arc::clone(&crossing)));
        let serving = Serving { streams: Arc::new(Which), ..Serving::default() };
        Node::over(seam, &credentials, 1, PoolConfig::default(), serving)
    });
    (a, b)
}

/// The link that both sides have in the end, as each of them knows it; every other one is over.
async fn agreed(class: LinkClass, a: &Node, b: &Node) -> [Link; 2] {
    let ends = || [(a, b), (b, a)].map(|(near, far)| near.pool.current(class, &far.name));
    let agreed = || {
        let alone = [a, b].iter().all(|node| node.pool.open_links(class) == 1);
        alone && matches!(ends(), [Some(x), Some(y)] if x.is_outbound() != y.is_outbound())
    };
    until("one link is left, of which each side has an end", agreed).await;
    ends().map(|end| end.expect("the one that is left"))
}

/// Both dial at the same moment, many times over, and both connections come up: whatever comes first where, both keep the dial of the
/// smaller name. Which one that is, is asked at both sides, of what arrives on it.
#[tokio::test]
async fn simultaneous_dials_end_with_one_link_the_same_on_both_sides() {
    for _ in 0..5 {
        let (mut a, mut b) = crossing_pair();
        a.dial(&b);
        b.dial(&a);
        let (from_a, from_b) = tokio::join!(a.dialled(), b.dialled());
        from_a.unwrap();
        from_b.unwrap();
        let [of_a, of_b] = agreed(LinkClass::Control, &a, &b).await;
        assert!(of_a.is_outbound() && !of_b.is_outbound(), "{of_a:?}, {of_b:?}");
        for (near, far, there) in [(&of_a, &mut b, &of_b), (&of_b, &mut a, &of_a)] {
            near.send_datagram("over the winner").unwrap();
            let came_on = |e| if let PoolEvent::Datagram { link, .. } = e { Some(link.id()) } else { None };
            assert_eq!(far.event("datagram", came_on).await, there.id());
        }
    }
}

/// As above, of the links of users: the callers on both sides have a link that works, and the next ones have the winner.
#[tokio::test]
async fn simultaneous_callers_end_with_one_link_the_same_on_both_sides() {
    for _ in 0..5 {
        let (a, b) = crossing_pair();
        let (at_a, at_b) = tokio::join!(a.pool.get_or_create(&b.name, b.addr), b.pool.get_or_create(&a.name, a.addr));
        let _leases: [Lease; 2] = [at_a.unwrap(), at_b.unwrap()];
        let [of_a, of_b] = agreed(LinkClass::Data, &a, &b).await;
        assert!(of_a.is_outbound() && !of_b.is_outbound(), "{of_a:?}, {of_b:?}");
        for (near, there) in [(&of_a, &of_b), (&of_b, &of_a)] {
            assert_eq!(echo(near, b"which?").await, format!("{:?}", there.id()).into_bytes());
        }
        assert_eq!((a.data(&b).await.id(), b.data(&a).await.id()), (of_a.id(), of_b.id()));
        let dials = [&a, &b].map(|node| node.pool.stats().total.dials);
        assert_eq!(dials, [1, 1], "and nobody dialled again");
    }
}

/// Whoever hears first that a link is over, however it hears, finds it nowhere in the pool: not soon after, but then.
#[tokio::test]
async fn a_dead_link_is_out_of_the_pool_before_its_error_arrives() {
    let (a, b) = pair();
    let lease = a.data(&b).await;
    let link = lease.link().clone();
    let mut stream = link.open_bi().await.unwrap();
    stream.send.write_all(b"half of it").await.unwrap();
    until("the other side has it, too", || b.data_links() == 1).await;
    let mut waiting: tokio::task::JoinSet<(&str, String)> = tokio::task::JoinSet::new();
    let (pool, name, over) = (a.pool.clone(), b.name.clone(), link.id());
    drop(lease);
    // Looked at in the same turn in which the error arrives.
    let told = move |who: &'static str, error: String| {
        assert!(pool.current(LinkClass::Data, &name).is_none_or(|link| link.id() != over), "{who}: current");
        assert!(pool.lease(&name).is_none_or(|lease| lease.id() != over), "{who}: leased");
        assert!(pool.links(LinkClass::Data).iter().all(|link| link.id() != over), "{who}: among the links");
        let stats = pool.stats();
        assert_eq!((stats.total.connected, stats.places), (pool.len(LinkClass::Data), 0), "{who}: counted");
        (who, error)
    };
    let (closed, opener, reader) = (link.clone(), link.clone(), told.clone());
    let (waits, opens) = (told.clone(), told);
    waiting.spawn(async move { waits("whoever waits for its end", closed.closed().await.to_string()) });
    waiting.spawn(async move {
        let error = stream.recv.read_to_end(&mut Vec::new()).await.unwrap_err();
        reader("whoever reads", error.to_string())
    });
    waiting.spawn(async move {
        loop {
            match opener.open_bi().await {
                Ok(stream) => drop(stream),
                Err(error) => return opens("whoever opens", error.to_string()),
            }
            tokio::task::yield_now().await;
        }
    });
    b.pool.current(LinkClass::Data, &a.name).expect("it is there").close(CloseCode::DONE);
    let told = tokio::time::timeout(PATIENCE, waiting.join_all()).await.unwrap();
    assert_eq!(told.len(), 3);
    let by_peer = format!("closed by the peer: {}", CloseCode::DONE);
    assert!(told.iter().filter(|(who, _)| *who != "whoever reads").all(|(_, error)| *error == by_peer), "{told:?}");
    assert_ne!(a.data(&b).await.id(), link.id(), "and nobody is given it any more");
}

#[tokio::test]
async fn an_orderly_end_is_told_from_a_death() {
    let (mut a, b) = pair();
    a.dial(&b);
    a.link_up().await;
    b.pool.close(PATIENCE).await;
    let farewell = |e| {
        if let PoolEvent::LinkDown { farewell, .. } = e { Some(farewell) } else { None }
    };
    assert!(a.event("link down", farewell).await);
}

/// The old process is gone without a word, the new one has its port and its secret: the peer must not wait for the idle
/// time of 30 s, and the new life takes the place of the old.
#[tokio::test]
async fn a_restarted_peer_is_noticed_at_its_first_packet() {
    let authority = authority("prod");
    let of_b = credentials(&authority, "b");
    let mut a = Node::fresh(&credentials(&authority, "a"));
    // Its own runtime, so that it can die without saying goodbye.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let of_b_first = of_b.clone();
    let b = runtime.spawn(async move { Node::fresh(&of_b_first) }).await.unwrap();
    a.dial(&b);
    let old = a.link_up().await;
    let addr = b.addr;
    runtime.shutdown_background();
    drop(b);

    let rebound = || std::net::UdpSocket::bind(addr).is_ok();
    until("the port is free again", rebound).await;
    let b = Node::start(&of_b, 2, addr);
    old.send_datagram(b"are you there?".to_vec()).unwrap();
    let reason = |e| {
        if let PoolEvent::LinkDown { reason, .. } = e { Some(reason) } else { None }
    };
    assert_eq!(a.event("link down", reason).await, "reset: the peer no longer knows this connection");
    a.dial(&b);
    assert!(a.link_up().await.life() > old.life());
}

#[tokio::test]
async fn closing_a_pool_leaves_no_task_and_a_second_call_is_harmless() {
    let (mut a, b) = pair();
    a.dial(&b);
    a.link_up().await;
    let link = a.data(&b).await;
    assert!(a.pool.close(PATIENCE).await, "nothing was in the way");
    assert!(link.open_bi().await.is_err());
    assert!(a.pool.close(PATIENCE).await);
    let refused = a.pool.get_or_create(&b.name, b.addr).await.unwrap_err();
    assert_eq!(refused.to_string(), "the pool is closing");
    let b_sees_no_links = || b.pool.is_empty(LinkClass::Data) && b.pool.is_empty(LinkClass::Control);
    until("the other side noticed", b_sees_no_links).await;
}
