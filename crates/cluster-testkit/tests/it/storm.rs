//! Anything may happen to links, at any moment: whatever is sent over them ends in exactly one way, and nothing is left behind.
//!
//! A storm is drawn from a seed: which nodes talk, what is sent, asked, cancelled and closed, which paths are cut, who is killed,
//! started anew or stopped, and when. It rages for half a virtual minute over the simulated network. Then everything is mended,
//! and what is known on both sides must fit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster_pool::link::LinkStream;
use cluster_pool::peer::NotSent;
use cluster_pool::planted::Bug;
use cluster_pool::{
    Channel, CloseCode, Fate, Link, LinkClass, Message, Outcome, Peer, PeerConfig, PoolConfig, Priority, Received,
    Router, StreamHandler, Ticket, message_fn, request_fn,
};
use cluster_testkit::net::{Group, Guard};
use cluster_testkit::{LinkModel, TestCluster, TestNode, Wire};
use cluster_types::Seed;
use cluster_types::seed::Draws;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

const WORDS: Channel = Channel(1);
const ASK: Channel = Channel(2);
const RAW: Channel = Channel(3);

const NODES: usize = 3;
const RAGES_FOR: Duration = Duration::from_secs(30);
/// What waits goes within 60 s or never; then its link rests after 10 s, is idle for 60 s, and that is looked for every 30 s.
const CALM: Duration = Duration::from_secs(180);

/// Receiver and its life, sender and its life, and the priority: what has an order.
type Lane = (usize, u64, usize, u64, Priority);

/// What the receiving side has seen, and what the sending side was told.
#[derive(Debug, Default)]
struct Ledger {
    /// Numbers of messages as handlers were given them.
    taken: BTreeMap<Lane, Vec<u64>>,
    /// And as they were done with them.
    done: BTreeMap<Lane, Vec<u64>>,
    /// Numbers of requests that were handled.
    handled: BTreeMap<u64, usize>,
    told: BTreeMap<u64, Outcome>,
    findings: BTreeSet<String>,
}

type Shared = Arc<Mutex<Ledger>>;

fn find(ledger: &Shared, what: &str) {
    ledger.lock().unwrap().findings.insert(what.to_owned());
}

/// Says how long it will be, and then sends that much, or is given up.
#[derive(Debug)]
struct Raw(Shared);

#[async_trait]
impl StreamHandler for Raw {
    async fn handle(&self, _link: &Link, mut stream: LinkStream) {
        let mut bytes = Vec::new();
        if stream.recv.read_to_end(&mut bytes).await.is_ok() {
            let announced = bytes.first_chunk().map(|len| u32::from_le_bytes(*len) as usize);
            if announced != Some(bytes.len()) {
                find(&self.0, "a stream that was given up looked complete");
            }
        }
    }
}

fn number_of(body: &[u8]) -> u64 {
    u64::from_le_bytes(*body.first_chunk().expect("every body begins with its number"))
}

fn body_of(number: u64, len: usize) -> Bytes {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(len.max(8), 7);
    body.into()
}

struct Storm {
    cluster: TestCluster,
    config: PoolConfig,
    nodes: Vec<Option<TestNode>>,
    lives: Vec<u64>,
    draws: Draws,
    ledger: Shared,
    next: u64,
    work: JoinSet<()>,
    cuts: Vec<Guard>,
}

