//! Who said it: statements are signed by whoever they are of, so that they keep their worth however many hands they go through.
//!
//! Two kinds are signed: what a node says of itself (that it lives, with which incarnation and where, and that it has left), and
//! accusations. Probes and their answers are not: they come over an authenticated link and go no further.
//!
//! The core knows no keys. It hands bytes to a [`Seal`] and holds what comes back; certificates travel apart, when somebody lacks one, and are
//! named by a short tag in each proof.

use std::fmt;
use std::sync::Arc;

use cluster_types::{Claim, NodeId, State};

use crate::wire::{Vote, bytes_of};

/// The longest proof, in bytes: a signature by an RSA key of 4,096 bits, and what stands before it.
pub const PROOF_LEN_MAX: usize = 544;

/// The longest certificate that is carried, with those between it and its authority, in bytes.
pub const CERTIFICATE_LEN_MAX: usize = 16 * 1024;

/// Names a certificate among those of a cluster. It is a hint for finding the certificate and proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateTag(pub u64);

/// A signature as it travels: the tag of the certificate, then what the seal of the signer has made.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof(Arc<Box<[u8]>>);

impl Proof {
    /// A proof of a certificate's key.
    #[must_use]
    pub fn new(certificate: CertificateTag, signature: &[u8]) -> Self {
        let bytes: Box<[u8]> = [&certificate.0.to_le_bytes()[..], signature].concat().into();
        Self(Arc::new(bytes))
    }

    /// From the wire; `None` where it is too short or too long to be one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (9..=PROOF_LEN_MAX).contains(&bytes.len()).then(|| Self(Arc::new(bytes.into())))
    }

    /// As it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whose key made it.
    #[must_use]
    pub fn certificate(&self) -> CertificateTag {
        let (tag, _) = self.0.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        CertificateTag(u64::from_le_bytes(*tag))
    }

    /// What the seal has made.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.0.get(8..).unwrap_or_default()
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({:016x}, {} bytes)", self.certificate().0, self.signature().len())
    }
}

/// What comes of looking at a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The signer said so.
    Proven,
    /// The certificate is not known here, or the proof is of a kind that is not.
    Unknown,
    /// The signer did not say so: whoever passes this on has not looked, or has made it up.
    Forged,
}

/// Signs in this node's name, and knows the certificates of others.
pub trait Seal: fmt::Debug + Send + Sync {
    /// Signs a statement. `None` where the key cannot: it is told unsigned, and counts for those alone who hear it from this node itself.
    fn sign(&self, statement: &[u8]) -> Option<Proof>;

    /// Whether `signer` signed a statement.
    fn check(&self, signer: &NodeId, statement: &[u8], proof: &Proof) -> Checked;

    /// A certificate that is held here, as it travels.
    fn certificate(&self, tag: CertificateTag) -> Option<Vec<u8>>;

    /// Takes a certificate that another node holds; says whether it is in force here. Held are so many, the latest.
    fn learn(&self, certificate: &[u8]) -> bool;

    /// Whether anything must be signed at all.
    fn is_demanded(&self) -> bool {
        true
    }
}

/// Signs nothing and asks for nothing: every member is believed whatever it says of others. For tests of the core, and for networks without
/// authentication.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSeal;

impl Seal for NoSeal {
    fn sign(&self, _statement: &[u8]) -> Option<Proof> {
        None
    }

    fn check(&self, _signer: &NodeId, _statement: &[u8], _proof: &Proof) -> Checked {
        Checked::Proven
    }

    fn certificate(&self, _tag: CertificateTag) -> Option<Vec<u8>> {
        None
    }

    fn learn(&self, _certificate: &[u8]) -> bool {
        false
    }

    fn is_demanded(&self) -> bool {
        false
    }
}

/// The bytes that a node signs of itself. Whether others suspect it is no part of its word.
#[must_use]
pub fn statement_of(claim: &Claim) -> Vec<u8> {
    let Claim { node, life, incarnation, state, meta_version, addr, facts } = claim;
    let left = *state == State::Left;
    let said = (node.as_str(), life.get(), incarnation.get(), left, meta_version, addr, facts.encode());
    bytes_of(&("cluster/1 of itself", said))
}

