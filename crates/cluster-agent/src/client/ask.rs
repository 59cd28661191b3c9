//! One question to an agent, over HTTP on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;

/// An agent on the same machine answers at once or is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);

/// 20,000 members with their metadata.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// What is asked.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
    patience: Duration,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// An answer that goes on.
#[derive(Debug)]
pub(super) struct Streaming {
    pub(super) body: Incoming,
    /// Reads from the connection; ended with it.
    _connection: JoinSet<()>,
}

impl Answer {
    /// Its body, or what the agent says is wrong.
    pub(super) fn success(self) -> Result<Bytes, Failure> {
        if self.status.is_success() { Ok(self.body) } else { Err(refused(self.status, &self.body)) }
    }
}

fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let told: Option<Value> = serde_json::from_slice(body).ok();
    let reason = told.as_ref().and_then(|told| told["error"].as_str());
    Failure::new(reason.map_or_else(|| format!("the agent answers {status}"), str::to_owned))
}

impl Ask {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, patience: PATIENCE }
    }

    pub(super) fn post(path: impl Into<String>, body: Option<Value>) -> Self {
        Self { method: Method::POST, path: path.into(), body, patience: PATIENCE }
    }

    /// The agent may take so long by itself.
    pub(super) fn patient(mut self, patience: Duration) -> Self {
        self.patience = PATIENCE.saturating_add(patience);
        self
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn of(self, addr: SocketAddr) -> Result<Answer, Failure> {
        let patience = self.patience;
        let exchange = async {
            let (response, _connection) = self.begin(addr).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
            Ok(Answer { status, body: body.map_err(|e| broken(addr, &e))?.to_bytes() })
        };
        let late = || Err(Failure::new(format!("the agent at {addr} did not answer within {patience:?}")));
        tokio::time::timeout(patience, exchange).await.unwrap_or_else(|_elapsed| late())
    }

    /// Asks for what has no end.
    pub(super) async fn stream(self, addr: SocketAddr) -> Result<Streaming, Failure> {
        let patience = self.patience;
        let late = || Err(Failure::new(format!("the agent at {addr} did not answer within {patience:?}")));
        let begun = tokio::time::timeout(patience, self.begin(addr)).await.unwrap_or_else(|_elapsed| late());
        let (response, connection) = begun?;
        if response.status().is_success() {
            return Ok(Streaming { body: response.into_body(), _connection: connection });
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await.map_err(|e| broken(addr, &e))?;
        Err(refused(status, &body.to_bytes()))
    }

    async fn begin(self, addr: SocketAddr) -> Result<(Response<Incoming>, JoinSet<()>), Failure> {
        let unreachable = |e: std::io::Error| {
            Failure::new(format!("no agent answers at {addr}: {e}; was it started with --admin {addr}?"))
        };
        let stream = TcpStream::connect(addr).await.map_err(unreachable)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(addr, &e))?;
        let mut running = JoinSet::new();
        running.spawn(async move {
            // What goes wrong with it is said by the answer.
            let _ = connection.await;
        });
        let body = self.body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(header::HOST, addr.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| broken(addr, &e))?;
        let response = sender.send_request(request).await.map_err(|e| broken(addr, &e))?;
        Ok((response, running))
    }
}

fn broken(addr: SocketAddr, e: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("{addr} does not answer as an agent does: {e}"))
}
