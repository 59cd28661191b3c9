//! The simulated UDP network: real QUIC stacks send real packets over a wire that delays, loses, repeats, reorders, damages
//! and cuts them, in virtual time.
//!
//! A packet asks its path what becomes of it: a list of deliveries, each with its delay. None is loss, two are duplication,
//! different delays are reordering. Randomness is by counter, one stream a direction, so that one path's packets never move
//! another's, and taking one fault away leaves the others where they were.

mod model;
mod nat;
mod rules;
mod socket;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cluster_types::Seed;
use quinn::udp::EcnCodepoint;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use model::PathState;
pub use model::{Bandwidth, Burst, Latency, LinkModel};
pub(crate) use rules::{Effect, Rules};
pub use rules::{Group, Guard};
pub use socket::SimSocket;

use crate::trace::Trace;
use crate::{always, reachable, sometimes};

/// What a socket holds for a process that does not read, as the system's receive buffer would.
const INBOX_BYTES: usize = 2 * 1024 * 1024;

/// A packet under way or waiting to be read.
#[derive(Debug, Clone)]
struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
    ecn: Option<EcnCodepoint>,
}

/// A bound address.
#[derive(Debug, Default)]
struct Port {
    /// Which of the sockets that were ever bound here; nobody is here when it is not bound.
    life: u64,
    bound: bool,
    inbox: VecDeque<Packet>,
    inbox_bytes: usize,
    reader: Option<Waker>,
}

/// What has happened to packets so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetStats {
    /// Packets given to the network.
    pub sent: u64,
    /// Bytes of them, with 28 B of IP and UDP headers each.
    pub sent_bytes: u64,
    /// Packets put into an inbox, duplicates too.
    pub delivered: u64,
    /// Packets that a path lost.
    pub lost: u64,
    /// Packets that a cut stopped.
    pub cut: u64,
    /// Packets to an address where nobody is.
    pub astray: u64,
    /// Packets that found a full inbox.
    pub overflowed: u64,
}

/// So many packets of each host are remembered, to arrive once more.
const ECHOES: usize = 32;

/// What waits on clogged paths at most, of all of them together: what comes on top is lost.
const HELD_MAX: usize = 100_000;

/// IP and UDP headers.
const HEADERS: u64 = 28;

#[derive(Debug)]
struct Net {
    seed: Seed,
    origin: Instant,
    hosts: HashMap<SocketAddr, usize>,
    ports: HashMap<SocketAddr, Port>,
    paths: HashMap<(usize, usize), PathState>,
    model: Arc<LinkModel>,
    rules: Rules,
    nat: nat::Translations,
    /// What each host sent last.
    recent: HashMap<usize, VecDeque<Packet>>,
    /// What waits on clogged paths, and by whom it was sent, in order.
    held: Vec<(usize, Packet)>,
    under_way: BTreeMap<(Duration, u64), Packet>,
    next_packet: u64,
    stats: NetStats,
    trace: Trace,
}

/// A simulated network. Cheap to clone; clones are the same network.
#[derive(Clone)]
pub struct SimNet {
    net: Arc<Mutex<Net>>,
    /// Something is due earlier than before.
    earlier: Arc<Notify>,
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNet").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl SimNet {
    /// A network whose paths are all like `model`. Must be made within the runtime of its world.
    #[must_use]
    pub fn new(seed: Seed, model: LinkModel, trace: Trace) -> Self {
        let net = Net {
            seed,
            origin: Instant::now(),
            hosts: HashMap::new(),
            ports: HashMap::new(),
            paths: HashMap::new(),
            model: Arc::new(model),
            rules: Rules::default(),
            nat: nat::Translations::default(),
            recent: HashMap::new(),
            held: Vec::new(),
            under_way: BTreeMap::new(),
            next_packet: 0,
            stats: NetStats::default(),
            trace,
        };
        Self { net: Arc::new(Mutex::new(net)), earlier: Arc::new(Notify::new()) }
    }

    /// Held for the handling of one packet; nothing panics meanwhile that would leave half of it.
    fn lock(&self) -> MutexGuard<'_, Net> {
        self.net.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds an address for host number `host`. A former life's socket is dead from then on.
    #[must_use]
    pub fn bind(&self, host: usize, addr: SocketAddr) -> SimSocket {
        let mut net = self.lock();
        net.hosts.insert(addr, host);
        let life = net.ports.get(&addr).map_or(0, |port| port.life) + 1;
        net.ports.insert(addr, Port { life, bound: true, ..Port::default() });
        drop(net);
        SimSocket::new(self.clone(), host, addr, life)
    }

