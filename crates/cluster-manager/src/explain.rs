//! Why a member is held to be what it is: what is known, from whom, since when, and what would change it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_gossip::{Grounds, Probing};
use cluster_pool::{Link, PeerReport};
use cluster_types::{Accusation, Event, EventKind, Evidence, HealthFault, Instant, NodeId, State};

/// Everything this node can say about a member, and why. Its `Display` is a few lines for people. Spans are as of the moment it
/// was asked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether it is this node itself.
    pub own: bool,
    /// When it was asked, on this node's monotonic clock.
    pub at: Instant,
    /// What the membership core holds, and on what grounds.
    pub grounds: Grounds,
    /// The last suspicion or failure, with its evidence, also when it was refuted since.
    pub verdict: Option<Event>,
    /// The last events about it, oldest first: at most 16.
    pub recent: Vec<Arc<Event>>,
    /// The control link, where there is one.
    pub link: Option<LinkReport>,
    /// How messages to it fare, where something was said to it.
    pub peer: Option<PeerReport>,
}

/// A link, as far as it explains something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkReport {
    /// Where the packets go.
    pub remote_addr: SocketAddr,
    /// Round-trip time.
    pub rtt: Duration,
    /// Whether this node dialled it.
    pub outbound: bool,
}

impl LinkReport {
    pub(crate) fn of(link: &Link) -> Self {
        Self { remote_addr: link.remote_addr(), rtt: link.rtt(), outbound: link.is_outbound() }
    }
}

/// Events that are told of one member.
pub(crate) const RECENT_MAX: usize = 16;

/// Why nothing can be said about a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// This node has never heard of it, or has forgotten it since.
    #[error("{node} is not known here: it never joined, or was forgotten after it failed or left")]
    Unknown {
        /// The name.
        node: NodeId,
    },
    /// The node is shutting down, or has stopped.
    #[error("this node is shutting down")]
    ShuttingDown,
}

impl cluster_types::Blamed for ExplainError {
    fn blame(&self) -> cluster_types::Blame {
        cluster_types::Blame::CallerMisused
    }
}

/// A span for people.
fn span(span: Duration) -> String {
    match span.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..100_000 => format!("{:.1} s", ms as f64 / 1e3),
        ms @ 100_000..6_000_000 => format!("{} min", (ms + 30_000) / 60_000),
        ms => format!("{} h", (ms + 1_800_000) / 3_600_000),
    }
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grounds { member, held_for, .. } = &self.grounds;
        let claim = &member.claim;
        let own = if self.own { " (this node)" } else { "" };
        writeln!(f, "{}{own} at {} is {} for {}", claim.node, claim.addr, claim.state, span(*held_for))?;
        writeln!(f, "  incarnation  {}, life {}", claim.incarnation.get(), claim.life)?;
        self.fmt_sight(f)?;
        self.fmt_case(f)?;
        if let Some(event) = &self.verdict {
            let ago = span(self.at.since(event.at));
            if let EventKind::Suspected(_, evidence) | EventKind::Failed(_, evidence) = &event.kind {
                writeln!(f, "  last case    {} {ago} ago: {}", event.kind.as_str(), sentence(evidence))?;
            }
        }
        if let Some(peer) = &self.peer {
            let account = peer.to_string();
            let mut lines = account.trim_end().lines();
            writeln!(f, "  messages     {}", lines.next().unwrap_or_default())?;
            lines.try_for_each(|line| writeln!(f, "             {line}"))?;
        }
        if !self.recent.is_empty() {
            writeln!(f, "  lately")?;
        }
        self.recent.iter().try_for_each(|event| {
            writeln!(f, "    {:>8} ago  {}", span(self.at.since(event.at)), happened(&event.kind))
        })
    }
}

