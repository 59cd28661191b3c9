//! A transport without packets: connections inside one process, reliable, in order, at once. For tests of what stands on the
//! transport seam and not of how packets fare; for those there is the simulated network.
//!
//! What it does like the real one: certificates are compared (authority, cluster, role, revocation; not their time), a peer sees a
//! stream once something is on it, a stream that is dropped is reset, a limit of streams holds up whoever opens more, and nobody
//! answers where nobody is.

mod connection;
mod pipe;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use cluster_pool::{
    CertificateFault, CloseCode, ConnectError, Connection, ConnectionError, Credentials, Incoming, LinkClass,
    ReloadError, Revocations, Role, Side, Transport,
};
use tokio::sync::{mpsc, oneshot};

use connection::{MemoryConnection, pair};

/// Connections that wait to be accepted; more are refused.
const BACKLOG: usize = 256;

/// Streams that a peer may have open: of a member that dials, as in production, until it is told otherwise.
const fn streams_of(class: LinkClass) -> u32 {
    match class {
        LinkClass::Control => 4,
        LinkClass::Data | LinkClass::Private => 32,
    }
}

#[derive(Debug, Default)]
struct Net {
    doors: HashMap<SocketAddr, Arc<Door>>,
    last_port: u16,
}

/// A network inside this process. Clones are the same network.
#[derive(Debug, Clone, Default)]
pub struct MemoryNet(Arc<Mutex<Net>>);

impl MemoryNet {
    /// Nobody is there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Net> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody new, at an address of its own; must be called within a tokio runtime.
    ///
    /// # Panics
    /// There are 65,535 already.
    #[must_use]
    pub fn transport(&self, credentials: &Credentials) -> MemoryTransport {
        let mut net = self.lock();
        net.last_port = net.last_port.checked_add(1).unwrap_or_else(|| panic!("all ports are taken"));
        let addr = SocketAddr::from(([127, 0, 0, 1], net.last_port));
        drop(net);
        self.transport_at(addr, credentials)
    }

    /// Somebody at an address; whoever was there before is gone.
    #[must_use]
    pub fn transport_at(&self, addr: SocketAddr, credentials: &Credentials) -> MemoryTransport {
        let (knock, incoming) = mpsc::channel(BACKLOG);
        let trust = RwLock::new((credentials.clone(), Arc::new(Revocations::none())));
        let door = Arc::new(Door { addr, trust, knock, connections: Mutex::default() });
        self.lock().doors.insert(addr, Arc::clone(&door));
        let incoming = tokio::sync::Mutex::new(incoming);
        MemoryTransport { net: self.clone(), door, incoming, dials: AtomicU64::new(0) }
    }

    fn door(&self, addr: SocketAddr) -> Option<Arc<Door>> {
        self.lock().doors.get(&addr).cloned()
    }
}

/// Where somebody is reached.
#[derive(Debug)]
struct Door {
    addr: SocketAddr,
    trust: RwLock<(Credentials, Arc<Revocations>)>,
    knock: mpsc::Sender<Knock>,
    /// Every connection that was ever made here, to end them all.
    connections: Mutex<Vec<std::sync::Weak<MemoryConnection>>>,
}

/// Somebody at the door.
#[derive(Debug)]
struct Knock {
    from: SocketAddr,
    connection: Arc<MemoryConnection>,
    accepted: oneshot::Sender<Result<(), ConnectionError>>,
}

impl Door {
    fn credentials(&self) -> Credentials {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// What is wrong with somebody else's credentials.
    fn fault(&self, other: &Credentials, must_be_member: bool) -> Option<(CertificateFault, String)> {
        let trust = self.trust.read().unwrap_or_else(PoisonError::into_inner);
        let (own, revoked) = &*trust;
        let issued_by = other.authorities().first();
        let trusted = own.authorities().iter().any(|authority| Some(authority) == issued_by);
        let found = other.identity();
        if !trusted {
            return Some((CertificateFault::OtherAuthority, String::new()));
        }
        if found.cluster != *own.cluster() {
            let detail = format!("the certificate is for cluster {}, this is cluster {}", found.cluster, own.cluster());
            return Some((CertificateFault::WrongIdentity, detail));
        }
        if must_be_member && !matches!(found.role, Role::Node(_)) {
            return Some((CertificateFault::WrongIdentity, format!("{found} is a client's identity")));
        }
        let is_revoked = revoked.covers(found, other.fingerprint());
        is_revoked.then(|| (CertificateFault::Revoked, String::new()))
    }

    fn keep(&self, connection: &Arc<MemoryConnection>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(connection));
    }
}

