//! What the core signs with and checks by: this node's credentials, and the certificates of the others.

use std::sync::Arc;

use cluster_gossip::Seal;
use cluster_gossip::seal::{CertificateTag, Checked, Proof};
use cluster_pool::identity::{Signature, SignatureCheck, Signatures};
use cluster_types::NodeId;

use crate::host::WallClock;

/// The signatures of the credentials in force.
#[derive(Debug)]
pub(crate) struct CertificateSeal {
    pub(crate) signatures: Arc<Signatures>,
    pub(crate) wall_clock: Arc<dyn WallClock>,
}

impl Seal for CertificateSeal {
    fn sign(&self, statement: &[u8]) -> Option<Proof> {
        let Signature { certificate, bytes } = self.signatures.sign(statement)?;
        Some(Proof::new(CertificateTag(certificate), &bytes))
    }

    fn check(&self, signer: &NodeId, statement: &[u8], proof: &Proof) -> Checked {
        match self.signatures.check(signer, statement, proof.certificate().0, proof.signature()) {
            SignatureCheck::Good => Checked::Proven,
            SignatureCheck::Unknown => Checked::Unknown,
            SignatureCheck::Bad => Checked::Forged,
        }
    }

    fn certificate(&self, tag: CertificateTag) -> Option<Vec<u8>> {
        self.signatures.certificate(tag.0)
    }

    fn learn(&self, certificate: &[u8]) -> bool {
        self.signatures.learn(certificate, self.wall_clock.unix_ms() / 1_000)
    }
}
