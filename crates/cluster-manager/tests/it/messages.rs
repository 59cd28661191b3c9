//! Messages, requests and streams to members by name; what membership knows of a member, its peer knows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster_manager::pool::link::LinkStream;
use cluster_manager::pool::peer::NotSent;
use cluster_manager::pool::{Link, RuntimeSpawner, StreamHandler};
use cluster_manager::{
    Authority, Channel, Cluster, Delivery, EventKind, Fate, Message, MessageError, NodeId, Outcome, Received, Router,
    Turned, message_fn, request_fn,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::handle::{PATIENCE, about, until};

const WORDS: Channel = Channel(1);
const ECHO: Channel = Channel(2);
const UPPER: Channel = Channel(3);

#[derive(Debug)]
struct Upper;

#[async_trait]
impl StreamHandler for Upper {
    async fn handle(&self, _link: &Link, mut stream: LinkStream) {
        let mut text = String::new();
        if stream.recv.read_to_string(&mut text).await.is_ok() {
            let _ = stream.send.write_all(text.to_uppercase().as_bytes()).await;
            stream.send.finish();
        }
    }
}

/// Echoes, shouts, and passes on what it is told.
fn router() -> (Router, mpsc::Receiver<(NodeId, Received)>) {
    let (told, heard) = mpsc::channel(100);
    let take = message_fn(move |from: Link, message| {
        let told = told.clone();
        async move { told.send((from.node().clone(), message)).await.map_err(|e| Turned::failed(e.to_string())) }
    });
    let router = Router::builder()
        .on_message(WORDS, take)
        .on_request(ECHO, request_fn(|_, body| async move { Ok(body) }))
        .on_stream(UPPER, Arc::new(Upper))
        .build();
    (router.expect("one handler each"), heard)
}

async fn start(name: &str, authority: &Authority, router: Router) -> Cluster {
    Cluster::local(name, authority).router(router).start().await.expect("it starts")
}

async fn join(node: &Cluster, through: &Cluster) {
    let mut events = through.subscribe();
    node.join([through.local_addr()]).await.expect("joined");
    let joined = about("joined", node.node().as_str());
    until(&mut events, "the newcomer", joined).await;
}

#[tokio::test]
async fn members_talk_by_name() {
    let authority = Cluster::local_authority("test").expect("an authority");
    let (serving, mut heard) = router();
    let a = start("a", &authority, Router::new()).await;
    let b = start("b", &authority, serving).await;
    join(&b, &a).await;
    let to_b = b.node();

    let ticket = a.send(to_b, Message::new(WORDS, "hello")).await.expect("taken");
    let (from, message) = heard.recv().await.expect("it arrives");
    assert_eq!((from.as_str(), &message.body[..], message.life), ("a", &b"hello"[..], a.life()));
    assert_eq!(ticket.await, Outcome::Delivered { life: b.life() });
    let reply = a.request(to_b, ECHO, "well?", PATIENCE).await.expect("answered");
    assert_eq!((reply.body, reply.life), ("well?".into(), b.life()));
    let mut stream = a.open_stream(to_b, UPPER, PATIENCE).await.expect("opened");
    stream.send.write_all(b"shout").await.expect("open");
    stream.send.finish();
    let mut answer = String::new();
    stream.recv.read_to_string(&mut answer).await.expect("answered");
    assert_eq!(answer, "SHOUT");
    // Held, it would be waited for at the end.
    drop(stream);
    // What no handler takes is in the inbox, for whoever asks for it: b's way back.
    let back = b.peer(a.node()).expect("a member");
    let from_b = a.peer(to_b).expect("a member");
    let ticket = back.send(Message::new(Channel(77), "psst")).await.expect("taken");
    assert_eq!(from_b.receive().await.expect("open").body, "psst");
    assert!(matches!(ticket.await, Outcome::Delivered { .. }));
    assert!(a.peers()[0].to_string().starts_with(&format!("b at {} is connected", b.local_addr())));

    for (node, fate) in [("nobody", Fate::NotSent), ("a", Fate::NotSent)] {
        let node: NodeId = node.parse().expect("a name");
        let error = a.request(&node, ECHO, "x", PATIENCE).await.expect_err("nobody to ask");
        assert_eq!(error.fate(), fate, "{error}");
    }
    for node in [&a, &b] {
        let report = node.shutdown(PATIENCE).await;
        assert!(report.phases.iter().all(|phase| phase.ok), "{report}");
    }
    assert!(matches!(a.peer(to_b), Err(MessageError::ShuttingDown)));
}

#[tokio::test]
async fn what_is_sent_to_all_ends_for_each() {
    let authority = Cluster::local_authority("test").expect("an authority");
    let a = start("a", &authority, Router::new()).await;
    let ((serving_b, mut heard_b), (serving_c, mut heard_c)) = (router(), router());
    let (b, c) = (start("b", &authority, serving_b).await, start("c", &authority, serving_c).await);
    join(&b, &a).await;
    join(&c, &a).await;
    let outcomes = a.send_to_all(Message::new(WORDS, "all of you")).await;
    let ended: Vec<_> =
        outcomes.iter().map(|(node, outcome)| (node.as_str(), outcome.as_ref().expect("taken"))).collect();
    assert_eq!(ended, [("b", &Outcome::Delivered { life: b.life() }), ("c", &Outcome::Delivered { life: c.life() })]);
    for heard in [&mut heard_b, &mut heard_c] {
        assert_eq!(heard.recv().await.expect("it arrives").1.body, "all of you");
    }
    for node in [a, b, c] {
        node.shutdown(PATIENCE).await;
    }
}

/// Two members, of which the second has no place for connections of users.
async fn with_one_who_has_no_room() -> (Cluster, Cluster) {
    let authority = Cluster::local_authority("test").expect("an authority");
    let a = start("a", &authority, Router::new()).await;
    let b =
        Cluster::local("b", &authority).configure(|config| config.pool.max_total = 0).start().await.expect("it starts");
    join(&b, &a).await;
    (a, b)
}

/// What waits for a member that leaves is reported, and whoever asks for it afterwards is told that it is none.
#[tokio::test]
async fn a_member_that_leaves_takes_its_peer_with_it() {
    let (a, b) = with_one_who_has_no_room().await;
    let (node, mut events) = (b.node().clone(), a.subscribe());
    // It has no place for anybody: the message waits.
    let ticket = a.send(&node, Message::new(WORDS, "too late")).await.expect("taken");
    let report = b.shutdown(PATIENCE).await;
    assert!(report.phases.iter().all(|phase| phase.ok), "{report}");
    until(&mut events, "b left", about("left", "b")).await;
    assert_eq!(tokio::time::timeout(PATIENCE, ticket).await.expect("told"), Outcome::NotSent(NotSent::Closed));
    let gone = a.request(&node, ECHO, "x", PATIENCE).await.expect_err("it has left");
    assert!(matches!(gone, MessageError::NotAMember { .. }), "{gone}");
    a.shutdown(PATIENCE).await;
}

/// A member that is alive and cannot be talked to: its breaker is an event of the cluster, and membership holds nothing against it.
#[tokio::test]
async fn the_breaker_of_a_member_is_an_event_and_no_verdict() {
    let (a, b) = with_one_who_has_no_room().await;
    let mut events = a.subscribe();
    let error = a.request(b.node(), ECHO, "x", PATIENCE).await.expect_err("it has no place for anybody");
    assert!(error.to_string().contains("the peer has all the connections it may have"), "{error}");
    assert_eq!(error.fate(), Fate::NotSent);
    until(&mut events, "the breaker", about("breaker_open", "b")).await;
    assert!(a.member("b").expect("known").state.is_live());
    // A new link from it is a reason to try again.
    a.peer(b.node()).expect("a member").note_alive();
    until(&mut events, "the breaker again", about("breaker_closed", "b")).await;
    a.shutdown(PATIENCE).await;
    b.shutdown(PATIENCE).await;
}

/// Its handler blocks the application's only thread for longer than silence may last: nobody suspects the node, because handlers
/// that were told to run there run there.
#[tokio::test]
async fn a_handler_that_blocks_its_thread_stops_no_acknowledgement() {
    let authority = Cluster::local_authority("test").expect("an authority");
    let application =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (release, blocked) = std::sync::mpsc::sync_channel::<()>(1);
    let blocked = Arc::new(std::sync::Mutex::new(blocked));
    let block = request_fn(move |_, body| {
        let blocked = Arc::clone(&blocked);
        async move {
            // Blocks the thread, and not only the task.
            let _ = blocked.lock().map(|blocked| blocked.recv());
            Ok(body)
        }
    });
    let there = application.block_on_handle(|| Arc::new(RuntimeSpawner::current()));
    let router = Router::builder().run_on(there).on_request(ECHO, block).build().expect("one handler");
    let a = start("a", &authority, Router::new()).await;
    let b = start("b", &authority, router).await;
    join(&b, &a).await;
    let mut events = a.subscribe();
    let asking = a.request(b.node(), ECHO, "x", PATIENCE);
    let watch = async {
        // P is 2 s here: twice that without a word of suspicion.
        let suspected = async {
            loop {
                if let Some(Delivery::Event { event, .. }) = events.recv().await
                    && matches!(event.kind, EventKind::Suspected(..) | EventKind::Failed(..))
                {
                    return event;
                }
            }
        };
        let suspected = tokio::time::timeout(Duration::from_secs(4), suspected).await;
        release.send(()).expect("it is blocked");
        suspected
    };
    let (reply, suspected) = tokio::join!(asking, watch);
    assert!(suspected.is_err(), "{suspected:?}");
    assert_eq!(reply.expect("answered at last").body, "x");
    a.shutdown(PATIENCE).await;
    b.shutdown(PATIENCE).await;
    application.shutdown_background();
}

trait OnHandle {
    fn block_on_handle<T>(&self, make: impl FnOnce() -> T) -> T;
}

impl OnHandle for tokio::runtime::Runtime {
    /// Within the runtime, without waiting for anything.
    fn block_on_handle<T>(&self, make: impl FnOnce() -> T) -> T {
        let _entered = self.enter();
        make()
    }
}
