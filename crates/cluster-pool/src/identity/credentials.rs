//! What a node needs to prove who it is and to know its peers: certificate, key, the authority to trust, the node secret.

use std::fmt;
use std::sync::Arc;

use cluster_types::{ClusterName, NodeId};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::pki::PkiError;
use super::verify::is_trusted_at;
use super::{Identity, Role};

/// The one cryptography used: ring, which keeps a ClientHello in one datagram and builds with a C compiler alone.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Random bytes that outlive restarts and certificate rotation. Connection ids and stateless-reset tokens come from them,
/// which is how a restarted node tells its peers within a round trip that their old connections are gone.
#[derive(Clone)]
pub struct NodeSecret([u8; 32]);

impl NodeSecret {
    /// A fresh secret.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<Self, PkiError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| PkiError::Issue { reason: e.to_string() })?;
        Ok(Self(bytes))
    }

    /// A secret from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for one purpose: HMAC-SHA256 of the purpose under the secret.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.0);
        let tag = ring::hmac::sign(&key, purpose.as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA256 is 32 bytes")
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSecret(..)")
    }
}

/// A node's or client's credentials, checked: the key fits the certificate, and the certificate carries the identity.
#[derive(Debug, Clone)]
pub struct Credentials {
    identity: Identity,
    certified_key: Arc<CertifiedKey>,
    authorities: Vec<CertificateDer<'static>>,
    secret: NodeSecret,
}

impl Credentials {
    pub(crate) fn new(
        identity: Identity,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
        secret: NodeSecret,
    ) -> Result<Self, PkiError> {
        let certified_key = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|e| PkiError::Issue { reason: format!("the key does not fit the certificate: {e}") })?;
        Ok(Self { identity, certified_key: Arc::new(certified_key), authorities, secret })
    }

    /// Who they are for.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The cluster they are for.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterName {
        &self.identity.cluster
    }

    /// The node's or client's name.
    #[must_use]
    pub const fn name(&self) -> &NodeId {
        let (Role::Node(name) | Role::Client(name)) = &self.identity.role;
        name
    }

    pub(crate) const fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified_key
    }

    /// The authorities whose certificates are trusted: one, and while it is being replaced, two.
    #[must_use]
    pub fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// Trusts another authority beside those it has.
    #[must_use]
    pub fn trusting(mut self, authority: CertificateDer<'static>) -> Self {
        self.authorities.push(authority);
        self
    }

    /// Which certificate they show.
    #[must_use]
    pub fn fingerprint(&self) -> super::Fingerprint {
        let certificate = self.certified_key.cert.first().expect("checked where it was made: there is one");
        super::Fingerprint::of(certificate)
    }

    /// The certificate that they show, with those between it and its authority, as [`Signatures::learn`](super::Signatures::learn) takes it.
    #[must_use]
    pub fn certificate_chain(&self) -> Vec<u8> {
        super::statements::encode_chain(&self.certified_key.cert)
    }

    /// Until when peers accept them, in seconds since 1970, asked at `unix_s`: the end of the certificate. (An authority that is trusted is
    /// trusted for as long as its certificate is in the file.) `None` where they are not accepted at `unix_s`: over, or not yet begun.
    #[must_use]
    pub fn valid_until(&self, unix_s: u64) -> Option<u64> {
        /// Whoever issues for longer is not told when it ends.
        const LONGEST_S: u64 = 100 * 365 * 86_400;
        let certificate = self.certified_key.cert.first()?;
        let is_good = |at| self.authorities.iter().any(|authority| is_trusted_at(certificate, authority.clone(), at));
        if !is_good(unix_s) {
            return None;
        }
        // Asked of the very check that peers make, and not read out of the certificate: the two cannot differ.
        let (mut good, mut bad) = (unix_s, unix_s.saturating_add(LONGEST_S));
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if is_good(middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        Some(good)
    }

    pub(crate) const fn secret(&self) -> &NodeSecret {
        &self.secret
    }
}
