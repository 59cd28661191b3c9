//! Certificates that are no longer accepted, though an authority signed them and their time is not over.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use cluster_types::{ClusterName, NodeId};
use rustls::pki_types::CertificateDer;

use super::{Identity, Role};

/// SHA-256 of a certificate's bytes: which certificate it is, whoever holds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        Self(digest.as_ref().try_into().expect("SHA-256 is 32 bytes"))
    }

    /// Its first eight bytes as a number: enough to find a certificate among those of a cluster, and no proof.
    #[must_use]
    pub const fn short(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// From its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

/// Before a fingerprint in a list.
const SHA256: &str = "sha256:";

/// Who is not accepted any more.
///
/// As text it has a line for each: `NAME` for a node, `client/NAME` for a client, with every certificate they ever had; or
/// `sha256:` and 64 hexadecimal digits for one certificate. What follows a `#` is a comment.
///
/// ```
/// use cluster_pool::identity::Revocations;
///
/// let revoked: Revocations = "db-3  # stolen on Monday\nclient/loader\n".parse().unwrap();
/// assert_eq!(revoked.len(), 2);
/// let error = "db 3".parse::<Revocations>().unwrap_err();
/// assert!(error.to_string().starts_with("line 1: \"db 3\" is neither"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    nodes: BTreeSet<NodeId>,
    clients: BTreeSet<NodeId>,
    certificates: BTreeSet<Fingerprint>,
}

impl Revocations {
    /// Nobody.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything that a node or a client ever had.
    #[must_use]
    pub fn with(mut self, holder: &Role) -> Self {
        match holder {
            Role::Node(node) => self.nodes.insert(node.clone()),
            Role::Client(client) => self.clients.insert(client.clone()),
        };
        self
    }

    /// One certificate: its holder may have another.
    #[must_use]
    pub fn with_certificate(mut self, certificate: Fingerprint) -> Self {
        self.certificates.insert(certificate);
        self
    }

    /// Whether a certificate of that holder is revoked.
    #[must_use]
    pub fn covers(&self, identity: &Identity, certificate: Fingerprint) -> bool {
        self.holds(&identity.role) || self.certificates.contains(&certificate)
    }

    /// Whether everything is revoked that somebody ever had.
    #[must_use]
    pub fn holds(&self, holder: &Role) -> bool {
        match holder {
            Role::Node(node) => self.nodes.contains(node),
            Role::Client(client) => self.clients.contains(client),
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len() + self.clients.len() + self.certificates.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(self, entry: &str) -> Option<Self> {
        if let Some(hex) = entry.strip_prefix(SHA256) {
            return super::pki::parse_hex(hex).map(|bytes| self.with_certificate(Fingerprint(bytes)));
        }
        // The name of the cluster is not part of an entry: a list belongs to one.
        let anywhere = ClusterName::new("any").ok()?;
        Some(self.with(&Identity::parse_uri(&format!("cluster://{anywhere}/{entry}")).ok()?.role))
    }
}

/// The text is no list of revocations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: {entry:?} is neither a node's name, nor client/NAME, nor sha256: with 64 hexadecimal digits: correct it or take it out"
)]
pub struct RevocationsError {
    /// Which line, from 1.
    pub line: usize,
    /// What stands there.
    pub entry: String,
}

impl FromStr for Revocations {
    type Err = RevocationsError;

    fn from_str(text: &str) -> Result<Self, RevocationsError> {
        let mut revoked = Self::default();
        for (at, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if !entry.is_empty() {
                let wrong = || RevocationsError { line: at + 1, entry: entry.to_owned() };
                revoked = revoked.add(entry).ok_or_else(wrong)?;
            }
        }
        Ok(revoked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_covered_with_everything_and_a_certificate_alone() {
        let one = Fingerprint([7; 32]);
        let text = format!("# ours\ndb-1\n\nclient/loader # gone\n{SHA256}{one}\n");
        let revoked: Revocations = text.parse().unwrap();
        let covers = |uri: &str, fingerprint| revoked.covers(&Identity::parse_uri(uri).unwrap(), fingerprint);
        let other = Fingerprint([8; 32]);
        assert!(covers("cluster://prod/db-1", other) && covers("cluster://prod/client/loader", other));
        assert!(!covers("cluster://prod/loader", other) && !covers("cluster://prod/client/db-1", other));
        assert!(covers("cluster://prod/db-2", one) && !covers("cluster://prod/db-2", other));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for wrong in ["a/b", "client/", "sha256:12", "client/a/b", "sha256:"] {
            let error = format!("fine\n{wrong}").parse::<Revocations>().unwrap_err();
            assert_eq!((error.line, error.entry.as_str()), (2, wrong));
        }
    }
}
