//! The directory with a cluster's keys, shared by any number of agents that may all start at once.
//!
//! `ca.crt`, `ca.key` (only where certificates are issued), and for each node `NAME.crt`, `NAME.key`, `NAME.secret`. Every
//! file is written beside its place and moved there, keys and secrets by a link that fails where one exists: whoever comes
//! second uses what is there. There is no lock file that a killed process could leave behind.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cluster_types::{Blame, Blamed, ClusterName, NodeId};
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::Authority;
use super::credentials::{Credentials, NodeSecret};
use super::verify::is_trusted_at;
use super::{Identity, IdentityError, Revocations, RevocationsError, Role, cluster_of_authority};

/// The stem of the authority's files.
const RESERVED: &str = "ca";

/// The file with the revoked ones.
const REVOKED: &str = "revoked";

const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

/// Why keys or certificates could not be made or loaded. Nothing was changed that was there before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// There is no authority in the directory.
    #[error("{} holds no certificate authority (no ca.crt)", dir.display())]
    NoAuthority {
        /// The directory.
        dir: PathBuf,
    },
    /// There is one already, and it would be lost.
    #[error("{} already holds a certificate authority: nothing was changed", dir.display())]
    AuthorityExists {
        /// The directory.
        dir: PathBuf,
    },
    /// The node has no certificate, and there is no authority's key to make one.
    #[error("{} holds no certificate for {name}, and no ca.key to issue one", dir.display())]
    CannotIssue {
        /// The directory.
        dir: PathBuf,
        /// The node.
        name: NodeId,
    },
    /// The node's files would be the authority's.
    #[error("a node cannot be named {RESERVED}: {RESERVED}.crt and {RESERVED}.key are the authority's files")]
    ReservedName,
    /// A file could not be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate is for somebody else.
    #[error("{} is a certificate for {found}, not for {wanted}", path.display())]
    OtherIdentity {
        /// The file.
        path: PathBuf,
        /// Who it is for.
        found: Box<Identity>,
        /// Who it should be for.
        wanted: Box<Identity>,
    },
    /// A certificate carries no identity.
    #[error("the certificate is of no use")]
    Identity {
        /// Why.
        source: IdentityError,
    },
    /// Making a key or a certificate failed.
    #[error("no key or certificate could be made: {reason}")]
    Issue {
        /// Why.
        reason: String,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] cluster_types::IdError),
}

impl PkiError {
    pub(crate) fn issue(error: rcgen::Error) -> Self {
        Self::Issue { reason: error.to_string() }
    }
}

impl Blamed for PkiError {
    fn blame(&self) -> Blame {
        match self {
            Self::File { .. } | Self::Issue { .. } => Blame::EnvironmentFailed,
            _ => Blame::CallerMisused,
        }
    }
}

/// A directory of keys and certificates.
#[derive(Debug, Clone)]
pub struct Pki {
    dir: PathBuf,
}

impl Pki {
    /// The directory at `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Makes an authority for a cluster; the directory is created when it does not exist.
    ///
    /// # Errors
    /// [`PkiError::AuthorityExists`] when one stands there already, or the directory cannot be written.
    pub fn init(&self, cluster: ClusterName, unix_s: u64) -> Result<(), PkiError> {
        fs::create_dir_all(&self.dir).map_err(|e| file_error(&self.dir, e))?;
        let exists = || PkiError::AuthorityExists { dir: self.dir.clone() };
        if self.path("ca", "crt").exists() || self.path("ca", "key").exists() {
            return Err(exists());
        }
        let authority = Authority::generate(cluster, unix_s)?;
        if !place_new(&self.path("ca", "key"), authority.key_pem().as_bytes(), SECRET)? {
            return Err(exists());
        }
        place(&self.path("ca", "crt"), pem_of(authority.certificate()).as_bytes(), PUBLIC)
    }

    /// The cluster of the authority in this directory.
    ///
    /// # Errors
    /// [`PkiError::NoAuthority`], or a damaged file.
    pub fn cluster(&self) -> Result<ClusterName, PkiError> {
        let certificate = self.authority_certificate()?;
        cluster_of_authority(&certificate).map_err(|source| PkiError::Identity { source })
    }

