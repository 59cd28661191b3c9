//! What happens when: turns of the loops, and carrying what the engines want to where it belongs.

use std::net::SocketAddr;

use cluster_gossip::{RequestToken, Statement};
use cluster_manager::engine::{DialFailure, Output};
use cluster_pool::DialTarget;
use cluster_types::{EventKind, Instant, NodeId, State};

use super::node::LinkEnd;
use super::{DIAL_PATIENCE, EngineWorld, Happening, LinkKey, PATIENCE, Reported};

impl EngineWorld {
    pub(super) fn push(&mut self, at: Instant, happening: Happening) {
        self.heap.insert((at, self.next_happening), happening);
        self.next_happening += 1;
    }

    /// Where the other end of a link stands, if that life still runs.
    fn linked(&self, from: usize, to: &NodeId) -> Option<usize> {
        let LinkEnd { peer, at } = self.nodes[from].links.get(to)?;
        let other = &self.nodes[*at];
        (other.running && other.life() == peer.life.get()).then_some(*at)
    }

    fn answering(&self, addr: SocketAddr) -> Option<usize> {
        self.by_addr.get(&addr).copied().filter(|&i| self.nodes[i].running)
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        let node = happening.at();
        let wake = matches!(happening, Happening::Wake { .. });
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
            Happening::Wake { generation, .. } if generation != self.nodes[i].generation => return,
            Happening::Wake { .. } => self.nodes[i].wake_at = None,
            Happening::Datagram { from, link, bytes, .. } => self.arrive(from, i, link, &bytes),
            Happening::Dialled { from_life, target, .. } if from_life == self.nodes[i].life() => {
                self.end_dial(i, target)
            }
            Happening::Request { from_life, to, token, kind, body, .. } if from_life == self.nodes[i].life() => {
                self.carry_request(i, &to, token, kind, &body);
            }
            Happening::Answer { to_life, token, outcome, .. } if to_life == self.nodes[i].life() => {
                self.nodes[i].engine.handle_answer(now, token, outcome);
            }
            Happening::Reset { peer, .. } => self.nodes[i].drop_link(now, &peer),
            Happening::Dialled { .. } | Happening::Request { .. } | Happening::Answer { .. } => {}
        }
        if now >= self.nodes[i].engine.next_work() {
            self.nodes[i].engine.handle_timeout(now);
        }
    }

    fn arrive(&mut self, from: usize, to: usize, link: LinkKey, bytes: &[u8]) {
        let (sender_life, own_life) = link;
        if own_life != self.nodes[to].life() {
            // The sender's link goes to a former life: whoever answers at the address knows nothing of it.
            let end = self.nodes[from].links.get(&self.nodes[to].name).cloned();
            if let Some(LinkEnd { peer, .. }) = end.filter(|end| end.peer.life.get() == own_life) {
                let back = self.paths.latency(to, from);
                self.push(self.now + back, Happening::Reset { at: from, peer });
            }
            return;
        }
        let sender = self.nodes[from].name.clone();
        let linked = self.nodes[to].links.get(&sender).is_some_and(|end| end.peer.life.get() == sender_life);
        if linked {
            self.nodes[to].engine.handle_datagram(self.now, &sender, bytes);
        }
    }

    fn end_dial(&mut self, from: usize, target: DialTarget) {
        let now = self.now;
        let answerer = self.answering(target.addr).filter(|&to| !self.nodes[to].paused);
        let reachable = answerer.filter(|&to| self.paths.open(from, to) && self.paths.open(to, from));
        let right = reachable.filter(|&to| target.node.as_ref().is_none_or(|wanted| *wanted == self.nodes[to].name));
        let Some(to) = right.filter(|&to| to != from) else {
            let reason = DialFailure::Reason(format!("no answer from {}", target.addr));
            return self.nodes[from].engine.handle_dialled(now, &target, Err(reason));
        };
        let (here, there) = (self.nodes[from].peer_info(), self.nodes[to].peer_info());
        let name = there.node.clone();
        self.nodes[to].begin_turn(now);
        self.nodes[to].raise_link(now, here, from);
        self.dispatch(to);
        self.nodes[from].raise_link(now, there, to);
        self.nodes[from].engine.handle_dialled(now, &target, Ok(name));
    }

    fn carry_request(&mut self, from: usize, to: &NodeId, token: RequestToken, kind: u16, body: &[u8]) {
        let now = self.now;
        let target = self.linked(from, to);
        let target =
            target.filter(|&to| !self.nodes[to].paused && self.paths.open(from, to) && self.paths.open(to, from));
        let (outcome, wait) = match target {
            None => (Err("no answer in time".to_owned()), PATIENCE),
            Some(to) => {
                let here = self.nodes[from].peer_info();
                self.nodes[to].begin_turn(now);
                let answer = self.nodes[to].engine.handle_request(now, &here, kind, body);
                self.traffic.count_answer(answer.as_ref().map_or(0, |(_, body)| body.len()));
                self.dispatch(to);
                (answer.ok_or_else(|| "refused".to_owned()), self.paths.latency(to, from))
            }
        };
        let to_life = self.nodes[from].life();
        self.push(now + wait, Happening::Answer { to: from, to_life, token, outcome });
    }

    /// Does what a node's engine wants.
    pub(super) fn dispatch(&mut self, i: usize) {
        while let Some(output) = self.nodes[i].engine.poll_output() {
            self.carry_out(i, output);
        }
        let due = self.nodes[i].engine.next_work().max(self.now);
        if self.nodes[i].wake_at.is_none_or(|at| due < at) {
            self.nodes[i].wake_at = Some(due);
            let generation = self.nodes[i].generation;
            self.push(due, Happening::Wake { node: i, generation });
        }
    }

    pub(super) fn carry_out(&mut self, i: usize, output: Output) {
        match output {
            Output::Datagram { .. } | Output::Request { .. } | Output::Dial(_) if self.nodes[i].held => {
                self.nodes[i].unsent.push(output);
            }
            Output::Datagram { to, bytes } => self.send(i, &to, bytes),
            Output::Request { to, token, kind, body } => {
                self.traffic.count_request(body.len());
                let wait = self.config.latency.1;
                let from_life = self.nodes[i].life();
                self.push(self.now + wait, Happening::Request { from: i, from_life, to, token, kind, body });
            }
            // There are no name servers in this world.
            Output::Resolve { name } => {
                self.nodes[i].engine.handle_resolved(self.now, &name, Err("nobody resolves names here".into()));
            }
            Output::Dial(target) => {
                self.traffic.count_dial();
                let there = self.answering(target.addr).filter(|&to| !self.nodes[to].paused);
                let answers = there.is_some_and(|to| self.paths.open(i, to) && self.paths.open(to, i));
                let wait = if answers { self.config.latency.1 * 4 } else { DIAL_PATIENCE };
                let from_life = self.nodes[i].life();
                self.push(self.now + wait, Happening::Dialled { from: i, from_life, target });
            }
            Output::Disconnect { node } => self.disconnect(i, &node),
            Output::Publish(statement) => self.publish(i, statement),
            Output::Forget { node } => {
                let kind = self.nodes[i].registry.as_ref().and_then(|registry| registry.forget(self.now, &node));
                self.report(i, kind);
            }
            Output::Event(kind) => self.report(i, [kind]),
            Output::NameLost { .. } => self.nodes[i].name_lost = true,
            Output::OwnChanged(_) | Output::JoinDone(_) => {}
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
        let Some(LinkEnd { peer, .. }) = self.nodes[i].links.get(node).cloned() else { return };
        let here = self.nodes[i].peer_info();
        let other = self.linked(i, node).filter(|&to| self.paths.open(i, to));
        self.push(self.now, Happening::Reset { at: i, peer });
        if let Some(to) = other {
            let wait = self.paths.latency(i, to);
            self.push(self.now + wait, Happening::Reset { at: to, peer: here });
        }
    }

    fn send(&mut self, from: usize, to: &NodeId, bytes: Vec<u8>) {
        let Some(LinkEnd { peer, .. }) = self.nodes[from].links.get(to) else { return };
        let link = (self.nodes[from].life(), peer.life.get());
        let addr = peer.addr;
        self.traffic.count_datagram(&bytes);
        let Some(to) = self.answering(addr).filter(|&to| self.paths.open(from, to)) else { return };
        if let Some(delay) = self.paths.deliver(from, to) {
            self.push(self.now + delay, Happening::Datagram { from, to, link, bytes });
        }
    }
}