impl Explanation {
    /// What this node itself sees of it.
    fn fmt_sight(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grounds = &self.grounds;
        writeln!(
            f,
            "  watched by   {}",
            if grounds.observers.is_empty() { "nobody".into() } else { names(&grounds.observers) }
        )?;
        if self.own {
            return writeln!(f, "  local health {} of 8 (0: it trusts itself fully)", grounds.local_health);
        }
        match &self.link {
            Some(LinkReport { remote_addr, rtt, outbound }) => {
                let how = if *outbound { "dialled from here" } else { "dialled from there" };
                writeln!(f, "  link         up to {remote_addr}, {how}, round trip {:.1} ms", rtt.as_secs_f64() * 1e3)?;
            }
            None if grounds.unreachable => writeln!(f, "  link         none: it could not be dialled")?,
            None => writeln!(f, "  link         none")?,
        }
        match grounds.last_sign {
            Some(ago) => write!(f, "  heard        {} ago", span(ago))?,
            None => write!(f, "  heard        not watched from here: what is held of it was told by others")?,
        }
        if let Some(phi) = grounds.phi_milli {
            write!(f, ", phi {:.1} (overdue at 8)", phi as f64 / 1e3)?;
        }
        writeln!(f)?;
        if grounds.unwell {
            writeln!(f, "  application  says that it is not well")?;
        }
        match grounds.probing {
            Some(Probing::Direct) => writeln!(f, "  probe        under way, directly"),
            Some(Probing::Indirect) => writeln!(f, "  probe        under way, through others"),
            Some(Probing::Helping) => writeln!(f, "  probe        under way, for another member"),
            None => Ok(()),
        }
    }

    /// What speaks against it, and when it is judged.
    fn fmt_case(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grounds = &self.grounds;
        if let Some(evidence) = &grounds.evidence {
            writeln!(f, "  suspected    {}", sentence(evidence))?;
        }
        for vote in &grounds.votes {
            let (accuser, silence, unanswered) = (&vote.accuser, span(vote.silence), span(vote.unanswered));
            writeln!(f, "    {accuser} heard it {silence} ago and has asked in vain for {unanswered}")?;
        }
        if let Some(left) = grounds.fails_in {
            let votes = grounds.votes.len();
            writeln!(
                f,
                "  verdict      failed in {} unless it answers ({votes} accuse it; more of them make it sooner)",
                span(left)
            )?;
        }
        if let Some(left) = grounds.forgotten_in {
            let state = if grounds.member.state() == State::Left { "left" } else { "failed" };
            writeln!(f, "  forgotten    in {}, since it {state}", span(left))?;
        }
        Ok(())
    }
}

/// Evidence in words.
fn sentence(evidence: &Evidence) -> String {
    let how = match evidence.accusation {
        Accusation::ProbeUnanswered => "probed from here in vain",
        Accusation::Phi => "overdue for its rhythm, then probed from here in vain",
        Accusation::Gossip => "told by others",
        other => other.as_str(),
    };
    let mut words = format!("{how}; silent for {}", span(evidence.silence));
    if !evidence.accusers.is_empty() {
        words += &format!("; accused by {} ({} make it quick)", names(&evidence.accusers), evidence.votes_needed);
    }
    if evidence.helpers_asked > 0 {
        words += &format!("; {} of {} helpers got no answer either", evidence.helpers_agreed, evidence.helpers_asked);
    }
    if evidence.send_refused {
        words += "; the system refused to send to it";
    }
    if evidence.local_health > 0 {
        words += &format!("; own local health {} of 8", evidence.local_health);
    }
    words
}