impl Storm {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let models = [
            LinkModel::lan(),
            LinkModel::wan(),
            LinkModel::lan().with_loss(0.05),
            LinkModel::lan().with_loss(0.2),
            LinkModel::wifi(),
        ];
        let model = models[seed as usize % models.len()].clone();
        let mut config = PoolConfig::new().with_max_total(2);
        config.bug = bug;
        let mut storm = Self {
            cluster: TestCluster::new(Wire::simulated(seed, model)),
            config,
            nodes: Vec::new(),
            lives: vec![0; NODES],
            draws: Seed::new(seed).derive("storm", 0).stream(),
            ledger: Shared::default(),
            next: 1,
            work: JoinSet::new(),
            cuts: Vec::new(),
        };
        for i in 0..NODES {
            let router = storm.router(i);
            let node = storm.cluster.node(&format!("n{i}"), router, storm.config.clone());
            storm.nodes.push(Some(node));
        }
        storm
    }

    fn router(&mut self, receiver: usize) -> Router {
        self.lives[receiver] += 1;
        let (life, ledger) = (self.lives[receiver], Arc::clone(&self.ledger));
        let slow = Seed::new(receiver as u64);
        let take = message_fn(move |from: Link, message: Received| {
            let ledger = Arc::clone(&ledger);
            async move {
                let sender = index_of(&from);
                let (number, key) =
                    (number_of(&message.body), (receiver, life, sender, from.life().get(), message.priority));
                ledger.lock().unwrap().taken.entry(key).or_default().push(number);
                // Now and then it takes its time, and the next one must not overtake it.
                if slow.below(number, 4) == 0 {
                    tokio::time::sleep(Duration::from_millis(slow.draw(number) % 300)).await;
                }
                ledger.lock().unwrap().done.entry(key).or_default().push(number);
                Ok(())
            }
        });
        let ledger = Arc::clone(&self.ledger);
        let answer = request_fn(move |_, body: Bytes| {
            let (ledger, number) = (Arc::clone(&ledger), number_of(&body));
            async move {
                *ledger.lock().unwrap().handled.entry(number).or_default() += 1;
                if slow.below(number, 3) == 0 {
                    tokio::time::sleep(Duration::from_millis(slow.below(number, 400))).await;
                }
                Ok(body)
            }
        });
        let raw = Arc::new(Raw(Arc::clone(&self.ledger)));
        Router::builder().on_message(WORDS, take).on_request(ASK, answer).on_stream(RAW, raw).build().unwrap()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn peer(&self, from: usize, to: usize, peers: &mut BTreeMap<(usize, u64, usize), Peer>) -> Option<Peer> {
        let (node, other) = (self.nodes[from].as_ref()?, self.nodes[to].as_ref()?);
        let seed = (from * NODES + to) as u64;
        let make = || node.peer(other, PeerConfig::default().with_seed(seed));
        Some(peers.entry((from, self.lives[from], to)).or_insert_with(make).clone())
    }

    async fn rage(&mut self) -> BTreeMap<(usize, u64, usize), Peer> {
        let mut peers = BTreeMap::new();
        let end = tokio::time::Instant::now() + RAGES_FOR;
        while tokio::time::Instant::now() < end {
            let from = self.draws.below(NODES as u64) as usize;
            let to = (from + 1 + self.draws.below(NODES as u64 - 1) as usize) % NODES;
            let pause = Duration::from_millis(self.draws.below(120));
            match self.draws.below(21) {
                0..=6 => self.send(from, to, &mut peers),
                7..=9 => self.ask(from, to, &mut peers),
                10 | 11 => self.stream(from, to, &mut peers),
                12 | 13 => self.race(from, to),
                14 => self.close_link(from, to),
                15 => {
                    if let Some(peer) = self.peer(from, to, &mut peers) {
                        peer.reconnect();
                    }
                }
                16 => self.cut(from, to),
                17 => self.cuts.clear(),
                18 => self.stop_for_a_while(from),
                19 => self.restart(from),
                _ => self.drain(from).await,
            }
            tokio::time::sleep(pause).await;
        }
        peers
    }

    /// A burst, now and then of long messages.
    fn send(&mut self, from: usize, to: usize, peers: &mut BTreeMap<(usize, u64, usize), Peer>) {
        let Some(peer) = self.peer(from, to, peers) else { return };
        for _ in 0..1 + self.draws.below(12) {
            let number = self.number();
            let len = if self.draws.below(16) == 0 { 1 << 20 } else { self.draws.below(2_000) as usize };
            let priority = Priority::ALL[self.draws.below(3) as usize];
            let mut message = Message::new(WORDS, body_of(number, len)).with_priority(priority);
            if self.draws.below(4) == 0 {
                message = message.with_time_to_live(Duration::from_millis(self.draws.below(3_000)));
            }
            match peer.try_send(message) {
                Ok(ticket) => self.wait_for(number, ticket),
                Err(_rejected) => {
                    let refused = Outcome::NotSent(NotSent::Closed);
                    self.ledger.lock().unwrap().told.insert(number, refused);
                }
            }
        }
        if self.draws.below(4) == 0 {
            self.close_link(from, to);
        }
    }

    /// What a process does goes with it.
    fn on(&self, i: usize, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(node) = &self.nodes[i] {
            node.spawn(work);
        }
    }

    fn wait_for(&mut self, number: u64, ticket: Ticket) {
        let ledger = Arc::clone(&self.ledger);
        self.work.spawn(async move {
            let outcome = ticket.await;
            ledger.lock().unwrap().told.insert(number, outcome);
        });
    }

    /// A request, given up after a while that may be shorter than it takes.
    fn ask(&mut self, from: usize, to: usize, peers: &mut BTreeMap<(usize, u64, usize), Peer>) {
        let Some(peer) = self.peer(from, to, peers) else { return };
        let (number, ledger) = (self.number(), Arc::clone(&self.ledger));
        let (patience, given_up) = (self.draws.below(5_000), self.draws.below(3_000));
        self.on(from, async move {
            let body = body_of(number, 100);
            let request = peer.request(ASK, body.clone(), Duration::from_millis(patience));
            let Ok(outcome) = tokio::time::timeout(Duration::from_millis(given_up), request).await else { return };
            let handled = || ledger.lock().unwrap().handled.get(&number).copied().unwrap_or(0);
            match outcome {
                Ok(reply) if reply.body != body || handled() != 1 => {
                    find(&ledger, "a reply is that of another request")
                }
                Err(error) if error.fate() == Fate::NotSent && handled() > 0 => {
                    find(&ledger, "a request that was handled is reported as not sent");
                }
                _ => {}
            }
        });
    }

    /// A stream that is finished, or given up half way.
    fn stream(&mut self, from: usize, to: usize, peers: &mut BTreeMap<(usize, u64, usize), Peer>) {
        let Some(peer) = self.peer(from, to, peers) else { return };
        let (len, whole) = (8 + self.draws.below(50_000) as usize, self.draws.below(2) == 0);
        self.on(from, async move {
            let Ok(mut stream) = peer.open_stream(RAW, Duration::from_secs(3)).await else { return };
            let mut bytes = (len as u32).to_le_bytes().to_vec();
            bytes.resize(if whole { len } else { len / 2 }, 7);
            if stream.send.write_all(&bytes).await.is_ok() && whole {
                stream.send.finish();
                std::future::poll_fn(|cx| stream.send.poll_stopped(cx)).await;
            }
        });
    }

    /// Two callers want the same link, and one of them goes away.
    fn race(&mut self, from: usize, to: usize) {
        let (Some(node), Some(other)) = (&self.nodes[from], &self.nodes[to]) else { return };
        let ledger = Arc::clone(&self.ledger);
        let given_up = Duration::from_micros(self.draws.below(2_000));
        let (pool, name, addr) = (node.pool.clone(), other.name().clone(), other.addr);
        let (impatient, impatient_name) = (pool.clone(), name.clone());
        // On the node itself: what a process waits for goes with it.
        node.spawn(async move {
            let _ = tokio::time::timeout(given_up, impatient.get_or_create(&impatient_name, addr)).await;
        });
        node.spawn(async move {
            // A dial of 5 s, and a stop of the process of 9.
            match tokio::time::timeout(Duration::from_secs(20), pool.get_or_create(&name, addr)).await {
                Ok(Ok(_lease)) => {}
                Ok(Err(error)) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    if cause == "this node is shutting down" && !pool.is_draining() {
                        find(&ledger, "a caller is told of somebody else's cancellation");
                    }
                }
                Err(_elapsed) => find(&ledger, "a caller waits for a dial that nobody makes"),
            }
        });
    }

    fn close_link(&self, from: usize, to: usize) {
        if let (Some(node), Some(other)) = (&self.nodes[from], &self.nodes[to])
            && let Some(link) = node.pool.current(LinkClass::Data, other.name())
        {
            link.close(CloseCode::DONE);
        }
    }

    fn cut(&mut self, from: usize, to: usize) {
        let Wire::Simulated(net, _) = self.cluster.wire() else { unreachable!("storms are simulated") };
        // Hosts are numbered from 1.
        self.cuts.push(net.cut_one_way(Group::of([from + 1]), Group::of([to + 1])));
    }

    fn stop_for_a_while(&mut self, i: usize) {
        let Some(node) = &self.nodes[i] else { return };
        node.pause();
        let (resume, span) = (node.resumer(), Duration::from_millis(self.draws.below(9_000)));
        self.work.spawn(async move {
            tokio::time::sleep(span).await;
            resume();
        });
    }

    /// A process ends in order, in the middle of everything, and another one takes its place.
    async fn drain(&mut self, i: usize) {
        let Some(node) = self.nodes[i].take() else { return };
        node.resume();
        let patience = Duration::from_secs(self.draws.below(8));
        let began = tokio::time::Instant::now();
        node.stop(patience).await;
        if began.elapsed() > patience + Duration::from_millis(300) {
            find(&self.ledger, "a pool takes longer to close than it was given");
        }
        let killed = node.kill(&self.cluster);
        let router = self.router(i);
        self.nodes[i] = Some(self.cluster.restart(killed, router));
    }

    fn restart(&mut self, i: usize) {
        let Some(node) = self.nodes[i].take() else { return };
        let killed = node.kill(&self.cluster);
        let router = self.router(i);
        self.nodes[i] = Some(self.cluster.restart(killed, router));
    }

    /// Everything is mended, and whatever was begun ends.
    async fn calm(&mut self, peers: BTreeMap<(usize, u64, usize), Peer>) {
        self.cuts.clear();
        self.nodes.iter().flatten().for_each(TestNode::resume);
        tokio::time::sleep(CALM).await;
        let unended = async { while self.work.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(30), unended).await.is_err() {
            find(&self.ledger, "something that was begun does not end");
        }
        for ((from, life, to), peer) in &peers {
            let metrics = peer.metrics();
            let alive = *life == self.lives[*from];
            if alive && metrics.queued != metrics.ended() {
                find(&self.ledger, &format!("a message has not ended: of {from} to {to}, {metrics:?}"));
            }
        }
        drop(peers);
        for node in self.nodes.iter().flatten() {
            let stats = node.pool.stats();
            if stats.places != stats.total.connected {
                find(&self.ledger, "a place is taken by nobody");
            }
            if node.pool.open_links(LinkClass::Data) != stats.total.connected {
                find(&self.ledger, "a connection is open that the pool does not know");
            }
            if stats.total.connected > 0 {
                find(&self.ledger, "a connection that nobody uses stays");
            }
            let ended = node.stop(Duration::from_secs(5)).await;
            let left = node.live_tasks();
            let open = [LinkClass::Data, LinkClass::Private].map(|class| node.pool.open_links(class));
            if !ended || open != [0, 0] {
                find(&self.ledger, "a pool does not close");
            }
            // What is left are quinn's own two, of an endpoint that is still held.
            if left > 1 {
                find(&self.ledger, &format!("{left} tasks are left"));
            }
        }
    }

    fn judge(&self) -> BTreeSet<String> {
        let mut ledger = self.ledger.lock().unwrap();
        let mut findings = std::mem::take(&mut ledger.findings);
        let mut find = |what: &str| {
            findings.insert(what.to_owned());
        };
        let mut taken: BTreeMap<u64, usize> = BTreeMap::new();
        for ((.., priority), numbers) in &ledger.taken {
            if !numbers.is_sorted_by(|a, b| a < b) {
                find(&format!("order of priority {priority:?} is not kept"));
            }
            numbers.iter().for_each(|number| *taken.entry(*number).or_default() += 1);
        }
        for (lane, numbers) in &ledger.done {
            // The last one may not be done.
            let begun = &ledger.taken[lane];
            if numbers[..] != begun[..numbers.len()] {
                find("a message overtook another in their handler");
            }
        }
        if taken.values().any(|times| *times > 1) {
            find("a message was taken twice");
        }
        if ledger.handled.values().any(|times| *times > 1) {
            find("a request was handled twice");
        }
        for (number, outcome) in &ledger.told {
            match (outcome, taken.contains_key(number)) {
                (Outcome::Delivered { .. }, false) => find("a message that nobody took is reported as delivered"),
                (Outcome::NotSent(_), true) => find("a message that was taken is reported as not sent"),
                _ => {}
            }
        }
        for trouble in self.cluster.troubles() {
            find(&trouble);
        }
        findings
    }
}