/// A member of a [`MemoryNet`].
#[derive(Debug)]
pub struct MemoryTransport {
    net: MemoryNet,
    door: Arc<Door>,
    /// One task accepts.
    incoming: tokio::sync::Mutex<mpsc::Receiver<Knock>>,
    dials: AtomicU64,
}

impl MemoryTransport {
    /// Dials begun here, whatever came of them.
    #[must_use]
    pub fn dials(&self) -> u64 {
        self.dials.load(Ordering::Relaxed)
    }
}

fn refused(side: Side, (fault, detail): (CertificateFault, String)) -> ConnectionError {
    ConnectionError::Certificate { side, fault, detail }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn local_addr(&self) -> SocketAddr {
        self.door.addr
    }

    async fn connect(&self, addr: SocketAddr, class: LinkClass) -> Result<Arc<dyn Connection>, ConnectError> {
        self.dials.fetch_add(1, Ordering::Relaxed);
        if self.net.door(self.door.addr).is_none_or(|door| !Arc::ptr_eq(&door, &self.door)) {
            return Err(ConnectError::ShuttingDown);
        }
        let Some(door) = self.net.door(addr) else {
            // As over a network: nobody says that nobody is there.
            return std::future::pending().await;
        };
        let failed = |source| ConnectError::Handshake { addr, source };
        let (own, other) = (self.door.credentials(), door.credentials());
        if let Some(fault) = self.door.fault(&other, true) {
            return Err(failed(refused(Side::Here, fault)));
        }
        let (near, far) = pair((&own, self.door.addr), (&other, addr), streams_of(class));
        self.door.keep(&near);
        door.keep(&far);
        let (accepted, outcome) = oneshot::channel();
        let knock = Knock { from: self.door.addr, connection: far, accepted };
        let turned_away =
            || failed(ConnectionError::Transport { detail: "the server refused to accept a new connection".into() });
        door.knock.try_send(knock).map_err(|_full| turned_away())?;
        match outcome.await {
            Ok(Ok(())) => Ok(near),
            Ok(Err(error)) => Err(failed(error)),
            Err(_dropped) => Err(turned_away()),
        }
    }

    async fn accept(&self) -> Option<Incoming> {
        let knock = self.incoming.lock().await.recv().await?;
        let Knock { from, connection, accepted } = knock;
        let door = Arc::clone(&self.door);
        let shared = Arc::new(Mutex::new(Some(accepted)));
        let take =
            |shared: &Mutex<Option<oneshot::Sender<_>>>| shared.lock().unwrap_or_else(PoisonError::into_inner).take();
        let to_refuse = Arc::clone(&shared);
        let handshake = async move {
            let accepted = take(&shared).ok_or(ConnectError::ShuttingDown)?;
            let failed = |source| ConnectError::Handshake { addr: from, source };
            if let Some(fault) = door.fault(connection.credentials(), false) {
                // As with TLS, the dialler has its connection before it hears that it was refused.
                let _ = accepted.send(Ok(()));
                connection.end(refused(Side::Here, fault.clone()), refused(Side::Peer, fault.clone()));
                return Err(failed(refused(Side::Here, fault)));
            }
            // A dialler that has gone meanwhile is noticed on the connection.
            let _ = accepted.send(Ok(()));
            Ok(connection as Arc<dyn Connection>)
        };
        let refuse = move || drop(take(&to_refuse));
        Some(Incoming { remote_addr: from, handshake: Box::pin(handshake), refuse: Box::new(refuse) })
    }

    fn close(&self, code: CloseCode) {
        self.release();
        let connections = std::mem::take(&mut *self.door.connections.lock().unwrap_or_else(PoisonError::into_inner));
        connections.iter().filter_map(std::sync::Weak::upgrade).for_each(|connection| connection.close(code));
    }

    async fn wait_idle(&self) {}

    fn reload(&self, credentials: &Credentials) -> Result<(), ReloadError> {
        let mut trust = self.door.trust.write().unwrap_or_else(PoisonError::into_inner);
        if trust.0.identity() != credentials.identity() {
            let (own, found) = (Box::new(trust.0.identity().clone()), Box::new(credentials.identity().clone()));
            return Err(ReloadError::OtherIdentity { own, found });
        }
        trust.0 = credentials.clone();
        Ok(())
    }

    fn revoke(&self, revoked: Arc<Revocations>) {
        self.door.trust.write().unwrap_or_else(PoisonError::into_inner).1 = revoked;
    }

    fn release(&self) {
        let mut net = self.net.lock();
        if net.doors.get(&self.door.addr).is_some_and(|door| Arc::ptr_eq(door, &self.door)) {
            net.doors.remove(&self.door.addr);
        }
    }
}