    /// Makes key, certificate and secret for a node where they are missing; an existing key is kept and gets a new
    /// certificate. The name may already be in use by a process that started at the same moment: both end with one key.
    ///
    /// # Errors
    /// No authority or no authority's key, or a file that cannot be read or written.
    pub fn issue(&self, name: &NodeId, unix_s: u64) -> Result<(), PkiError> {
        check_name(name)?;
        let authority = self.authority_certificate()?;
        let ca_key = match read(&self.path("ca", "key")) {
            Err(PkiError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(PkiError::CannotIssue { dir: self.dir.clone(), name: name.clone() });
            }
            other => other?,
        };
        let authority = Authority::from_parts(authority, &ca_key)?;
        let key = self.key_of(name)?;
        let identity = Identity::node(authority.cluster().clone(), name.clone());
        let certificate = authority.sign_for_a_year(&identity, &key, unix_s)?;
        place(&self.path(name.as_str(), "crt"), pem_of(&certificate).as_bytes(), PUBLIC)?;
        self.secret_of(name).map(drop)
    }

    /// Loads a node's credentials, issuing what is missing when the authority's key is there.
    ///
    /// # Errors
    /// No authority, nothing to issue with, or damaged or foreign files.
    pub fn load_or_issue(&self, name: &NodeId, unix_s: u64) -> Result<Credentials, PkiError> {
        check_name(name)?;
        self.authority_certificate()?;
        let present = |stem: &str, extension| self.path(stem, extension).exists();
        let complete = present(name.as_str(), "crt") && present(name.as_str(), "key");
        if !complete || (present("ca", "key") && self.is_expiring(name, unix_s)) {
            self.issue(name, unix_s)?;
        }
        self.load(name)
    }

    /// Whether the certificate is of no use 30 days from now: long enough to be seen, short enough to keep a year a year.
    fn is_expiring(&self, name: &NodeId, unix_s: u64) -> bool {
        const MARGIN_S: u64 = 30 * 86_400;
        match (self.authority_certificates(), certificate_at(&self.path(name.as_str(), "crt"))) {
            (Ok(authorities), Ok(certificate)) => {
                !authorities.into_iter().any(|authority| is_trusted_at(&certificate, authority, unix_s + MARGIN_S))
            }
            _ => false,
        }
    }

    /// Loads a node's credentials as they are.
    ///
    /// # Errors
    /// No authority, or missing, damaged or foreign files.
    pub fn load(&self, name: &NodeId) -> Result<Credentials, PkiError> {
        check_name(name)?;
        let authority = self.authority_certificate()?;
        let cluster = cluster_of_authority(&authority).map_err(|source| PkiError::Identity { source })?;
        let path = self.path(name.as_str(), "crt");
        let certificate = certificate_at(&path)?;
        let wanted = Identity::node(cluster, name.clone());
        let found = Identity::of_certificate(&certificate).map_err(|source| PkiError::Identity { source })?;
        if found != wanted {
            return Err(PkiError::OtherIdentity { path, found: Box::new(found), wanted: Box::new(wanted) });
        }
        let key_path = self.path(name.as_str(), "key");
        let key = PrivateKeyDer::from_pem_slice(read(&key_path)?.as_bytes())
            .map_err(|e| PkiError::Damaged { path: key_path.clone(), reason: e.to_string() })?;
        Credentials::new(wanted, vec![certificate], key, self.authority_certificates()?, self.secret_of(name)?)
            .map_err(|e| PkiError::Damaged { path: key_path, reason: e.to_string() })
    }

    fn path(&self, stem: &str, extension: &str) -> PathBuf {
        self.dir.join(format!("{stem}.{extension}"))
    }

