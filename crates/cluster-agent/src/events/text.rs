//! Sentences for people.

use cluster_manager::{Event, EventKind, Evidence, HealthFault};

use super::Say;
use crate::plain::plain;

pub(super) fn line(say: &Say<'_>) -> String {
    match say {
        Say::Ready(ready) => {
            let admin = ready.admin.map(|admin| format!(", admin on {admin}")).unwrap_or_default();
            format!("{} is ready on {}{admin}", ready.node, ready.bind)
        }
        Say::Event { event, .. } => event_line(event),
        Say::Lagged { of, missed, .. } => format!("(too slow: {missed} {of} were missed)"),
        Say::Snapshot { members, .. } => {
            let list = members.iter().map(|m| format!("{} {}", m.node(), m.state())).collect::<Vec<_>>().join(", ");
            format!("members now: {list}")
        }
        Say::Message { at, heard, .. } => {
            format!("{:9.3}  {:<12} says: {}", at.as_secs_f64(), heard.from, plain(&heard.text))
        }
        Say::Shutdown(report) => format!("shut down:\n{}", report.to_string().trim_end()),
    }
}

fn event_line(event: &Event) -> String {
    let seconds = event.at.since_start().as_secs_f64();
    let node = event.kind.node().map(ToString::to_string).unwrap_or_default();
    let what = match &event.kind {
        EventKind::Joined(m) => format!("joined from {}", m.claim.addr),
        EventKind::Alive(m) => format!("is alive at {}", m.claim.addr),
        EventKind::Suspected(_, evidence) => format!("is suspected: {}", why(evidence)),
        EventKind::Failed(_, evidence) => format!("has FAILED: {}", why(evidence)),
        EventKind::Left(_) => "left".into(),
        EventKind::Updated(m) => format!("changed, now at {}", m.claim.addr),
        EventKind::Reaped(_) => "was forgotten".into(),
        EventKind::HealthCheckFailed { fault: HealthFault::Overdue { phi_milli }, .. } => {
            format!("is overdue (phi {})", *phi_milli as f64 / 1_000.0)
        }
        EventKind::HealthCheckFailed { fault: HealthFault::Unwell, .. } => "says that it is not well".into(),
        EventKind::LinkUp { addr, .. } => format!("linked at {addr}"),
        EventKind::LinkDown { reason, .. } => format!("unlinked: {}", plain(reason)),
        EventKind::Broadcast { payload, .. } => format!("says to all: {}", plain(&String::from_utf8_lossy(payload))),
        EventKind::Merged { members } => format!("{members} members are back after a partition"),
        EventKind::Conflict { reason, .. } => format!("CONFLICT: {}", plain(reason)),
        EventKind::FeatureOn { feature } => format!("every member knows {feature}: it is ON"),
        EventKind::FeatureOff { feature, .. } => format!("does not know {feature}: it is OFF"),
        EventKind::JoinFailed { seed, reason } => format!("could not join through {seed}: {}", plain(reason)),
        other => other.as_str().replace('_', " "),
    };
    format!("{seconds:9.3}  {node:<12} {what}")
}

fn why(evidence: &Evidence) -> String {
    let accusers = evidence.accusers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let silent = evidence.silence.as_secs_f64();
    format!("silent for {silent:.1} s, accused by {accusers} ({} needed)", evidence.votes_needed)
}
