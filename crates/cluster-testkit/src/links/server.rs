//! A real server on loopback that answers as it is told: for tests of clients and of what they do when it does not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster_pool::router::Handled;
use cluster_pool::{
    Admission, Channel, CloseCode, Credentials, Hello, Link, LinkClass, PoolConfig, Received, Refusal, RequestHandler,
    Router, Turned, message_fn,
};
use cluster_types::NodeId;

use super::{TestCluster, TestNode, Wire};

/// The channel on which a [`TestServer`] answers requests with what they say, and takes messages.
pub const ECHO: Channel = Channel(1);

/// How a server behaves from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Script {
    /// Answers with what it was asked.
    #[default]
    Echo,
    /// The same, after so long.
    Delay(Duration),
    /// Turns everything away, before it is looked at.
    Refuse,
    /// The first so many fail half way, then it answers.
    FailFirst(u64),
    /// Ends the connection in the middle of a request.
    DieMidRequest,
    /// Accepts, and never answers.
    Stall,
    /// Turns connections away at the door; those that are there are served.
    RefuseConnections,
}

#[derive(Debug, Default)]
struct Acting {
    /// Held to read or change it.
    script: Mutex<Script>,
    failed: AtomicU64,
}

impl Acting {
    fn script(&self) -> Script {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RequestHandler for Acting {
    async fn handle_request(&self, from: &Link, _channel: Channel, body: Bytes) -> Handled {
        match self.script() {
            Script::Echo | Script::RefuseConnections => Ok(body),
            Script::Delay(span) => {
                tokio::time::sleep(span).await;
                Ok(body)
            }
            Script::Refuse => Err(Turned::away("it was told to refuse")),
            Script::FailFirst(count) => {
                if self.failed.fetch_add(1, Ordering::AcqRel) < count {
                    return Err(Turned::failed("it was told to fail"));
                }
                Ok(body)
            }
            Script::DieMidRequest => {
                from.close(CloseCode::DONE);
                std::future::pending().await
            }
            _ => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Admission for Acting {
    async fn admit(&self, _hello: &Hello, _class: LinkClass) -> Result<(), Refusal> {
        let refuses = self.script() == Script::RefuseConnections;
        if refuses { Err(Refusal::Other("it was told to let nobody in".into())) } else { Ok(()) }
    }
}

/// A server on a free port of 127.0.0.1, with real QUIC. It echoes requests on [`ECHO`] and takes messages there.
///
/// ```
/// use cluster_pool::{ConnectionConfig, ConnectionManager};
/// use cluster_testkit::links::{ECHO, TestServer};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = TestServer::start();
/// let config = ConnectionConfig::new([server.addr().to_string()]);
/// let manager = ConnectionManager::start(&server.client("app"), config).await?;
/// let connection = manager.get_connection().await?;
/// let reply = connection.request(ECHO, "hello", Duration::from_secs(5)).await?;
/// assert_eq!((reply.body, server.requests(), server.connections()), ("hello".into(), 1, 1));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TestServer {
    cluster: TestCluster,
    node: TestNode,
    acting: Arc<Acting>,
}

impl TestServer {
    /// A server in a cluster of its own. Within a tokio runtime.
    ///
    /// # Panics
    /// No port can be bound.
    #[must_use]
    pub fn start() -> Self {
        Self::start_all(1).remove(0)
    }

    /// One whose first `n` requests fail.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with_failures(n: u64) -> Self {
        let server = Self::start();
        server.act(Script::FailFirst(n));
        server
    }

    /// So many servers of one cluster, named `server-0`, `server-1` and so on.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_all(count: usize) -> Vec<Self> {
        let mut first = TestCluster::new(Wire::Loopback);
        let mut nodes = Vec::new();
        for i in 0..count {
            let acting = Arc::new(Acting::default());
            let take = message_fn(|_, _: Received| async { Ok(()) });
            let router = Router::builder().on_request(ECHO, Arc::clone(&acting) as _).on_message(ECHO, take).build();
            let router = router.unwrap_or_else(|e| panic!("one handler a channel: {e}"));
            let config = PoolConfig::default();
            nodes
                .push((first.node_admitting(&format!("server-{i}"), router, config, Arc::clone(&acting) as _), acting));
        }
        let authority = first.authority.clone();
        let clusters =
            (0..count).map(|_| TestCluster { authority: authority.clone(), ..TestCluster::new(Wire::Loopback) });
        nodes.into_iter().zip(clusters).map(|((node, acting), cluster)| Self { cluster, node, acting }).collect()
    }

    /// Where it answers.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.node.addr
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NodeId {
        self.node.name()
    }

    /// Its links.
    #[must_use]
    pub const fn node(&self) -> &TestNode {
        &self.node
    }

    /// Credentials of a client of its cluster.
    ///
    /// # Panics
    /// The name is none.
    #[must_use]
    pub fn client(&self, name: &str) -> Credentials {
        self.cluster.client_credentials(name)
    }

    /// Credentials of another member of its cluster.
    ///
    /// # Panics
    /// The name is none.
    #[must_use]
    pub fn member(&self, name: &str) -> Credentials {
        self.cluster.credentials(name)
    }

    /// Behaves like that from now on.
    pub fn act(&self, script: Script) {
        self.acting.failed.store(0, Ordering::Release);
        *self.acting.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Connections that were begun and got as far as their hello.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.node.connections()
    }

    /// Streams that were opened.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.node.streams()
    }

    /// Requests that came in.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.node.router.stats().requests
    }

    /// Messages that came in.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.node.router.stats().messages
    }

    /// Ends it in order.
    ///
    /// # Cancel safety
    /// Safe, but what is still open then stays until the next call.
    pub async fn stop(&self) -> bool {
        self.node.stop(Duration::from_secs(5)).await
    }
}
