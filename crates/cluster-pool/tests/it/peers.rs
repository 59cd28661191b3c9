//! Peers over loopback: what is said arrives in order, or its sender knows that it may not have.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_pool::peer::{NotSent, RejectReason, Unknown};
use cluster_pool::{
    Channel, CloseCode, Fate, Message, Outcome, Overflow, Peer, PeerConfig, PeerError, PeerEvent, PeerState, Priority,
    Received, Router, Turned, message_fn, request_fn,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::node::{PATIENCE, authority, credentials, until};

use crate::speakers::{ECHO, Speaker, WORDS, echo_router, in_time, outcome, pair, received, words};

#[tokio::test]
async fn what_is_sent_is_received_in_order_and_its_sender_knows() {
    let (mut a, mut b) = pair(Router::new());
    let (to_b, from_a) = (a.peer(&b), b.peer(&a));
    let mut tickets = Vec::new();
    for n in 0..100 {
        tickets.push(to_b.send(words(&n.to_string())).await.unwrap());
    }
    for n in 0..100 {
        let message = received(&from_a).await;
        assert_eq!((message.channel, &message.body[..]), (WORDS, n.to_string().as_bytes()));
    }
    let life = to_b.life().unwrap();
    for ticket in tickets {
        assert_eq!(outcome(ticket).await, Outcome::Delivered { life });
    }
    // The link that came in is the one for the way back.
    let back = from_a.send(words("thanks")).await.unwrap();
    assert_eq!(received(&to_b).await.body, "thanks");
    assert!(matches!(outcome(back).await, Outcome::Delivered { .. }));
    assert_eq!((a.node.data_links(), b.node.data_links()), (1, 1));
    let metrics = to_b.metrics();
    assert_eq!((metrics.queued, metrics.delivered, metrics.connects), (100, 100, 1));
    assert_eq!((metrics.send_latency.count(), metrics.queue_len, metrics.in_flight), (100, 0, 0));
}

#[tokio::test]
async fn a_message_is_delivered_when_the_application_has_taken_it_and_not_before() {
    let (mut a, mut b) = pair(Router::new());
    let (to_b, from_a) = (a.peer(&b), b.peer(&a));
    let mut ticket = to_b.send(words("well?")).await.unwrap();
    until("it has arrived", || b.router.stats().messages == 1).await;
    let untaken = tokio::time::timeout(Duration::from_millis(50), &mut ticket).await;
    assert!(untaken.is_err(), "nobody has taken it: {untaken:?}");
    received(&from_a).await;
    assert!(matches!(outcome(ticket).await, Outcome::Delivered { .. }));
}

#[tokio::test]
async fn a_request_is_answered_or_says_what_is_known_of_it() {
    let failing = request_fn(|_, _| async { Err(Turned::failed("the disk is full")) });
    let away = request_fn(|_, _| async { Err(Turned::away("not the leader")) });
    let router = Router::builder()
        .on_request(ECHO, request_fn(|_, body| async move { Ok(body) }))
        .on_request(Channel(3), failing)
        .on_request(Channel(4), away)
        .on_request(Channel(5), request_fn(|_, _| async { panic!("planted") }))
        .on_request(Channel(6), request_fn(|_, _| std::future::pending()))
        .build()
        .unwrap();
    let (mut a, b) = pair(router);
    let peer = a.peer(&b);
    let reply = peer.request(ECHO, "hello", PATIENCE).await.unwrap();
    assert_eq!((reply.body, Some(reply.life)), (Bytes::from("hello"), peer.life()));

    let mut told = Vec::new();
    for channel in [3, 4, 5, 6, 7] {
        let patience = if channel == 6 { Duration::from_millis(100) } else { PATIENCE };
        let error = peer.request(Channel(channel), "x", patience).await.unwrap_err();
        told.push(format!("{error} [{:?}]", error.fate()));
    }
    insta::assert_snapshot!(told.join("\n"));
    until("the one that nobody waited for is over", || b.router.stats().cancelled == 1).await;
    let stats = b.router.stats();
    assert_eq!((stats.requests, stats.refused, stats.panics), (5, 2, 1));
    // None of it harmed the link.
    assert_eq!(peer.request(ECHO, "still?", PATIENCE).await.unwrap().body, "still?");
    assert_eq!(peer.metrics().connects, 1);
}

/// Given up over here, it is given up over there: its handler is dropped.
#[tokio::test]
async fn cancelling_a_request_reaches_the_other_side() {
    struct Dropped(Arc<Notify>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (began, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (began, dropped) = (Arc::clone(&began), Arc::clone(&dropped));
        request_fn(move |_, _| {
            let (began, guard) = (Arc::clone(&began), Dropped(Arc::clone(&dropped)));
            async move {
                let _guard = guard;
                began.notify_one();
                std::future::pending().await
            }
        })
    };
    let (mut a, b) = pair(Router::builder().on_request(ECHO, handler).build().unwrap());
    let peer = a.peer(&b);
    let request = peer.request(ECHO, "never", PATIENCE);
    tokio::select! {
        reply = request => panic!("answered: {reply:?}"),
        () = began.notified() => {}
    }
    in_time("the handler is dropped", dropped.notified()).await;
    assert_eq!(b.router.stats().cancelled, 1);
}

#[tokio::test]
async fn a_handler_that_panics_or_refuses_is_told_and_the_lane_goes_on() {
    let (taken, mut seen) = mpsc::channel(10);
    let handler = message_fn(move |_, message: Received| {
        let taken = taken.clone();
        async move {
            match &message.body[..] {
                b"panic" => panic!("planted"),
                b"refuse" => Err(Turned::away("no")),
                _ => taken.send(message.body).await.map_err(|e| Turned::failed(e.to_string())),
            }
        }
    });
    let (mut a, b) = pair(Router::builder().on_message(WORDS, handler).build().unwrap());
    let peer = a.peer(&b);
    let mut outcomes = Vec::new();
    for text in ["one", "panic", "refuse", "two"] {
        outcomes.push(peer.send(words(text)).await.unwrap());
    }
    let nobody = peer.send(Message::new(Channel(9), "x")).await.unwrap();
    assert_eq!([seen.recv().await.unwrap(), seen.recv().await.unwrap()], ["one", "two"]);
    let mut ended = Vec::new();
    for ticket in outcomes {
        ended.push(outcome(ticket).await);
    }
    assert!(matches!(ended[0], Outcome::Delivered { .. }) && matches!(ended[3], Outcome::Delivered { .. }));
    assert_eq!(ended[1], Outcome::MaybeDelivered(Unknown::HandlerFailed));
    assert_eq!(ended[2], Outcome::NotSent(NotSent::Refused(CloseCode::REFUSED)));
    assert_eq!(outcome(nobody).await, Outcome::NotSent(NotSent::Refused(CloseCode::UNSUPPORTED)));
}

/// An inbox that nobody empties holds up its lanes, and requests pass by.
#[tokio::test]
async fn a_receiver_that_stalls_holds_up_its_senders_and_nothing_else() {
    let (mut a, mut b) = pair(echo_router());
    let config = PeerConfig::default().with_queue(400, 4 << 20).with_overflow(Overflow::Refuse);
    let (to_b, from_a) = (a.peer_with(&b, config), b.peer(&a));
    let mut tickets = Vec::new();
    for n in 0..300 {
        tickets.push(to_b.send(words(&n.to_string())).await.unwrap());
    }
    until("the inbox is full", || b.router.stats().messages == 64).await;
    assert_eq!(to_b.request(ECHO, "you?", PATIENCE).await.unwrap().body, "you?");
    let urgent = to_b.send(words("urgent").with_priority(Priority::High)).await.unwrap();
    until("the urgent one passes", || b.router.stats().messages == 65).await;
    assert_eq!(received(&from_a).await.body, "urgent");
    assert!(matches!(outcome(urgent).await, Outcome::Delivered { .. }));
    for n in 0..300 {
        assert_eq!(received(&from_a).await.body, n.to_string());
    }
    for ticket in tickets {
        assert!(matches!(outcome(ticket).await, Outcome::Delivered { .. }));
    }
}

#[tokio::test]
async fn a_queue_for_a_peer_that_is_not_there_is_bounded_and_everything_is_reported() {
    let (mut a, b) = pair(Router::new());
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let name = b.node.name.clone();
    let peer = a.peer_at(name.clone(), nowhere, PeerConfig::default().with_queue(3, 4 << 20));
    let mut tickets = Vec::new();
    for n in 0..5 {
        tickets.push(peer.send(words(&n.to_string())).await.unwrap());
    }
    let late = tickets.split_off(2);
    for ticket in tickets {
        assert_eq!(outcome(ticket).await, Outcome::NotSent(NotSent::Dropped));
    }
    assert_eq!(peer.queue_size(), 3);
    let short = words("soon stale").with_priority(Priority::High).with_time_to_live(Duration::from_millis(20));
    assert_eq!(outcome(peer.send(short).await.unwrap()).await, Outcome::NotSent(NotSent::Expired));
    peer.close();
    for (n, ticket) in late.into_iter().enumerate() {
        let expected = if n == 0 { NotSent::Dropped } else { NotSent::Closed };
        assert_eq!(outcome(ticket).await, Outcome::NotSent(expected), "{n}");
    }
    let back = peer.send(words("too late")).await.unwrap_err();
    assert_eq!((back.reason, &back.message.body[..]), (RejectReason::Closed, &b"too late"[..]));
    assert!(matches!(peer.request(ECHO, "x", PATIENCE).await, Err(PeerError::Closed { .. })));
    in_time("the driver ends", a.drivers.join_next()).await.unwrap().unwrap();

    let refusing = PeerConfig::default().with_queue(1, 4 << 20).with_overflow(Overflow::Refuse);
    let peer = a.peer_at(name, nowhere, refusing);
    let _first = peer.send(words("first")).await.unwrap();
    let back = peer.send(words("second")).await.unwrap_err();
    assert_eq!(
        back.to_string(),
        "the message to b was not taken: 1 messages of 69 bytes wait, and there is no room for it"
    );
    assert_eq!(back.message.body, "second");
    let metrics = peer.metrics();
    assert_eq!((metrics.queued, metrics.rejected), (1, 1));
}

#[tokio::test]
async fn senders_wait_for_room_where_that_is_the_rule() {
    let (mut a, mut b) = pair(Router::new());
    let config = PeerConfig::default().with_queue(1, 4 << 20).with_overflow(Overflow::Wait);
    let (to_b, from_a) = (a.peer_with(&b, config), b.peer(&a));
    let mut senders = JoinSet::new();
    senders.spawn(async move {
        for n in 0..200 {
            drop(to_b.send(words(&n.to_string())).await.unwrap());
        }
        to_b
    });
    for n in 0..200 {
        assert_eq!(received(&from_a).await.body, n.to_string());
    }
    let to_b = in_time("the sender ends", senders.join_next()).await.unwrap().unwrap();
    assert!(to_b.try_send(words("room again")).is_ok());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_at_once() {
    let (a, b) = pair(Router::new());
    let new = |addr: &str, config| {
        let made = Peer::new(&a.node.pool, &a.router, b.node.name.clone(), addr.parse().unwrap(), config);
        made.map(drop).unwrap_err().to_string()
    };
    let bad = |change: fn(&mut PeerConfig)| {
        let mut config = PeerConfig::default();
        change(&mut config);
        new("127.0.0.1:7000", config)
    };
    let told = [
        new("0.0.0.0:7000", PeerConfig::default()),
        new("127.0.0.1:0", PeerConfig::default()),
        new("[ff02::1]:7000", PeerConfig::default()),
        bad(|c| c.queue_len_max = 0),
        bad(|c| c.queue_bytes_max = 1_000),
        bad(|c| c.message_len_max = 0),
        bad(|c| c.requests_max = 0),
        bad(|c| c.queue_age_max = Duration::ZERO),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn five_failures_open_the_breaker_and_a_link_from_the_peer_closes_it() {
    let (mut a, mut b) = pair(echo_router());
    let mut config = PeerConfig::default();
    config.backoff = cluster_failure::BackoffConfig::new(
        Duration::from_millis(1),
        Duration::from_millis(5),
        cluster_failure::Jitter::Equal,
    )
    .unwrap();
    // Somebody else answers there, so that each attempt fails at once.
    let c = Speaker::new(&credentials(&authority("test"), "c"), Router::new());
    let peer = a.peer_at(b.node.name.clone(), c.node.addr, config);
    let mut events = peer.events();
    let error = peer.request(ECHO, "x", PATIENCE).await.unwrap_err();
    let PeerError::BreakerOpen { failures, retry_in, .. } = &error else { panic!("{error}") };
    assert!(*failures == 5 && *retry_in > Duration::from_secs(29), "{error}");
    assert_eq!(error.fate(), Fate::NotSent);
    assert_eq!(peer.state(), PeerState::BreakerOpen);
    let report = peer.explain().to_string();
    assert!(report.contains("the breaker is open: next attempt in 30.0 s") || report.contains("in 29."), "{report}");
    assert!(report.contains("failed 5 times in a row, last because: "), "{report}");
    // Messages wait meanwhile.
    let waiting = peer.send(words("later")).await.unwrap();
    let from_a = b.peer(&a);
    assert_eq!(from_a.state(), PeerState::Idle);
    drop(from_a.send(words("I am here")).await.unwrap());
    assert_eq!(received(&peer).await.body, "I am here");
    assert_eq!(received(&from_a).await.body, "later");
    assert!(matches!(outcome(waiting).await, Outcome::Delivered { .. }));
    let mut breaker = Vec::new();
    while breaker.len() < 2 {
        if let Some(PeerEvent::Breaker { from, to }) = in_time("an event", events.next()).await {
            breaker.push((from, to));
        }
    }
    use cluster_failure::BreakerState::{Closed, Open};
    assert_eq!(breaker, [(Closed, Open), (Open, Closed)]);
    assert_eq!((peer.metrics().breaker_opened, peer.metrics().connect_failures), (1, 5));
}

/// The process on the other side is killed and another one starts with its name, port and secret.
#[tokio::test]
async fn a_restart_of_the_other_side_is_told_and_what_waited_goes_to_the_new_life() {
    let authority = authority("prod");
    let of_b = credentials(&authority, "b");
    let mut a = Speaker::new(&credentials(&authority, "a"), Router::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = of_b.clone();
    let b = runtime.spawn(async move { Speaker::new(&first, echo_router()) }).await.unwrap();
    let addr = b.node.addr;
    let peer = a.peer(&b);
    let mut events = peer.events();
    let before = peer.request(ECHO, "x", PATIENCE).await.unwrap().life;
    runtime.shutdown_background();
    drop(b);
    until("the port is free again", || std::net::UdpSocket::bind(addr).is_ok()).await;
    let mut b = Speaker::at(&of_b, 2, addr, echo_router());
    let from_a = b.peer_at("a".parse().unwrap(), a.node.addr, PeerConfig::default());
    let ticket = peer.send(words("are you there?")).await.unwrap();
    let ended = outcome(ticket).await;
    // Written to the old life or, more likely, noticed before: the next one arrives in any case.
    let ticket = peer.send(words("and now?")).await.unwrap();
    while received(&from_a).await.body != "and now?" {}
    let Outcome::Delivered { life: after } = outcome(ticket).await else { panic!("after {ended}") };
    assert!(after > before);
    let restarted = async {
        loop {
            if let Some(PeerEvent::Restarted { from, to }) = events.next().await {
                return (from, to);
            }
        }
    };
    assert_eq!(in_time("the restart is told", restarted).await, (before, after));
}

#[tokio::test]
async fn reconnecting_gives_a_fresh_link_and_loses_nothing_that_waits() {
    let (mut a, mut b) = pair(Router::new());
    let (to_b, from_a) = (a.peer(&b), b.peer(&a));
    drop(to_b.send(words("one")).await.unwrap());
    received(&from_a).await;
    let first = a.node.pool.lease(&b.node.name).unwrap().id();
    to_b.reconnect();
    let ticket = to_b.send(words("two")).await.unwrap();
    assert_eq!(received(&from_a).await.body, "two");
    assert!(matches!(outcome(ticket).await, Outcome::Delivered { .. }));
    assert_ne!(a.node.pool.lease(&b.node.name).unwrap().id(), first);
    assert_eq!(to_b.metrics().reconnects, 1);
}

/// A drain is told on the lanes: their senders stop, what is under way is taken, and the close needs no patience.
#[tokio::test]
async fn a_drain_ends_lanes_in_order() {
    let (mut a, mut b) = pair(Router::new());
    let (to_b, from_a) = (a.peer(&b), b.peer(&a));
    let first = to_b.send(words("one")).await.unwrap();
    until("it has arrived", || b.router.stats().messages == 1).await;
    b.node.pool.drain();
    // Whoever is about to go still takes what is under way.
    assert_eq!(received(&from_a).await.body, "one");
    assert!(matches!(outcome(first).await, Outcome::Delivered { .. }));
    assert!(b.node.pool.close(PATIENCE).await, "nothing was in the way");
    let waiting = to_b.send(words("two")).await.unwrap();
    to_b.close();
    assert_eq!(outcome(waiting).await, Outcome::NotSent(NotSent::Closed));
}

#[tokio::test]
async fn dropping_the_last_handle_or_the_driver_closes_the_peer() {
    let (mut a, b) = pair(Router::new());
    let peer = a.peer(&b);
    let other = peer.clone();
    let ticket = peer.send(words("x").with_priority(Priority::Low)).await.unwrap();
    drop(peer);
    assert_ne!(other.state(), PeerState::Closed);
    drop(other);
    in_time("the driver ends", a.drivers.join_next()).await.unwrap().unwrap();
    let ended = outcome(ticket).await;
    assert!(!matches!(ended, Outcome::Delivered { .. }), "nobody takes it: {ended}");

    let peer = a.peer(&b);
    let ticket = peer.send(words("x")).await.unwrap();
    a.drivers.abort_all();
    in_time("the driver ends", a.drivers.join_next()).await.unwrap().unwrap_err();
    outcome(ticket).await;
    assert_eq!(peer.state(), PeerState::Closed);
    assert_eq!(in_time("the end", peer.receive()).await, None);
}