    fn authority_certificate(&self) -> Result<CertificateDer<'static>, PkiError> {
        let path = self.path("ca", "crt");
        match certificate_at(&path) {
            Err(PkiError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Err(PkiError::NoAuthority { dir: self.dir.clone() })
            }
            other => other,
        }
    }

    /// All of the file: while an authority is being replaced, the new one stands behind the old one there.
    fn authority_certificates(&self) -> Result<Vec<CertificateDer<'static>>, PkiError> {
        let path = self.path(RESERVED, "crt");
        let text = read(&path)?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        all.map_err(|e| PkiError::Damaged { path, reason: e.to_string() })
    }

    /// Who is revoked: the file `revoked` of the directory, nobody where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is no entry: then whoever was revoked before stays so.
    pub fn revocations(&self) -> Result<Revocations, PkiError> {
        let path = self.dir.join(REVOKED);
        let text = match read(&path) {
            // Only where there certainly is none: what cannot be read revokes nobody, and pardons nobody.
            Err(PkiError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(Revocations::none());
            }
            other => other?,
        };
        text.parse().map_err(|e: RevocationsError| PkiError::Damaged { path, reason: e.to_string() })
    }

    /// Adds somebody to the file `revoked`, for everything he ever had. Says whether he was not there yet. Nodes that run read the file
    /// when they are told to.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds a line that is no entry.
    pub fn revoke(&self, holder: &Role) -> Result<bool, PkiError> {
        let path = self.dir.join(REVOKED);
        if self.revocations()?.holds(holder) {
            return Ok(false);
        }
        let mut text = if path.exists() { read(&path)? } else { String::new() };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text += &match holder {
            Role::Node(node) => format!("{node}\n"),
            Role::Client(client) => format!("client/{client}\n"),
        };
        let temporary = write_beside(&path, text.as_bytes(), PUBLIC)?;
        fs::rename(&temporary, &path).map_err(|e| file_error(&path, e))?;
        Ok(true)
    }

    fn key_of(&self, name: &NodeId) -> Result<KeyPair, PkiError> {
        let path = self.path(name.as_str(), "key");
        if !path.exists() {
            let fresh = KeyPair::generate_for(&PKCS_ED25519).map_err(PkiError::issue)?;
            place_new(&path, fresh.serialize_pem().as_bytes(), SECRET)?;
        }
        KeyPair::from_pem(&read(&path)?).map_err(|e| PkiError::Damaged { path, reason: e.to_string() })
    }

    fn secret_of(&self, name: &NodeId) -> Result<NodeSecret, PkiError> {
        let path = self.path(name.as_str(), "secret");
        if !path.exists() {
            let hex: String = NodeSecret::generate()?.bytes().iter().map(|b| format!("{b:02x}")).collect();
            place_new(&path, hex.as_bytes(), SECRET)?;
        }
        let text = read(&path)?;
        let damaged = || PkiError::Damaged { path: path.clone(), reason: "it must hold 64 hexadecimal digits".into() };
        parse_hex(text.trim()).map(NodeSecret::from_bytes).ok_or_else(damaged)
    }
}

/// File names may ignore case.
fn check_name(name: &NodeId) -> Result<(), PkiError> {
    if name.as_str().eq_ignore_ascii_case(RESERVED) { Err(PkiError::ReservedName) } else { Ok(()) }
}

pub(super) fn parse_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn file_error(path: &Path, source: io::Error) -> PkiError {
    PkiError::File { path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|e| file_error(path, e))
}

fn certificate_at(path: &Path) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(read(path)?.as_bytes())
        .map_err(|e| PkiError::Damaged { path: path.to_owned(), reason: e.to_string() })
}

fn pem_of(certificate: &CertificateDer<'_>) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate.to_vec()))
}

/// Writes beside `path` and renames over it.
fn place(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    let temporary = write_beside(path, bytes, mode)?;
    fs::rename(&temporary, path).map_err(|e| file_error(path, e))
}

