//! What every transport must do, as checks that run over any of them. A transport of your own passes when [`check`] returns.
//!
//! Each check gets two fresh transports of one cluster and is bounded; the first that fails says which it was.

mod streams;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_pool::{CertificateFault, CloseCode, Connection, ConnectionError, LinkClass, Revocations, Side, Transport};
use cluster_types::NodeId;

/// Two transports of one cluster that can reach each other, and what their certificates say.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The one that dials.
    pub near: Arc<dyn Transport>,
    /// The one that accepts.
    pub far: Arc<dyn Transport>,
    /// Who they are.
    pub names: (NodeId, NodeId),
    /// An address where nobody is.
    pub nobody: SocketAddr,
}

/// Longer than any check takes, over any transport.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long something must not happen for.
const QUIET: Duration = Duration::from_millis(100);

type Check = fn(Pair) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Every check, by name.
const CHECKS: [(&str, Check); 14] = [
    ("each side knows who the other is", |pair| Box::pin(identities(pair))),
    ("nobody answers where nobody is", |pair| Box::pin(nobody(pair))),
    ("whoever is refused at the door is told", |pair| Box::pin(refused(pair))),
    ("datagrams arrive whole", |pair| Box::pin(datagrams(pair))),
    ("a close tells its code to the other side and to every waiter", |pair| Box::pin(closing(pair))),
    ("a closed transport ends everything and accepts nobody", |pair| Box::pin(closed_transport(pair))),
    ("whoever is revoked is refused", |pair| Box::pin(revoked(pair))),
    ("a stream carries bytes both ways, and its end", |pair| Box::pin(streams::both_ways(pair))),
    ("a stream of one direction carries bytes and its end", |pair| Box::pin(streams::one_way(pair))),
    ("a stream that is dropped is no complete stream", |pair| Box::pin(streams::dropped(pair))),
    ("a reset tells its code, and a stop does", |pair| Box::pin(streams::codes(pair))),
    ("a writer waits for a reader that does not read", |pair| Box::pin(streams::backpressure(pair))),
    ("the limit of streams holds up whoever opens more, and can be raised", |pair| Box::pin(streams::limits(pair))),
    ("the end of a connection ends its streams", |pair| Box::pin(streams::ended(pair))),
];

/// Runs every check over pairs of transports.
///
/// # Panics
/// A check failed or took too long; its name comes first.
pub async fn check<F: Future<Output = Pair>>(mut fresh: impl FnMut() -> F) {
    for (name, check) in CHECKS {
        let pair = fresh().await;
        // Beside the check's own words, which are a panic's.
        let named = Named(name);
        let in_time = tokio::time::timeout(PATIENCE, check(pair.clone())).await;
        assert!(in_time.is_ok(), "{name}: not within {PATIENCE:?}");
        std::mem::forget(named);
        pair.near.close(CloseCode::DONE);
        pair.far.close(CloseCode::DONE);
        pair.near.release();
        pair.far.release();
    }
}

