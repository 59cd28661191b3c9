//! The one loop of a node: whatever comes in goes to the engine, whatever the engine wants is done. Its select is the only
//! place that waits.

mod errands;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_failure::GapRule;
use cluster_gossip::seal::Proof;
use cluster_gossip::swim::FarewellProgress;
use cluster_gossip::{BroadcastError, Grounds, PeerInfo, RequestToken, Seal as _, SharedNodeRegistry};
use cluster_pool::{
    CloseCode, ConnectionPool, DialError, DialTarget, Hello, HelloError, InboundRequest, Link, PoolEvent, Spawner,
};
use cluster_types::{EventKind, Incarnation, Instant, Life, Metadata, NodeId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::engine::{DialFailure, Engine, Output};
use crate::health::Health;
use crate::host::WallClock;
use crate::join::{JoinReport, Seed};
use crate::planted::Bug;
use crate::seal::CertificateSeal;
use cluster_pool::Resolver;

/// Commands the handle may be ahead. They are rare and short; more wait in the caller.
pub(crate) const COMMANDS_MAX: usize = 64;

/// Answers to requests of ours that may wait for the loop. More wait in their tasks.
const ANSWERS_MAX: usize = 256;

/// How long an abandoned node goes on saying goodbye. Nobody waits for it.
const ABANDONED_PATIENCE: Duration = Duration::from_millis(250);

/// How late a turn is in a storm: less than counts as lag of the loop, and far less than a gap.
const LATE: Duration = Duration::from_millis(50);

/// What the handle asks of the loop.
#[derive(Debug)]
pub(crate) enum Command {
    Join {
        seeds: Vec<Seed>,
        retry: bool,
        done: oneshot::Sender<JoinReport>,
    },
    /// Somebody may be there.
    Discovered {
        seeds: Vec<Seed>,
    },
    SetMetadata(Metadata),
    SetHealth(bool),
    Broadcast {
        payload: Vec<u8>,
        done: oneshot::Sender<Result<(), BroadcastError>>,
    },
    /// Say goodbye; the answer comes when everybody has acknowledged.
    Leave {
        done: oneshot::Sender<FarewellProgress>,
    },
    /// How far the farewell has come, for whoever waits no longer.
    Farewell {
        reply: oneshot::Sender<FarewellProgress>,
    },
    /// What the core holds of a member, and when.
    Explain {
        node: NodeId,
        reply: oneshot::Sender<(Instant, Option<Grounds>)>,
    },
    /// How this node is.
    Health {
        reply: oneshot::Sender<Health>,
    },
    /// The credentials are others.
    Resign,
    /// Turn no more.
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// Lookups whose outcome may wait for the loop; more wait in their tasks.
const LOOKUPS_MAX: usize = 64;

type Resolved = (String, Result<Vec<SocketAddr>, String>);

/// Looks at places where this node's name may be held, whose outcome may wait for the loop. The core asks for so many at once.
const RIVALS_MAX: usize = 16;

/// Who answers at an address under this node's name.
type Rival = (SocketAddr, Option<(Life, Incarnation)>);

type Answered = (RequestToken, Result<(u16, Vec<u8>), String>);

enum Input {
    Command(Command),
    /// Every handle is gone without a shutdown.
    Abandoned,
    Pool(PoolEvent),
    /// The pool is gone.
    PoolEnded,
    Answer(Answered),
    Resolved(Resolved),
    Rival(Rival),
    Time,
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Stopped,
    Abandoned,
}

pub(crate) struct Driver {
    engine: Engine,
    /// A planted mistake.
    bug: Option<Bug>,
    clock: Clock,
    wall_clock: Arc<dyn WallClock>,
    spawner: Arc<dyn Spawner>,
    gap: GapRule,
    /// How often the loop was held up, and for how long in all.
    gaps: (u64, Duration),
    registry: SharedNodeRegistry,
    pool: ConnectionPool,
    pool_events: mpsc::Receiver<PoolEvent>,
    commands: mpsc::Receiver<Command>,
    answers: mpsc::Receiver<Answered>,
    answer_sender: mpsc::Sender<Answered>,
    resolver: Arc<dyn Resolver>,
    resolved: mpsc::Receiver<Resolved>,
    resolved_sender: mpsc::Sender<Resolved>,
    rivals: mpsc::Receiver<Rival>,
    rival_sender: mpsc::Sender<Rival>,
    /// Which certificates the others have shown.
    seal: Arc<CertificateSeal>,
    links: BTreeMap<NodeId, Link>,
    tasks: TaskTracker,
    joining: Option<oneshot::Sender<JoinReport>>,
    leaving: Option<oneshot::Sender<FarewellProgress>>,
    name_lost: watch::Sender<Option<SocketAddr>>,
    /// Every handle is gone: when to end at the latest.
    abandoned_until: Option<Instant>,
}

impl Driver {
    pub(crate) fn new(
        (engine, seal, bug): (Engine, Arc<CertificateSeal>, Option<Bug>),
        (clock, wall_clock): (Clock, Arc<dyn WallClock>),
        (spawner, resolver): (Arc<dyn Spawner>, Arc<dyn Resolver>),
        registry: SharedNodeRegistry,
        (pool, pool_events): (ConnectionPool, mpsc::Receiver<PoolEvent>),
        commands: mpsc::Receiver<Command>,
        name_lost: watch::Sender<Option<SocketAddr>>,
    ) -> Self {
        let (answer_sender, answers) = mpsc::channel(ANSWERS_MAX);
        let (resolved_sender, resolved) = mpsc::channel(LOOKUPS_MAX);
        let (rival_sender, rivals) = mpsc::channel(RIVALS_MAX);
        Self {
            engine,
            bug,
            clock,
            wall_clock,
            spawner,
            gap: GapRule::new(clock.now()),
            gaps: (0, Duration::ZERO),
            registry,
            pool,
            pool_events,
            commands,
            answers,
            answer_sender,
            resolver,
            resolved,
            resolved_sender,
            rivals,
            rival_sender,
            seal,
            links: BTreeMap::new(),
            tasks: TaskTracker::new(),
            joining: None,
            leaving: None,
            name_lost,
            abandoned_until: None,
        }
    }

    /// Turns until it is told to stop or every handle is gone.
    pub(crate) async fn run(mut self) -> Ended {
        let ended = loop {
            self.dispatch();
            let input = self.next_input().await;
            let now = self.clock.now();
            if let Some(gap) = self.gap.note_turn(now) {
                cluster_sites::reachable!(crate::sites::GAP_FOUND);
                tracing::info!(?gap, "the loop was held up; nobody is blamed for it");
                self.gaps = (self.gaps.0 + 1, self.gaps.1 + gap);
                self.engine.handle_gap(now, gap);
            }
            match input {
                Input::Command(Command::Stop { done }) => {
                    // Whoever asked may have stopped waiting; the loop stops all the same.
                    let _ = done.send(());
                    break Ended::Stopped;
                }
                Input::Abandoned => {
                    self.abandoned_until = Some(now + ABANDONED_PATIENCE);
                    self.engine.leave(now);
                }
                Input::PoolEnded => break Ended::Stopped,
                Input::Command(command) => self.handle_command(now, command),
                Input::Pool(event) => self.handle_pool(now, event),
                Input::Answer(_) if self.has(Bug::LoseAnswers) => {}
                Input::Answer((token, outcome)) => self.engine.handle_answer(now, token, outcome),
                Input::Rival((addr, found)) => self.engine.handle_rival(now, addr, found),
                Input::Resolved((name, found)) => self.engine.handle_resolved(now, &name, found),
                Input::Time => self.engine.set_wall_clock(now, self.wall_clock.unix_ms()),
            }
            // Checked at every turn, so that no flood of inputs can starve the clock.
            if now >= self.engine.next_deadline() {
                self.engine.handle_timeout(now);
            }
            self.report_farewell();
            if self.abandoned_until.is_some_and(|until| now >= until || self.is_parted()) {
                self.dispatch();
                break Ended::Abandoned;
            }
        };
        self.tasks.close();
        ended
    }

    async fn next_input(&mut self) -> Input {
        if cluster_sites::buggify!(crate::sites::LATE_TURN) {
            tokio::time::sleep(LATE).await;
        }
        let deadline = self.engine.next_deadline();
        let wake = self.clock.at(self.abandoned_until.map_or(deadline, |until| deadline.min(until)));
        tokio::select! {
            biased;
            command = self.commands.recv(), if self.abandoned_until.is_none() => command.map_or(Input::Abandoned, Input::Command),
            event = self.pool_events.recv() => event.map_or(Input::PoolEnded, Input::Pool),
            Some(answer) = self.answers.recv() => Input::Answer(answer),
            Some(resolved) = self.resolved.recv() => Input::Resolved(resolved),
            Some(rival) = self.rivals.recv() => Input::Rival(rival),
            () = tokio::time::sleep_until(wake) => Input::Time,
        }
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Join { seeds, retry, done } => {
                self.joining = Some(done);
                self.engine.join(now, seeds, retry);
            }
            Command::Discovered { seeds } => self.engine.discovered(now, seeds),
            Command::SetMetadata(metadata) => self.engine.set_metadata(now, metadata),
            Command::Broadcast { payload, done } => {
                // Whoever asked may have stopped waiting.
                let _ = done.send(self.engine.broadcast(now, &payload));
            }
            Command::Resign => self.engine.resign(now),
            Command::SetHealth(well) => self.engine.set_application_health(well),
            // Whoever asked may have stopped waiting.
            Command::Leave { done } if self.has(Bug::SkipFarewell) => drop(done.send(FarewellProgress::default())),
            Command::Leave { done } => {
                self.leaving = Some(done);
                self.engine.leave(now);
            }
            Command::Farewell { reply } => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(self.engine.swim().farewell().unwrap_or_default());
            }
            Command::Explain { node, reply } => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send((now, self.engine.swim().explain(now, &node)));
            }
            Command::Health { reply } => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(self.health());
            }
            // Ends the loop in `run`.
            Command::Stop { .. } => {}
        }
    }

    fn health(&self) -> Health {
        let (gaps, gaps_total) = self.gaps;
        let held_up = Health { gaps, gaps_total, ..self.engine.health() };
        Health { name_lost: self.name_lost.borrow().is_some(), ..held_up }
    }

    fn handle_pool(&mut self, now: Instant, event: PoolEvent) {
        match event {
            PoolEvent::LinkUp(link) => self.handle_link_up(now, link),
            // The news of an end may come after that of the successor.
            PoolEvent::LinkDown { link, .. } if self.links.get(link.node()).is_none_or(|l| l.id() != link.id()) => {
                cluster_sites::reachable!(crate::sites::LINK_END_IS_LATE);
            }
            PoolEvent::LinkDown { link, reason, .. } => {
                cluster_sites::always!(crate::sites::ENDED_LINK_IS_DEAD, link.is_dead());
                self.links.remove(link.node());
                self.note(
                    now,
                    EventKind::LinkDown { node: link.node().clone(), incarnation: link.remote().incarnation, reason },
                );
                if !self.has(Bug::ForgetLinkDown) {
                    self.engine.handle_link_down(now, link.node(), link.life());
                }
            }
            PoolEvent::Dialled { target, outcome } => {
                if let Ok(link) = &outcome
                    && !self.links.contains_key(link.node())
                    && !link.is_dead()
                {
                    self.handle_link_up(now, link.clone());
                }
                let outcome = outcome.map(|link| link.node().clone()).map_err(|error| failure(&error));
                if let Err(error) = &outcome {
                    tracing::debug!(addr = %target.addr, ?error, "dial failed");
                }
                self.engine.handle_dialled(now, &target, outcome);
            }
            // What a former life still had on its way is not the word of the present one.
            PoolEvent::Datagram { link, .. } if self.links.get(link.node()).is_none_or(|l| l.life() != link.life()) => {
                cluster_sites::reachable!(crate::sites::FORMER_LIFE_SPOKE);
            }
            PoolEvent::Datagram { link, bytes } => self.engine.handle_datagram(now, link.node(), &bytes),
            PoolEvent::SendRefused { addr } => {
                let there: Vec<NodeId> = self
                    .links
                    .values()
                    .filter(|link| link.remote_addr() == addr)
                    .map(|link| link.node().clone())
                    .collect();
                there.iter().for_each(|node| self.engine.handle_send_refused(now, node));
            }
            PoolEvent::Request(request) => self.handle_request(now, request),
            _ => tracing::debug!("an event of the pool that this driver does not know"),
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// For the planted mistake alone.
    fn is_forgotten(&self, target: &DialTarget) -> bool {
        let held = target.node.as_ref().and_then(|node| self.engine.swim().member(node));
        self.has(Bug::NeverReconnect) && held.is_some_and(|member| !member.state().is_live())
    }

    fn handle_link_up(&mut self, now: Instant, link: Link) {
        let peer = peer_info(&link);
        // One that cannot be taken has just made a handshake: its time is over in this moment. It is asked for when it is needed.
        let _ = self.seal.learn(&link.remote_certificate());
        let former = self.links.insert(peer.node.clone(), link);
        if former.is_none_or(|former| former.life() != peer.life) {
            let PeerInfo { node, incarnation, addr, .. } = peer.clone();
            self.note(now, EventKind::LinkUp { node, incarnation, addr });
        }
        self.engine.handle_link_up(now, peer);
    }

    fn handle_request(&mut self, now: Instant, request: InboundRequest) {
        let peer = peer_info(&request.link);
        let answer = self.engine.handle_request(now, &peer, request.frame.kind, &request.frame.body);
        // A request that cannot be answered is dropped, which resets its stream.
        if let Some((kind, body)) = answer {
            request.answer(kind, body);
        }
    }

    fn note(&self, now: Instant, kind: EventKind) {
        log(&kind);
        self.registry.note(now, kind);
    }

    /// Does everything that the engine wants.
    pub(crate) fn dispatch(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            let now = self.clock.now();
            match output {
                Output::Datagram { to, bytes } => {
                    if let Some(link) = self.links.get(&to) {
                        // A link that is over says so through its own event.
                        let _ = link.send_datagram(bytes);
                    }
                }
                Output::Request { to, token, kind, body } => self.spawn_request(&to, token, kind, body),
                Output::Disconnect { node } => {
                    if let Some(link) = self.links.get(&node) {
                        link.close(CloseCode::DONE);
                    }
                }
                Output::Resolve { name } => self.spawn_lookup(name),
                Output::Dial(target) if self.is_forgotten(&target) => {}
                Output::Dial(target) => self.pool.dial_control(target),
                Output::Publish(statement) => self.registry.apply(now, statement).iter().for_each(log),
                Output::Event(kind) => self.note(now, kind),
                Output::Forget { node } => self.registry.forget(now, &node).iter().for_each(log),
                Output::OwnChanged { claim, proof } => self.pool.set_hello(|hello| {
                    (hello.incarnation, hello.meta_version) = (claim.incarnation, claim.meta_version);
                    hello.proof = proof.map(|proof| proof.as_bytes().to_vec()).unwrap_or_default();
                }),
                Output::FindRival { addr } => self.spawn_visit(addr),
                Output::JoinDone(report) => {
                    if let Some(joining) = self.joining.take() {
                        // Whoever asked may have stopped waiting.
                        let _ = joining.send(report);
                    }
                }
                Output::NameLost { addr } => {
                    // Whoever waits for a join hears that there will be none.
                    self.joining = None;
                    // Nobody may be watching; the core refutes nothing any more either way. The first one stays.
                    self.name_lost.send_if_modified(|lost| lost.replace(addr).is_none());
                }
            }
        }
    }

    /// Whether everybody has acknowledged the farewell.
    fn is_parted(&self) -> bool {
        self.engine.swim().farewell().is_some_and(|progress| progress.waiting == 0)
    }

    fn report_farewell(&mut self) {
        let Some(progress) = self.engine.swim().farewell().filter(|progress| progress.waiting == 0) else { return };
        if let Some(leaving) = self.leaving.take() {
            // Whoever asked may have stopped waiting.
            let _ = leaving.send(progress);
        }
    }
}

