//! One JSON object a line, as `docs/agent.md` lists them.

use std::time::Duration;

use cluster_manager::{Delivery, Event, EventKind, Evidence, HealthFault, Member, MemberTable, NodeId, PhaseReport};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Ready, Say};
use crate::texts::Heard;

/// Written in this order; what is absent is left out.
#[derive(Debug, Default, Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

pub(super) fn line(say: &Say<'_>) -> String {
    let line = match say {
        Say::Ready(ready) => return ready_line(ready),
        Say::Event { seq, event } => event_line(Some(*seq), event),
        Say::Lagged { at, seq, of, missed } => {
            let rest = object(json!({ "of": of, "missed": missed }));
            Line { at_ms: Some(millis(*at)), seq: Some(*seq), event: "lagged", rest, ..Line::default() }
        }
        Say::Snapshot { at, seq, members, own } => {
            let rest = object(json!({ "members": snapshot(members, own) }));
            Line { at_ms: Some(millis(*at)), seq: Some(*seq), event: "snapshot", rest, ..Line::default() }
        }
        Say::Message { at, seq, heard } => {
            let (node, rest) = (Some(heard.from.as_str()), object(json!({ "text": heard.text })));
            Line { at_ms: Some(millis(*at)), seq: Some(*seq), event: "message", node, rest, ..Line::default() }
        }
        Say::Shutdown(report) => {
            let phases: Vec<Value> = report.phases.iter().map(phase).collect();
            Line { event: "shutdown", rest: object(json!({ "phases": phases })), ..Line::default() }
        }
    };
    serde_json::to_string(&line).unwrap_or_default()
}

/// An event as it stands in a line, without a number.
pub(crate) fn body(event: &Event) -> Value {
    serde_json::to_value(event_line(None, event)).unwrap_or_default()
}

/// A delivery for a reader of its own: its word, the number of the last event in it, and the line.
pub(crate) fn streamed(delivery: &Delivery<MemberTable, Event>) -> (&'static str, Option<u64>, String) {
    match delivery {
        Delivery::Event { seq, event } => {
            let line = event_line(Some(*seq), event);
            (event.kind.as_str(), Some(*seq), serde_json::to_string(&line).unwrap_or_default())
        }
        Delivery::Lagged { missed } => ("lagged", None, streamed_lag("events", *missed)),
        Delivery::Snapshot { seq, state } => {
            let members: Vec<Value> = state.iter().map(|member| in_snapshot(member)).collect();
            ("snapshot", Some(*seq), json!({ "event": "snapshot", "seq": seq, "members": members }).to_string())
        }
    }
}

/// A text of a member, likewise.
pub(crate) fn streamed_text(heard: &Heard) -> String {
    json!({ "event": "message", "node": heard.from.as_str(), "text": heard.text }).to_string()
}

/// That the reader was too slow.
pub(crate) fn streamed_lag(of: &str, missed: u64) -> String {
    json!({ "event": "lagged", "of": of, "missed": missed }).to_string()
}

fn ready_line(ready: &Ready) -> String {
    #[derive(Serialize)]
    struct ReadyLine<'a> {
        event: &'a str,
        node: &'a str,
        bind: String,
        admin: Option<String>,
    }
    let admin = ready.admin.map(|admin| admin.to_string());
    let line = ReadyLine { event: "ready", node: ready.node.as_str(), bind: ready.bind.to_string(), admin };
    serde_json::to_string(&line).unwrap_or_default()
}

fn event_line(seq: Option<u64>, event: &Event) -> Line<'_> {
    Line {
        at_ms: Some(millis(event.at.since_start())),
        seq,
        event: event.kind.as_str(),
        node: event.kind.node().map(NodeId::as_str),
        incarnation: event.kind.incarnation().map(|incarnation| incarnation.get()),
        rest: object(details(&event.kind)),
    }
}

fn details(kind: &EventKind) -> Value {
    match kind {
        EventKind::Joined(m) | EventKind::Alive(m) | EventKind::Updated(m) => {
            json!({ "addr": m.claim.addr, "meta": meta(m) })
        }
        EventKind::Suspected(_, evidence) | EventKind::Failed(_, evidence) => {
            json!({ "evidence": self::evidence(evidence) })
        }
        EventKind::HealthCheckFailed { fault: HealthFault::Overdue { phi_milli }, .. } => {
            json!({ "fault": "overdue", "phi": *phi_milli as f64 / 1_000.0 })
        }
        EventKind::HealthCheckFailed { fault: HealthFault::Unwell, .. } => json!({ "fault": "unwell" }),
        EventKind::LinkUp { addr, .. } => json!({ "addr": addr }),
        EventKind::LinkDown { reason, .. } => json!({ "reason": reason }),
        EventKind::Broadcast { payload, .. } => json!({ "text": String::from_utf8_lossy(payload) }),
        EventKind::Merged { members } => json!({ "members": members }),
        EventKind::Conflict { addr, reason, .. } => json!({ "addr": addr, "reason": reason }),
        EventKind::FeatureOn { feature } | EventKind::FeatureOff { feature, .. } => {
            json!({ "feature": feature.to_string() })
        }
        EventKind::JoinFailed { seed, reason } => json!({ "seed": seed, "reason": reason }),
        _ => json!({}),
    }
}

/// What speaks against a member.
pub(crate) fn evidence(evidence: &Evidence) -> Value {
    let accusers: Vec<&str> = evidence.accusers.iter().map(NodeId::as_str).collect();
    json!({
        "accusation": evidence.accusation.as_str(),
        "accusers": accusers,
        "votes_needed": evidence.votes_needed,
        "silence_ms": millis(evidence.silence),
        "unanswered_ms": evidence.unanswered_for.map(millis),
        "helpers_asked": evidence.helpers_asked,
        "helpers_agreed": evidence.helpers_agreed,
        "rtt_us": evidence.rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
        "local_health": evidence.local_health,
        "send_refused": evidence.send_refused,
    })
}

fn snapshot(members: &MemberTable, own: &NodeId) -> Vec<Value> {
    let others = members.iter().filter(|member| member.node() != own);
    others.map(|member| in_snapshot(member)).collect()
}

fn in_snapshot(member: &Member) -> Value {
    let claim = &member.claim;
    let (node, state) = (claim.node.as_str(), claim.state.as_str());
    json!({ "node": node, "addr": claim.addr, "state": state, "incarnation": claim.incarnation.get() })
}

fn phase(report: &PhaseReport) -> Value {
    let mut phase = json!({ "phase": report.phase.as_str(), "ms": millis(report.took), "ok": report.ok });
    if let Some((heard, told)) = report.acks {
        phase["acks"] = json!(heard);
        phase["told"] = json!(told);
    }
    phase
}

fn meta(member: &Member) -> Value {
    Value::Object(member.metadata.iter().map(|(k, v)| (k.to_owned(), v.into())).collect())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    }
}
