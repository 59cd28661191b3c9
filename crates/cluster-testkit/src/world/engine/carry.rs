//! What happens when: turns of the loops, and carrying what the engines want to where it belongs.

use std::net::SocketAddr;

use cluster_gossip::{PeerInfo, Statement};
use cluster_manager::engine::Output;
use cluster_types::{EventKind, Instant, NodeId, State};

use super::links::LinkEnd;
use super::path::Fate;
use super::{EngineWorld, Happening, IDLE_TIMEOUT, LinkKey};
use crate::world::Reported;

/// When a node's loop is to turn: apart from the node, so that a turn that was put off costs no look at it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Alarm {
    /// When it has something to do.
    pub(super) due: Instant,
    /// Of its wake-ups on the agenda the one that counts; the others come too late or in vain.
    pub(super) set_to: Option<Instant>,
}

impl EngineWorld {
    pub(super) fn push(&mut self, at: Instant, happening: Happening) {
        self.agenda.push(at, happening);
    }

    /// The link of a node to another one.
    fn link(&self, from: usize, to: &NodeId) -> Option<&LinkEnd> {
        self.numbers.of(to).and_then(|number| self.nodes[from].links.get(number))
    }

    /// Where the other end of a link stands, if that life still runs.
    pub(super) fn linked(&self, from: usize, to: &NodeId) -> Option<usize> {
        let LinkEnd { peer, at, .. } = self.link(from, to)?;
        let other = &self.nodes[*at];
        (other.running && other.life() == peer.life.get()).then_some(*at)
    }

    /// Puts something on its way, to happen where it arrives: once, twice, later or never.
    pub(super) fn put_on(&mut self, from: usize, to: usize, len: usize, happening: Happening) {
        match self.paths.deliver(self.now.since_origin(), from, to, len) {
            Fate::Arrives(at, again) => {
                if let Some(again) = again {
                    self.push(Instant::after_origin(again), happening.clone());
                }
                self.push(Instant::after_origin(at), happening);
            }
            Fate::Waits => self.clogged.push((from, to, len, happening)),
            Fate::Lost => {}
        }
    }

    /// What has waited on clogged paths goes on, or waits on.
    pub(super) fn unclog(&mut self) {
        for (from, to, len, happening) in std::mem::take(&mut self.clogged) {
            self.put_on(from, to, len, happening);
        }
    }

    fn answering(&self, addr: SocketAddr) -> Option<usize> {
        self.by_addr.get(&addr).copied().filter(|&i| self.nodes[i].running)
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        let node = happening.at();
        let wake = matches!(happening, Happening::Wake { .. });
        if wake && !self.is_woken(node) {
            return;
        }
        if self.nodes[node].paused || (self.nodes[node].held && !wake) {
            if !wake {
                self.nodes[node].waiting.push(happening);
            }
            return;
        }
        if self.nodes[node].running {
            self.turn(node, happening);
            self.dispatch(node);
        }
    }

    /// One turn of a node's loop, as the driver does it.
    fn turn(&mut self, i: usize, happening: Happening) {
        let now = self.now;
        self.nodes[i].begin_turn(now);
        match happening {
            Happening::Wake { .. } => {}
            Happening::Lie { node } => self.lie(node),
            Happening::Datagram { from, link, bytes, .. } => self.arrive(from, i, link, &bytes),
            Happening::Again { exchange, leg, repeats, .. } => self.try_leg(exchange, leg, repeats),
            Happening::Through { exchange, leg, .. } => self.take_leg(exchange, leg),
            Happening::Expire { exchange, .. } => self.expire(exchange),
            Happening::Reset { peer, .. } => self.drop_link(i, &peer),
            Happening::Idle { peer, .. } => self.end_if_idle(i, peer),
        }
        if now >= self.nodes[i].engine.next_work() {
            self.nodes[i].engine.handle_timeout(now);
        }
    }

