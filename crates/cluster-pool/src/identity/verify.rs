//! The two verifiers rustls asks, one for each side: the stock chain check first, whose error is never swallowed, then
//! exactly one URI, then the cluster. Which node it is, is compared by whoever dialled.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};

use super::trust::{Snapshot, Trust};
use super::{Fingerprint, Identity, IdentityError};

/// Accepts every certificate of one cluster that is in force, on either side of a handshake.
#[derive(Debug)]
pub(crate) struct MemberVerifier {
    trust: Arc<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
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
    pub(crate) fn new(trust: Arc<Trust>, provider: &CryptoProvider) -> Self {
        Self { trust, algorithms: provider.signature_verification_algorithms }
    }

    fn check_identity(&self, certificate: &CertificateDer<'_>, snapshot: &Snapshot) -> Result<Identity, Error> {
        let refuse =
            |e: IdentityError| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(InWords(e)))));
        let identity = Identity::of_certificate(certificate).map_err(refuse)?;
        let ours = &self.trust.own().cluster;
        if identity.cluster != *ours {
            return Err(refuse(IdentityError::OtherCluster { ours: ours.clone(), theirs: identity.cluster }));
        }
        if snapshot.revoked.covers(&identity, Fingerprint::of(certificate)) {
            return Err(Error::InvalidCertificate(CertificateError::Revoked));
        }
        Ok(identity)
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
        let snapshot = self.trust.current();
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &snapshot.roots, intermediates, now, self.algorithms.all)?;
        let identity = self.check_identity(end_entity, &snapshot)?;
        if identity.as_node().is_none() {
            let refused = IdentityError::NotAMember { found: identity.uri() };
            return Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(InWords(refused))))));
        }
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
        // A holder has one certificate and shows it whatever is hinted.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let snapshot = self.trust.current();
        let verified = snapshot.clients.verify_client_cert(end_entity, intermediates, now)?;
        self.check_identity(end_entity, &snapshot)?;
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
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
