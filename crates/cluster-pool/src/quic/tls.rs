//! TLS 1.3 with certificates on both sides, and nothing else: no resumption (it would skip the verification), no early
//! data, one crypto provider.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ServerConfig};

use super::UnixTime;
use crate::identity::credentials::provider;
use crate::identity::trust::{OwnCertificate, Trust};
use crate::identity::verify::MemberVerifier;
use crate::identity::{Credentials, Role};

/// What a member says it speaks when it dials.
const MEMBER_ALPN: &[u8] = b"cluster/1";
/// What a client says.
const CLIENT_ALPN: &[u8] = b"cluster-client/1";

/// The door that somebody comes in by.
pub(super) const fn door_of(role: &Role) -> &'static [u8] {
    match role {
        Role::Node(_) => MEMBER_ALPN,
        Role::Client(_) => CLIENT_ALPN,
    }
}

pub(super) struct Tls {
    pub(super) trust: Arc<Trust>,
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
        let trust = Arc::new(Trust::new(credentials)?);
        let verifier = Arc::new(MemberVerifier::new(Arc::clone(&trust), &provider));
        let certificate = Arc::new(OwnCertificate(Arc::clone(&trust)));
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
        client.alpn_protocols = vec![door_of(&credentials.identity().role).to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_sni = false;

        let mut server = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificate);
        server.alpn_protocols = vec![MEMBER_ALPN.to_vec(), CLIENT_ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        Ok(Self {
            trust,
            client: Arc::new(QuicClientConfig::try_from(client).map_err(|e| e.to_string())?),
            server: Arc::new(QuicServerConfig::try_from(server).map_err(|e| e.to_string())?),
        })
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
