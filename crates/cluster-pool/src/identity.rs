//! Identity is the certificate: the URI in its subject alternative names says which cluster and which node.
//!
//! `cluster://<cluster>/<node>` is a member, `cluster://<cluster>/client/<name>` may open links but never appears in
//! membership, and `cluster://<cluster>` stands in the authority's own certificate, so that a directory with an authority
//! knows which cluster it is for.

pub mod authority;
pub mod credentials;
pub mod pki;
pub mod revocation;
pub mod statements;
pub(crate) mod trust;
pub mod verify;

use std::fmt;

use cluster_types::{ClusterName, IdError, NodeId};
use rustls::pki_types::CertificateDer;

pub use authority::Authority;
pub use credentials::{Credentials, NodeSecret};
pub use pki::{Pki, PkiError};
pub use revocation::{Fingerprint, Revocations, RevocationsError};
pub use statements::{Signature, SignatureCheck, Signatures};

/// What a certificate says its holder is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// A member of the cluster.
    Node(NodeId),
    /// Somebody who may open links to members and is none.
    Client(NodeId),
}

/// The holder of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The cluster the certificate is for.
    pub cluster: ClusterName,
    /// What the holder is in it.
    pub role: Role,
}

impl Identity {
    /// A member's identity.
    #[must_use]
    pub const fn node(cluster: ClusterName, node: NodeId) -> Self {
        Self { cluster, role: Role::Node(node) }
    }

    /// The URI as it stands in the certificate.
    #[must_use]
    pub fn uri(&self) -> String {
        match &self.role {
            Role::Node(node) => format!("{SCHEME}{}/{node}", self.cluster),
            Role::Client(name) => format!("{SCHEME}{}/{CLIENT}/{name}", self.cluster),
        }
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// Another scheme, a missing part or a name outside the alphabet.
    pub fn parse_uri(uri: &str) -> Result<Self, IdentityError> {
        let malformed = |why: &'static str| IdentityError::Malformed { uri: uri.to_owned(), why };
        let path = uri.strip_prefix(SCHEME).ok_or(malformed("it does not begin with cluster://"))?;
        let name = |text: &str| NodeId::new(text).map_err(|e| IdentityError::Name { uri: uri.to_owned(), source: e });
        let cluster =
            |text: &str| ClusterName::new(text).map_err(|e| IdentityError::Name { uri: uri.to_owned(), source: e });
        match *path.split('/').collect::<Vec<_>>() {
            [c, node] => Ok(Self { cluster: cluster(c)?, role: Role::Node(name(node)?) }),
            [c, CLIENT, client] => Ok(Self { cluster: cluster(c)?, role: Role::Client(name(client)?) }),
            _ => Err(malformed("it must be cluster://CLUSTER/NODE or cluster://CLUSTER/client/NAME")),
        }
    }

    /// Reads the one URI of a certificate.
    ///
    /// # Errors
    /// No URI, more than one, or one that is not an identity.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let uris = uris_of(certificate)?;
        match uris.as_slice() {
            [] => Err(IdentityError::Absent),
            [one] => Self::parse_uri(one),
            several => Err(IdentityError::Several { count: several.len() }),
        }
    }

    /// The node's name, when this is a member.
    #[must_use]
    pub const fn as_node(&self) -> Option<&NodeId> {
        match &self.role {
            Role::Node(node) => Some(node),
            Role::Client(_) => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri())
    }
}

const SCHEME: &str = "cluster://";
const CLIENT: &str = "client";

fn uris_of(certificate: &CertificateDer<'_>) -> Result<Vec<String>, IdentityError> {
    let parsed = webpki::EndEntityCert::try_from(certificate)
        .map_err(|e| IdentityError::Unreadable { reason: e.to_string() })?;
    Ok(parsed.valid_uri_names().map(str::to_owned).collect())
}

/// The cluster an authority's certificate is for.
///
/// # Errors
/// No `cluster://NAME` URI in it.
pub fn cluster_of_authority(certificate: &CertificateDer<'_>) -> Result<ClusterName, IdentityError> {
    let uris = uris_of(certificate)?;
    let [uri] = uris.as_slice() else {
        return Err(IdentityError::Absent);
    };
    let malformed = IdentityError::Malformed { uri: uri.clone(), why: "an authority's must be cluster://CLUSTER" };
    let text = uri.strip_prefix(SCHEME).ok_or(malformed)?;
    ClusterName::new(text).map_err(|e| IdentityError::Name { uri: uri.clone(), source: e })
}

/// Why a certificate carries no usable identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The bytes are not an X.509 certificate.
    #[error("the certificate cannot be read: {reason}")]
    Unreadable {
        /// What the parser says.
        reason: String,
    },
    /// There is no URI in the subject alternative names.
    #[error("the certificate carries no cluster:// URI, so it is nobody's identity in a cluster")]
    Absent,
    /// There is more than one URI.
    #[error("the certificate carries {count} URIs, exactly one is allowed")]
    Several {
        /// How many.
        count: usize,
    },
    /// The URI has another form.
    #[error("{uri:?} is not an identity: {why}")]
    Malformed {
        /// The URI.
        uri: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A part of the URI is not a name.
    #[error("{uri:?} is not an identity")]
    Name {
        /// The URI.
        uri: String,
        /// What is wrong with the name.
        source: IdError,
    },
    /// A client answers where a member was dialled.
    #[error("{found} is a client's identity, and only members answer")]
    NotAMember {
        /// Who answered.
        found: String,
    },
    /// The identity is of another cluster.
    #[error("the certificate is for cluster {theirs}, this is cluster {ours}")]
    OtherCluster {
        /// This side's cluster.
        ours: ClusterName,
        /// The certificate's cluster.
        theirs: ClusterName,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_round_trip() {
        for uri in ["cluster://prod/db-1", "cluster://prod/client/loader"] {
            assert_eq!(Identity::parse_uri(uri).unwrap().uri(), uri);
        }
        let client = Identity::parse_uri("cluster://prod/client/loader").unwrap();
        assert_eq!(client.as_node(), None, "a client is no member");
    }

    #[test]
    fn other_uris_are_refused_with_a_reason() {
        let reason = |uri| Identity::parse_uri(uri).unwrap_err().to_string();
        assert!(reason("https://prod/db-1").contains("does not begin with cluster://"));
        assert!(reason("cluster://prod").contains("must be cluster://CLUSTER/NODE"));
        assert!(reason("cluster://prod/a/b").contains("must be cluster://CLUSTER/NODE"));
        assert!(reason("cluster:///db-1").contains("is not an identity"));
        assert!(reason("cluster://prod/d b").contains("is not an identity"));
    }
}
