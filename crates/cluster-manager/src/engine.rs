//! The pure engine of a node: the membership core, the link plan and the join, composed. The driver feeds it from real
//! links; the simulated world feeds the same engine from an event heap.

mod features;
mod joining;
mod output;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use cluster_gossip::{BroadcastError, Output as SwimOutput, PeerInfo, RequestToken, Swim, SwimConfig};
use cluster_pool::DialTarget;
use cluster_types::{Claim, ClusterName, EventKind, Incarnation, Instant, Life, Metadata, NodeId, Seed};

pub use output::{DialFailure, Output};

use features::FeatureWatch;

use crate::health::Health;
use crate::join::{Join, Seed as JoinSeed};
use crate::link_plan::LinkPlan;

/// The loop turns at least this often, so that a turn that comes late is noticed as a gap.
pub const HEARTBEAT: Duration = Duration::from_millis(100);

/// The engine of one node.
#[derive(Debug)]
pub struct Engine {
    swim: Swim,
    links: LinkPlan,
    features: FeatureWatch,
    join: Option<Join>,
    /// What this node joined through last: where it looks when everybody else is lost.
    joined_through: Vec<JoinSeed>,
    /// Whether this node has ever been in a cluster of more than one.
    has_joined: bool,
    /// What a discovery found while a join was under way that has no other round.
    discovered: Vec<JoinSeed>,
    /// The join under way was begun by a discovery, and is repeated by it.
    is_search: bool,
    /// When to look there next.
    look_for_cluster: Instant,
    seed: Seed,
    last_turn: Instant,
    /// Places that were not looked at because there were too many.
    places_left_out: u64,
    outputs: std::collections::VecDeque<Output>,
}

impl Engine {
    /// An engine for a node that knows only itself. `origin_unix_ms` is the wall clock at [`Instant::ORIGIN`].
    #[must_use]
    pub fn new(
        config: SwimConfig,
        cluster: &ClusterName,
        own: Claim,
        metadata: Metadata,
        origin_unix_ms: u64,
        seed: Seed,
        now: Instant,
    ) -> Self {
        Self::over(Swim::new(config, cluster, own, metadata, origin_unix_ms, seed, now), seed, now)
    }

    /// An engine over a core that was made elsewhere.
    #[must_use]
    pub fn over(swim: Swim, seed: Seed, now: Instant) -> Self {
        let links = LinkPlan::new(swim.own().node.clone(), seed.derive("links", 0));
        let features = FeatureWatch::new(swim.own().facts.features(), swim.config().budget.total());
        let mut engine = Self {
            swim,
            links,
            features,
            join: None,
            joined_through: Vec::new(),
            has_joined: false,
            discovered: Vec::new(),
            is_search: false,
            look_for_cluster: Instant::END,
            seed,
            last_turn: now,
            places_left_out: 0,
            outputs: std::collections::VecDeque::new(),
        };
        engine.drain_swim(now);
        engine
    }

    /// The membership core.
    #[must_use]
    pub const fn swim(&self) -> &Swim {
        &self.swim
    }

    /// How the node is, as far as the engine knows.
    #[must_use]
    pub fn health(&self) -> Health {
        let swim = &self.swim;
        let wanted = swim.wanted_links();
        let (live_others, lost) = (swim.live_others(), swim.lost_members().len());
        Health {
            loop_answers: true,
            leaving: swim.farewell().is_some(),
            application_well: swim.is_application_well(),
            joining: self.is_joining(),
            alone: live_others == 0 && lost > 0,
            live_others,
            lost,
            links_wanted: wanted.len(),
            links_up: wanted.iter().filter(|(node, _)| swim.is_linked(node)).count(),
            local_health: swim.local_health().score(),
            stats: swim.stats(),
            muted: swim.muted().cloned().collect(),
            places_left_out: self.places_left_out,
            ..Health::default()
        }
    }

    /// Whether it was told of others and has found none yet.
    const fn is_joining(&self) -> bool {
        !self.joined_through.is_empty() && !self.has_joined
    }

