//! The certificate authority of a cluster: makes and signs certificates. Ed25519 throughout, because its signatures have
//! one length, which keeps packet sizes, and so simulated traces, the same from run to run.

use std::time::Duration;

use cluster_types::{ClusterName, NodeId};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use super::credentials::{Credentials, NodeSecret};
use super::pki::PkiError;
use super::{Identity, SCHEME};

/// From when to when a certificate holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub from_unix_s: u64,
    /// Last second.
    pub until_unix_s: u64,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Validity {
    /// From a day before `unix_s` (clocks differ) for `days` days.
    #[must_use]
    pub const fn days(unix_s: u64, days: u32) -> Self {
        let from_unix_s = unix_s.saturating_sub(DAY.as_secs());
        Self { from_unix_s, until_unix_s: unix_s.saturating_add(DAY.as_secs() * days as u64) }
    }
}

/// Ten years: renewing an authority means touching every node.
const AUTHORITY_DAYS: u32 = 3_650;
/// A year for a node: renewed at start when the authority's key is at hand.
const NODE_DAYS: u32 = 365;

/// A cluster's authority: its certificate and its key.
#[derive(Debug)]
pub struct Authority {
    cluster: ClusterName,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn params(common_name: String, uri: &str, validity: Validity) -> Result<CertificateParams, PkiError> {
    let date = |unix_s: u64| {
        OffsetDateTime::from_unix_timestamp(i64::try_from(unix_s).unwrap_or(i64::MAX))
            .map_err(|e| PkiError::Issue { reason: format!("the validity is out of range: {e}") })
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(PkiError::issue)?)];
    params.not_before = date(validity.from_unix_s)?;
    params.not_after = date(validity.until_unix_s)?;
    Ok(params)
}

fn authority_params(cluster: &ClusterName, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params = params(format!("{cluster} cluster authority"), &format!("{SCHEME}{cluster}"), validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A random serial number of one length: 16 bytes, of which the first is 0x40 to 0x7f. A derived one is a byte shorter now
/// and then, and packets with it, and so a simulated trace.
fn serial_number() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| PkiError::Issue { reason: e.to_string() })?;
    bytes[0] = 0x40 | (bytes[0] & 0x3f);
    Ok(SerialNumber::from_slice(&bytes))
}

impl Authority {
    /// A new authority with a fresh key, valid for ten years from `unix_s`.
    ///
    /// # Errors
    /// The system has no randomness, or the time is out of range.
    pub fn generate(cluster: ClusterName, unix_s: u64) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(PkiError::issue)?;
        let mut params = authority_params(&cluster, Validity::days(unix_s, AUTHORITY_DAYS))?;
        params.serial_number = Some(serial_number()?);
        let certificate = params.self_signed(&key).map_err(PkiError::issue)?.der().clone();
        Ok(Self { cluster, certificate, issuer: Issuer::new(params, key) })
    }

    /// An authority from its certificate and its PKCS#8 key in PEM.
    ///
    /// # Errors
    /// A key that cannot be read, or a certificate that says no cluster.
    pub fn from_parts(certificate: CertificateDer<'static>, key_pem: &str) -> Result<Self, PkiError> {
        let cluster = super::cluster_of_authority(&certificate).map_err(|source| PkiError::Identity { source })?;
        let key = KeyPair::from_pem(key_pem).map_err(PkiError::issue)?;
        // The issuer's name and key id are all that goes into what it signs; both follow from the cluster and the key.
        let params = authority_params(&cluster, Validity::days(0, 1))?;
        Ok(Self { cluster, certificate, issuer: Issuer::new(params, key) })
    }

    /// The cluster it signs for.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Its certificate, which members trust.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a certificate for a key that exists.
    ///
    /// # Errors
    /// A validity out of range.
    pub(crate) fn sign(
        &self,
        identity: &Identity,
        key: &KeyPair,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, PkiError> {
        let (super::Role::Node(name) | super::Role::Client(name)) = &identity.role;
        let mut params = params(name.to_string(), &identity.uri(), validity)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial_number()?);
        Ok(params.signed_by(key, &self.issuer).map_err(PkiError::issue)?.der().clone())
    }

    pub(crate) fn sign_for_a_year(
        &self,
        identity: &Identity,
        key: &KeyPair,
        unix_s: u64,
    ) -> Result<CertificateDer<'static>, PkiError> {
        self.sign(identity, key, Validity::days(unix_s, NODE_DAYS))
    }

    /// Credentials for a node with a fresh key, in memory only: for tests, demos and one-process clusters.
    ///
    /// # Errors
    /// The system has no randomness, or the time is out of range.
    pub fn issue(&self, node: &NodeId, validity: Validity) -> Result<Credentials, PkiError> {
        self.issue_identity(Identity::node(self.cluster.clone(), node.clone()), validity)
    }

    /// As [`issue`](Self::issue), for any identity: also one of another cluster, which its peers must refuse.
    ///
    /// # Errors
    /// The system has no randomness, or the time is out of range.
    pub fn issue_identity(&self, identity: Identity, validity: Validity) -> Result<Credentials, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(PkiError::issue)?;
        let certificate = self.sign(&identity, &key, validity)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Credentials::new(identity, vec![certificate], key, vec![self.certificate.clone()], NodeSecret::generate()?)
    }
}
