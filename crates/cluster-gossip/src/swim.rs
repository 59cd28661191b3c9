//! The membership core: SWIM with Lifeguard's local health and a pause budget, as a plain struct.
//!
//! Whoever drives it hands in `now` and what came from the network (`handle_*`), then takes out what is to be done
//! ([`Swim::poll_output`]) until there is nothing left, and sleeps until [`Swim::next_deadline`]. It owns no socket, no
//! clock, no thread; the same inputs give the same outputs.
//!
//! | room | what happens there |
//! |---|---|
//! | `inbound` | what came from the network: decoded, or counted |
//! | `view` | what is held of each member |
//! | `merging` | what is heard meets what is held |
//! | `probing` | rounds: direct, through others, over a stream |
//! | `accusing` | suspicions and votes |
//! | `judging` | the verdict |
//! | `spreading` | what goes on which datagram, the gossip tick, news that cannot wait |
//! | `exchange` | joining, comparing views, metadata |
//! | `own` | what others say of this node: refuting, and two processes with one name |
//! | `farewell` | leaving |
//! | `explaining` | what is held of a member, and why |
//! | `solitude` | hearing nobody at all |
//! | `departed` | members that are gone: reaped, remembered, reunited |

mod accusing;
mod acquainted;
mod departed;
mod exchange;
mod explaining;
mod farewell;
mod inbound;
mod judging;
mod merging;
mod output;
mod own;
mod probing;
mod round;
mod solitude;
mod spreading;
mod suspicion;
mod trust;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_failure::LocalHealth;
use cluster_sites::{buggify, sometimes};
use cluster_types::seed::Draws;
use cluster_types::{Claim, ClusterName, Instant, Life, Member, Metadata, NodeId, Seed};
use departed::{Reunion, Tombs};

use crate::broadcast::{BroadcastQueue, News, Rank};
use crate::config::{PlanKind, SwimConfig};
use crate::plan::{ProbePlan, RingPlan, RoundRobinPlan};
use crate::planted::Bug;
use crate::seal::{NoSeal, Proof, Seal};
use crate::sites;
use crate::user_news::UserNews;

pub use acquainted::Acquainted;
pub use explaining::{Grounds, Probing};
pub use farewell::FarewellProgress;
pub use merging::ZONE_KEY;
pub use output::{Output, PeerInfo, RequestToken, SwimStats};

use exchange::Pending;
use farewell::Farewell;
use own::Rivals;
use round::Rounds;
use solitude::Solitude;
use spreading::Urgency;
use trust::Trust;
use view::View;

/// Lateness of a turn that is ordinary scheduling on a busy machine.
const LAG_TOLERATED: Duration = Duration::from_millis(100);

/// The membership core of one node.
#[derive(Debug)]
pub struct Swim {
    config: SwimConfig,
    own: Claim,
    own_metadata: Metadata,
    /// Wall clock at [`Instant::ORIGIN`], in milliseconds since 1970: for judging incarnations only.
    origin_unix_ms: u64,
    view: View,
    tombs: Tombs,
    reunion: Option<Reunion>,
    suspects: BTreeSet<NodeId>,
    /// Who told old news of whom, and is to hear what is held.
    corrections: BTreeSet<(NodeId, NodeId)>,
    /// When that was done last.
    corrected: BTreeMap<(NodeId, NodeId), Instant>,
    /// Whether the application says that it is well; acknowledgements carry it.
    app_well: bool,
    /// What is being learnt comes in a long list.
    in_bulk: bool,
    /// What is being learnt comes in a list, without those who voted.
    in_list: bool,
    /// Who signs for this node, and knows the others' certificates.
    seal: Arc<dyn Seal>,
    /// Its signature under what this node says of itself.
    own_proof: Option<Proof>,
    trust: Trust,
    /// Helpers that did not answer: held against this node's own health when one shows that it lives, for then it was no fault of the helper.
    unanswering: BTreeMap<NodeId, usize>,
    solitude: Solitude,
    /// Neighbours that could not be dialled.
    unreachable: BTreeSet<NodeId>,
    links: BTreeMap<NodeId, PeerInfo>,
    plan: Box<dyn ProbePlan>,
    queue: BroadcastQueue,
    user_news: UserNews,
    urgency: Urgency,
    health: LocalHealth,
    rounds: Rounds,
    next_seq: u64,
    requests: BTreeMap<RequestToken, Pending>,
    next_token: u64,
    rivals: Rivals,
    farewell: Option<Farewell>,
    /// No verdict before this.
    judge_after: Instant,
    next_judgement: Instant,
    /// What was late before this has been counted.
    excused_until: Instant,
    next_chore: Instant,
    /// Not everybody is asked again before this.
    look_around_after: Instant,
    /// Before this no subject is overdue for its rhythm.
    pulses_quiet_until: Instant,
    next_gossip: Instant,
    /// News that is urgent to some waits until then.
    urgent_after: Instant,
    next_sync: Instant,
    outputs: VecDeque<Output>,
    draws: Draws,
    stats: SwimStats,
}

