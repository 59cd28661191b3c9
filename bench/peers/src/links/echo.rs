//! The same echo over bare quinn and over a peer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_pool::identity::authority::Validity;
use cluster_pool::{
    Authority, Channel, ConnectionPool, Hello, Peer, PeerConfig, PoolConfig, QuicConfig, QuicTransport, Router,
    Serving, Transport, request_fn,
};
use cluster_types::{Facts, Incarnation, Life, NodeId};
use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Ask;

/// An echo, and what it needs to live.
pub(crate) struct Echo {
    pub(crate) ask: Ask,
    _keep: Box<dyn Send>,
}

impl Echo {
    pub(crate) fn new(ask: Ask, keep: impl Send + 'static) -> Self {
        Self { ask, _keep: Box::new(keep) }
    }
}

fn transport() -> Arc<TransportConfig> {
    // As ours: what differs is what stands above it.
    let mut config = TransportConfig::default();
    config.max_concurrent_bidi_streams(100u32.into());
    config.send_fairness(false);
    Arc::new(config)
}

/// Server and client of bare quinn, not yet connected.
struct Ends {
    server: Endpoint,
    client: Endpoint,
    addr: SocketAddr,
}

fn ends() -> (ServerConfig, ClientConfig) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (issued.cert.der().clone(), issued.signing_key.serialize_der());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let mut server = ServerConfig::with_single_cert(vec![certificate.clone()], key).expect("a config");
    server.transport_config(transport());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let mut client = ClientConfig::with_root_certificates(Arc::new(roots)).expect("a config");
    client.transport_config(transport());
    (server, client)
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Ends {
    fn bind() -> Self {
        let (server, config) = ends();
        let server = Endpoint::server(server, any()).expect("a port");
        let addr = server.local_addr().expect("it is bound");
        let mut client = Endpoint::client(any()).expect("a port");
        client.set_default_client_config(config);
        Self { server, client, addr }
    }
}

async fn serve(server: Endpoint) {
    let connection = server.accept().await.expect("one comes").await.expect("it is good");
    let mut streams = tokio::task::JoinSet::new();
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        while streams.try_join_next().is_some() {}
        streams.spawn(async move {
            let asked = recv.read_to_end(1 << 20).await.expect("it is whole");
            send.write_all(&asked).await.expect("it is open");
            send.finish().expect("it is open");
        });
    }
}

fn asking(connection: quinn::Connection) -> Ask {
    Arc::new(move |body| {
        let connection = connection.clone();
        Box::pin(async move {
            let (mut send, mut recv) = connection.open_bi().await.expect("it is open");
            send.write_all(&body).await.expect("it is open");
            send.finish().expect("it is open");
            recv.read_to_end(1 << 20).await.expect("it is whole").into()
        })
    })
}

/// quinn as its documentation shows it: a stream a request, a task a stream.
pub(crate) async fn bare() -> Echo {
    let Ends { server, client, addr } = Ends::bind();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(serve(server));
    let connection = client.connect(addr, "localhost").expect("an address").await.expect("it is there");
    Echo::new(asking(connection), (tasks, client))
}

/// The same with each end on a thread of its own; callers are elsewhere. Lives until what it is returned with is dropped.
pub(crate) fn bare_on_threads() -> (Echo, [std::sync::mpsc::SyncSender<()>; 2]) {
    let (server_config, client_config) = ends();
    let (server_stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let (bound, addr) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        super::Flavour::CurrentThread.runtime().block_on(async {
            let server = Endpoint::server(server_config, any()).expect("a port");
            bound.send(server.local_addr().expect("it is bound")).expect("wanted");
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(serve(server));
            // Until nobody wants it any more.
            let _ = tokio::task::spawn_blocking(move || stopped.recv()).await;
        });
    });
    let addr = addr.recv().expect("bound");
    let (client_stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let (made, echo) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        super::Flavour::CurrentThread.runtime().block_on(async {
            let mut client = Endpoint::client(any()).expect("a port");
            client.set_default_client_config(client_config);
            let connection = client.connect(addr, "localhost").expect("an address").await.expect("it is there");
            made.send(Echo::new(asking(connection), client)).ok();
            // As above.
            let _ = tokio::task::spawn_blocking(move || stopped.recv()).await;
        });
    });
    (echo.recv().expect("made"), [server_stop, client_stop])
}

pub(crate) const ECHO: Channel = Channel(1);

pub(crate) fn router() -> Router {
    let echo = request_fn(|_, body: Bytes| async move { Ok(body) });
    Router::builder().on_request(ECHO, echo).build().expect("one handler")
}

/// A node as in production, on loopback.
pub(crate) struct Node {
    pub(crate) pool: ConnectionPool,
    pub(crate) name: NodeId,
    pub(crate) addr: SocketAddr,
    router: Router,
}

impl Node {
    fn start(authority: &Authority, name: &str, router: Router, config: PoolConfig) -> Self {
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        let credentials = authority.issue(&name.parse().expect("a name"), Validity::days(now, 1)).expect("issued");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let transport = QuicTransport::bind(any, QuicConfig::default(), &credentials).expect("a port");
        let addr = transport.local_addr();
        let hello = Hello {
            node: credentials.name().clone(),
            client: false,
            cluster: credentials.cluster().clone(),
            life: Life::new(now, 1),
            incarnation: Incarnation::from_unix_ms(now),
            addr,
            dial: 0,
            draining: false,
            facts: Facts::NONE,
            meta_version: 0,
            proof: Vec::new(),
        };
        let serving = Serving { streams: Arc::new(router.clone()), ..Serving::default() };
        let (pool, _events) = ConnectionPool::start(Arc::new(transport), hello, config, serving);
        Self { pool, name: credentials.name().clone(), addr, router }
    }
}

/// Two nodes, connected.
pub(crate) struct Pair {
    pub(crate) a: Node,
    pub(crate) b: Node,
    pub(crate) peer: Peer,
    _driver: tokio::task::JoinSet<()>,
}

pub(crate) async fn nodes(config: PoolConfig) -> Pair {
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let authority = Authority::generate("bench".parse().expect("a name"), now).expect("keys");
    let a = Node::start(&authority, "a", Router::new(), config.clone());
    let b = Node::start(&authority, "b", router(), config);
    let (peer, driver) =
        Peer::new(&a.pool, &a.router, b.name.clone(), b.addr, PeerConfig::default()).expect("an address");
    let mut drivers = tokio::task::JoinSet::new();
    drivers.spawn(driver.drive());
    peer.request(ECHO, "up?", Duration::from_secs(10)).await.expect("connected");
    Pair { a, b, peer, _driver: drivers }
}

pub(crate) async fn peer() -> Echo {
    let pair = nodes(PoolConfig::default()).await;
    Echo::new(ask_of(pair.peer.clone()), pair)
}

fn ask_of(peer: Peer) -> Ask {
    Arc::new(move |body| {
        let peer = peer.clone();
        Box::pin(async move { peer.request(ECHO, body, Duration::from_secs(10)).await.expect("answered").body })
    })
}

/// Both nodes on one thread that does nothing else; callers are elsewhere.
pub(crate) fn own_thread() -> (Echo, std::sync::mpsc::SyncSender<()>) {
    let (made, echo) = std::sync::mpsc::sync_channel(1);
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    std::thread::spawn(move || {
        let runtime = super::Flavour::CurrentThread.runtime();
        runtime.block_on(async {
            made.send(peer().await).ok();
            // Until nobody wants it any more.
            let _ = tokio::task::spawn_blocking(move || stopped.recv()).await;
        });
    });
    (echo.recv().expect("made"), stop)
}
