//! What a node shows and whom it trusts right now: one snapshot that both sides of every handshake read, so that a reload takes
//! effect everywhere at once, or nowhere.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::RootCertStore;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use super::credentials::{Credentials, provider};
use super::{Identity, Revocations};
use crate::transport::ReloadError;

/// What one handshake goes by.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) certified_key: Arc<CertifiedKey>,
    pub(crate) roots: Arc<RootCertStore>,
    /// The stock check of a client's chain under these roots.
    pub(crate) clients: Arc<dyn ClientCertVerifier>,
    pub(crate) revoked: Arc<Revocations>,
}

/// The snapshot in force.
#[derive(Debug)]
pub(crate) struct Trust {
    own: Identity,
    /// Held to copy an `Arc`, never across anything that waits.
    current: RwLock<Arc<Snapshot>>,
}

impl Trust {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self, String> {
        let current = snapshot(credentials, Arc::default(), &provider())?;
        Ok(Self { own: credentials.identity().clone(), current: RwLock::new(Arc::new(current)) })
    }

    pub(crate) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) const fn own(&self) -> &Identity {
        &self.own
    }

    /// Takes other credentials of the same holder.
    pub(crate) fn reload(&self, credentials: &Credentials) -> Result<(), ReloadError> {
        if *credentials.identity() != self.own {
            let (own, found) = (Box::new(self.own.clone()), Box::new(credentials.identity().clone()));
            return Err(ReloadError::OtherIdentity { own, found });
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = snapshot(credentials, Arc::clone(&current.revoked), &provider());
        *current = Arc::new(fresh.map_err(|reason| ReloadError::Unusable { reason })?);
        Ok(())
    }

    pub(crate) fn revoke(&self, revoked: Arc<Revocations>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(Snapshot { revoked, ..Snapshot::clone(&current) });
    }
}

fn snapshot(
    credentials: &Credentials,
    revoked: Arc<Revocations>,
    provider: &Arc<CryptoProvider>,
) -> Result<Snapshot, String> {
    let mut roots = RootCertStore::empty();
    for authority in credentials.authorities() {
        let added = roots.add(authority.clone());
        added.map_err(|e| format!("the authority's certificate cannot be trusted: {e}"))?;
    }
    let roots = Arc::new(roots);
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
        .build()
        .map_err(|e| format!("the authority's certificate cannot be used: {e}"))?;
    Ok(Snapshot { certified_key: Arc::clone(credentials.certified_key()), roots, clients, revoked })
}

/// Shows the certificate in force, on either side.
#[derive(Debug)]
pub(crate) struct OwnCertificate(pub(crate) Arc<Trust>);

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current().certified_key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current().certified_key))
    }
}
