//! Certificates that are not accepted, at either end of a dial: both sides say why, and mean the same.

use cluster_pool::identity::authority::Validity;
use cluster_pool::identity::pki::Pki;
use cluster_pool::{Authority, CertificateFault, Credentials, DialTarget, Identity, LinkClass, Revocations};

use crate::node::{Node, authority, credentials, echo, unix_s};
use crate::said::Said;

/// What the side that refuses says.
fn refuses(fault: CertificateFault) -> String {
    format!("the peer's certificate {fault}")
}

/// What the side that is refused says.
fn is_refused(fault: CertificateFault) -> String {
    format!("the peer refused this node's certificate: it {fault}")
}

/// A member of `prod` and somebody whose certificate has a fault dial each other, one after the other: nobody gets in, and each time the
/// member names the fault, and so does the other.
async fn both_sides_name(prod: &Authority, stranger: &Credentials, fault: CertificateFault) {
    both_sides_say(prod, stranger, [&refuses(fault), &is_refused(fault)], [&refuses(fault), &is_refused(fault)]).await;
}

/// As [`both_sides_name`], with what the member and the stranger say when the stranger dials, and when the member does.
async fn both_sides_say(prod: &Authority, stranger: &Credentials, inward: [&str; 2], outward: [&str; 2]) {
    let said = Said::listen();
    let [mut member, friend] = ["member", "friend"].map(|name| Node::fresh(&credentials(prod, name)));
    let mut stranger = Node::fresh(stranger);
    // Those of the test of revocation; of the others nobody has this name.
    member.pool.revoke("revoked".parse::<Revocations>().unwrap());

    stranger.pool.dial_control(DialTarget { addr: member.addr, node: None });
    let dialler = stranger.dialled().await.expect_err("a stranger must not get in");
    let dialled = said.why_turned_away(stranger.addr).await;
    assert!(dialled.contains(inward[0]), "the member, dialled: {dialled}");
    assert!(dialler.contains(inward[1]), "the stranger, dialling: {dialler}");

    member.pool.dial_control(DialTarget { addr: stranger.addr, node: None });
    let dialler = member.dialled().await.expect_err("nor be dialled");
    let dialled = said.why_turned_away(member.addr).await;
    assert!(dialler.contains(outward[0]), "the member, dialling: {dialler}");
    assert!(dialled.contains(outward[1]), "the stranger, dialled: {dialled}");

    for node in [&member, &stranger] {
        assert!(node.pool.is_empty(LinkClass::Control), "{} has a link", node.name);
    }
    assert_eq!(echo(friend.data(&member).await.link(), b"well?").await, b"well?");
}

fn valid_between(prod: &Authority, from_unix_s: u64, until_unix_s: u64) -> Credentials {
    prod.issue(&"s".parse().unwrap(), Validity { from_unix_s, until_unix_s }).unwrap()
}

#[tokio::test]
async fn both_sides_name_a_certificate_that_has_expired() {
    let (prod, now) = (authority("prod"), unix_s());
    let stranger = valid_between(&prod, now - 7_200, now - 3_600);
    both_sides_name(&prod, &stranger, CertificateFault::Expired).await;
}

#[tokio::test]
async fn both_sides_name_a_certificate_of_tomorrow() {
    let (prod, now) = (authority("prod"), unix_s());
    let stranger = valid_between(&prod, now + 3_600, now + 7_200);
    both_sides_name(&prod, &stranger, CertificateFault::NotYetValid).await;
}

#[tokio::test]
async fn both_sides_name_a_certificate_that_was_revoked() {
    let prod = authority("prod");
    both_sides_name(&prod, &credentials(&prod, "revoked"), CertificateFault::Revoked).await;
}

/// Also where the other authority has the same name. Each refuses the other, and whoever dials looks first.
#[tokio::test]
async fn both_sides_name_a_certificate_of_another_authority() {
    let prod = authority("prod");
    let fault = CertificateFault::OtherAuthority;
    for other in ["test", "prod"] {
        let stranger = credentials(&authority(other), "s");
        both_sides_say(&prod, &stranger, [&is_refused(fault), &refuses(fault)], [&refuses(fault), &is_refused(fault)])
            .await;
    }
    // One who would accept the member, so that it is the member who judges.
    let stranger = credentials(&authority("prod"), "s").trusting(prod.certificate().clone());
    both_sides_name(&prod, &stranger, fault).await;
}

