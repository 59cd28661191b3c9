//! The admin address: HTTP on loopback, for the commands around an agent, for whoever collects its numbers, and for whatever starts
//! and stops it.

mod answers;
mod door;
mod explained;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use cluster_manager::Cluster;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, broadcast, oneshot};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::texts::Heard;
use door::Door;

/// The longest body: a text of a mebibyte, and what is around it.
const BODY_LEN_MAX: usize = 2 * 1024 * 1024;

#[derive(Clone)]
struct Shared {
    cluster: Cluster,
    leave: Arc<Notify>,
    recorder: Arc<PrometheusRecorder>,
    texts: broadcast::Sender<Arc<Heard>>,
    /// Places for those who read events.
    readers: Arc<Semaphore>,
}

/// The running server.
#[derive(Debug)]
pub(crate) struct Admin {
    local_addr: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Admin {
    /// Everything that is answered.
    const ROUTES: [&str; 9] = [
        "GET /members",
        "GET /explain/NODE",
        "GET /events",
        "GET /metrics",
        "GET /healthz",
        "GET /readyz",
        "POST /send",
        "POST /request",
        "POST /leave",
    ];

    /// Takes the address; port 0 picks a free one. Before the node starts: nobody shall meet one that must end at once.
    pub(crate) async fn bind(addr: SocketAddr) -> Result<TcpListener, Failure> {
        let hint = |e: &std::io::Error| match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; another agent may have it: give --admin, if CLUSTER_ADMIN is set for the commands that ask it"
            }
            _ => "",
        };
        let failed = |e| Failure::new(format!("the admin address {addr} cannot be bound: {e}{}", hint(&e)));
        TcpListener::bind(addr).await.map_err(failed)
    }

    /// Answers. `leave` is notified when somebody asks the agent to leave; `texts` is where those come from that members send.
    pub(crate) fn start(
        listener: TcpListener,
        cluster: Cluster,
        leave: Arc<Notify>,
        texts: broadcast::Sender<Arc<Heard>>,
    ) -> Result<Self, Failure> {
        let failed = |e| Failure::new(format!("the admin address cannot be used: {e}"));
        let local_addr = listener.local_addr().map_err(failed)?;
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        let router = routes().with_state(Shared {
            cluster,
            leave,
            recorder,
            texts,
            readers: Arc::new(Semaphore::new(stream::READERS)),
        });
        let (stop, stopped) = oneshot::channel();
        let until = async {
            // Dropped or sent: both mean the end.
            let _ = stopped.await;
        };
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(Door::new(listener), router).with_graceful_shutdown(until).await {
                tracing::warn!(%error, "the admin server ended");
            }
        });
        Ok(Self { local_addr, stop, server })
    }

    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Finishes the answers under way and ends.
    pub(crate) async fn stop(self) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let abort = self.server.abort_handle();
        if tokio::time::timeout(Duration::from_millis(200), self.server).await.is_err() {
            abort.abort();
        }
    }
}

fn routes() -> Router<Shared> {
    Router::new()
        .route("/members", get(answers::members))
        .route("/explain/{node}", get(answers::explain))
        .route("/events", get(stream::events))
        .route("/metrics", get(answers::metrics))
        .route("/healthz", get(answers::healthz))
        .route("/readyz", get(answers::readyz))
        .route("/send", post(answers::send))
        .route("/request", post(answers::request))
        .route("/leave", post(answers::leave))
        .fallback(answers::unknown)
        .method_not_allowed_fallback(answers::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(axum::middleware::from_fn(door::guard))
}
