//! What the admin address answers: one function a route. Errors are JSON with one key, `error`, that says what to do.

use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cluster_manager::{ExplainError, Fate, Health, MemberInfo, Message, MessageError, NodeId, Outcome, Priority};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, Shared, explained};
use crate::logging::lines_lost;
use crate::texts::{Echo, Text};

/// The longest that somebody may wait for the outcome of a text or a reply.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// An answer that is none: a status, and a sentence.
pub(super) struct Refused(StatusCode, String);

impl Refused {
    pub(super) fn new(status: StatusCode, why: impl ToString) -> Self {
        Self(status, why.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

fn wrong(what: impl ToString) -> Refused {
    Refused(StatusCode::BAD_REQUEST, what.to_string())
}

type Answer<T> = Result<T, Refused>;

pub(super) async fn members(State(shared): State<Shared>) -> Json<Vec<Value>> {
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

pub(super) async fn leave(State(shared): State<Shared>) -> StatusCode {
    shared.leave.notify_one();
    StatusCode::ACCEPTED
}

/// 200 while the process does its work at all.
pub(super) async fn healthz(State(shared): State<Shared>) -> Response {
    let health = shared.cluster.health().await;
    told(health.is_live(), &health)
}

/// 200 while it takes part in its cluster.
pub(super) async fn readyz(State(shared): State<Shared>) -> Response {
    let health = shared.cluster.health().await;
    told(health.is_ready(), &health)
}

fn told(well: bool, health: &Health) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let answer = json!({
        "live": health.is_live(),
        "ready": health.is_ready(),
        "problems": health.problems(),
        "others": health.live_others,
        "lost": health.lost,
        "links_up": health.links_up,
        "links_wanted": health.links_wanted,
        "local_health": health.local_health,
    });
    (status, Json(answer)).into_response()
}

pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    let numbers = shared.cluster.metrics().await;
    // To this recorder, and to nobody else in the process.
    metrics::with_local_recorder(&*shared.recorder, || {
        numbers.record();
        record_lines_lost(&shared);
    });
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], shared.recorder.handle().render()).into_response()
}

/// The one number that is the agent's own, and not its node's.
fn record_lines_lost(shared: &Shared) {
    const NAME: &str = "cluster_log_lines_lost_total";
    metrics::describe_counter!(NAME, metrics::Unit::Count, "log lines lost because whoever reads them is too slow");
    metrics::counter!(NAME, "node" => shared.cluster.node().to_string()).absolute(lines_lost());
}

pub(super) async fn explain(State(shared): State<Shared>, Path(node): Path<String>) -> Answer<Json<Value>> {
    let node = parse(&node)?;
    match shared.cluster.explain(&node).await {
        Ok(explanation) => Ok(Json(explained::json(&explanation))),
        Err(error @ ExplainError::Unknown { .. }) => Err(Refused(StatusCode::NOT_FOUND, error.to_string())),
        Err(error) => Err(Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

fn parse(node: &str) -> Answer<NodeId> {
    NodeId::from_str(node).map_err(wrong)
}

/// What `POST /send` and `POST /request` are given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    node: String,
    text: String,
    /// `high`, `normal` or `low`; for texts only.
    priority: Option<String>,
    /// How long the outcome is waited for, in milliseconds. 5,000 where nothing is said.
    timeout_ms: Option<u64>,
}

impl Told {
    fn timeout(&self) -> Duration {
        self.timeout_ms.map_or(Duration::from_secs(5), Duration::from_millis).min(TIMEOUT_MAX)
    }

    fn priority(&self) -> Answer<Priority> {
        match self.priority.as_deref() {
            None | Some("normal") => Ok(Priority::Normal),
            Some("high") => Ok(Priority::High),
            Some("low") => Ok(Priority::Low),
            Some(other) => Err(wrong(format!("{other:?} is no priority: use high, normal or low"))),
        }
    }
}

fn body(told: Result<Json<Told>, JsonRejection>) -> Answer<Told> {
    let Json(told) = told.map_err(|e| wrong(format!("{}; send {{\"node\": NAME, \"text\": TEXT}}", e.body_text())))?;
    Ok(told)
}

pub(super) async fn send(State(shared): State<Shared>, told: Result<Json<Told>, JsonRejection>) -> Answer<Json<Value>> {
    let told = body(told)?;
    let (node, timeout, priority) = (parse(&told.node)?, told.timeout(), told.priority()?);
    let message = Message::of(&Text(told.text)).map_err(wrong)?.with_priority(priority).with_time_to_live(timeout);
    let ticket = shared.cluster.send(&node, message).await.map_err(|e| failed(&e))?;
    let outcome = tokio::time::timeout(timeout, ticket).await;
    match outcome {
        Ok(outcome @ Outcome::Delivered { .. }) => Ok(Json(json!({ "outcome": outcome.to_string() }))),
        Ok(outcome) => Err(Refused(StatusCode::BAD_GATEWAY, format!("to {node}: {outcome}"))),
        Err(_elapsed) => {
            let words = format!("to {node}: no outcome within {timeout:?}; see `cluster explain {node}`");
            Err(Refused(StatusCode::GATEWAY_TIMEOUT, words))
        }
    }
}

pub(super) async fn request(
    State(shared): State<Shared>,
    told: Result<Json<Told>, JsonRejection>,
) -> Answer<Json<Value>> {
    let told = body(told)?;
    let (node, timeout) = (parse(&told.node)?, told.timeout());
    told.priority()?;
    let started = tokio::time::Instant::now();
    let reply = shared.cluster.ask(&node, &Echo(told.text), timeout).await.map_err(|e| failed(&e))?;
    let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(Json(json!({ "reply": reply, "took_us": took })))
}

/// Said with what is known of the message then.
fn failed(error: &MessageError) -> Refused {
    let status = match error {
        MessageError::NotAMember { .. } => StatusCode::NOT_FOUND,
        MessageError::Myself | MessageError::Typed(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::BAD_GATEWAY,
    };
    let known = match error.fate() {
        Fate::NotSent => "it was certainly not handled",
        Fate::MaybeDelivered => "it may have been handled",
    };
    Refused(status, format!("{error} ({known})"))
}

/// Whatever is asked that is not there.
pub(super) async fn unknown(uri: axum::http::Uri) -> Refused {
    Refused(StatusCode::NOT_FOUND, format!("there is no {}; there are {}", uri.path(), Admin::ROUTES.join(", ")))
}

/// A route that is there, asked in another way.
pub(super) async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> Refused {
    let there = Admin::ROUTES.iter().find(|route| route.ends_with(uri.path())).map_or("", |route| route);
    Refused(StatusCode::METHOD_NOT_ALLOWED, format!("{method} {} is not understood; use {there}", uri.path()))
}