/// Whoever dials looks first, and each refuses the other.
#[tokio::test]
async fn both_sides_name_the_cluster_of_a_certificate_for_another_one() {
    let prod = authority("prod");
    let foreign = Identity::node("test".parse().unwrap(), "s".parse().unwrap());
    let stranger = prod.issue_identity(foreign, Validity::days(unix_s(), 1)).unwrap();
    let of_member = "carries no identity of this cluster (the certificate is for cluster prod, this is cluster test)";
    let of_stranger = "carries no identity of this cluster (the certificate is for cluster test, this is cluster prod)";
    let inward = [format!("this node's certificate: it {of_member}"), format!("the peer's certificate {of_member}")];
    let outward =
        [format!("the peer's certificate {of_stranger}"), format!("this node's certificate: it {of_stranger}")];
    both_sides_say(&prod, &stranger, [&inward[0], &inward[1]], [&outward[0], &outward[1]]).await;
}

/// A certificate that nobody signed but its own key, with the right name in it.
#[tokio::test]
async fn both_sides_name_a_certificate_that_signed_itself() {
    let prod = authority("prod");
    both_sides_name(&prod, &self_signed(&prod), CertificateFault::OtherAuthority).await;
}

/// Made as whoever has only OpenSSL and the authority's certificate would: in a directory, and loaded from there.
fn self_signed(prod: &Authority) -> Credentials {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI("cluster://prod/s".try_into().unwrap())];
    let certificate = params.self_signed(&key).unwrap().pem();
    let dir = tempfile::tempdir().unwrap();
    let authority = pem::encode(&pem::Pem::new("CERTIFICATE", prod.certificate().to_vec()));
    for (file, text) in [("ca.crt", authority), ("s.crt", certificate), ("s.key", key.serialize_pem())] {
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    Pki::new(dir.path()).load(&"s".parse().unwrap()).unwrap()
}

mod without_any {
    //! Ends of a connection without a certificate, built from the libraries directly: ours cannot be had without one.

    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::CertifiedKey;
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    const ALPN: &[u8] = b"cluster/1";

    /// A dialler who shows none and trusts everybody.
    pub(super) fn client() -> quinn::Endpoint {
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        endpoint
    }

    /// Somebody to dial who has none to show.
    pub(super) fn server() -> quinn::Endpoint {
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Nothing));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap()
    }

    #[derive(Debug)]
    struct Nothing;

    impl ResolvesServerCert for Nothing {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            None
        }
    }

    /// Trusts every server: only what the member thinks of the client is looked at.
    #[derive(Debug)]
    struct Anyone;

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate() {
    let said = Said::listen();
    let member = Node::fresh(&credentials(&authority("prod"), "member"));
    let stranger = without_any::client();
    let refused = match stranger.connect(member.addr, "cluster.invalid").unwrap().await {
        Err(error) => error,
        Ok(connection) => tokio::time::timeout(crate::node::PATIENCE, connection.closed()).await.unwrap(),
    };
    // TLS alert 116 is certificate_required.
    assert!(
        matches!(&refused, quinn::ConnectionError::ConnectionClosed(close)
        if u64::from(close.error_code) == 0x100 + 116),
        "{refused:?}"
    );
    let dialled = said.why_turned_away(stranger.local_addr().unwrap()).await;
    assert!(dialled.contains(&refuses(CertificateFault::Missing)), "{dialled}");
    assert!(member.pool.is_empty(LinkClass::Control) && member.pool.is_empty(LinkClass::Data));
}

/// A server has a certificate or no handshake: it ends it itself, and whoever dialled is told that it has none.
#[tokio::test]
async fn nobody_is_dialled_who_has_no_certificate() {
    let mut member = Node::fresh(&credentials(&authority("prod"), "member"));
    let stranger = without_any::server();
    member.pool.dial_control(DialTarget { addr: stranger.local_addr().unwrap(), node: None });
    let served = async { stranger.accept().await.unwrap().await.map(drop).expect_err("it has none to show") };
    let (its_own, told) = tokio::join!(served, member.dialled());
    assert!(matches!(its_own, quinn::ConnectionError::TransportError(_)), "{its_own:?}");
    let told = told.expect_err("no link without a certificate");
    assert!(told.contains(&refuses(CertificateFault::Missing)), "{told}");
    assert!(member.pool.is_empty(LinkClass::Control));
}