/// Names the check that panics.
struct Named(&'static str);

impl Drop for Named {
    fn drop(&mut self) {
        tracing::error!(check = self.0, "not conformant");
        #[expect(clippy::print_stderr, reason = "the panic beside it says what, and this says of which check")]
        {
            eprintln!("the check that failed: {}", self.0);
        }
    }
}

impl Pair {
    /// Both ends of a new connection.
    async fn connect(&self, class: LinkClass) -> (Arc<dyn Connection>, Arc<dyn Connection>) {
        let accept = async { self.far.accept().await.expect("it is open").handshake.await };
        let (near, far) = tokio::join!(self.near.connect(self.far.local_addr(), class), accept);
        (near.expect("connected"), far.expect("accepted"))
    }
}

/// Something that must not happen.
async fn quiet<T>(what: &str, future: impl Future<Output = T>) {
    assert!(tokio::time::timeout(QUIET, future).await.is_err(), "{what}");
}

async fn identities(pair: Pair) {
    let (near, far) = pair.connect(LinkClass::Control).await;
    assert_eq!(near.remote_identity().as_node(), Some(&pair.names.1));
    assert_eq!(far.remote_identity().as_node(), Some(&pair.names.0));
    assert_ne!(near.remote_fingerprint(), far.remote_fingerprint());
    assert_eq!(near.remote_addr(), pair.far.local_addr());
    assert_eq!(far.remote_addr(), pair.near.local_addr());
    assert!(near.datagram_len_max() >= 1_100, "what membership sends must fit");
}

async fn nobody(pair: Pair) {
    quiet("somebody answered", pair.near.connect(pair.nobody, LinkClass::Data)).await;
}

async fn refused(pair: Pair) {
    let refuse = async { (pair.far.accept().await.expect("it is open").refuse)() };
    let (outcome, ()) = tokio::join!(pair.near.connect(pair.far.local_addr(), LinkClass::Data), refuse);
    assert!(outcome.is_err(), "{outcome:?}");
}

async fn datagrams(pair: Pair) {
    let (near, far) = pair.connect(LinkClass::Control).await;
    let sent = [Bytes::from_static(b"one"), Bytes::from(vec![7; 1_100]), Bytes::new()];
    for datagram in &sent {
        // They may be lost: each is sent until it is there.
        let arrived = loop {
            near.send_datagram(datagram.clone()).expect("it is open");
            if let Ok(arrived) = tokio::time::timeout(QUIET, far.read_datagram()).await {
                break arrived.expect("it is open");
            }
        };
        assert_eq!(arrived, datagram);
        while tokio::time::timeout(QUIET, far.read_datagram()).await.is_ok() {}
    }
    near.send_datagram(Bytes::from(vec![7; 60_000])).expect("too long a datagram is dropped, and no error");
    quiet("it arrived", far.read_datagram()).await;
    assert!(near.bytes().0 >= 1_103 && far.bytes().1 >= 1_103);
}

async fn closing(pair: Pair) {
    let (near, far) = pair.connect(LinkClass::Data).await;
    let code = CloseCode(77);
    let waiters = async { tokio::join!(far.accept_bi(), far.read_datagram(), far.accept_uni(), far.closed()) };
    let close = async {
        tokio::task::yield_now().await;
        near.close(code);
    };
    let ((stream, datagram, uni, end), ()) = tokio::join!(waiters, close);
    let by_peer = ConnectionError::ClosedByPeer { code };
    assert_eq!(stream.map(drop).unwrap_err(), by_peer);
    assert_eq!((datagram.unwrap_err(), uni.map(drop).unwrap_err(), end), (by_peer.clone(), by_peer.clone(), by_peer));
    assert_eq!(near.closed().await, ConnectionError::ClosedHere { code });
    assert!(near.open_bi().await.is_err() && near.send_datagram(Bytes::new()).is_err());
    // The first code is the one that counts.
    near.close(CloseCode::DONE);
    assert_eq!(near.closed().await, ConnectionError::ClosedHere { code });
}

async fn closed_transport(pair: Pair) {
    let (near, far) = pair.connect(LinkClass::Data).await;
    pair.far.close(CloseCode::SHUTDOWN);
    assert_eq!(near.closed().await, ConnectionError::ClosedByPeer { code: CloseCode::SHUTDOWN });
    assert!(far.open_bi().await.is_err());
    let late = pair.near.connect(pair.far.local_addr(), LinkClass::Data);
    assert!(!matches!(tokio::time::timeout(QUIET, late).await, Ok(Ok(_))), "a closed transport was connected to");
}

async fn revoked(pair: Pair) {
    let (_near, _far) = pair.connect(LinkClass::Data).await;
    // By the one that is dialled, which the dialler may hear of only on its connection.
    let list: Revocations = pair.names.0.as_str().parse().expect("a name is an entry");
    pair.far.revoke(Arc::new(list));
    let accept = async { pair.far.accept().await.expect("it is open").handshake.await };
    let dial = async {
        match pair.near.connect(pair.far.local_addr(), LinkClass::Data).await {
            Ok(connection) => connection.closed().await,
            Err(cluster_pool::ConnectError::Handshake { source, .. }) => source,
            Err(other) => panic!("{other}"),
        }
    };
    let (told, accepted) = tokio::join!(dial, accept);
    let by_peer = |side| move |e: &ConnectionError| matches!(e, ConnectionError::Certificate { side: s, fault: CertificateFault::Revoked, .. } if *s == side);
    assert!(by_peer(Side::Peer)(&told), "{told}");
    assert!(accepted.is_err());
    // By the one that dials.
    pair.far.revoke(Arc::new(Revocations::none()));
    let list: Revocations = pair.names.1.as_str().parse().expect("a name is an entry");
    pair.near.revoke(Arc::new(list));
    let accept = async {
        // A refusal over there ends the handshake here, or is seen after it.
        if let Ok(accepted) = pair.far.accept().await.expect("it is open").handshake.await {
            accepted.closed().await;
        }
    };
    let dial = pair.near.connect(pair.far.local_addr(), LinkClass::Data);
    let dialled = tokio::select! {
        dialled = dial => dialled,
        () = async { accept.await; std::future::pending().await } => unreachable!("pending"),
    };
    let Err(cluster_pool::ConnectError::Handshake { source, .. }) = dialled else { panic!("{dialled:?}") };
    assert!(by_peer(Side::Here)(&source), "{source}");
}
