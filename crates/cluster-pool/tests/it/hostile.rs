//! Peers with good certificates and bad manners: what they do costs them their stream, and nobody else notices.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_pool::transport::stream_code;
use cluster_pool::{
    Channel, CloseCode, ConnectionPool, Lease, Message, Outcome, Peer, PeerConfig, PeerError, PoolConfig, QuicConfig,
    QuicTransport, Router, Serving, Transport, message_fn, request_fn,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::node::{Node, PATIENCE, authority, credentials, hello, until};

const ECHO: Channel = Channel(1);

struct Scene {
    victim: Node,
    router: Router,
    hostile: Lease,
    _attacker: Node,
    friend: Peer,
    _friends: (Node, JoinSet<()>),
}

/// A server, somebody who is about to misbehave, and a friend who wants to notice nothing.
async fn scene() -> Scene {
    let authority = authority("prod");
    let router = Router::builder()
        .on_request(ECHO, request_fn(|_, body: Bytes| async move { Ok(body) }))
        .on_message(ECHO, message_fn(|_, _| async { Ok(()) }))
        .build()
        .unwrap();
    let serving = Serving { streams: Arc::new(router.clone()), ..Serving::default() };
    let any = "127.0.0.1:0".parse().unwrap();
    let of_victim = credentials(&authority, "victim");
    let victim = Node::serving(&of_victim, 1, any, PoolConfig::default(), serving, QuicConfig::default());
    let attacker = Node::fresh(&credentials(&authority, "attacker"));
    let hostile = attacker.data(&victim).await;
    let friend_node = Node::fresh(&credentials(&authority, "friend"));
    let (friend, driver) =
        Peer::new(&friend_node.pool, &Router::new(), victim.name.clone(), victim.addr, PeerConfig::default()).unwrap();
    let mut drivers = JoinSet::new();
    drivers.spawn(driver.drive());
    let scene = Scene { victim, router, hostile, _attacker: attacker, friend, _friends: (friend_node, drivers) };
    scene.friend_is_well().await;
    scene
}

impl Scene {
    async fn friend_is_well(&self) {
        let reply = self.friend.request(ECHO, "well?", PATIENCE).await.unwrap();
        assert_eq!(reply.body, "well?");
        let ticket = self.friend.send(Message::new(ECHO, "news")).await.unwrap();
        let outcome = tokio::time::timeout(PATIENCE, ticket).await.unwrap();
        assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome}");
        assert_eq!(self.friend.metrics().connects, 1, "nothing happened to its link");
    }

    /// What becomes of a stream on which these bytes are said.
    async fn said(&self, bytes: &[u8]) -> Option<CloseCode> {
        let mut stream = self.hostile.open_bi().await.unwrap();
        stream.send.write_all(bytes).await.unwrap();
        let read = tokio::time::timeout(PATIENCE, stream.recv.read_to_end(&mut Vec::new())).await.unwrap();
        stream_code(&read.expect_err("nobody answers that"))
    }
}

fn frame(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = cluster_types::envelope::header(kind, body.len()).to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test]
async fn what_is_not_understood_ends_its_stream_and_nothing_else() {
    let scene = scene().await;
    let another_version = [9, 70, 0, 4, 0, 0, 0];
    let too_long = cluster_types::envelope::header(70, 1 << 30);
    let bad: [(&str, Vec<u8>); 7] = [
        ("garbage", vec![0xff; 64]),
        ("another version", another_version.to_vec()),
        ("a gigabyte announced", too_long.to_vec()),
        ("a request without a channel", frame(70, b"\x01x")),
        ("a lane without a priority", frame(64, &[0])),
        ("a message before its lane", frame(65, &[2, 1, 0])),
        ("a lane with something else on it", [frame(64, &[1, 0]), frame(70, &[6, 1, 0, 1, 0, 0, 0])].concat()),
    ];
    for (what, bytes) in &bad {
        assert_eq!(scene.said(bytes).await, Some(CloseCode::PROTOCOL), "{what}");
    }
    assert_eq!(scene.router.stats().violations, bad.len() as u64);
    // A handler's stream that nobody serves is no violation.
    assert_eq!(scene.said(&frame(73, &[2, 9, 0])).await, Some(CloseCode::UNSUPPORTED));
    // Nor is what only a later version knows.
    for later in [frame(999, b"x"), frame(64, &[1, 7])] {
        assert_eq!(scene.said(&later).await, Some(CloseCode::UNSUPPORTED));
    }
    let stats = scene.router.stats();
    assert_eq!((stats.violations, stats.unknown), (bad.len() as u64, 2));
    scene.friend_is_well().await;
    assert!(!scene.hostile.is_dead(), "and its link is whole");
}