    /// Nobody is at an address any more: what is sent from there or arrives there vanishes.
    pub fn unbind(&self, addr: SocketAddr) {
        if let Some(port) = self.lock().ports.get_mut(&addr) {
            // The life stays counted, so that the socket of the dead is not taken for its successor's.
            *port = Port { life: port.life + 1, ..Port::default() };
        }
    }

    /// What others see of a bound address changes, as behind a translation that has forgotten it.
    pub fn rebind(&self, addr: SocketAddr) {
        self.lock().nat.rebind(addr);
    }

    /// Makes all paths like `model`, but for those with a rule of their own.
    pub fn set_model(&self, model: LinkModel) {
        self.lock().model = Arc::new(model);
    }

    /// Nothing from `from` reaches `to` until the guard is dropped.
    pub fn cut_one_way(&self, from: Group, to: Group) -> Guard {
        self.rule(from, to, Effect::Cut)
    }

    /// What is sent from `from` to `to` waits until the guard is dropped, and arrives then, in order: a path that is clogged.
    pub fn hold(&self, from: Group, to: Group) -> Guard {
        self.rule(from, to, Effect::Hold)
    }

    /// The paths from `from` to `to` are like `model` until the guard is dropped. Of several rules the youngest counts, and
    /// a cut before all.
    pub fn degrade(&self, from: Group, to: Group, model: LinkModel) -> Guard {
        self.rule(from, to, Effect::Like(Arc::new(model)))
    }

    pub(crate) fn rule(&self, from: Group, to: Group, effect: Effect) -> Guard {
        let id = self.lock().rules.add(from, to, effect);
        Guard::new(self.clone(), id)
    }

    fn remove_rule(&self, id: u64) {
        self.mend(|rules| rules.remove(id));
    }

    /// Takes every rule away: cuts, clogs and degraded paths.
    pub fn heal(&self) {
        self.mend(Rules::clear);
    }

    /// What a host sent last is sent once more.
    pub(crate) fn echo(&self, host: usize) {
        let mut net = self.lock();
        for packet in net.recent.get(&host).cloned().unwrap_or_default() {
            reachable!("an old packet arrives once more");
            net.carry(host, packet);
        }
        drop(net);
        self.earlier.notify_one();
    }

    /// Changes the rules, and sends on what has waited and need not wait any longer.
    fn mend(&self, change: impl FnOnce(&mut Rules)) {
        let mut net = self.lock();
        change(&mut net.rules);
        let waiting = std::mem::take(&mut net.held);
        for (from, packet) in waiting {
            net.carry(from, packet);
        }
        drop(net);
        self.earlier.notify_one();
    }

    /// Whether packets from `from` get to `to` at all.
    #[must_use]
    pub fn is_open(&self, from: usize, to: usize) -> bool {
        !self.lock().rules.is_cut(from, to)
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.lock().stats
    }

