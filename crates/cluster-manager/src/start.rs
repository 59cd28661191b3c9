//! Starting a node: the I/O thread, and what is assembled on it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster_gossip::SharedNodeRegistry;
use cluster_pool::{
    ConnectionPool, Credentials, Hello, PoolConfig, PoolEvent, QuicTransport, Role, Serving, Transport,
};
use cluster_types::{Claim, ClusterName, Incarnation, Life, Seed};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::config::ClusterConfig;
use crate::driver::{COMMANDS_MAX, Command, Driver, Ended};
use crate::engine::Engine;
use crate::error::StartError;
use crate::name_guard::NameGuard;

/// What the I/O thread hands to the handle.
pub(crate) struct Parts {
    pub(crate) own: Claim,
    pub(crate) cluster: ClusterName,
    pub(crate) pool: ConnectionPool,
    pub(crate) registry: SharedNodeRegistry,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) name_lost: oneshot::Receiver<SocketAddr>,
    pub(crate) runtime: Handle,
    /// Lets the thread end.
    pub(crate) release: oneshot::Sender<()>,
}

/// Runs the endpoint and the loop until the node ends.
pub(crate) fn io_thread(
    config: ClusterConfig,
    credentials: &Credentials,
    started: oneshot::Sender<Result<Parts, StartError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        // Nobody to tell if the starter has gone.
        Err(error) => return drop(started.send(Err(StartError::Thread(error)))),
    };
    runtime.block_on(async {
        match assemble(config, credentials) {
            Ok((driver, parts, released)) => {
                let pool = parts.pool.clone();
                let registry = parts.registry.clone();
                match started.send(Ok(parts)) {
                    Ok(()) => end(driver.run().await, &pool, &registry, released).await,
                    // Whoever started it has gone.
                    Err(_parts) => drop(pool.close(ABANDONED_PATIENCE).await),
                }
            }
            // As above.
            Err(error) => drop(started.send(Err(error))),
        }
    });
}

/// How long a node that nobody holds any more takes to close.
const ABANDONED_PATIENCE: Duration = Duration::from_millis(100);

/// After the loop: an abandoned node lets go of everything by itself, a stopped one when its shutdown says so.
async fn end(ended: Ended, pool: &ConnectionPool, registry: &SharedNodeRegistry, released: oneshot::Receiver<()>) {
    match ended {
        Ended::Abandoned => {
            pool.close(ABANDONED_PATIENCE).await;
            registry.close();
        }
        // An error means that the handle is gone, which is as good.
        Ended::Stopped => drop(released.await),
    }
}

fn assemble(
    config: ClusterConfig,
    credentials: &Credentials,
) -> Result<(Driver, Parts, oneshot::Receiver<()>), StartError> {
    let identity = credentials.identity();
    let Role::Node(node) = identity.role.clone() else {
        return Err(StartError::NotANode { identity: identity.uri() });
    };
    let transport = QuicTransport::bind(config.bind, config.quic.clone(), credentials)?;
    let addr = config.advertise.unwrap_or_else(|| transport.local_addr());
    if addr.ip().is_unspecified() || addr.port() == 0 {
        transport.release();
        return Err(StartError::NotDialable { addr });
    }
    let clock = Clock::start();
    let random = random_u64()?;
    let boot = clock.origin_unix_ms();
    let life = Life::new(boot, random as u32);
    let own = Claim::alive(node.clone(), life, Incarnation::from_unix_ms(boot), addr);
    let registry = SharedNodeRegistry::new(node.clone());

    let guard = Arc::new(NameGuard {
        own: node.clone(),
        own_life: life,
        own_addr: addr,
        registry: registry.clone(),
        pool: OnceLock::new(),
    });
    let hello =
        Hello { node, cluster: identity.cluster.clone(), life, incarnation: own.incarnation, addr, draining: false };
    let serving = Serving { admission: Arc::clone(&guard) as _, ..Serving::default() };
    let (pool, events) = ConnectionPool::start(Arc::new(transport), hello, PoolConfig::default(), serving);
    // Set once, here.
    let _ = guard.pool.set(pool.downgrade());

    let cluster = identity.cluster.clone();
    let seed = Seed::new(random);
    let engine = Engine::new(config.swim, &cluster, own.clone(), config.metadata, boot, seed, clock.now());
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let (name_lost_sender, name_lost) = oneshot::channel();
    let pool_parts: (ConnectionPool, mpsc::Receiver<PoolEvent>) = (pool.clone(), events);
    let driver = Driver::new(engine, clock, registry.clone(), pool_parts, receiver, name_lost_sender);
    let (release, released) = oneshot::channel();
    let runtime = Handle::current();
    Ok((driver, Parts { own, cluster, pool, registry, commands, name_lost, runtime, release }, released))
}

fn random_u64() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|e| StartError::Thread(std::io::Error::other(e.to_string())))?;
    Ok(u64::from_le_bytes(bytes))
}
