//! Statements that outlive the link they came over: signed with the key of a certificate, and checked by whoever hears of them, however many hands
//! they went through.
//!
//! Any key that a handshake can be made with will do. What is signed begins with words of its own, so that no signature of a handshake is ever one of
//! a statement, nor the other way round (a handshake's begin with 64 spaces, RFC 8446, section 4.4.3).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_types::NodeId;
use rustls::SignatureScheme;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;

use super::credentials::provider;
use super::trust::Trust;
use super::{Credentials, Fingerprint, Identity, PkiError, Revocations};
use crate::transport::ReloadError;

/// Certificates of others that are held, the latest: those of everybody who has lately accused somebody, or left.
const KNOWN_MAX: usize = 4_096;

/// The longest chain that is read, in certificates.
const CHAIN_MAX: usize = 8;

/// A signature under a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Says which certificate has the key, to whoever holds it.
    pub certificate: u64,
    /// The scheme, as TLS numbers it, in two bytes, and what the key made.
    pub bytes: Vec<u8>,
}

/// What comes of checking a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureCheck {
    /// The signer signed this.
    Good,
    /// Its certificate is not held here, or it was made in a way that is not known here.
    Unknown,
    /// It did not.
    Bad,
}

/// Signs with the credentials in force, and checks what other members have signed.
pub struct Signatures {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    certificates: BTreeMap<u64, Arc<Certificate>>,
    by_age: VecDeque<u64>,
}

/// One that was in force when it was shown.
struct Certificate {
    identity: Identity,
    fingerprint: Fingerprint,
    leaf: CertificateDer<'static>,
    chain: Vec<u8>,
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signatures").field("own", self.trust.own()).finish_non_exhaustive()
    }
}

impl Signatures {
    /// In the name of these credentials, under the authorities that they trust.
    ///
    /// # Errors
    /// An authority's certificate cannot be used.
    pub fn new(credentials: &Credentials) -> Result<Self, PkiError> {
        let trust = Trust::new(credentials).map_err(|reason| PkiError::Issue { reason })?;
        let algorithms = provider().signature_verification_algorithms;
        Ok(Self { trust, algorithms, known: Mutex::default() })
    }

    /// Signs with other credentials of the same holder from now on, and trusts what they trust. What was checked stays so.
    ///
    /// # Errors
    /// They are somebody else's, or cannot be used.
    pub fn reload(&self, credentials: &Credentials) -> Result<(), ReloadError> {
        self.trust.reload(credentials)
    }

    /// Whose signatures count no more.
    pub fn revoke(&self, revoked: Arc<Revocations>) {
        self.trust.revoke(revoked);
    }

    /// Signs a statement with the key in force. `None` where that key cannot sign now.
    #[must_use]
    pub fn sign(&self, statement: &[u8]) -> Option<Signature> {
        let own = Arc::clone(&self.trust.current().certified_key);
        let schemes: Vec<SignatureScheme> = self.algorithms.mapping.iter().map(|(scheme, _)| *scheme).collect();
        let signer = own.key.choose_scheme(&schemes)?;
        let made = signer.sign(statement).ok()?;
        let scheme = u16::from(signer.scheme()).to_le_bytes();
        Some(Signature { certificate: tag_of(own.cert.first()?), bytes: [&scheme[..], &made].concat() })
    }

    /// Whether a member signed a statement.
    #[must_use]
    pub fn check(&self, signer: &NodeId, statement: &[u8], certificate: u64, signature: &[u8]) -> SignatureCheck {
        let Some(known) = self.known().certificates.get(&certificate).map(Arc::clone) else {
            return self.check_own(signer, statement, certificate, signature);
        };
        if self.trust.current().revoked.covers(&known.identity, known.fingerprint) {
            return SignatureCheck::Unknown;
        }
        if known.identity.as_node() != Some(signer) {
            return SignatureCheck::Bad;
        }
        self.verify(&known.leaf, statement, signature)
    }

    /// This node's own words come back to it, too.
    fn check_own(&self, signer: &NodeId, statement: &[u8], certificate: u64, signature: &[u8]) -> SignatureCheck {
        let own = Arc::clone(&self.trust.current().certified_key);
        match own.cert.first() {
            Some(leaf) if tag_of(leaf) == certificate && self.trust.own().as_node() == Some(signer) => {
                self.verify(leaf, statement, signature)
            }
            _ => SignatureCheck::Unknown,
        }
    }

