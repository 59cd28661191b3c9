//! Why is nothing arriving? A peer's own account of itself.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use cluster_failure::BreakerState;
use cluster_types::{Life, NodeId};

use super::course::PeerState;
use super::metrics::PeerMetrics;
use super::{Peer, PeerState as State};

/// How a peer is and why. Its `Display` is a few lines for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerReport {
    /// Who.
    pub node: NodeId,
    /// Where it is dialled.
    pub addr: SocketAddr,
    /// What it is at.
    pub state: State,
    /// The process on the other side, if there is a link.
    pub life: Option<Life>,
    /// The link's round-trip time.
    pub rtt: Option<Duration>,
    /// What the last attempt or link failed of, since one last proved itself.
    pub last_error: Option<String>,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// When the next one is made.
    pub retry_in: Option<Duration>,
    /// What the breaker does.
    pub breaker: BreakerState,
    /// How long the oldest message has waited.
    pub oldest: Option<Duration>,
    /// The numbers.
    pub metrics: PeerMetrics,
}

impl Peer {
    /// How it is and why.
    #[must_use]
    pub fn explain(&self) -> PeerReport {
        let (shared, metrics, state) = (self.shared(), self.metrics(), self.state());
        let link = self.link_now();
        let (now, life) = (shared.now(), self.life());
        let inner = shared.state();
        PeerReport {
            node: shared.node.clone(),
            addr: inner.addr,
            state,
            life,
            rtt: link.map(|link| link.rtt()),
            last_error: inner.course.last_error().map(str::to_owned),
            failures: inner.course.failures(),
            retry_in: inner.course.retry_at().map(|at| at.since(now)),
            breaker: inner.course.breaker(),
            oldest: inner.queue.oldest(now),
            metrics,
        }
    }
}

impl fmt::Display for PeerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, addr, metrics, .. } = self;
        write!(f, "{node} at {addr} is {}", self.state.as_str())?;
        if let Some(rtt) = self.rtt {
            write!(f, ", round trip {:.1} ms", rtt.as_secs_f64() * 1e3)?;
        }
        writeln!(f)?;
        if let Some(error) = &self.last_error {
            writeln!(f, "  failed {} times in a row, last because: {error}", self.failures)?;
        }
        if let Some(retry_in) = self.retry_in {
            let why = if self.state == PeerState::BreakerOpen { "the breaker is open: " } else { "" };
            writeln!(f, "  {why}next attempt in {:.1} s", retry_in.as_secs_f64())?;
        }
        let (len, bytes) = (metrics.queue_len, metrics.queue_bytes);
        write!(f, "  {len} messages wait ({bytes} B), {} are under way", metrics.in_flight)?;
        if let Some(oldest) = self.oldest {
            write!(f, "; the oldest has waited for {:.1} s", oldest.as_secs_f64())?;
        }
        let PeerMetrics { delivered, maybe_delivered, expired, dropped, refused, .. } = metrics;
        write!(
            f,
            "\n  so far: {delivered} delivered, {maybe_delivered} maybe, {expired} expired, {dropped} dropped, {refused} refused"
        )
    }
}
