//! TLS 1.3 with certificates on both sides, and nothing else: no resumption (it would skip the verification), no early
//! data, one crypto provider.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ServerConfig, SignatureScheme};

use super::UnixTime;
use crate::identity::Credentials;
use crate::identity::credentials::provider;
use crate::identity::verify::MemberVerifier;

/// What a member says it speaks.
const MEMBER_ALPN: &[u8] = b"cluster/1";

pub(super) struct Tls {
    pub(super) client: Arc<QuicClientConfig>,
    pub(super) server: Arc<QuicServerConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    pub(super) fn new(credentials: &Credentials, time: Option<UnixTime>) -> Result<Self, String> {
        let provider = provider();
        let verifier =
            Arc::new(MemberVerifier::new(credentials.cluster().clone(), credentials.authority().clone(), &provider)?);
        let certificate = Arc::new(OwnCertificate(Arc::clone(credentials.certified_key())));
        let time: Arc<dyn TimeProvider> = match time {
            Some(time) => Arc::new(InjectedTime(time)),
            None => Arc::new(DefaultTimeProvider),
        };

        let mut client = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::clone(&time))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::clone(&certificate) as _);
        client.alpn_protocols = vec![MEMBER_ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_sni = false;

        let mut server = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificate);
        server.alpn_protocols = vec![MEMBER_ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        Ok(Self {
            client: Arc::new(QuicClientConfig::try_from(client).map_err(|e| e.to_string())?),
            server: Arc::new(QuicServerConfig::try_from(server).map_err(|e| e.to_string())?),
        })
    }
}

/// Shows the one certificate this node has, on either side.
#[derive(Debug)]
struct OwnCertificate(Arc<CertifiedKey>);

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

struct InjectedTime(UnixTime);

impl std::fmt::Debug for InjectedTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InjectedTime")
    }
}

impl TimeProvider for InjectedTime {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch((self.0)()))
    }
}