fn peer_info(link: &Link) -> PeerInfo {
    let Hello { node, life, incarnation, addr, facts, meta_version, proof, .. } = link.remote().clone();
    PeerInfo { node, life, incarnation, addr, meta_version, facts, proof: Proof::from_bytes(&proof) }
}

fn failure(error: &Arc<DialError>) -> DialFailure {
    match &**error {
        DialError::Hello(HelloError::NameTaken { holder }) => DialFailure::NameTaken { holder: *holder },
        DialError::Hello(HelloError::Myself) => DialFailure::Myself,
        other => DialFailure::Reason(other.chain()),
    }
}

/// Structured events for whoever collects logs.
fn log(kind: &EventKind) {
    const TARGET: &str = "cluster::events";
    let (event, subject) = (kind.as_str(), kind.node().map(NodeId::as_str));
    let incarnation = kind.incarnation().map(|incarnation| incarnation.get());
    match kind {
        EventKind::Suspected(_, evidence) | EventKind::Failed(_, evidence) => tracing::warn!(
            target: TARGET,
            event,
            subject,
            incarnation,
            accusation = evidence.accusation.as_str(),
            accusers = ?evidence.accusers,
            silence = ?evidence.silence,
            local_health = evidence.local_health,
        ),
        EventKind::LinkDown { reason, .. } | EventKind::JoinFailed { reason, .. } => {
            tracing::info!(target: TARGET, event, subject, incarnation, %reason);
        }
        EventKind::FeatureOn { feature } | EventKind::FeatureOff { feature, .. } => {
            tracing::info!(target: TARGET, event, subject, %feature);
        }
        EventKind::Conflict { reason, addr, .. } => {
            tracing::error!(target: TARGET, event, subject, incarnation, %addr, %reason);
        }
        _ => tracing::info!(target: TARGET, event, subject, incarnation),
    }
}
