//! Two pools with each other.

use cluster_pool::{CloseCode, LinkClass, PoolEvent};

use crate::node::{Node, PATIENCE, authority, credentials, echo, until};

fn pair() -> (Node, Node) {
    let authority = authority("prod");
    (Node::fresh(&credentials(&authority, "a")), Node::fresh(&credentials(&authority, "b")))
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
    let (a, b) = pair();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (pool, name, addr) = (a.pool.clone(), b.name.clone(), b.addr);
        callers.spawn(async move { pool.get_or_create(&name, addr).await.unwrap().id() });
    }
    let ids = callers.join_all().await;
    assert!(ids.windows(2).all(|w| w[0] == w[1]), "{ids:?}");
}

#[tokio::test]
async fn a_cancelled_caller_cancels_nothing_for_the_others() {
    let (a, b) = pair();
    let (pool, name, addr) = (a.pool.clone(), b.name.clone(), b.addr);
    let mut first = Box::pin(pool.get_or_create(&name, addr));
    let second = a.pool.get_or_create(&b.name, b.addr);
    assert!(futures_poll_once(&mut first).await.is_none(), "the dial has only begun");
    drop(first);
    let link = tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap();
    assert_eq!(echo(&link, b"still here").await, b"still here");
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

/// Both dial at the same moment, many times over: both must end with the same one of the two.
#[tokio::test]
async fn simultaneous_dials_end_with_one_link_the_same_on_both_sides() {
    for _ in 0..10 {
        let (mut a, mut b) = pair();
        a.dial(&b);
        b.dial(&a);
        let (from_a, from_b) = tokio::join!(a.dialled(), b.dialled());
        from_a.unwrap();
        from_b.unwrap();
        // Where two links stand, both sides keep the one that "a" dialled; where one was enough, either.
        let agreed = || {
            let ends = [(&a, &b), (&b, &a)].map(|(n, other)| n.pool.current(LinkClass::Control, &other.name));
            matches!(&ends, [Some(x), Some(y)] if x.is_outbound() != y.is_outbound())
        };
        until("both sides agree on one link", agreed).await;
        let link = a.pool.current(LinkClass::Control, &b.name).unwrap();
        link.send_datagram(b"over the winner".to_vec()).unwrap();
        b.event("datagram", |e| if let PoolEvent::Datagram { bytes, .. } = e { Some(bytes) } else { None }).await;
    }
}

#[tokio::test]
async fn a_dead_link_is_out_of_the_pool_before_its_error_arrives() {
    let (a, b) = pair();
    let link = a.data(&b).await;
    b.pool.close(PATIENCE).await;
    let error = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Err(error) = link.open_bi().await {
                break error;
            }
        }
    });
    assert_eq!(error.await.unwrap().to_string(), format!("closed by the peer: {}", CloseCode::SHUTDOWN));
    assert!(a.pool.current(LinkClass::Data, &b.name).is_none());
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
