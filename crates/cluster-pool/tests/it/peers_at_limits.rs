//! Peers at their edges: one that moves, one with nothing to say, what is a byte too long.

use std::time::Duration;

use bytes::Bytes;
use cluster_pool::peer::{MESSAGE_LEN_MAX, NotSent, RejectReason, Unknown};
use cluster_pool::{CloseCode, Message, Outcome, PeerConfig, PeerError, PeerEvent, PeerState, Router, request_fn};

use crate::node::{PATIENCE, authority, credentials, until};
use crate::speakers::{ECHO, Speaker, WORDS, echo_router, in_time, outcome, pair, received, words};

/// It moves: what waits goes where it is now, without waiting for the attempts that fail where it was.
#[tokio::test]
async fn who_has_moved_is_dialled_where_it_is_now() {
    let (mut a, mut b) = pair(echo_router());
    let from_a = b.peer(&a);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = silent.local_addr().unwrap();
    let peer = a.peer_at(b.node.name.clone(), nowhere, PeerConfig::default());
    assert!(!peer.is_connected() && peer.life().is_none());
    assert_eq!(peer.state().as_str(), "idle");
    let ticket = peer.send(words("hello")).await.unwrap();
    until("it is dialled", || peer.state() == PeerState::Connecting).await;
    let metrics = peer.metrics();
    assert_eq!((metrics.queue_len, metrics.queue_bytes > 5, metrics.queued), (1, true, 1));
    let error = peer.set_addr("0.0.0.0:1".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("says not which"), "{error}");
    assert_eq!(peer.addr(), nowhere, "it stays where it was");
    peer.set_addr(b.node.addr).unwrap();
    assert_eq!(peer.addr(), b.node.addr);
    assert_eq!(received(&from_a).await.body, "hello");
    assert!(matches!(outcome(ticket).await, Outcome::Delivered { .. }));
    in_time("everything has ended", peer.flushed()).await;
    assert!(peer.is_connected());
    let metrics = peer.metrics();
    assert_eq!((metrics.queue_len, metrics.queue_bytes, metrics.queued, metrics.ended()), (0, 0, 1, 1));
}

/// After an attempt that failed it waits for a minute; an address that is another one ends that, and one that is the same does not.
#[tokio::test]
async fn only_another_address_ends_the_wait_before_the_next_attempt() {
    let authority = authority("prod");
    let [mut a, b, mut c] = ["a", "b", "c"].map(|name| Speaker::new(&credentials(&authority, name), echo_router()));
    let from_a = c.peer(&a);
    let minute = Duration::from_secs(60);
    let mut config = PeerConfig::default();
    config.backoff = cluster_failure::BackoffConfig::new(minute, minute, cluster_failure::Jitter::Equal).unwrap();
    // Somebody else is there, which is known at once.
    let peer = a.peer_at(c.node.name.clone(), b.node.addr, config);
    let mut events = peer.events();
    let ticket = peer.send(words("hello")).await.unwrap();
    let told = loop {
        if let PeerEvent::ConnectFailed { reason, retry_in } = in_time("a failure", events.next()).await.unwrap() {
            assert!(retry_in >= minute / 2, "{retry_in:?}");
            break reason;
        }
    };
    assert!(told.contains('b') && told.contains('c'), "who is there, and who was meant: {told}");
    until("it waits", || peer.state() == PeerState::BackingOff).await;
    peer.set_addr(b.node.addr).unwrap();
    assert_eq!(peer.state(), PeerState::BackingOff, "it is where it was");
    peer.set_addr(c.node.addr).unwrap();
    assert_eq!(received(&from_a).await.body, "hello", "it is dialled at once");
    assert!(matches!(outcome(ticket).await, Outcome::Delivered { .. }));
    assert!(peer.is_connected());
}

/// Whoever waits for everything to end waits as long as something has not, and no longer.
#[tokio::test]
async fn flushed_is_when_everything_has_ended() {
    let (mut a, mut b) = pair(Router::new());
    let (to_b, from_a) = (a.peer(&b), b.peer(&a));
    in_time("nothing was said", to_b.flushed()).await;
    let ticket = to_b.send(words("x")).await.unwrap();
    until("it has arrived", || b.router.stats().messages == 1).await;
    let early = tokio::time::timeout(Duration::from_millis(50), to_b.flushed()).await;
    assert!(early.is_err(), "nobody has taken it");
    received(&from_a).await;
    in_time("all have ended", to_b.flushed()).await;
    assert!(matches!(outcome(ticket).await, Outcome::Delivered { .. }));
}

