//! An explanation as JSON, with its sentences beside its facts.

use std::time::Duration;

use cluster_manager::{Explanation, Grounds, NodeId};
use serde_json::{Value, json};

use crate::events;

pub(super) fn json(explanation: &Explanation) -> Value {
    let Grounds { member, .. } = &explanation.grounds;
    let grounds = &explanation.grounds;
    let claim = &member.claim;
    let names = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>();
    let votes = grounds.votes.iter().map(|vote| {
        json!({
            "accuser": vote.accuser.as_str(),
            "silence_ms": millis(vote.silence),
            "unanswered_ms": millis(vote.unanswered),
        })
    });
    let recent = explanation
        .recent
        .iter()
        .map(|event| json!({ "ago_ms": millis(explanation.at.since(event.at)), "event": events::body(event) }));
    let link = explanation
        .link
        .as_ref()
        .map(|link| json!({ "addr": link.remote_addr, "rtt_us": micros(link.rtt), "dialled_here": link.outbound }));
    let verdict = explanation.verdict.as_ref();
    let peer = explanation.peer.as_ref().map(|peer| {
        json!({
            "state": peer.state.as_str(),
            "failures": peer.failures,
            "last_error": peer.last_error,
            "retry_in_ms": peer.retry_in.map(millis),
            "waiting": peer.metrics.queue_len,
        })
    });
    json!({
        "node": claim.node.as_str(),
        "own": explanation.own,
        "addr": claim.addr,
        "state": claim.state.as_str(),
        "incarnation": claim.incarnation.get(),
        "for_ms": millis(grounds.held_for),
        "observers": names(&grounds.observers),
        "link": link,
        "heard_ms_ago": grounds.last_sign.map(millis),
        "phi": grounds.phi_milli.map(|phi| phi as f64 / 1e3),
        "unwell": grounds.unwell,
        "unreachable": grounds.unreachable,
        "local_health": grounds.local_health,
        "evidence": grounds.evidence.as_ref().map(events::evidence),
        "votes": votes.collect::<Vec<_>>(),
        "fails_in_ms": grounds.fails_in.map(millis),
        "forgotten_in_ms": grounds.forgotten_in.map(millis),
        "last_case": verdict.map(|event| json!({ "ago_ms": millis(explanation.at.since(event.at)), "event": events::body(event) })),
        "recent": recent.collect::<Vec<_>>(),
        "messages": peer,
        "text": explanation.to_string(),
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
