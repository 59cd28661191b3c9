//! What a node can say of itself and of the others: explanations, its health, its numbers.

use std::time::Duration;

use cluster_pool::{LinkClass, Peer};
use cluster_types::{NodeId, State};
use tokio::sync::oneshot;

use super::Cluster;
use crate::driver::Command;
use crate::explain::{ExplainError, Explanation, LinkReport, RECENT_MAX};
use crate::health::Health;
use crate::metrics::{Metrics, Sources};

/// A loop that works answers within microseconds.
const LOOP_PATIENCE: Duration = Duration::from_secs(1);

impl Cluster {
    /// Why a member is held to be what it is: what is known of it, from whom, since when, and what would change it. Also of this
    /// node itself, and of members that failed or left, until they are forgotten.
    ///
    /// # Errors
    /// Nobody of that name is known, or the node is shutting down.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn explain(&self, node: &NodeId) -> Result<Explanation, ExplainError> {
        let (reply, grounds) = oneshot::channel();
        self.command(Command::Explain { node: node.clone(), reply }).await.ok_or(ExplainError::ShuttingDown)?;
        let (at, grounds) = grounds.await.map_err(|_stopped| ExplainError::ShuttingDown)?;
        let grounds = grounds.ok_or_else(|| ExplainError::Unknown { node: node.clone() })?;
        let mut recent = self.0.registry.recent(node);
        recent.drain(..recent.len().saturating_sub(RECENT_MAX));
        Ok(Explanation {
            own: *node == self.0.own.node,
            at,
            grounds,
            verdict: self.0.registry.last_verdict(node),
            recent,
            link: self.0.pool.current(LinkClass::Control, node).as_ref().map(LinkReport::of),
            peer: self.0.peers.known(node).as_ref().map(Peer::explain),
        })
    }

    /// Every number of this node, all taken now. [`Metrics::record`] hands them to whoever collects them.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn metrics(&self) -> Metrics {
        self.metrics_with(self.health().await)
    }

    /// The same without those that the membership loop would have to be asked for: whether the node is live and ready, and
    /// what the loop counts. Nothing is waited for.
    #[must_use]
    pub fn metrics_now(&self) -> Metrics {
        let (discoveries, certificate_left) = (self.0.searches.statuses(), Some(self.0.certificate.left()));
        self.metrics_with(Health { discoveries, certificate_left, ..Health::default() }).without_health()
    }

    fn metrics_with(&self, health: Health) -> Metrics {
        let members = self.0.registry.snapshot();
        let count = |state| (state, members.iter().filter(|member| member.state() == state).count());
        let (pool, peers) = (&self.0.pool, self.0.peers.totals());
        Metrics::from_sources(Sources {
            node: self.0.own.node.to_string(),
            health,
            states: State::ALL.map(count).to_vec(),
            events: self.0.registry.event_counts(),
            events_dropped: self.0.registry.dropped_events(),
            datagrams_dropped: pool.dropped_datagrams(),
            handshakes_refused: pool.refused_handshakes(),
            links: [LinkClass::Control, LinkClass::Data].map(|class| (class, pool.open_links(class))),
            pool: pool.stats(),
            peers: peers.all,
            peers_now: peers.now,
            breakers_open: peers.breakers_open,
            peer_events_missed: peers.events_missed,
            router: self.0.peers.router().stats(),
        })
    }

    /// How this node is. Answers within a second, also when the membership loop does not.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn health(&self) -> Health {
        let (reply, health) = oneshot::channel();
        let ask = async {
            self.command(Command::Health { reply }).await?;
            health.await.ok()
        };
        let discoveries = self.0.searches.statuses();
        let certificate_left = Some(self.0.certificate.left());
        match tokio::time::timeout(LOOP_PATIENCE, ask).await {
            Ok(Some(health)) => {
                // Nobody has said yet whether there is a cluster to join.
                let unanswered = discoveries.iter().any(|discovery| discovery.answers == 0);
                let joining = health.joining || (unanswered && health.live_others == 0);
                Health { joining, discoveries, certificate_left, ..health }
            }
            Ok(None) => Health { leaving: true, discoveries, certificate_left, ..Health::default() },
            Err(_elapsed) => Health { discoveries, certificate_left, ..Health::default() },
        }
    }
}