/// A reply and a request of the most bytes that anybody accepts.
#[tokio::test]
async fn the_longest_of_all_bodies_goes_there_and_back() {
    let (mut a, b) = pair(echo_router());
    let peer = a.peer(&b);
    let body = vec![7; MESSAGE_LEN_MAX];
    let reply = in_time("a reply", peer.request(ECHO, body.clone(), PATIENCE)).await.unwrap();
    assert!(reply.body == body);
}

/// The longest body goes, and one that is a byte longer does not; of requests, too.
#[tokio::test]
async fn what_is_a_byte_too_long_is_refused_and_what_is_not_goes() {
    let (mut a, mut b) = pair(echo_router());
    let from_a = b.peer(&a);
    let mut config = PeerConfig::default();
    config.message_len_max = 1_000;
    let peer = a.peer_with(&b, config);
    let ticket = peer.try_send(Message::new(WORDS, vec![1; 1_000])).unwrap();
    assert_eq!(received(&from_a).await.body.len(), 1_000);
    assert!(matches!(outcome(ticket).await, Outcome::Delivered { .. }));
    let rejected = peer.try_send(Message::new(WORDS, vec![1; 1_001])).unwrap_err();
    assert!(matches!(rejected.reason, RejectReason::TooLong { .. }), "{rejected:?}");
    assert_eq!(in_time("a reply", peer.request(ECHO, vec![2; 1_000], PATIENCE)).await.unwrap().body.len(), 1_000);
    let error = in_time("an error", peer.request(ECHO, vec![2; 1_001], PATIENCE)).await.unwrap_err();
    assert!(matches!(error, PeerError::TooLong { len: 1_001, max: 1_000, .. }), "{error}");
    let metrics = peer.metrics();
    assert_eq!((metrics.requests, metrics.replies, metrics.rejected), (2, 1, 1));
    assert_eq!(metrics.requests_too_long, 1);
}

/// One request at a time: whoever waits for its turn in vain is told so, and counted.
#[tokio::test]
async fn a_request_that_waits_in_vain_for_its_turn_is_counted() {
    let never = request_fn(|_, _: Bytes| std::future::pending());
    let (mut a, b) = pair(Router::builder().on_request(ECHO, never).build().unwrap());
    let mut config = PeerConfig::default();
    config.requests_max = 1;
    let peer = a.peer_with(&b, config);
    let first = peer.request(ECHO, "x", PATIENCE);
    let second = async {
        until("the first is under way", || b.router.stats().requests == 1).await;
        peer.request(ECHO, "y", Duration::from_millis(20)).await
    };
    tokio::select! {
        biased;
        _ = first => panic!("nobody answers"),
        error = second => assert!(matches!(error, Err(PeerError::Busy { max: 1, .. })), "{error:?}"),
    }
    let metrics = peer.metrics();
    assert_eq!((metrics.requests, metrics.requests_busy), (2, 1));
}

/// A handler whose reply is a byte too long has failed, for whoever asked; here it is counted what it was.
#[tokio::test]
async fn a_reply_that_is_too_long_is_not_sent_and_counted() {
    let lavish = request_fn(|_, body: Bytes| async move { Ok(vec![7; MESSAGE_LEN_MAX + body.len()].into()) });
    let (mut a, b) = pair(Router::builder().on_request(ECHO, lavish).build().unwrap());
    let peer = a.peer(&b);
    let reply = in_time("a reply", peer.request(ECHO, "", PATIENCE)).await.unwrap();
    assert_eq!((reply.body.len(), b.router.stats().replies_too_long), (MESSAGE_LEN_MAX, 0));
    let error = in_time("an error", peer.request(ECHO, "x", PATIENCE)).await.unwrap_err();
    assert!(error.to_string().contains("at most 1048576 are sent"), "{error}");
    assert_eq!((b.router.stats().replies_too_long, b.router.stats().failures), (1, 0));
}

#[test]
fn why_something_was_not_sent_is_told_in_words() {
    let words = [NotSent::Expired, NotSent::Dropped, NotSent::Closed, NotSent::Refused(CloseCode::UNSUPPORTED)];
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    assert_eq!(words[..3], ["its time to live was over", "it made room for a newer one", "the peer was closed"]);
    assert!(words[3].starts_with("the receiver refused it: ") && words[3].len() > 30, "{}", words[3]);
    let unknown = [Unknown::LinkLost, Unknown::HandlerFailed].map(|unknown| unknown.to_string());
    assert_ne!(unknown[0], unknown[1]);
}