/// The bytes that an accuser signs.
#[must_use]
pub fn statement_of_vote(subject: &Claim, vote: &Vote) -> Vec<u8> {
    let Vote { accuser, life, sign_ms, silence, unanswered, age: _ } = vote;
    let accused = (subject.node.as_str(), subject.life.get(), subject.incarnation.get());
    let said = (accuser.as_str(), life.get(), sign_ms, silence.as_millis() as u64, unanswered.as_millis() as u64);
    bytes_of(&("cluster/1 accuses", accused, said))
}

/// Whether two claims are the same word of their subject, whatever others hold of it.
#[must_use]
pub(crate) fn is_same_word(a: &Claim, b: &Claim) -> bool {
    let left = |claim: &Claim| claim.state == State::Left;
    (a.life, a.incarnation, a.meta_version, a.addr) == (b.life, b.incarnation, b.meta_version, b.addr)
        && left(a) == left(b)
        && a.facts == b.facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::{Facts, Incarnation, Life};
    use std::time::Duration;

    fn claim() -> Claim {
        let addr = "10.0.0.1:1".parse().unwrap();
        Claim::alive("x".parse().unwrap(), Life::from_raw(7), Incarnation::from_raw(9), addr)
    }

    #[test]
    fn a_proof_names_its_certificate_and_keeps_to_its_length() {
        let proof = Proof::new(CertificateTag(0x0102), &[9; 64]);
        assert_eq!((proof.certificate(), proof.signature()), (CertificateTag(0x0102), &[9; 64][..]));
        assert_eq!(Proof::from_bytes(proof.as_bytes()), Some(proof.clone()));
        assert_eq!(format!("{proof:?}"), "Proof(0000000000000102, 64 bytes)");
        for (len, is_one) in [(0, false), (8, false), (9, true), (PROOF_LEN_MAX, true), (PROOF_LEN_MAX + 1, false)] {
            assert_eq!(Proof::from_bytes(&vec![1; len]).is_some(), is_one, "{len}");
        }
    }

    /// Whatever is said differs in the bytes that are signed, and an accusation is never a word of its subject.
    #[test]
    fn every_part_of_a_statement_is_signed() {
        let claim = claim();
        let others = [
            Claim { node: "y".parse().unwrap(), ..claim.clone() },
            Claim { life: Life::from_raw(8), ..claim.clone() },
            Claim { incarnation: Incarnation::from_raw(10), ..claim.clone() },
            Claim { state: State::Left, ..claim.clone() },
            Claim { meta_version: 1, ..claim.clone() },
            Claim { addr: "10.0.0.1:2".parse().unwrap(), ..claim.clone() },
            Claim { facts: Facts::decode(&[1, 2, 3]).unwrap(), ..claim.clone() },
        ];
        for other in &others {
            assert_ne!(statement_of(other), statement_of(&claim), "{other:?}");
            assert!(other.node != claim.node || !is_same_word(other, &claim), "{other:?}");
        }
        for state in [State::Suspect, State::Failed] {
            let held = Claim { state, ..claim.clone() };
            assert_eq!(statement_of(&held), statement_of(&claim), "its word is the same, whatever others make of it");
            assert!(is_same_word(&held, &claim));
        }
        let ms = Duration::from_millis;
        let vote = Vote {
            accuser: "j".parse().unwrap(),
            life: Life::from_raw(3),
            sign_ms: 5,
            silence: ms(6),
            unanswered: ms(2),
            age: ms(1),
        };
        let votes = [
            Vote { accuser: "k".parse().unwrap(), ..vote.clone() },
            Vote { life: Life::from_raw(4), ..vote.clone() },
            Vote { sign_ms: 6, ..vote.clone() },
            Vote { silence: ms(7), ..vote.clone() },
            Vote { unanswered: ms(3), ..vote.clone() },
        ];
        let signed = statement_of_vote(&claim, &vote);
        for other in &votes {
            assert_ne!(statement_of_vote(&claim, other), signed, "{other:?}");
        }
        for other in &others[..3] {
            assert_ne!(statement_of_vote(other, &vote), signed, "{other:?}");
        }
        assert_eq!(statement_of_vote(&claim, &Vote { age: ms(99), ..vote }), signed, "each who holds it counts that");
        assert_ne!(signed, statement_of(&claim));
    }
}