fn index_of(link: &Link) -> usize {
    link.node().as_str()[1..].parse().expect("nodes are numbered")
}

/// What a storm has found, and how much was said in it.
fn storm(seed: u64, bug: Option<Bug>) -> (BTreeSet<String>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut storm = Storm::new(seed, bug);
        let peers = storm.rage().await;
        storm.calm(peers).await;
        let delivered =
            storm.ledger.lock().unwrap().told.values().filter(|o| matches!(o, Outcome::Delivered { .. })).count();
        (storm.judge(), delivered)
    })
}

#[test]
fn whatever_happens_to_links_everything_ends_once_and_nothing_is_left() {
    let mut delivered = 0;
    for seed in 0..25 {
        let (findings, said) = storm(seed, None);
        assert!(findings.is_empty(), "seed {seed}: {findings:#?}");
        delivered += said;
    }
    assert!(delivered > 5_000, "storms in which nearly nothing gets through find nothing: {delivered}");
}

#[test]
fn every_mistake_with_links_is_found_by_the_check_it_is_for() {
    let mistakes = [
        (Bug::CallerTakesDialWithHim, "a caller is told of somebody else's cancellation"),
        (Bug::PermitLeak, "a place is taken by nobody"),
        (Bug::ReorderAfterReconnect, "order of priority"),
        (Bug::CancelLooksComplete, "a stream that was given up looked complete"),
        (Bug::EndHitsSuccessor, "a connection is open that the pool does not know"),
        (Bug::KeepLoser, "a connection is open that the pool does not know"),
    ];
    for (bug, check) in mistakes {
        let found = (0..5).any(|seed| storm(seed, Some(bug)).0.iter().any(|finding| finding.starts_with(check)));
        assert!(found, "{bug:?} is not found within five storms");
    }
}
