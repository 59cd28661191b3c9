//! The two verifiers rustls asks, one for each side: the stock chain check first, whose error is never swallowed, then
//! exactly one URI, then the cluster. Which node it is, is compared by whoever dialled.

use std::sync::Arc;
use std::time::Duration;

use cluster_types::ClusterName;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};

use super::{Identity, IdentityError};

/// Accepts every certificate of one cluster, on either side of a handshake.
#[derive(Debug)]
pub(crate) struct MemberVerifier {
    cluster: ClusterName,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    clients: Arc<dyn ClientCertVerifier>,
}

/// rustls shows a foreign error by its `Debug`, also to the peer; this one's is the sentence.
#[derive(thiserror::Error)]
#[error(transparent)]
struct InWords(IdentityError);

impl std::fmt::Debug for InWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl MemberVerifier {
    pub(crate) fn new(
        cluster: ClusterName,
        authority: CertificateDer<'static>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|e| format!("the authority's certificate cannot be trusted: {e}"))?;
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
            .build()
            .map_err(|e| format!("the authority's certificate cannot be used: {e}"))?;
        Ok(Self { cluster, roots, algorithms: provider.signature_verification_algorithms, clients })
    }

    fn check_identity(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let refuse =
            |e: IdentityError| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(InWords(e)))));
        let identity = Identity::of_certificate(certificate).map_err(refuse)?;
        if identity.cluster == self.cluster {
            return Ok(());
        }
        Err(refuse(IdentityError::OtherCluster { ours: self.cluster.clone(), theirs: identity.cluster }))
    }
}

/// Whether the chain check would pass at `unix_s`.
pub(crate) fn is_trusted_at(certificate: &CertificateDer<'_>, authority: CertificateDer<'static>, unix_s: u64) -> bool {
    let mut roots = RootCertStore::empty();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
    let algorithms = super::credentials::provider().signature_verification_algorithms.all;
    roots.add(authority).is_ok()
        && ParsedCertificate::try_from(certificate)
            .and_then(|parsed| verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], at, algorithms))
            .is_ok()
}

fn only_tls13() -> Error {
    Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic)
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        self.check_identity(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for MemberVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.clients.verify_client_cert(end_entity, intermediates, now)?;
        self.check_identity(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}
