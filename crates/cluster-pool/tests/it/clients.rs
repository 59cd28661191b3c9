//! Clients, who come in by a door of their own; certificates that change while everything runs, and those that are revoked.

use std::time::Duration;

use cluster_pool::identity::authority::Validity;
use cluster_pool::{
    Authority, Credentials, Identity, LinkClass, PoolConfig, PoolError, QuicConfig, QuicTransport, ReloadError,
    Revocations, Role, Transport,
};

use crate::node::{Node, PATIENCE, authority, credentials, echo, unix_s, until};

fn client(authority: &Authority, name: &str) -> Credentials {
    let identity = Identity { role: Role::Client(name.parse().unwrap()), cluster: authority.cluster().clone() };
    authority.issue_identity(identity, Validity::days(unix_s(), 1)).unwrap()
}

#[tokio::test]
async fn a_client_comes_in_by_its_own_door_and_is_nobodys_peer() {
    let prod = authority("prod");
    let member = Node::fresh(&credentials(&prod, "member"));
    // One with the name of the member itself, and two processes that share a certificate.
    let of_client = client(&prod, "member");
    let clients = [Node::fresh(&of_client), Node::fresh(&of_client)];
    for client in &clients {
        let lease = client.pool.get_or_create_at(member.addr).await.unwrap();
        assert_eq!((lease.node(), lease.remote().client), (&member.name, false));
        assert_eq!(echo(&lease, b"well?").await, b"well?");
    }
    assert_eq!(member.data_links(), 0, "no slot of a member is theirs");
    assert_eq!(member.pool.open_links(LinkClass::Data), 2);
    for client in &clients {
        assert_eq!(client.data_links(), 1, "by address and by name it is one link");
        client.pool.close(PATIENCE).await;
    }
    until("their places are free", || member.pool.open_links(LinkClass::Data) == 0).await;
}

#[tokio::test]
async fn nobody_dials_a_client() {
    let prod = authority("prod");
    let (member, client) = (Node::fresh(&credentials(&prod, "member")), Node::fresh(&client(&prod, "app")));
    let refused = member.pool.get_or_create_at(client.addr).await.unwrap_err();
    let PoolError::DialAt { source, .. } = &refused else { panic!("{refused}") };
    let told = source.chain();
    assert!(told.ends_with("(cluster://prod/client/app is a client's identity, and only members answer)"), "{told}");
}