impl Swim {
    /// A core for a node that knows only itself. `origin_unix_ms` is the wall clock at [`Instant::ORIGIN`].
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
        let period = config.budget.period();
        let plan: Box<dyn ProbePlan> = match config.plan {
            PlanKind::Rings => Box::new(RingPlan::new(cluster, own.node.clone(), config.observers, period, seed)),
            PlanKind::RoundRobin => Box::new(RoundRobinPlan::new(own.node.clone(), period, seed, now)),
        };
        Self::with_plan(config, plan, own, metadata, origin_unix_ms, seed, now)
    }

    /// As [`new`](Self::new), with a plan of one's own.
    #[must_use]
    pub fn with_plan(
        config: SwimConfig,
        mut plan: Box<dyn ProbePlan>,
        own: Claim,
        metadata: Metadata,
        origin_unix_ms: u64,
        seed: Seed,
        now: Instant,
    ) -> Self {
        plan.insert(now, &own.node, metadata.value(ZONE_KEY).unwrap_or_default());
        let own = Claim { meta_version: u32::from(!metadata.is_empty()), ..own };
        let mut draws = seed.derive("swim", 0).stream();
        // Spread over the period, so that nodes that start together do not probe together.
        let phase = config.budget.period().mul_f64(draws.fraction());
        let mut swim = Self {
            next_chore: now + phase,
            look_around_after: now,
            pulses_quiet_until: now,
            next_gossip: now,
            urgent_after: now,
            judge_after: now,
            next_judgement: Instant::END,
            excused_until: now,
            next_sync: now + config.sync_interval.mul_f64(0.5 + draws.fraction()),
            config,
            own,
            own_metadata: metadata,
            origin_unix_ms,
            view: View::new(seed.derive("view", 0)),
            tombs: Tombs::default(),
            reunion: None,
            corrections: BTreeSet::new(),
            corrected: BTreeMap::new(),
            app_well: true,
            in_bulk: false,
            in_list: false,
            seal: Arc::new(NoSeal),
            own_proof: None,
            trust: Trust::default(),
            unanswering: BTreeMap::new(),
            solitude: Solitude::new(now),
            unreachable: BTreeSet::new(),
            suspects: BTreeSet::new(),
            links: BTreeMap::new(),
            plan,
            queue: BroadcastQueue::default(),
            user_news: UserNews::default(),
            urgency: Urgency::None,
            health: LocalHealth::default(),
            rounds: Rounds::default(),
            next_seq: 1,
            requests: BTreeMap::new(),
            next_token: 1,
            rivals: Rivals::default(),
            farewell: None,
            outputs: VecDeque::new(),
            draws,
            stats: SwimStats::default(),
        };
        swim.publish_own();
        swim
    }

    /// Signs from now on, and asks signatures of others. Without it a core believes every member whatever it says of others.
    #[must_use]
    pub fn with_seal(mut self, seal: Arc<dyn Seal>) -> Self {
        self.seal = seal;
        self.publish_own();
        self
    }

    /// This node's credentials are others now: what it says of itself is signed anew.
    pub fn resign(&mut self, now: Instant) {
        self.publish_own();
        self.flush(now);
    }

    /// This node's own claim.
    #[must_use]
    pub const fn own(&self) -> &Claim {
        &self.own
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn config(&self) -> &SwimConfig {
        &self.config
    }

    /// What this node says about itself.
    #[must_use]
    pub const fn own_metadata(&self) -> &Metadata {
        &self.own_metadata
    }

    /// What is held of another node.
    #[must_use]
    pub fn member(&self, node: &NodeId) -> Option<&Arc<Member>> {
        self.view.get(node).map(|known| &known.member)
    }

    /// How many others are held to take part.
    #[must_use]
    pub const fn live_others(&self) -> usize {
        self.view.live()
    }

    /// What was refused or dropped.
    #[must_use]
    pub const fn stats(&self) -> SwimStats {
        let (broadcasts_over_limit, tombs_over_limit) = (self.user_news.over_limit(), self.tombs.over_limit());
        SwimStats { broadcasts_over_limit, tombs_over_limit, ..self.stats }
    }

    /// How much this node trusts its own judgement, 0 (fully) to 8.
    #[must_use]
    pub const fn local_health(&self) -> LocalHealth {
        self.health
    }

    /// The next thing to do, `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        let gossip = if self.has_news() { self.next_gossip } else { Instant::END };
        if let Some(farewell) = &self.farewell {
            return farewell.next_send().map_or(gossip, |at| at.min(gossip));
        }
        let fixed = self.plan.next_turn().min(self.next_chore).min(self.next_sync).min(self.next_judgement);
        let rounds = self.rounds.next_deadline().unwrap_or(Instant::END);
        fixed.min(gossip).min(rounds).min(self.reunion_at().unwrap_or(Instant::END))
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.note_lag(now);
        if let Some(farewell) = &self.farewell {
            sometimes!(sites::LEAVE_REPEATED, farewell.next_send().is_some_and(|at| now >= at));
            self.resend_farewell(now);
        } else {
            self.advance_rounds(now);
            if now >= self.next_judgement {
                self.pronounce_verdicts(now);
            }
            self.take_turns(now);
            if now >= self.next_chore {
                self.next_chore = now + self.config.budget.period();
                self.check_pulses(now);
                self.ask_around_if_alone(now);
                self.suspect_everybody_if_alone(now);
                self.say_aloud_in_time(now);
                self.fetch_missing_metadata();
                self.reap(now);
                self.forgive(now);
            }
            self.report_reunion(now);
            if now >= self.next_sync {
                self.next_sync = now + self.config.sync_interval.mul_f64(0.75 + self.draws.fraction() / 2.0);
                self.sync_with_somebody();
            } else if buggify!(sites::SYNC_EARLY) {
                self.sync_with_somebody();
            }
        }
        if now >= self.next_gossip && self.has_news() {
            self.next_gossip = now + self.config.gossip_interval;
            self.gossip(now);
        }
        self.flush(now);
    }

    fn has_news(&self) -> bool {
        !self.queue.is_empty() || !self.user_news.is_empty()
    }

    /// A turn that comes late is this node's own trouble, a point at a time. A gap has been counted as one.
    fn note_lag(&mut self, now: Instant) {
        let late = now.since(self.next_deadline().max(self.excused_until));
        self.health.note_lag(late.min(LAG_TOLERATED), LAG_TOLERATED);
    }

    /// The loop did not turn for `gap`: nobody is blamed for it. Rounds under way have as much longer and what this node counts as silence is
    /// so much shorter, its own accusations with it: who is stopped again and again still comes to a verdict.
    pub fn handle_gap(&mut self, now: Instant, gap: Duration) {
        if self.config.has(Bug::WakingAccuses) {
            return self.blame_everybody(now, gap);
        }
        self.health.note_late();
        self.solitude.shift(now, gap);
        self.excuse(now, gap);
    }

    /// For so long, until now, this node could not judge anybody.
    fn excuse(&mut self, now: Instant, gap: Duration) {
        self.excused_until = now;
        sometimes!(sites::GAP_MOVES_ROUNDS, !self.rounds.is_empty());
        self.rounds.shift(now, gap, self.config.probe_timeout_min);
        for known in self.view.iter_mut() {
            if let Some(watch) = known.watch_mut() {
                watch.shift(now, gap, &self.own.node);
            }
        }
        let suspects: Vec<NodeId> = self.suspects.iter().cloned().collect();
        suspects.iter().for_each(|suspect| self.sign_accusation(suspect));
        // Refutations that came meanwhile are still in the sockets: the verdicts wait as long as the loop did.
        self.judge_after = self.judge_after.max(now + gap.min(self.config.budget.total()));
        self.judge_soon(now);
    }

    /// A control link is up, or was replaced by a better one.
    pub fn handle_link_up(&mut self, now: Instant, peer: PeerInfo) {
        if peer.node == self.own.node {
            return;
        }
        self.hear_somebody(now, &peer.node, Some(peer.life));
        self.links.insert(peer.node.clone(), peer.clone());
        self.unreachable.remove(&peer.node);
        self.greet(now, &peer);
        self.note_sign(now, &peer.node);
        self.send_waiting_pings(now, &peer.node);
        self.sync_soon(now);
        self.settle_plan(now);
        self.flush(now);
    }

    /// The control link to a life of a peer is gone.
    pub fn handle_link_down(&mut self, now: Instant, node: &NodeId, life: Life) {
        if self.links.get(node).is_none_or(|peer| peer.life != life) {
            return;
        }
        self.links.remove(node);
        self.trust.offences.remove(node);
        self.note_farewell_moot(node);
        let live = self.view.is_live(node);
        // A link that nobody needs (one that was joined through, say) ends by itself, and that says nothing.
        if live && self.farewell.is_none() && self.plan.is_neighbour(node) {
            // Not a verdict: a reason to look now rather than at its next turn.
            self.start_round(now, node);
        }
        self.flush(now);
    }

    /// A dial of a member failed. Until a link comes up that counts as a probe that nobody answered; where one was waiting for the link, since
    /// it began.
    pub fn handle_unreachable(&mut self, now: Instant, node: &NodeId) {
        if self.view.is_live(node) && !self.links.contains_key(node) && self.farewell.is_none() {
            self.unreachable.insert(node.clone());
            if self.plan.is_neighbour(node) {
                let waiting = self.view.get_mut(node).and_then(view::Known::watch_mut);
                if let Some(since) = waiting.and_then(|watch| watch.waiting_since.take()) {
                    self.accuse(now, node, since, suspicion::Helpers::default());
                }
                self.start_round(now, node);
            }
            self.flush(now);
        }
    }

    /// The system refused to send to a member: no route, or a firewall. Like silence that is not a verdict, but there is no
    /// point in waiting for an answer: the others are asked at once.
    pub fn handle_send_refused(&mut self, now: Instant, node: &NodeId) {
        if self.view.is_live(node) && self.farewell.is_none() && self.plan.is_neighbour(node) {
            self.note_send_refused(now, node);
            self.flush(now);
        }
    }

    /// The wall clock shows `unix_ms`. It decides nothing but which claims come from an impossible future, so a step forward is
    /// believed and a step back is not.
    pub fn set_wall_clock(&mut self, now: Instant, unix_ms: u64) {
        let since_origin = u64::try_from(now.since_origin().as_millis()).unwrap_or(u64::MAX);
        self.origin_unix_ms = self.origin_unix_ms.max(unix_ms.saturating_sub(since_origin));
    }

    /// Replaces this node's metadata and tells everybody.
    pub fn set_metadata(&mut self, now: Instant, metadata: Metadata) {
        self.plan.insert(now, &self.own.node, metadata.value(ZONE_KEY).unwrap_or_default());
        self.own_metadata = metadata;
        if self.config.has(Bug::MetadataNotTold) {
            return self.publish_own();
        }
        self.own.meta_version += 1;
        self.publish_own();
        self.queue.push(Rank::Membership, News::Claim(self.own.node.clone()));
        self.flush(now);
    }

    /// The members to keep control links to, with their addresses: neighbours in the monitoring graph.
    #[must_use]
    pub fn wanted_links(&self) -> Vec<(NodeId, SocketAddr)> {
        let neighbours = self.plan.neighbours();
        neighbours.into_iter().filter_map(|node| self.view.claim(&node).map(|claim| (node, claim.addr))).collect()
    }

    /// Whether this node watches a member or is watched by it.
    #[must_use]
    pub fn is_neighbour(&self, node: &NodeId) -> bool {
        self.plan.is_neighbour(node)
    }

    /// What the application last said of itself.
    #[must_use]
    pub const fn is_application_well(&self) -> bool {
        self.app_well
    }

    /// Whether there is a control link to a member.
    #[must_use]
    pub fn is_linked(&self, node: &NodeId) -> bool {
        self.links.contains_key(node)
    }

    /// Says whether the application is well: a process whose application hangs still answers probes, so the answer says it.
    pub fn set_application_health(&mut self, well: bool) {
        self.app_well = well;
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn unix_ms(&self, now: Instant) -> u64 {
        self.origin_unix_ms.saturating_add(u64::try_from(now.since_origin().as_millis()).unwrap_or(u64::MAX))
    }
}