    fn arrive(&mut self, from: usize, to: usize, link: LinkKey, bytes: &[u8]) {
        let (sender_life, own_life) = link;
        let (sender, number) = (self.nodes[from].name.clone(), self.nodes[from].number);
        let linked = self.nodes[to].links.get(number).is_some_and(|end| end.peer.life.get() == sender_life);
        if own_life == self.nodes[to].life() && linked {
            self.note_heard(to, from);
            if let Some(liar) = self.liar.as_mut().filter(|liar| liar.node == to) {
                liar.hear(bytes);
            }
            return self.nodes[to].engine.handle_datagram(self.now, &sender, bytes);
        }
        self.refuse_link(to, from);
    }

    /// Whoever answers at the address knows nothing of a link that the other one has to him, and says so: a stateless reset.
    pub(super) fn refuse_link(&mut self, by: usize, to: usize) {
        if let Some(LinkEnd { peer, .. }) = self.nodes[to].links.get(self.nodes[by].number).cloned() {
            self.put_on(by, to, 0, Happening::Reset { at: to, peer: peer.into() });
        }
    }

    /// A link comes up at one end. It ends when nothing is heard for the idle time.
    pub(super) fn raise_link(&mut self, i: usize, peer: PeerInfo, at: usize) {
        let now = self.now;
        let number = self.numbers.give(&peer.node);
        // Each has seen the other's certificate in the handshake.
        let shown = self.nodes[at].seal.shown();
        cluster_gossip::Seal::learn(&*self.nodes[i].seal, &shown);
        let fresh = self.nodes[i].raise_link(now, number, peer.clone(), at);
        // Where nobody reads events, nobody reads this one.
        if fresh && self.nodes[i].registry.is_some() {
            let PeerInfo { node, incarnation, addr, .. } = peer.clone();
            self.report(i, [EventKind::LinkUp { node, incarnation, addr }]);
        }
        self.push(now + IDLE_TIMEOUT, Happening::Idle { node: i, peer: peer.into() });
    }

    fn drop_link(&mut self, i: usize, peer: &PeerInfo) {
        let number = self.numbers.give(&peer.node);
        let dropped = self.nodes[i].drop_link(self.now, number, peer);
        if dropped && self.nodes[i].registry.is_some() {
            let (node, incarnation) = (peer.node.clone(), peer.incarnation);
            self.report(i, [EventKind::LinkDown { node, incarnation, reason: "it ended".to_owned() }]);
        }
    }

    /// Something authenticated came from another node. The transport acknowledges it, so that the other one hears of this one, too.
    pub(super) fn note_heard(&mut self, i: usize, from: usize) {
        let now = self.now;
        let acknowledged = self.paths.is_open(i, from);
        // A node exchanges nothing with itself.
        let Ok([here, there]) = self.nodes.get_disjoint_mut([i, from]) else { return };
        here.note_heard(there.number, now);
        if acknowledged {
            there.note_heard(here.number, now);
        }
    }

    fn end_if_idle(&mut self, i: usize, peer: Box<PeerInfo>) {
        let Some(end) = self.link(i, &peer.node).filter(|end| end.peer.life == peer.life) else { return };
        let due = end.heard + IDLE_TIMEOUT;
        if due <= self.now {
            self.drop_link(i, &peer);
        } else if self.nodes[i].idle_checked(self.numbers.give(&peer.node), due) {
            self.push(due, Happening::Idle { node: i, peer });
        }
    }

    /// Does what a node's engine wants.
    pub(super) fn dispatch(&mut self, i: usize) {
        while let Some(output) = self.nodes[i].engine.poll_output() {
            self.carry_out(i, output);
        }
        let due = self.nodes[i].engine.next_work().max(self.now);
        self.alarms[i].due = due;
        if self.alarms[i].set_to.is_none_or(|at| due < at) {
            self.wake(i, due);
        }
    }

    /// The loop of a node turns then.
    pub(super) fn wake(&mut self, i: usize, at: Instant) {
        self.alarms[i] = Alarm { due: at, set_to: Some(at) };
        self.push(at, Happening::Wake { node: i });
    }

