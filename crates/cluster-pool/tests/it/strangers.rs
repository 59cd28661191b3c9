//! Bad input on the door: whoever does not belong is turned away with the reason, and the others do not notice.

use std::net::UdpSocket;

use cluster_pool::hello::HELLO_TIMEOUT;
use cluster_pool::identity::authority::Validity;
use cluster_pool::{BindError, DialTarget, Identity, LinkClass, QuicConfig, QuicTransport, Role, Transport};

use crate::node::{Node, PATIENCE, authority, credentials, echo, unix_s};

/// A client's certificate is good, and still nobody's who could be a member: not even under a member's name.
#[tokio::test]
async fn a_client_is_not_taken_for_the_member_of_its_name() {
    let prod = authority("prod");
    let client = Identity { role: Role::Client("member".parse().unwrap()), cluster: "prod".parse().unwrap() };
    let stranger = prod.issue_identity(client, Validity::days(unix_s(), 1)).unwrap();
    let member = Node::fresh(&credentials(&prod, "member"));
    let mut stranger = Node::start(&stranger, 2, "127.0.0.1:0".parse().unwrap());
    stranger.pool.dial_control(DialTarget { addr: member.addr, node: None });
    let told = stranger.dialled().await.expect_err("a client must not get in as a member");
    assert!(member.pool.is_empty(LinkClass::Control));
    assert_eq!(told, "refused: cluster://prod/client/member is a client: only members have control links");
}

#[tokio::test]
async fn somebody_else_at_the_address_is_not_taken_for_the_one_dialled() {
    let prod = authority("prod");
    let (mut a, b) = (Node::fresh(&credentials(&prod, "a")), Node::fresh(&credentials(&prod, "b")));
    a.pool.dial_control(DialTarget { addr: b.addr, node: Some("c".parse().unwrap()) });
    assert_eq!(a.dialled().await.unwrap_err(), "b answered where c was dialled");
}

#[tokio::test]
async fn dialling_oneself_is_an_error_and_not_a_link() {
    let mut a = Node::fresh(&credentials(&authority("prod"), "a"));
    a.pool.dial_control(DialTarget { addr: a.addr, node: None });
    assert_eq!(a.dialled().await.unwrap_err(), "the address dialled is this node's own");
}

#[tokio::test]
async fn garbage_datagrams_do_nothing() {
    let prod = authority("prod");
    let (a, b) = (Node::fresh(&credentials(&prod, "a")), Node::fresh(&credentials(&prod, "b")));
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut draws = cluster_types::Seed::new(1).stream();
    for len in 0..500usize {
        let bytes: Vec<u8> = (0..len * 3).map(|_| draws.next_u64() as u8).collect();
        noise.send_to(&bytes, b.addr).unwrap();
    }
    assert_eq!(echo(a.data(&b).await.link(), b"well?").await, b"well?");
}

/// A member whose process hangs right after the handshake, or a stranger with a stolen certificate.
#[tokio::test]
async fn a_connection_that_says_nothing_is_ended() {
    let prod = authority("prod");
    let member = Node::fresh(&credentials(&prod, "member"));
    let here = "127.0.0.1:0".parse().unwrap();
    let mute = QuicTransport::bind(here, QuicConfig::default(), &credentials(&prod, "mute")).unwrap();
    let connection = mute.connect(member.addr, LinkClass::Control).await.unwrap();
    let ended = tokio::time::timeout(HELLO_TIMEOUT + PATIENCE, connection.closed()).await.unwrap();
    assert!(ended.to_string().starts_with("closed by the peer"), "{ended}");
    assert!(member.pool.is_empty(LinkClass::Control));
}

/// The control stream is opened, a part of a header sent, then nothing.
#[tokio::test]
async fn a_stream_that_stops_in_the_middle_is_ended_and_the_link_stays() {
    let prod = authority("prod");
    let (mut a, b) = (Node::fresh(&credentials(&prod, "a")), Node::fresh(&credentials(&prod, "b")));
    a.dial(&b);
    let link = a.link_up().await;
    let mut stream = link.open_bi().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream.send, &[1, 2]).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream.recv, &mut answer);
    tokio::time::timeout(PATIENCE, read).await.expect("ended in time").expect_err("reset, not finished");
    assert!(!link.is_dead());
    link.send_datagram(b"still up".to_vec()).unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let prod = authority("prod");
    let a = Node::fresh(&credentials(&prod, "a"));
    let error = QuicTransport::bind(a.addr, QuicConfig::default(), &credentials(&prod, "b")).unwrap_err();
    assert!(matches!(error, BindError::Socket { addr, .. } if addr == a.addr));
    assert!(error.to_string().contains("another process holds the port"), "{error}");
}

#[tokio::test]
async fn an_unreachable_peer_is_named_and_not_pooled() {
    let prod = authority("prod");
    let mut config = cluster_pool::PoolConfig::default();
    config.dial_timeout = std::time::Duration::from_millis(500);
    let a = Node::with(&credentials(&prod, "a"), config);
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = a.pool.get_or_create(&"b".parse().unwrap(), nobody).await.unwrap_err();
    assert_eq!(error.to_string(), format!("no link to b at {nobody}"));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("it is down, unreachable, or drops what this node sends"), "{cause}");
    assert!(a.pool.is_empty(LinkClass::Data));
}

/// A node of a later version, or of an earlier one, with which there is nothing in common: both ranges are named.
#[tokio::test]
async fn another_protocol_is_named_with_both_ranges() {
    let prod = authority("prod");
    let any = "127.0.0.1:0".parse().unwrap();
    let bind = |name| QuicTransport::bind(any, QuicConfig::default(), &credentials(&prod, name)).unwrap();
    let (near, far) = (bind("near"), bind("db-1"));
    // It speaks 7 to 9, and the rest of its hello is nothing that this node understands.
    let body = [7, 9, 0xff, 0xff, 0xff];
    let serve = async {
        let connection = far.accept().await.unwrap().handshake.await.unwrap();
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        cluster_pool::frame::write_frame(&mut *send, 1, &body).await.unwrap();
        connection.closed().await
    };
    let greet = async {
        let connection = near.connect(far.local_addr(), LinkClass::Data).await.unwrap();
        let own = crate::node::hello(&credentials(&prod, "near"), 1, near.local_addr());
        cluster_pool::hello::greet_as_client(&*connection, &own, LinkClass::Data, None).await.unwrap_err()
    };
    let (told, error) = tokio::time::timeout(PATIENCE, async { tokio::join!(serve, greet) }).await.unwrap();
    assert_eq!(error.to_string(), "the peer speaks protocol 7 to 9, this node 1 to 1");
    assert_eq!(told.to_string(), "closed by the peer: protocol violated");
}
