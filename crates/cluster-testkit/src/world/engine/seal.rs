//! Signatures in a world without keys: a hash under a secret of the world, which nobody in it knows. As long as those of Ed25519, and certificates
//! as long as the authority's, so that they cost on the wire what they cost elsewhere.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cluster_gossip::Seal;
use cluster_gossip::seal::{CertificateTag, Checked, Proof};
use cluster_types::{NodeId, Seed};

use crate::world::hashing::Mixing;

/// A signature of Ed25519, with its scheme.
const SIGNATURE_LEN: usize = 66;

/// A certificate as the authority of `cluster pki` issues it.
const CERTIFICATE_LEN: usize = 480;

/// Signs in the name of one node.
#[derive(Debug)]
pub(super) struct WorldSeal {
    own: NodeId,
    secret: Seed,
    /// Whose certificates are held.
    known: Mutex<BTreeMap<CertificateTag, NodeId>>,
}

impl WorldSeal {
    pub(super) fn new(own: NodeId, secret: Seed) -> Self {
        Self { own, secret, known: Mutex::default() }
    }

    /// What the node shows in a handshake.
    pub(super) fn shown(&self) -> Vec<u8> {
        certificate_of(&self.own)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<CertificateTag, NodeId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signature(&self, signer: &NodeId, statement: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut hash = Mixing::default();
        hash.write_u64(self.secret.draw(1));
        hash.write(signer.as_str().as_bytes());
        hash.write_usize(statement.len());
        hash.write(statement);
        let mut bytes = [0; SIGNATURE_LEN];
        bytes[..8].copy_from_slice(&hash.finish().to_le_bytes());
        bytes
    }
}

fn tag_of(node: &NodeId) -> CertificateTag {
    let mut hash = Mixing::default();
    hash.write_usize(node.as_str().len());
    hash.write(node.as_str().as_bytes());
    CertificateTag(hash.finish())
}

/// Its name, and zeros.
fn certificate_of(node: &NodeId) -> Vec<u8> {
    let mut bytes = node.as_str().as_bytes().to_vec();
    bytes.resize(CERTIFICATE_LEN, 0);
    bytes
}

impl Seal for WorldSeal {
    fn sign(&self, statement: &[u8]) -> Option<Proof> {
        Some(Proof::new(tag_of(&self.own), &self.signature(&self.own, statement)))
    }

    fn check(&self, signer: &NodeId, statement: &[u8], proof: &Proof) -> Checked {
        let tag = proof.certificate();
        let holder = if tag == tag_of(&self.own) { Some(self.own.clone()) } else { self.known().get(&tag).cloned() };
        match holder {
            None => Checked::Unknown,
            Some(holder) if holder == *signer && proof.signature() == self.signature(signer, statement) => {
                Checked::Proven
            }
            Some(_) => Checked::Forged,
        }
    }

    fn certificate(&self, tag: CertificateTag) -> Option<Vec<u8>> {
        if tag == tag_of(&self.own) {
            return Some(self.shown());
        }
        self.known().get(&tag).map(certificate_of)
    }

    fn learn(&self, certificate: &[u8]) -> bool {
        let name = certificate.split(|byte| *byte == 0).next().unwrap_or_default();
        let node = std::str::from_utf8(name).ok().and_then(|name| NodeId::new(name).ok());
        let Some(node) = node.filter(|node| certificate_of(node) == certificate) else { return false };
        self.known().insert(tag_of(&node), node);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_signed_is_proven_in_its_name_alone_to_whoever_holds_its_certificate() {
        let [a, b]: [NodeId; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let [signer, judge] = [&a, &b].map(|node| WorldSeal::new(node.clone(), Seed::new(7)));
        let proof = signer.sign(b"said").unwrap();
        assert_eq!(judge.check(&a, b"said", &proof), Checked::Unknown);
        assert_eq!(judge.certificate(proof.certificate()), None);
        assert!(judge.learn(&signer.certificate(proof.certificate()).unwrap()) && !judge.learn(b"a"));
        assert_eq!(judge.check(&a, b"said", &proof), Checked::Proven);
        assert_eq!(judge.check(&a, b"saie", &proof), Checked::Forged);
        assert_eq!(judge.check(&b, b"said", &proof), Checked::Forged);
        let stranger = WorldSeal::new(a.clone(), Seed::new(8)).sign(b"said").unwrap();
        assert_eq!(judge.check(&a, b"said", &stranger), Checked::Forged, "without the secret");
    }
}
