//! What goes over a connection before both hellos and the welcome: the hellos and the welcome. Whoever is on the other side here takes one
//! step at a time, and is too early with what it sends.

use std::sync::Arc;

use async_trait::async_trait;
use cluster_pool::frame::{read_frame, write_frame};
use cluster_pool::transport::BiStream;
use cluster_pool::{
    Admission, Connection, DialTarget, Hello, LinkClass, PoolConfig, PoolEvent, QuicConfig, QuicTransport, Refusal,
    Serving, Transport,
};
use tokio::sync::Semaphore;

use crate::node::{Node, PATIENCE, authority, credentials};

const HELLO: u16 = 1;
const WELCOME: u16 = 2;

/// The golden hello of the member `db-1` of `prod`, for a control link.
const OF_DB_1: &str = "01010470726f640464622d3100888e98a8c0e08081014d000a0000018a3e0103000200120203070707";

fn golden() -> Vec<u8> {
    (0..OF_DB_1.len()).step_by(2).map(|at| u8::from_str_radix(&OF_DB_1[at..at + 2], 16).unwrap()).collect()
}

/// Lets nobody in before it is told to.
#[derive(Debug)]
struct Hesitating {
    asked: Semaphore,
    decided: Semaphore,
}

#[async_trait]
impl Admission for Hesitating {
    async fn admit(&self, _: &Hello, _: LinkClass) -> Result<(), Refusal> {
        self.asked.add_permits(1);
        self.decided.acquire().await.unwrap().forget();
        Ok(())
    }
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// The next frame, which must be of a kind.
async fn hear((_, recv): &mut BiStream, kind: u16) {
    let frame = in_time("a frame", read_frame(&mut **recv, 4_096)).await.unwrap();
    assert_eq!(frame.kind, kind);
}

async fn say((send, _): &mut BiStream, kind: u16, body: &[u8]) {
    write_frame(&mut **send, kind, body).await.unwrap();
}

fn too_early(connection: &dyn Connection) {
    connection.send_datagram("too early".into()).unwrap();
}

/// The link is the first that the owner hears of, whatever came before it; and what it says then is the first datagram that the other side
/// gets, on a path that keeps the order.
async fn nothing_was_said_before(node: &mut Node, connection: &dyn Connection) {
    let first = in_time("an event", node.events.recv()).await.unwrap();
    let PoolEvent::LinkUp(link) = first else { panic!("before the link: {first:?}") };
    link.send_datagram("in time").unwrap();
    let heard = in_time("a datagram", connection.read_datagram()).await.unwrap();
    assert_eq!(heard, "in time", "somebody was earlier");
}

#[tokio::test]
async fn whoever_is_dialled_says_and_hears_no_datagram_before_the_welcome() {
    let prod = authority("prod");
    let door = Arc::new(Hesitating { asked: Semaphore::new(0), decided: Semaphore::new(0) });
    let serving = Serving { admission: Arc::clone(&door) as _, ..Serving::default() };
    let any = "127.0.0.1:0".parse().unwrap();
    let of_member = credentials(&prod, "member");
    let mut member = Node::serving(&of_member, 1, any, PoolConfig::default(), serving, QuicConfig::default());
    let stranger = QuicTransport::bind(any, QuicConfig::default(), &credentials(&prod, "db-1")).unwrap();

    let connection = stranger.connect(member.addr, LinkClass::Control).await.unwrap();
    too_early(&*connection);
    let mut stream = in_time("a stream", connection.accept_bi()).await.unwrap();
    hear(&mut stream, HELLO).await;
    too_early(&*connection);
    say(&mut stream, HELLO, &golden()).await;
    in_time("somebody is to decide", door.asked.acquire()).await.unwrap().forget();
    too_early(&*connection);
    assert!(member.pool.is_empty(LinkClass::Control), "nobody was let in yet");
    door.decided.add_permits(1);
    hear(&mut stream, WELCOME).await;
    nothing_was_said_before(&mut member, &*connection).await;
}

#[tokio::test]
async fn whoever_dials_says_and_hears_no_datagram_before_the_welcome() {
    let prod = authority("prod");
    let any = "127.0.0.1:0".parse().unwrap();
    let far = QuicTransport::bind(any, QuicConfig::default(), &credentials(&prod, "db-1")).unwrap();
    let mut member = Node::fresh(&credentials(&prod, "member"));
    member.pool.dial_control(DialTarget { addr: far.local_addr(), node: Some("db-1".parse().unwrap()) });

    let incoming = in_time("a dial", far.accept()).await.unwrap();
    let connection = in_time("a handshake", incoming.handshake).await.unwrap();
    too_early(&*connection);
    let mut stream = connection.open_bi().await.unwrap();
    say(&mut stream, HELLO, &golden()).await;
    too_early(&*connection);
    hear(&mut stream, HELLO).await;
    too_early(&*connection);
    assert!(member.pool.is_empty(LinkClass::Control), "it was not welcomed yet");
    say(&mut stream, WELCOME, &[]).await;
    nothing_was_said_before(&mut member, &*connection).await;
}
