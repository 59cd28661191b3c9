//! The admin address: HTTP on loopback, for `cluster members` and `cluster leave`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use cluster_manager::{Cluster, MemberInfo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::Failure;

#[derive(Debug, Clone)]
struct Shared {
    cluster: Cluster,
    leave: Arc<Notify>,
}

/// The running server.
#[derive(Debug)]
pub(crate) struct Admin {
    local_addr: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Admin {
    /// Listens; port 0 picks a free one. `leave` is notified when somebody asks the agent to leave.
    pub(crate) async fn start(addr: SocketAddr, cluster: Cluster, leave: Arc<Notify>) -> Result<Self, Failure> {
        let failed = |e| Failure::new(format!("the admin address {addr} cannot be bound: {e}"));
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/members", get(members))
            .route("/leave", post(leave_cluster))
            .with_state(Shared { cluster, leave });
        let (stop, stopped) = oneshot::channel();
        let until = async {
            // Dropped or sent: both mean the end.
            let _ = stopped.await;
        };
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
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

async fn members(State(shared): State<Shared>) -> Json<Vec<Value>> {
    Json(shared.cluster.members().iter().map(member).collect())
}

fn member(info: &MemberInfo) -> Value {
    let meta: serde_json::Map<String, Value> = info.metadata.iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
    json!({
        "node": info.node.as_str(),
        "addr": info.addr,
        "state": info.state.as_str(),
        "incarnation": info.incarnation.get(),
        "rtt_us": info.rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
        "meta": meta,
    })
}

async fn leave_cluster(State(shared): State<Shared>) -> StatusCode {
    shared.leave.notify_one();
    StatusCode::ACCEPTED
}
