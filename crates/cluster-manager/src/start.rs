//! Starting a node: what it is assembled of, over which host, on which thread.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster_gossip::{MemberTable, SharedNodeRegistry, Swim};
use cluster_pool::identity::Signatures;
use cluster_pool::{
    ConnectionPool, Credentials, Hello, QuicTransport, Revocations, Role, Router, Serving, SpannedSpawner, Spawner,
    StreamHandler,
};
use cluster_types::{Claim, ClusterName, Event, Incarnation, Life, Seed, Subscription};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument;

use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::config::ClusterConfig;
use crate::discovery::{Discovery, Ground as SearchGround, Searches};
use crate::driver::{COMMANDS_MAX, Command, Driver, Ended};
use crate::engine::Engine;
use crate::error::StartError;
use crate::host::Host;
use crate::memory::Memory;
use crate::name_guard::NameGuard;
use crate::peers::{Ground, Peers};
use crate::planted::Bug;
use crate::seal::CertificateSeal;

/// What a started node hands to its handle.
pub(crate) struct Parts {
    pub(crate) held: Held,
    /// From before anything can have happened.
    pub(crate) events: Subscription<MemberTable, Event>,
    pub(crate) name_lost: watch::Receiver<Option<SocketAddr>>,
    /// Lets the loop's task, and its thread, end.
    pub(crate) release: oneshot::Sender<()>,
}

/// What the handle holds for as long as it lives.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) own: Claim,
    pub(crate) cluster: ClusterName,
    pub(crate) pool: ConnectionPool,
    pub(crate) registry: SharedNodeRegistry,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) spawner: Arc<dyn Spawner>,
    pub(crate) peers: Peers,
    pub(crate) searches: Searches,
    pub(crate) certificate: Certificate,
    pub(crate) signatures: Arc<Signatures>,
    pub(crate) memory: Memory,
}

/// Ways into a node, and out of it, that its owner gave.
pub(crate) struct Ways {
    pub(crate) streams: Arc<dyn StreamHandler>,
    pub(crate) router: Router,
    pub(crate) discoveries: Vec<Arc<dyn Discovery>>,
    pub(crate) revoked: Revocations,
    pub(crate) state: Option<PathBuf>,
}

/// Runs the endpoint and the loop on this thread until the node ends.
pub(crate) fn io_thread(
    config: ClusterConfig,
    credentials: &Credentials,
    ways: Ways,
    started: oneshot::Sender<Result<Parts, StartError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        // Nobody to tell if the starter has gone.
        Err(error) => return drop(started.send(Err(StartError::Thread(error)))),
    };
    runtime.block_on(async {
        let bound = QuicTransport::bind(config.bind, config.quic.clone(), credentials).map_err(StartError::from);
        let host = bound.and_then(|transport| Host::system(Arc::new(transport)).map_err(StartError::Thread));
        match host.and_then(|host| assemble(host, config, credentials, ways)) {
            Ok((node, parts)) => match started.send(Ok(parts)) {
                Ok(()) => node.run().await,
                // Whoever started it has gone.
                Err(_parts) => drop(node.pool.close(ABANDONED_PATIENCE).await),
            },
            // As above.
            Err(error) => drop(started.send(Err(error))),
        }
    });
    // A file or a name that is still being looked up, on a disk or a server that hangs, must not hold up the end.
    runtime.shutdown_background();
}

/// How long a node that nobody holds any more takes to close.
const ABANDONED_PATIENCE: Duration = Duration::from_millis(100);

/// A node that is assembled and not yet running.
pub(crate) struct Node {
    span: tracing::Span,
    driver: Driver,
    pool: ConnectionPool,
    registry: SharedNodeRegistry,
    released: oneshot::Receiver<()>,
}

impl Node {
    /// Turns the loop to its end. After it an abandoned node lets go of everything by itself, a stopped one when its shutdown
    /// says so.
    pub(crate) async fn run(self) {
        let abandoned = match self.driver.run().instrument(self.span).await {
            Ended::Abandoned => true,
            // An error means that the handle is gone, perhaps in the middle of a shutdown.
            Ended::Stopped => self.released.await.is_err(),
        };
        if abandoned {
            self.pool.close(ABANDONED_PATIENCE).await;
            self.registry.close();
        }
    }
}