/// Writes beside `path` and links there; `false` when somebody else was first, whose file then stays.
fn place_new(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, PkiError> {
    let temporary = write_beside(path, bytes, mode)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(|e| file_error(&temporary, e))?;
    match linked {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(file_error(path, e)),
    }
}

fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> Result<PathBuf, PkiError> {
    let mut unique = [0; 8];
    getrandom::fill(&mut unique).map_err(|e| PkiError::Issue { reason: e.to_string() })?;
    let temporary = path.with_extension(format!("tmp-{:016x}", u64::from_le_bytes(unique)));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    match write() {
        Ok(()) => Ok(temporary),
        Err(e) => {
            // The write's own error is the one to report; what it left is removed if it can be.
            let _ = fs::remove_file(&temporary);
            Err(file_error(path, e))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: u64 = 1_795_000_000;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn fresh() -> (tempfile::TempDir, Pki) {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::new(dir.path().join("pki"));
        pki.init("prod".parse().unwrap(), NOW).unwrap();
        (dir, pki)
    }

    #[test]
    fn init_makes_the_directory_and_refuses_only_where_an_authority_stands() {
        let (dir, pki) = fresh();
        let before = fs::read(dir.path().join("pki/ca.crt")).unwrap();
        let again = pki.init("other".parse().unwrap(), NOW).unwrap_err();
        assert!(matches!(again, PkiError::AuthorityExists { .. }));
        assert_eq!(fs::read(dir.path().join("pki/ca.crt")).unwrap(), before);
        let elsewhere = dir.path().join("used");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("notes.txt"), "mine").unwrap();
        Pki::new(&elsewhere).init("prod".parse().unwrap(), NOW).unwrap();
        assert_eq!(Pki::new(&elsewhere).cluster().unwrap().as_str(), "prod");
    }

    #[test]
    fn issued_files_are_private_and_carry_the_identity() {
        let (dir, pki) = fresh();
        let credentials = pki.load_or_issue(&node("a"), NOW).unwrap();
        assert_eq!(credentials.identity().uri(), "cluster://prod/a");
        for secret in ["ca.key", "a.key", "a.secret"] {
            let mode = fs::metadata(dir.path().join("pki").join(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
        let names: Vec<_> = fs::read_dir(dir.path().join("pki")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(names.iter().all(|n| !n.to_string_lossy().contains("tmp")), "{names:?}");
    }

    #[test]
    fn no_node_takes_the_place_of_the_authority() {
        let (dir, pki) = fresh();
        let files = || ["ca.crt", "ca.key"].map(|f| fs::read(dir.path().join("pki").join(f)).unwrap());
        let before = files();
        for name in ["ca", "CA"] {
            assert!(matches!(pki.load_or_issue(&node(name), NOW), Err(PkiError::ReservedName)));
            assert!(matches!(pki.issue(&node(name), NOW), Err(PkiError::ReservedName)));
        }
        assert_eq!(files(), before);
    }

    #[test]
    fn a_second_start_reuses_key_and_secret() {
        let (dir, pki) = fresh();
        pki.load_or_issue(&node("a"), NOW).unwrap();
        let files = || ["a.key", "a.secret"].map(|f| fs::read(dir.path().join("pki").join(f)).unwrap());
        let before = files();
        pki.issue(&node("a"), NOW + 5).unwrap();
        pki.load_or_issue(&node("a"), NOW + 9).unwrap();
        assert_eq!(files(), before);
    }

    #[test]
    fn a_certificate_about_to_expire_is_renewed_where_the_authority_is() {
        let (dir, pki) = fresh();
        pki.load_or_issue(&node("a"), NOW).unwrap();
        let certificate = || fs::read(dir.path().join("pki/a.crt")).unwrap();
        let first = certificate();
        pki.load_or_issue(&node("a"), NOW + 300 * 86_400).unwrap();
        assert_eq!(certificate(), first, "65 days are left");
        pki.load_or_issue(&node("a"), NOW + 340 * 86_400).unwrap();
        assert_ne!(certificate(), first, "25 days are left");
    }

    #[test]
    fn many_starts_at_once_end_with_one_key() {
        let (_dir, pki) = fresh();
        let loaded: Vec<Credentials> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| pki.load_or_issue(&node("a"), NOW))).collect();
            starts.into_iter().map(|s| s.join().unwrap().unwrap()).collect()
        });
        let secrets: Vec<_> = loaded.iter().map(|c| c.secret().bytes()).collect();
        assert!(secrets.windows(2).all(|w| w[0] == w[1]));
        pki.load_or_issue(&node("a"), NOW).expect("key and certificate still fit");
    }

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        let (dir, pki) = fresh();
        let empty = Pki::new(dir.path().join("nothing")).load_or_issue(&node("a"), NOW).unwrap_err();
        assert!(matches!(empty, PkiError::NoAuthority { .. }), "{empty}");
        pki.load_or_issue(&node("a"), NOW).unwrap();
        let pki_dir = dir.path().join("pki");
        fs::rename(pki_dir.join("ca.key"), dir.path().join("away")).unwrap();
        pki.load_or_issue(&node("a"), NOW).expect("an issued node needs no authority's key");
        let cannot = pki.load_or_issue(&node("b"), NOW).unwrap_err();
        assert!(matches!(cannot, PkiError::CannotIssue { .. }), "{cannot}");
        fs::write(pki_dir.join("a.secret"), "zz").unwrap();
        assert!(pki.load_or_issue(&node("a"), NOW).unwrap_err().to_string().contains("64 hexadecimal digits"));
        fs::copy(pki_dir.join("a.crt"), pki_dir.join("b.crt")).unwrap();
        fs::copy(pki_dir.join("a.key"), pki_dir.join("b.key")).unwrap();
        let foreign = pki.load_or_issue(&node("b"), NOW).unwrap_err().to_string();
        assert!(foreign.contains("is a certificate for cluster://prod/a, not for cluster://prod/b"), "{foreign}");
    }
}