    fn verify(&self, leaf: &CertificateDer<'_>, statement: &[u8], signature: &[u8]) -> SignatureCheck {
        let Some((scheme, made)) = signature.split_first_chunk::<2>() else { return SignatureCheck::Bad };
        let scheme = SignatureScheme::from(u16::from_le_bytes(*scheme));
        let Some((_, algorithms)) = self.algorithms.mapping.iter().find(|(known, _)| *known == scheme) else {
            return SignatureCheck::Unknown;
        };
        let Ok(parsed) = webpki::EndEntityCert::try_from(leaf) else { return SignatureCheck::Bad };
        let good = algorithms.iter().any(|algorithm| parsed.verify_signature(*algorithm, statement, made).is_ok());
        if good { SignatureCheck::Good } else { SignatureCheck::Bad }
    }

    /// A certificate that is held here, as it travels: with those between it and its authority.
    #[must_use]
    pub fn certificate(&self, tag: u64) -> Option<Vec<u8>> {
        if let Some(known) = self.known().certificates.get(&tag) {
            return Some(known.chain.clone());
        }
        let own = Arc::clone(&self.trust.current().certified_key);
        (tag_of(own.cert.first()?) == tag).then(|| encode_chain(&own.cert))
    }

    /// Takes a certificate as it travels, if it is a member's of this cluster and in force at `unix_s`, in seconds since 1970. Says whether it is
    /// held now.
    pub fn learn(&self, chain: &[u8], unix_s: u64) -> bool {
        let Some(certificates) = decode_chain(chain) else { return false };
        let Some((leaf, between)) = certificates.split_first() else { return false };
        let tag = tag_of(leaf);
        if self.known().certificates.get(&tag).is_some_and(|known| known.leaf == *leaf) {
            return true;
        }
        let Some(identity) = self.member_of(leaf, between, unix_s) else { return false };
        let (leaf, fingerprint) = (leaf.clone().into_owned(), Fingerprint::of(leaf));
        let held = Arc::new(Certificate { identity, fingerprint, leaf, chain: chain.to_vec() });
        let mut known = self.known();
        if known.certificates.insert(tag, held).is_none() {
            known.by_age.push_back(tag);
        }
        while known.by_age.len() > KNOWN_MAX {
            if let Some(oldest) = known.by_age.pop_front() {
                known.certificates.remove(&oldest);
            }
        }
        true
    }