    /// Delivers packets, for ever: one task of a world of your own runs it. A [`StackWorld`](crate::StackWorld) does so itself.
    pub async fn carry(self) {
        loop {
            let next = self.deliver_due();
            let sleep = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.earlier.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// Puts everything due into its inbox; says when the next is.
    fn deliver_due(&self) -> Option<Instant> {
        let mut net = self.lock();
        let now = net.origin.elapsed();
        while let Some(entry) = net.under_way.first_entry() {
            let due = entry.key().0;
            if due > now {
                return Some(net.origin + due);
            }
            let packet = entry.remove();
            net.arrive(packet);
        }
        None
    }

    fn send(
        &self,
        (host, addr, life): (usize, SocketAddr, u64),
        to: SocketAddr,
        bytes: &[u8],
        ecn: Option<EcnCodepoint>,
    ) {
        let mut net = self.lock();
        if net.ports.get(&addr).is_none_or(|port| port.life != life) {
            return;
        }
        let head = net.under_way.first_key_value().map(|(key, _)| *key);
        net.send(host, Packet { from: addr, to, bytes: bytes.to_vec(), ecn });
        let earlier = net.under_way.first_key_value().map(|(key, _)| *key) != head;
        drop(net);
        if earlier {
            self.earlier.notify_one();
        }
    }

    fn poll_read(
        &self,
        addr: SocketAddr,
        life: u64,
        cx: &Context<'_>,
        mut take: impl FnMut(&Packet) -> bool,
    ) -> Poll<usize> {
        let mut net = self.lock();
        let Some(port) = net.ports.get_mut(&addr).filter(|port| port.life == life) else { return Poll::Pending };
        let mut taken = 0;
        while port.inbox.front().is_some_and(&mut take) {
            if let Some(packet) = port.inbox.pop_front() {
                port.inbox_bytes -= packet.bytes.len();
                taken += 1;
            }
        }
        if taken == 0 {
            port.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(taken)
    }
}

/// The end of what QUIC protects a first packet's header by (RFC 9001, 5.4.2). Damaged there, a packet has whatever header its random
/// contents say, and is an attempt to connect or none: by chance, and not by the seed. Damaged after it, it is dropped.
const PROTECTED_HEADER: usize = 64;

/// Which byte is damaged.
const fn damaged_byte(drawn: usize, len: usize) -> usize {
    if drawn >= PROTECTED_HEADER {
        drawn
    } else if len > PROTECTED_HEADER {
        PROTECTED_HEADER + drawn % (len - PROTECTED_HEADER)
    } else {
        len.saturating_sub(1)
    }
}

impl Net {
    /// A packet is given to the network.
    fn send(&mut self, from: usize, packet: Packet) {
        let seen = self.nat.inner(packet.to).map_or(packet.from, |to| self.nat.source(packet.from, to));
        sometimes!(seen != packet.from, "a packet comes from another address than it was sent from");
        let packet = Packet { from: seen, ..packet };
        self.stats.sent += 1;
        self.stats.sent_bytes += packet.bytes.len() as u64 + HEADERS;
        let recent = self.recent.entry(from).or_default();
        if recent.len() == ECHOES {
            recent.pop_front();
        }
        recent.push_back(packet.clone());
        self.carry(from, packet);
    }

    /// Asks the path what becomes of a packet.
    fn carry(&mut self, from: usize, packet: Packet) {
        let len = packet.bytes.len();
        let now = self.origin.elapsed();
        let Some(&to) = self.nat.inner(packet.to).and_then(|to| self.hosts.get(&to)) else {
            self.stats.astray += 1;
            return self.trace.note_packet(now, from, usize::MAX, len, None);
        };
        if self.rules.is_cut(from, to) {
            self.stats.cut += 1;
            reachable!("a cut stops a packet");
            return self.trace.note_packet(now, from, to, len, None);
        }
        if self.rules.is_held(from, to) {
            reachable!("a packet waits on a clogged path");
            if self.held.len() < HELD_MAX {
                self.held.push((from, packet));
            } else {
                self.stats.lost += 1;
            }
            return;
        }
        let model = self.rules.model(from, to).unwrap_or(&self.model);
        let seed = self.seed;
        let path = self.paths.entry((from, to)).or_insert_with(|| PathState::new(seed, from, to));
        let deliveries = model.deliver(path, now, len);
        sometimes!(deliveries.is_empty(), "a path loses a packet");
        if deliveries.is_empty() {
            self.stats.lost += 1;
            self.trace.note_packet(now, from, to, len, None);
        }
        for delivery in deliveries {
            always!(delivery.at >= now, "no packet arrives before it was sent");
            sometimes!(delivery.damaged_bit.is_some(), "a packet is damaged on its way");
            self.trace.note_packet(now, from, to, len, Some(delivery.at));
            let mut packet = packet.clone();
            if let Some(bit) = delivery.damaged_bit
                && let Some(byte) = packet.bytes.get_mut(damaged_byte(bit / 8, len))
            {
                *byte ^= 1 << (bit % 8);
            }
            self.under_way.insert((delivery.at, self.next_packet), packet);
            self.next_packet += 1;
        }
    }

    fn arrive(&mut self, packet: Packet) {
        let to = self.nat.inner(packet.to);
        let Some(port) = to.and_then(|to| self.ports.get_mut(&to)).filter(|port| port.bound) else {
            self.stats.astray += 1;
            return;
        };
        to.into_iter().for_each(|bound| self.nat.note_arrival(packet.from, packet.to, bound));
        if port.inbox_bytes + packet.bytes.len() > INBOX_BYTES {
            self.stats.overflowed += 1;
            return;
        }
        sometimes!(port.inbox.len() > 100, "a hundred packets wait for a process that does not read");
        self.stats.delivered += 1;
        port.inbox_bytes += packet.bytes.len();
        port.inbox.push_back(packet);
        if let Some(reader) = port.reader.take() {
            reader.wake();
        }
    }
}