#[tokio::test]
async fn a_client_has_no_more_connections_than_clients_may_have() {
    let prod = authority("prod");
    let mut config = PoolConfig::default();
    config.max_per_client = 2;
    let member = Node::with(&credentials(&prod, "member"), config);
    let app = client(&prod, "app");
    let mut held = Vec::new();
    for n in 0..3 {
        let process = Node::fresh(&app);
        match process.pool.get_or_create_at(member.addr).await {
            Ok(lease) => held.push((lease, process)),
            Err(PoolError::DialAt { source, .. }) => {
                assert_eq!((n, source.to_string()), (2, "the peer has all the connections it may have".into()));
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(held.len(), 2);
    let other = Node::fresh(&client(&prod, "other"));
    assert!(other.pool.get_or_create_at(member.addr).await.is_ok(), "another client has its own");
}

/// By address or by name, from many at once: one dial, one link, one place.
#[tokio::test]
async fn whoever_knows_an_address_and_whoever_knows_a_name_share_one_link() {
    let prod = authority("prod");
    let (a, b) = (
        Node::with(&credentials(&prod, "a"), {
            let mut config = PoolConfig::new().with_max_total(1);
            config.dial_timeout = Duration::from_millis(500);
            config
        }),
        Node::fresh(&credentials(&prod, "b")),
    );
    let (first, second) = tokio::join!(a.pool.get_or_create_at(b.addr), a.pool.get_or_create_at(b.addr));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.id(), second.id());
    assert_eq!(a.data(&b).await.id(), first.id());
    assert_eq!(a.pool.stats().total.dials, 1);
    let full = a.pool.get_or_create_at("127.0.0.1:9".parse().unwrap()).await.unwrap_err();
    assert!(matches!(full, PoolError::PoolFull { current: 1, max: 1 }), "{full}");
    // It is remembered who is there; when the link is gone, whoever answers now is asked.
    first.close(cluster_pool::CloseCode::DONE);
    drop((first, second));
    let again = a.pool.get_or_create_at(b.addr).await.unwrap();
    assert_eq!(echo(&again, b"again?").await, b"again?");
    drop(again);
    b.pool.close(PATIENCE).await;
    until("the end is noticed", || a.data_links() == 0).await;
    let gone = a.pool.get_or_create_at(b.addr).await.unwrap_err();
    assert!(matches!(gone, PoolError::DialAt { .. }), "an address where nobody is takes no place: {gone}");
}

fn transport(credentials: &Credentials) -> QuicTransport {
    QuicTransport::bind("127.0.0.1:0".parse().unwrap(), QuicConfig::default(), credentials).unwrap()
}

/// A node renews its certificate under an authority that the others have been told to trust as well; what is connected stays.
#[tokio::test]
async fn certificates_and_authorities_are_replaced_without_a_restart() {
    let (old, new) = (authority("prod"), authority("prod"));
    let [of_a, of_b] = ["a", "b"].map(|name| credentials(&old, name));
    let (a, b) = (Node::fresh(&of_a), Node::fresh(&of_b));
    let before = a.data(&b).await;
    let shown = before.remote_fingerprint();
    // First everybody trusts both, then one shows the new one.
    a.pool.reload(&of_a.clone().trusting(new.certificate().clone())).unwrap();
    let renewed = credentials(&new, "b").trusting(old.certificate().clone());
    b.pool.reload(&renewed).unwrap();
    assert_eq!(echo(&before, b"still?").await, b"still?");
    drop(before);
    a.pool.lease(&b.name).unwrap().close(cluster_pool::CloseCode::DONE);
    let after = a.data(&b).await;
    assert_eq!(after.remote_fingerprint(), renewed.fingerprint());
    assert_ne!(shown, renewed.fingerprint());
    assert_eq!(echo(&after, b"well?").await, b"well?");
    // And whoever dials shows it, too.
    drop(after);
    a.pool.lease(&b.name).unwrap().close(cluster_pool::CloseCode::DONE);
    until("both have seen its end", || a.data_links() + b.data_links() == 0).await;
    drop(b.data(&a).await);
    until("it has come in", || a.data_links() == 1).await;
    assert_eq!(a.pool.lease(&b.name).unwrap().remote_fingerprint(), renewed.fingerprint());
}

#[tokio::test]
async fn credentials_of_somebody_else_are_not_taken_and_those_before_stay() {
    let prod = authority("prod");
    let of_a = credentials(&prod, "a");
    let transport = transport(&of_a);
    let error = transport.reload(&credentials(&prod, "b")).unwrap_err();
    assert!(matches!(error, ReloadError::OtherIdentity { .. }));
    assert_eq!(
        error.to_string(),
        "the new certificate is for cluster://prod/b, this process is cluster://prod/a: the one before stays in use"
    );
    assert!(transport.reload(&credentials(&authority("test"), "a")).is_err(), "another cluster's");
    assert!(transport.reload(&credentials(&prod, "a")).is_ok());
}

#[tokio::test]
async fn whoever_is_revoked_is_out_at_once_and_does_not_come_back() {
    let prod = authority("prod");
    let [of_a, of_b] = ["a", "b"].map(|name| credentials(&prod, name));
    let (mut a, mut b) = (Node::fresh(&of_a), Node::fresh(&of_b));
    a.dial(&b);
    a.link_up().await;
    let data = a.data(&b).await;
    let private = {
        let c = Node::with(&credentials(&prod, "c"), PoolConfig::new().with_max_per_peer(2));
        (a.pool.open_new(&c.name, c.addr).await.unwrap(), c)
    };
    let app = Node::fresh(&client(&prod, "app"));
    let of_app = app.pool.get_or_create_at(a.addr).await.unwrap();

    let revoked: Revocations = "b\nc\nclient/app".parse().unwrap();
    assert_eq!(a.pool.revoke(revoked), 4, "control, data, private, and the client's");
    assert!(
        a.pool.current(LinkClass::Data, &b.name).is_none() && a.pool.current(LinkClass::Control, &b.name).is_none()
    );
    for link in [data.link(), private.0.link(), of_app.link()] {
        let ended = tokio::time::timeout(PATIENCE, link.closed()).await.unwrap().to_string();
        assert!(ended.ends_with("certificate revoked"), "{ended}");
    }
    // Neither way.
    let dialling = a.pool.get_or_create(&b.name, b.addr).await.unwrap_err();
    let PoolError::Dial { source, .. } = dialling else { panic!("{dialling}") };
    assert!(source.chain().contains("was revoked"), "{}", source.chain());
    b.dial(&a);
    let told = b.dialled().await.unwrap_err();
    assert!(told.contains("the peer refused this node's certificate: it was revoked"), "{told}");
    // One certificate alone: its holder comes back with another.
    let one = Revocations::none().with_certificate(of_b.fingerprint());
    a.pool.revoke(one);
    assert!(a.pool.get_or_create(&b.name, b.addr).await.is_err());
    b.pool.reload(&credentials(&prod, "b")).unwrap();
    assert_eq!(echo(&a.data(&b).await.clone(), b"new?").await, b"new?");
}

/// What a client shows a server that is none of its cluster, and the other way round.
#[tokio::test]
async fn a_client_and_a_member_of_other_clusters_refuse_each_other() {
    let member = Node::fresh(&credentials(&authority("prod"), "member"));
    let stranger = Node::fresh(&client(&authority("prod"), "app"));
    let told = stranger.pool.get_or_create_at(member.addr).await.unwrap_err();
    let PoolError::DialAt { source, .. } = &told else { panic!("{told}") };
    assert!(source.chain().contains("was signed by another authority"), "{}", source.chain());
}