    /// The next thing to do, `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, at the latest [`HEARTBEAT`] after the last turn.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        self.next_work().min(self.last_turn + HEARTBEAT)
    }

    /// As [`next_deadline`](Self::next_deadline), without the turns that only watch for gaps.
    #[must_use]
    pub fn next_work(&self) -> Instant {
        let join = self.join.as_ref().and_then(Join::next_round);
        let leaving = self.swim.farewell().is_some();
        let links = if leaving { Instant::END } else { self.links.next_look() };
        let work = self.swim.next_deadline().min(links).min(self.look_for_cluster).min(self.features.next_deadline());
        work.min(join.unwrap_or(work))
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.last_turn = now;
        if now >= self.swim.next_deadline() {
            self.swim.handle_timeout(now);
        }
        self.look_for_cluster(now);
        if let Some(join) = &mut self.join {
            let (dials, names) = join.begin_round(now);
            self.outputs.extend(dials.into_iter().map(|addr| Output::Dial(DialTarget { addr, node: None })));
            self.outputs.extend(names.into_iter().map(|name| Output::Resolve { name }));
        }
        self.drain_swim(now);
    }

    /// A name was looked up.
    pub fn handle_resolved(&mut self, now: Instant, name: &str, found: Result<Vec<SocketAddr>, String>) {
        if let Some(join) = &mut self.join {
            let dials = join.handle_resolved(name, found);
            self.places_left_out += join.take_left_out();
            self.outputs.extend(dials.into_iter().map(|addr| Output::Dial(DialTarget { addr, node: None })));
        }
        self.drain_swim(now);
    }

    /// The wall clock shows `unix_ms`.
    pub fn set_wall_clock(&mut self, now: Instant, unix_ms: u64) {
        self.swim.set_wall_clock(now, unix_ms);
    }

    /// The loop did not turn for `gap`.
    pub fn handle_gap(&mut self, now: Instant, gap: Duration) {
        self.last_turn = now;
        self.swim.handle_gap(now, gap);
        self.drain_swim(now);
    }

    /// Leaves. How far it has come, says [`Swim::farewell`].
    pub fn leave(&mut self, now: Instant) {
        self.join = None;
        self.swim.leave(now);
        self.drain_swim(now);
    }

    /// Broadcasts a small message to everybody by gossip.
    ///
    /// # Errors
    /// See [`Swim::broadcast`].
    pub fn broadcast(&mut self, now: Instant, payload: &[u8]) -> Result<(), BroadcastError> {
        let outcome = self.swim.broadcast(now, payload);
        self.drain_swim(now);
        outcome
    }

    /// Says whether the application is well.
    pub fn set_application_health(&mut self, well: bool) {
        self.swim.set_application_health(well);
    }

    /// Replaces this node's metadata.
    pub fn set_metadata(&mut self, now: Instant, metadata: Metadata) {
        self.swim.set_metadata(now, metadata);
        self.drain_swim(now);
    }

    /// A control link is up.
    pub fn handle_link_up(&mut self, now: Instant, peer: PeerInfo) {
        self.links.note_up(&peer.node);
        self.swim.handle_link_up(now, peer);
        self.drain_swim(now);
    }

    /// Who answers at an address under this node's name: another life of it, or nobody.
    pub fn handle_rival(&mut self, now: Instant, addr: SocketAddr, found: Option<(Life, Incarnation)>) {
        self.swim.handle_rival(addr, found);
        self.drain_swim(now);
    }

    /// This node's credentials are others now: it signs with them.
    pub fn resign(&mut self, now: Instant) {
        self.swim.resign(now);
        self.drain_swim(now);
    }

    /// A control link is gone.
    pub fn handle_link_down(&mut self, now: Instant, node: &NodeId, life: Life) {
        self.links.note_down(node);
        self.swim.handle_link_down(now, node, life);
        self.drain_swim(now);
    }

    /// A dial ended: with the peer that answered, or with a reason.
    pub fn handle_dialled(&mut self, now: Instant, target: &DialTarget, outcome: Result<NodeId, DialFailure>) {
        if let Err(DialFailure::NameTaken { holder }) = outcome {
            // Somebody says so. Whether it is so, this node looks itself; a newcomer yields to whoever it finds there.
            self.swim.find_rival(now, holder, !self.has_joined);
        }
        match &target.node {
            Some(node) => {
                self.links.note_dialled(now, node, outcome.is_ok());
                if outcome.is_err() {
                    self.swim.handle_unreachable(now, node);
                }
            }
            None => {
                if matches!(outcome, Err(DialFailure::Myself)) {
                    // Not somebody to join through: as if it had not been named.
                    self.joined_through.retain(|seed| *seed != JoinSeed::Addr(target.addr));
                }
                let outcome = outcome.map_err(|failure| match failure {
                    DialFailure::Reason(reason) => reason,
                    DialFailure::NameTaken { holder } => {
                        format!("it says that a live process at {holder} has this node's name")
                    }
                    DialFailure::Myself => "it is this node's own address".to_owned(),
                });
                if let Some(via) = self.join.as_mut().and_then(|join| join.handle_dialled(target.addr, &outcome)) {
                    self.swim.join(&via);
                }
            }
        }
        self.drain_swim(now);
    }

    /// The system refused to send to a member.
    pub fn handle_send_refused(&mut self, now: Instant, node: &NodeId) {
        self.swim.handle_send_refused(now, node);
        self.drain_swim(now);
    }

    /// A datagram came over a control link.
    pub fn handle_datagram(&mut self, now: Instant, from: &NodeId, bytes: &[u8]) {
        self.swim.handle_datagram(now, from, bytes);
        self.drain_swim(now);
    }

    /// A request came over a control link; the answer to give, if it can be answered.
    pub fn handle_request(&mut self, now: Instant, peer: &PeerInfo, kind: u16, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let answer = self.swim.handle_request(now, peer, kind, body);
        self.drain_swim(now);
        answer
    }

    /// A request of ours was answered, or failed.
    pub fn handle_answer(&mut self, now: Instant, token: RequestToken, outcome: Result<(u16, Vec<u8>), String>) {
        self.swim.handle_answer(now, token, outcome);
        self.drain_swim(now);
    }

    /// Ends an input: takes over what the core wants, and compares the links.
    fn drain_swim(&mut self, now: Instant) {
        while let Some(output) = self.swim.poll_output() {
            let output = match output {
                SwimOutput::Datagram { to, bytes } => Output::Datagram { to, bytes },
                SwimOutput::Request { to, token, kind, body } => Output::Request { to, token, kind, body },
                SwimOutput::Publish(statement) => {
                    self.features.note_member(&statement.member);
                    // Where a member is, and whether it is lost, decides whom to dial.
                    if self.swim.is_neighbour(statement.member.node()) {
                        self.links.look_now();
                    } else if !statement.member.state().is_live() {
                        self.links.look_soon(now);
                    }
                    Output::Publish(statement)
                }
                SwimOutput::LinksChanged => {
                    self.links.look_now();
                    continue;
                }
                SwimOutput::Forget { node } => {
                    self.features.forget(&node);
                    Output::Forget { node }
                }
                SwimOutput::Broadcast { from, payload } => Output::Event(EventKind::Broadcast { node: from, payload }),
                SwimOutput::Disconnect { node } => Output::Disconnect { node },
                SwimOutput::Event(kind) => Output::Event(kind),
                SwimOutput::OwnChanged { claim, proof } => Output::OwnChanged { claim, proof },
                SwimOutput::FindRival { addr } => Output::FindRival { addr },
                SwimOutput::NameLost { addr } => {
                    self.join = None;
                    Output::NameLost { addr }
                }
                SwimOutput::Joined { via } => {
                    self.note_asked(&via, &Ok(()));
                    continue;
                }
                SwimOutput::JoinFailed { via, reason } => {
                    self.note_asked(&via, &Err(reason));
                    continue;
                }
            };
            self.outputs.push_back(output);
        }
        // Joined by others is joined, too.
        self.has_joined |= self.swim.live_others() > 0;
        self.step_join(now);
        let settled = !self.is_joining() && self.swim.farewell().is_none();
        self.outputs.extend(self.features.step(now, settled).into_iter().map(Output::Event));
        if now >= self.links.next_look() && self.swim.farewell().is_none() {
            let dials = self.links.reconcile(now, &self.swim.wanted_links(), &self.swim.lost_members());
            self.outputs.extend(dials.into_iter().map(Output::Dial));
        }
    }
}