    /// Whether a wake-up that has come is one to turn at. One that was put off meanwhile is set anew.
    fn is_woken(&mut self, i: usize) -> bool {
        let Alarm { due, set_to } = self.alarms[i];
        if set_to != Some(self.now) {
            return false;
        }
        self.alarms[i].set_to = None;
        if due > self.now {
            self.wake(i, due);
        }
        due <= self.now
    }

    pub(super) fn carry_out(&mut self, i: usize, output: Output) {
        match output {
            Output::Datagram { .. } | Output::Request { .. } | Output::Dial(_) | Output::FindRival { .. }
                if self.nodes[i].held =>
            {
                self.nodes[i].unsent.push(output);
            }
            Output::Datagram { to, bytes } => self.send(i, &to, bytes),
            Output::Request { to, token, kind, body } => self.begin_request(i, &to, token, kind, body),
            // There are no name servers in this world.
            Output::Resolve { name } => {
                self.nodes[i].engine.handle_resolved(self.now, &name, Err("nobody resolves names here".into()));
            }
            Output::Dial(target) => self.begin_dial(i, target),
            Output::Disconnect { node } => self.disconnect(i, &node),
            Output::Publish(statement) => self.publish(i, statement),
            Output::Forget { node } => {
                let kind = self.nodes[i].registry.as_ref().and_then(|registry| registry.forget(self.now, &node));
                self.report(i, kind);
            }
            Output::Event(kind) => self.report(i, [kind]),
            Output::NameLost { .. } => self.nodes[i].name_lost = true,
            Output::FindRival { addr } => self.begin_visit(i, addr),
            Output::OwnChanged { .. } | Output::JoinDone(_) => {}
        }
    }

    /// Writes a statement down, or, where nobody reads, says in the trace what it says.
    fn publish(&mut self, i: usize, statement: Statement) {
        if let Some(registry) = &self.nodes[i].registry {
            let events = registry.apply(self.now, statement);
            return self.report(i, events);
        }
        let Statement { member, evidence, .. } = statement;
        if *member.node() == self.nodes[i].name {
            return;
        }
        let kind = match (member.state(), evidence) {
            (State::Alive, _) => EventKind::Alive(member),
            (State::Suspect, Some(evidence)) => EventKind::Suspected(member, evidence),
            (State::Failed, Some(evidence)) => EventKind::Failed(member, evidence),
            (State::Left, _) => EventKind::Left(member),
            (State::Suspect | State::Failed, None) => return,
        };
        self.report(i, [kind]);
    }

    fn report(&mut self, by: usize, kinds: impl IntoIterator<Item = EventKind>) {
        let at = self.now;
        self.trace.extend(kinds.into_iter().map(|kind| Reported { at, by, kind }));
    }

    /// Closes a link on one side at once; the other side hears of it if the path is open.
    pub(super) fn disconnect(&mut self, i: usize, node: &NodeId) {
        let Some(LinkEnd { peer, .. }) = self.link(i, node).cloned() else { return };
        let here = self.nodes[i].peer_info();
        let other = self.linked(i, node);
        self.push(self.now, Happening::Reset { at: i, peer: peer.into() });
        if let Some(to) = other {
            self.put_on(i, to, 0, Happening::Reset { at: to, peer: here.into() });
        }
    }

    pub(super) fn send(&mut self, from: usize, to: &NodeId, bytes: Vec<u8>) {
        let Some(LinkEnd { peer, .. }) = self.link(from, to) else { return };
        let link = (self.nodes[from].life(), peer.life.get());
        let to = self.answering(peer.addr);
        for bytes in self.versions.datagrams(from, bytes) {
            self.traffic.count_datagram(&bytes);
            if let Some(to) = to {
                let len = bytes.len();
                self.put_on(from, to, len, Happening::Datagram { from, to, link, bytes });
            }
        }
    }
}