    /// Whose a certificate is, if it is that of a member and in force.
    fn member_of(&self, leaf: &CertificateDer<'_>, between: &[CertificateDer<'_>], unix_s: u64) -> Option<Identity> {
        let snapshot = self.trust.current();
        let parsed = ParsedCertificate::try_from(leaf).ok()?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
        verify_server_cert_signed_by_trust_anchor(&parsed, &snapshot.roots, between, at, self.algorithms.all).ok()?;
        let identity = Identity::of_certificate(leaf).ok()?;
        let is_member = identity.cluster == self.trust.own().cluster && identity.as_node().is_some();
        (is_member && !snapshot.revoked.covers(&identity, Fingerprint::of(leaf))).then_some(identity)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first bytes of its fingerprint.
fn tag_of(certificate: &CertificateDer<'_>) -> u64 {
    Fingerprint::of(certificate).short()
}

/// A certificate and those between it and its authority as they travel: each with its length in front, four bytes, little-endian.
#[must_use]
pub fn encode_chain(chain: &[CertificateDer<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for certificate in chain {
        let len = u32::try_from(certificate.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(certificate);
    }
    bytes
}

fn decode_chain(mut bytes: &[u8]) -> Option<Vec<CertificateDer<'_>>> {
    let mut chain = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let (certificate, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        if chain.len() == CHAIN_MAX {
            return None;
        }
        chain.push(CertificateDer::from(certificate));
        bytes = rest;
    }
    bytes.is_empty().then_some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::authority::Validity;
    use crate::identity::{Authority, Role};

    const NOW: u64 = 1_795_000_000;

    fn credentials(authority: &Authority, name: &str) -> Credentials {
        authority.issue(&name.parse().unwrap(), Validity::days(NOW, 2)).unwrap()
    }

    fn shown(credentials: &Credentials) -> Vec<u8> {
        encode_chain(&credentials.certified_key().cert)
    }

    #[test]
    fn what_a_member_signed_is_good_in_its_name_alone() {
        let authority = Authority::generate("test".parse().unwrap(), NOW).unwrap();
        let [a, b] = ["a", "b"].map(|name| credentials(&authority, name));
        let (signer, judge) = (Signatures::new(&a).unwrap(), Signatures::new(&b).unwrap());
        let signature = signer.sign(b"x is silent").unwrap();
        let check = |name: &str, statement: &[u8], bytes: &[u8]| {
            judge.check(&name.parse().unwrap(), statement, signature.certificate, bytes)
        };
        assert_eq!(check("a", b"x is silent", &signature.bytes), SignatureCheck::Unknown, "no certificate yet");
        assert!(judge.learn(&signer.certificate(signature.certificate).unwrap(), NOW));
        assert_eq!(check("a", b"x is silent", &signature.bytes), SignatureCheck::Good);
        assert_eq!(check("a", b"y is silent", &signature.bytes), SignatureCheck::Bad);
        assert_eq!(check("b", b"x is silent", &signature.bytes), SignatureCheck::Bad, "in another name");
        for at in 0..signature.bytes.len() {
            let mut flipped = signature.bytes.clone();
            flipped[at] ^= 1;
            let checked = check("a", b"x is silent", &flipped);
            // The first two bytes say how it was made.
            assert_ne!(checked, SignatureCheck::Good, "byte {at}");
            assert!(at < 2 || checked == SignatureCheck::Bad, "byte {at}");
        }
        assert_eq!(check("a", b"x is silent", &[]), SignatureCheck::Bad);
        let own = judge.sign(b"mine").unwrap();
        assert_eq!(judge.check(&"b".parse().unwrap(), b"mine", own.certificate, &own.bytes), SignatureCheck::Good);
        assert_eq!(judge.certificate(own.certificate), Some(shown(&b)));
        assert_eq!(judge.certificate(7), None);
    }

    #[test]
    fn only_certificates_of_members_that_are_in_force_are_held() {
        let authority = Authority::generate("test".parse().unwrap(), NOW).unwrap();
        let other = Authority::generate("test".parse().unwrap(), NOW).unwrap();
        let judge = Signatures::new(&credentials(&authority, "j")).unwrap();
        let a = shown(&credentials(&authority, "a"));
        assert!(!judge.learn(&a, NOW + 3 * 86_400), "over");
        assert!(!judge.learn(&shown(&credentials(&other, "a")), NOW), "of another authority");
        let client = Identity { cluster: "test".parse().unwrap(), role: Role::Client("c".parse().unwrap()) };
        let client = authority.issue_identity(client, Validity::days(NOW, 2)).unwrap();
        assert!(!judge.learn(&shown(&client), NOW), "a client's");
        for cut in 0..a.len() {
            assert!(!judge.learn(&a[..cut], NOW), "cut at {cut}");
        }
        assert!(!judge.learn(&a.repeat(CHAIN_MAX + 1), NOW), "too many");
        assert!(judge.learn(&a, NOW) && judge.learn(&a, NOW));
        judge.revoke(Arc::new(Revocations::none().with(&Role::Node("b".parse().unwrap()))));
        assert!(!judge.learn(&shown(&credentials(&authority, "b")), NOW), "revoked");
        assert!(judge.learn(&shown(&credentials(&authority, "d")), NOW));
    }

    /// A certificate that is replaced signs no more, and what it signed stays good.
    #[test]
    fn a_renewed_certificate_signs_from_then_on() {
        let authority = Authority::generate("test".parse().unwrap(), NOW).unwrap();
        let (signer, judge) = (
            Signatures::new(&credentials(&authority, "a")).unwrap(),
            Signatures::new(&credentials(&authority, "j")).unwrap(),
        );
        let former = signer.sign(b"one").unwrap();
        assert!(judge.learn(&signer.certificate(former.certificate).unwrap(), NOW));
        signer.reload(&credentials(&authority, "a")).unwrap();
        let renewed = signer.sign(b"two").unwrap();
        assert_ne!(former.certificate, renewed.certificate);
        assert!(judge.learn(&signer.certificate(renewed.certificate).unwrap(), NOW));
        for (signature, statement) in [(former, b"one"), (renewed, b"two")] {
            let checked = judge.check(&"a".parse().unwrap(), statement, signature.certificate, &signature.bytes);
            assert_eq!(checked, SignatureCheck::Good);
        }
        assert!(signer.reload(&credentials(&authority, "b")).is_err(), "somebody else's");
    }

    #[test]
    fn the_latest_certificates_are_held() {
        let authority = Authority::generate("test".parse().unwrap(), NOW).unwrap();
        let judge = Signatures::new(&credentials(&authority, "j")).unwrap();
        // As if so many had been learnt before.
        {
            let mut known = judge.known();
            known.by_age.extend(0..KNOWN_MAX as u64);
        }
        let a = credentials(&authority, "a");
        assert!(judge.learn(&shown(&a), NOW));
        assert_eq!(judge.known().by_age.len(), KNOWN_MAX);
        assert!(judge.certificate(a.fingerprint().short()).is_some());
    }
}