/// Puts a node together over what it stands on.
pub(crate) fn assemble(
    host: Host,
    config: ClusterConfig,
    credentials: &Credentials,
    Ways { streams, router, discoveries, revoked, state }: Ways,
) -> Result<(Node, Parts), StartError> {
    let Host { transport, spawner, wall_clock, resolver, storage, seed: random } = host;
    let identity = credentials.identity();
    let Role::Node(node) = identity.role.clone() else {
        return Err(StartError::NotANode { identity: identity.uri() });
    };
    let span = tracing::info_span!("node", %node, cluster = %identity.cluster);
    let spawner: Arc<dyn Spawner> = Arc::new(SpannedSpawner::new(spawner, span.clone()));
    let addr = config.advertise.unwrap_or_else(|| transport.local_addr());
    if addr.ip().is_unspecified() || addr.port() == 0 {
        transport.release();
        return Err(StartError::NotDialable { addr });
    }
    let clock = Clock::start(&*wall_clock);
    let boot = clock.start_unix_ms();
    let life = Life::new(boot, random as u32);
    let facts = config.facts.clone();
    let alive = Claim::alive(node.clone(), life, Incarnation::from_unix_ms(boot), addr);
    let own = Claim { facts: facts.clone(), ..alive };
    let registry = SharedNodeRegistry::new(node.clone());
    #[cfg(feature = "planted")]
    let registry = registry.with_bug(config.swim.bug);
    let names = (identity.cluster.clone(), node.clone());
    let state = state.filter(|_| config.planted() != Some(Bug::RememberNobody));
    let memory = match Memory::start((state, config.planted()), storage, names, registry.clone(), &*spawner) {
        Ok(memory) => memory,
        Err(error) => {
            transport.release();
            return Err(error);
        }
    };

    let guard = Arc::new(NameGuard {
        own: node.clone(),
        own_life: life,
        own_addr: addr,
        registry: registry.clone(),
        pool: OnceLock::new(),
    });
    let hello = Hello {
        node,
        client: false,
        cluster: identity.cluster.clone(),
        life,
        incarnation: own.incarnation,
        addr,
        dial: 0,
        draining: false,
        facts,
        meta_version: 0,
        proof: Vec::new(),
    };
    let signatures = Arc::new(Signatures::new(credentials).inspect_err(|_| transport.release())?);
    signatures.revoke(Arc::new(revoked.clone()));
    let seal = Arc::new(CertificateSeal { signatures: Arc::clone(&signatures), wall_clock: Arc::clone(&wall_clock) });
    let serving = Serving { admission: Arc::clone(&guard) as _, streams };
    // Before anybody can knock.
    transport.revoke(Arc::new(revoked.clone()));
    let (pool, events) = ConnectionPool::start_on(Arc::clone(&spawner), transport, hello, config.pool.clone(), serving);
    pool.revoke(revoked);
    // Set once, here.
    let _ = guard.pool.set(pool.downgrade());

    let cluster = identity.cluster.clone();
    let bug = config.planted();
    let swim = Swim::new(
        config.swim,
        &cluster,
        own.clone(),
        config.metadata,
        clock.origin_unix_ms(),
        Seed::new(random),
        clock.now(),
    );
    let engine = Engine::over(swim.with_seal(Arc::clone(&seal) as _), Seed::new(random), clock.now());
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let (name_lost_sender, name_lost) = watch::channel(None);
    let mut driver = Driver::new(
        (engine, seal, bug),
        (clock, Arc::clone(&wall_clock)),
        (Arc::clone(&spawner), Arc::clone(&resolver)),
        registry.clone(),
        (pool.clone(), events),
        receiver,
        name_lost_sender,
    );
    // The first thing to do is to be known to oneself: whoever holds the handle finds this node among the members.
    driver.dispatch();
    let first = registry.subscribe();
    let (release, released) = oneshot::channel();
    let node = Node { span, driver, pool: pool.clone(), registry: registry.clone(), released };
    let peers = Peers::new(Ground {
        own: own.node.clone(),
        pool: pool.clone(),
        router,
        registry: registry.clone(),
        spawner: Arc::clone(&spawner),
        config: config.peers,
        seed: Seed::new(random).derive("peers", 0),
        clock,
    });
    let ground = SearchGround {
        own: own.clone(),
        bound: pool.local_addr(),
        registry: registry.clone(),
        resolver,
        commands: commands.downgrade(),
        spawner: Arc::clone(&spawner),
        clock,
        seed: Seed::new(random).derive("searches", 0),
    };
    let searches = Searches::start(ground, discoveries);
    let certificate = Certificate::new(credentials.clone(), wall_clock);
    let held =
        Held { own, cluster, pool, registry, commands, spawner, peers, searches, certificate, signatures, memory };
    Ok((node, Parts { held, events: first, name_lost, release }))
}