/// An event about a member whose name stands above.
fn happened(kind: &EventKind) -> String {
    let detail = match kind {
        EventKind::Suspected(_, evidence) | EventKind::Failed(_, evidence) => {
            format!("silent for {}, accused by {}", span(evidence.silence), names(&evidence.accusers))
        }
        EventKind::LinkUp { addr, .. } => addr.to_string(),
        EventKind::LinkDown { reason, .. } | EventKind::Conflict { reason, .. } => reason.clone(),
        EventKind::HealthCheckFailed { fault: HealthFault::Overdue { phi_milli }, .. } => {
            format!("phi {:.1}", *phi_milli as f64 / 1e3)
        }
        EventKind::HealthCheckFailed { fault: HealthFault::Unwell, .. } => "its application is not well".into(),
        EventKind::Broadcast { payload, .. } => format!("{} bytes", payload.len()),
        EventKind::FeatureOff { feature, .. } => format!("it does not know {feature}"),
        _ => return kind.as_str().to_owned(),
    };
    format!("{}: {detail}", kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_gossip::swim::Swim;
    use cluster_gossip::wire::{DatagramKind, DatagramWriter, Update, Vote};
    use cluster_gossip::{PeerInfo, SwimConfig};
    use cluster_types::{Claim, Incarnation, Life, Metadata, Seed};

    fn claim(name: &str, port: u16) -> Claim {
        let addr = SocketAddr::from(([10, 0, 0, 1], port));
        Claim::alive(
            name.parse().unwrap(),
            Life::new(1_795_000_000_000, 7),
            Incarnation::from_unix_ms(1_795_000_000_000),
            addr,
        )
    }

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(60_000 + ms))
    }

    /// A core that was told of `x` by `b`, who accuses it.
    fn accused() -> Swim {
        let cluster = "test".parse().unwrap();
        let (boot, seed) = (1_795_000_000_000, Seed::new(5));
        let mut swim = Swim::new(SwimConfig::lan(), &cluster, claim("m", 1), Metadata::default(), boot, seed, at(0));
        let node = claim("b", 2).node;
        swim.handle_link_up(at(0), PeerInfo::from(&claim("b", 2)));
        let suspect = Claim { state: State::Suspect, ..claim("x", 3) };
        let vote = Vote {
            accuser: node.clone(),
            life: claim("b", 2).life,
            sign_ms: 57_600,
            silence: Duration::from_millis(2_500),
            unanswered: Duration::from_millis(1_500),
            age: Duration::ZERO,
        };
        let mut writer = DatagramWriter::new(DatagramKind::Gossip, 0, None);
        for update in [(claim("b", 2), None), (claim("x", 3), None), (suspect, Some(vote))]
            .map(|(claim, vote)| Update { claim, vote, proof: None })
        {
            assert!(writer.push(&update));
        }
        swim.handle_datagram(at(100), &node, &writer.finish());
        swim
    }

    #[test]
    fn an_explanation_reads_as_a_story() {
        let swim = accused();
        let explain = |node: &str, own: bool| {
            let node = node.parse().unwrap();
            let grounds = swim.explain(at(600), &node).expect("known");
            let evidence = Evidence {
                accusers: vec!["b".parse().unwrap()],
                votes_needed: 2,
                silence: Duration::from_millis(2_500),
                helpers_asked: 3,
                helpers_agreed: 1,
                send_refused: true,
                local_health: 2,
                ..Evidence::bare(Accusation::ProbeUnanswered)
            };
            let member = Arc::clone(&grounds.member);
            let event = |ms, kind| Arc::new(Event { at: at(ms), kind });
            let recent = vec![
                event(10, EventKind::Joined(Arc::clone(&member))),
                event(
                    20,
                    EventKind::LinkDown { node, incarnation: member.claim.incarnation, reason: "timed out".into() },
                ),
                event(100, EventKind::Suspected(Arc::clone(&member), evidence.clone())),
            ];
            let verdict = (!own).then(|| Event { at: at(100), kind: EventKind::Suspected(member, evidence) });
            Explanation {
                own,
                at: at(600),
                grounds,
                verdict,
                recent: if own { Vec::new() } else { recent },
                link: None,
                peer: None,
            }
        };
        let [x, b, m] = [explain("x", false), explain("b", false), explain("m", true)].map(|e| e.to_string());
        insta::assert_snapshot!(format!("{x}\n{b}\n{m}"));
    }

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        let told = [999, 1_000, 99_949, 100_000, 5_999_999, 6_000_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(told, ["999 ms", "1.0 s", "99.9 s", "2 min", "100 min", "2 h"]);
    }
}