/// Somebody opens as many streams as he may and says nothing on them, or half a frame.
#[tokio::test]
async fn a_thousand_streams_wait_in_the_transport() {
    let scene = scene().await;
    let mut opened = Vec::new();
    let open = async {
        loop {
            let mut stream = scene.hostile.open_bi().await.unwrap();
            // Half a frame: enough to be seen.
            stream.send.write_all(&[1, 70]).await.unwrap();
            opened.push(stream);
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(500), open).await.is_err());
    assert!((32..=100).contains(&opened.len()), "{} streams were granted", opened.len());
    scene.friend_is_well().await;
    // Within the time for a first frame each is ended, and the next ones are let in.
    let first = &mut opened[0];
    let ended = tokio::time::timeout(PATIENCE, first.recv.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(stream_code(&ended), Some(CloseCode::PROTOCOL));
}

/// Somebody asks for megabytes and reads nothing: his streams fill up, and only his.
#[tokio::test]
async fn whoever_does_not_read_holds_up_himself() {
    let scene = scene().await;
    let mut unread = Vec::new();
    // Six bytes of head: the channel, and how long anybody waits.
    let mut request = vec![6, 1, 0];
    request.extend_from_slice(&60_000u32.to_le_bytes());
    request.resize(1 << 19, 7);
    for _ in 0..24 {
        let mut stream = scene.hostile.open_bi().await.unwrap();
        stream.send.write_all(&frame(70, &request)).await.unwrap();
        stream.send.finish();
        unread.push(stream);
    }
    until("all are asked", || scene.router.stats().requests >= 25).await;
    scene.friend_is_well().await;
    // When he reads after all, he gets it.
    for mut stream in unread {
        let mut reply = Vec::new();
        tokio::time::timeout(PATIENCE, stream.recv.read_to_end(&mut reply)).await.unwrap().unwrap();
        assert_eq!(reply.len(), (1 << 19) - 7 + 8);
    }
}

/// Hundreds of handshakes at once from one who has a certificate: those beyond the limit are refused, and who is in stays in.
#[tokio::test]
async fn a_flood_of_handshakes_is_bounded() {
    let scene = scene().await;
    let authority = authority("elsewhere");
    let stranger =
        QuicTransport::bind("127.0.0.1:0".parse().unwrap(), QuicConfig::default(), &credentials(&authority, "x"));
    let stranger = Arc::new(stranger.unwrap());
    let mut dials = JoinSet::new();
    for _ in 0..600 {
        let (stranger, addr) = (Arc::clone(&stranger), scene.victim.addr);
        dials.spawn(async move { stranger.connect(addr, cluster_pool::LinkClass::Data).await.is_ok() });
    }
    scene.friend_is_well().await;
    let outcomes = tokio::time::timeout(Duration::from_secs(30), dials.join_all()).await.unwrap();
    assert!(outcomes.iter().all(|connected| !connected), "another cluster's certificate");
    assert!(scene.victim.pool.refused_handshakes() > 0, "some came while too many were under way, and that is counted");
    scene.friend_is_well().await;
}

/// What a peer answers to a request is a peer's bytes, too.
#[tokio::test]
async fn an_answer_that_is_none_is_told_as_such() {
    #[derive(Debug)]
    struct Says(Vec<u8>);
    #[async_trait::async_trait]
    impl cluster_pool::StreamHandler for Says {
        async fn handle(&self, _link: &cluster_pool::Link, mut stream: cluster_pool::link::LinkStream) {
            let _ = stream.recv.read_u8().await;
            let _ = stream.send.write_all(&self.0).await;
            stream.send.finish();
        }
    }
    let prod = authority("prod");
    let mut told = Vec::new();
    for says in [vec![0xff; 20], frame(72, b"x"), frame(65, b"xx"), Vec::new(), frame(71, b"ok")[..6].to_vec()] {
        let serving = Serving { streams: Arc::new(Says(says)), ..Serving::default() };
        let of_liar = credentials(&prod, "liar");
        let transport = QuicTransport::bind("127.0.0.1:0".parse().unwrap(), QuicConfig::default(), &of_liar).unwrap();
        let addr = transport.local_addr();
        let (_liar, _events) =
            ConnectionPool::start(Arc::new(transport), hello(&of_liar, 1, addr), PoolConfig::default(), serving);
        let asker = Node::fresh(&credentials(&prod, "asker"));
        let (peer, driver) =
            Peer::new(&asker.pool, &Router::new(), "liar".parse().unwrap(), addr, PeerConfig::default()).unwrap();
        let mut drivers = JoinSet::new();
        drivers.spawn(driver.drive());
        let error = peer.request(ECHO, "well?", PATIENCE).await.unwrap_err();
        assert!(matches!(error, PeerError::Malformed { .. } | PeerError::LinkLost { .. }), "{error}");
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        told.push(format!("{error}: {cause}"));
    }
    insta::assert_snapshot!(told.join("\n"));
}

/// A dead peer that many wait for: whoever wants another one is served at once.
#[tokio::test]
async fn a_dead_peer_with_a_hundred_waiters_delays_nobody() {
    let prod = authority("prod");
    let mut patient = PoolConfig::default();
    // Ten times as long as the other one may take.
    patient.dial_timeout = Duration::from_secs(2);
    let (a, b) = (Node::with(&credentials(&prod, "a"), patient), Node::fresh(&credentials(&prod, "b")));
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = silent.local_addr().unwrap();
    let mut waiters = JoinSet::new();
    for _ in 0..100 {
        let pool = a.pool.clone();
        waiters.spawn(async move { pool.get_or_create(&"dead".parse().unwrap(), nowhere).await.is_err() });
    }
    until("the dial is under way", || a.pool.stats().places == 1).await;
    let lease = a.data(&b).await;
    assert!(!waiters.is_empty() && waiters.try_join_next().is_none(), "the dial of the dead one is still under way");
    drop(lease);
    assert!(waiters.join_all().await.iter().all(|failed| *failed));
    assert_eq!(a.pool.stats().places, 1, "and keeps no place");
}
