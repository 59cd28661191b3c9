//! The rules of HashiCorp's memberlist, with the defaults it has for local networks, as a machine: read from its source and written
//! anew. Probes in random order one after the other, three indirect ones and a stream where the first stays unanswered, suspicion that
//! is the shorter the more say so, slower probes at a node that has reason to doubt itself, gossip beside the probes, and the whole
//! state to somebody every half minute.
//!
//! Left out: encryption, compression (so its bytes are charged as they are), farewells, metadata, versions, and the limit on streams
//! that are served at once.

mod awareness;
mod members;
mod message;
mod probe;
mod queue;
mod rules;
mod suspicion;

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::Seed;
use cluster_types::seed::Draws;

use crate::world::{Machine, Output, Outputs};
use awareness::Awareness;
use members::{Members, State};
use message::{COMPOUND_EACH, COMPOUND_HEAD, CRC, Entry, Message, Rumour, compound_len};
use probe::{Probe, Relay};
use queue::Queue;
use suspicion::Suspicion;

const GOSSIP_INTERVAL: Duration = Duration::from_millis(200);
const GOSSIP_NODES: usize = 3;
/// How long a node that failed is still told things.
const GOSSIP_TO_THE_DEAD: Duration = Duration::from_secs(30);
const PUSH_PULL_INTERVAL: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest payload of a packet.
const PACKET_MAX: usize = 1_400;

pub(crate) enum Timer {
    Probe,
    Gossip,
    PushPull,
    /// The direct probe is overdue.
    ProbeTimeout {
        seq: u32,
    },
    /// The whole probe is.
    ProbeDeadline {
        seq: u32,
    },
    /// A probe for somebody else is.
    Relay {
        seq: u32,
    },
    Suspicion {
        node: usize,
        generation: u64,
    },
}

pub(crate) struct Memberlist {
    me: usize,
    incarnation: u32,
    members: Members,
    draws: Draws,
    queue: Queue,
    awareness: Awareness,
    suspicions: BTreeMap<usize, Suspicion>,
    /// Counts suspicions and their timers, so that timers of former ones do nothing.
    generation: u64,
    seq: u32,
    probe: Option<Probe>,
    /// A turn to probe came while a probe was going on.
    turn_missed: bool,
    relays: BTreeMap<u32, Relay>,
    /// Sending blocks.
    blocked: bool,
    gossip_stuck: bool,
    push_pull_stuck: bool,
}

impl Memberlist {
    pub(crate) fn new(me: usize, seed: Seed) -> Self {
        Self {
            me,
            incarnation: 1,
            members: Members::new(me),
            draws: seed.stream(),
            queue: Queue::default(),
            awareness: Awareness::default(),
            suspicions: BTreeMap::new(),
            generation: 0,
            seq: 0,
            probe: None,
            turn_missed: false,
            relays: BTreeMap::new(),
            blocked: false,
            gossip_stuck: false,
            push_pull_stuck: false,
        }
    }

    fn next_seq(&mut self) -> u32 {
        self.seq += 1;
        self.seq
    }

    /// Sends one message, with as much gossip as fits beside it.
    fn send(&mut self, to: usize, message: Message, out: &mut Outputs<Self>) {
        let len = message.len();
        let rumours = self.queue.take(COMPOUND_EACH, PACKET_MAX - COMPOUND_HEAD - len, self.members.len());
        let mut all = vec![message];
        all.extend(rumours.into_iter().map(Message::Rumour));
        send_raw(to, all, 0, out);
    }

    fn broadcast(&mut self, rumour: Rumour) {
        self.queue.push(rumour);
    }

    fn gossip(&mut self, now: Duration, out: &mut Outputs<Self>) {
        if self.gossip_stuck {
            return;
        }
        let told = self.members.some(&mut self.draws, GOSSIP_NODES, |member| {
            member.state != State::Dead || now.saturating_sub(member.since) <= GOSSIP_TO_THE_DEAD
        });
        for to in told {
            let rumours = self.queue.take(COMPOUND_EACH, PACKET_MAX - COMPOUND_HEAD, self.members.len());
            if rumours.is_empty() {
                return;
            }
            self.gossip_stuck = self.blocked;
            send_raw(to, rumours.into_iter().map(Message::Rumour).collect(), CRC, out);
            if self.blocked {
                return;
            }
        }
    }

    fn push_pull(&mut self, out: &mut Outputs<Self>) {
        if self.push_pull_stuck {
            return;
        }
        let partner = self.members.some(&mut self.draws, 1, |member| member.state == State::Alive);
        if let Some(to) = partner.first() {
            self.push_pull_stuck = self.blocked;
            self.open_push_pull(*to, out);
        }
    }

    fn open_push_pull(&self, to: usize, out: &mut Outputs<Self>) {
        let message = Message::PushPull { states: self.members.entries(self.incarnation), reply: false };
        out.push(Output::Stream { to, len: message.len(), message, opens: true });
    }

    fn merge(&mut self, now: Duration, states: &[Entry], out: &mut Outputs<Self>) {
        for Entry { node, incarnation, state } in states.iter().copied() {
            match state {
                State::Alive => self.handle_alive(now, incarnation, node, out),
                // What another one takes for dead is suspected first.
                State::Dead | State::Suspect => self.handle_suspect(now, incarnation, node, self.me, out),
            }
        }
    }

    fn handle_rumour(&mut self, now: Duration, rumour: Rumour, out: &mut Outputs<Self>) {
        match rumour {
            Rumour::Alive { incarnation, node } => self.handle_alive(now, incarnation, node, out),
            Rumour::Suspect { incarnation, node, from } => self.handle_suspect(now, incarnation, node, from, out),
            Rumour::Dead { incarnation, node, .. } => self.handle_dead(now, rumour, incarnation, node, out),
        }
    }

    fn handle_alive(&mut self, now: Duration, incarnation: u32, node: usize, out: &mut Outputs<Self>) {
        if node == self.me {
            if incarnation > self.incarnation {
                self.refute(incarnation);
            }
            return;
        }
        match self.members.get(node) {
            Some(known) if incarnation <= known.incarnation => return,
            Some(_) => {}
            None => self.members.add(node, &mut self.draws),
        }
        self.suspicions.remove(&node);
        self.broadcast(Rumour::Alive { incarnation, node });
        let was = self.members.set(node, State::Alive, incarnation, now);
        if was == State::Dead {
            out.push(Output::Changed { about: node, up: true });
        }
    }

    fn handle_suspect(&mut self, now: Duration, incarnation: u32, node: usize, from: usize, out: &mut Outputs<Self>) {
        let rumour = Rumour::Suspect { incarnation, node, from };
        if node == self.me {
            if incarnation >= self.incarnation {
                self.refute(incarnation);
            }
            return;
        }
        let Some(known) = self.members.get(node).filter(|known| incarnation >= known.incarnation) else { return };
        let known = known.state;
        if let Some(suspicion) = self.suspicions.get_mut(&node) {
            if let Some(left) = suspicion.confirm(now, from) {
                self.generation += 1;
                suspicion.generation = self.generation;
                out.push(Output::Timer { after: left, timer: Timer::Suspicion { node, generation: self.generation } });
                self.broadcast(rumour);
            }
            return;
        }
        if known != State::Alive {
            return;
        }
        self.broadcast(rumour);
        self.members.set(node, State::Suspect, incarnation, now);
        self.generation += 1;
        let (suspicion, after) = Suspicion::new(now, from, self.members.len(), self.generation);
        self.suspicions.insert(node, suspicion);
        out.push(Output::Timer { after, timer: Timer::Suspicion { node, generation: self.generation } });
    }

    fn handle_dead(&mut self, now: Duration, rumour: Rumour, incarnation: u32, node: usize, out: &mut Outputs<Self>) {
        if node == self.me {
            if incarnation >= self.incarnation {
                self.refute(incarnation);
            }
            return;
        }
        let Some(known) = self.members.get(node).filter(|known| incarnation >= known.incarnation) else { return };
        let known = known.state;
        self.suspicions.remove(&node);
        if known == State::Dead {
            return;
        }
        self.broadcast(rumour);
        self.members.set(node, State::Dead, incarnation, now);
        out.push(Output::Changed { about: node, up: false });
    }

    /// Says that it lives, with an incarnation above the one that was accused; and has reason to doubt itself.
    fn refute(&mut self, accused: u32) {
        self.incarnation = self.incarnation.max(accused) + 1;
        self.awareness.apply(1);
        self.broadcast(Rumour::Alive { incarnation: self.incarnation, node: self.me });
    }

    fn suspicion_ends(&mut self, now: Duration, node: usize, generation: u64, out: &mut Outputs<Self>) {
        if self.suspicions.get(&node).is_none_or(|suspicion| suspicion.generation != generation) {
            return;
        }
        let Some(incarnation) = self.members.get(node).map(|known| known.incarnation) else { return };
        let rumour = Rumour::Dead { incarnation, node, from: self.me };
        self.handle_dead(now, rumour, incarnation, node, out);
    }
}

/// Sends messages in one packet; `more` is what the packet carries beside them.
fn send_raw(to: usize, all: Vec<Message>, more: usize, out: &mut Outputs<Memberlist>) {
    let len = compound_len(&all) + more;
    let message = if all.len() == 1 { all.into_iter().next() } else { Some(Message::Compound(all)) };
    out.extend(message.map(|message| Output::Packet { to, message, len }));
}

impl Machine for Memberlist {
    type Message = Message;
    type Timer = Timer;

    fn begin(&mut self, now: Duration, known: usize, out: &mut Outputs<Self>) {
        for node in (0..known).filter(|node| *node != self.me) {
            self.members.add(node, &mut self.draws);
            self.members.set(node, State::Alive, 1, now);
        }
        if known == 0 {
            self.broadcast(Rumour::Alive { incarnation: self.incarnation, node: self.me });
        }
        let stagger = PUSH_PULL_INTERVAL.mul_f64(self.draws.fraction());
        let scaled = rules::push_pull_scale(PUSH_PULL_INTERVAL, self.members.len());
        out.extend([
            Output::Timer { after: PROBE_INTERVAL, timer: Timer::Probe },
            Output::Timer { after: GOSSIP_INTERVAL, timer: Timer::Gossip },
            Output::Timer { after: stagger + scaled, timer: Timer::PushPull },
        ]);
    }

    fn join(&mut self, _now: Duration, seed: usize, out: &mut Outputs<Self>) {
        self.open_push_pull(seed, out);
    }

    fn handle_message(&mut self, now: Duration, from: usize, message: Message, out: &mut Outputs<Self>) {
        match message {
            Message::Compound(all) => {
                for message in all {
                    self.handle_message(now, from, message, out);
                }
            }
            Message::Rumour(rumour) => self.handle_rumour(now, rumour, out),
            Message::Ping { seq } => self.send(from, Message::Ack { seq }, out),
            Message::IndirectPing { seq, target } => self.relay(from, seq, target, out),
            Message::Ack { seq } => self.handle_ack(now, seq, out),
            Message::Nack { seq } => self.handle_nack(seq),
            Message::StreamPing { seq } => {
                let message = Message::StreamAck { seq };
                out.push(Output::Stream { to: from, len: message.len(), message, opens: false });
            }
            Message::StreamAck { seq } => self.handle_stream_ack(seq),
            Message::PushPull { states, reply } => {
                if !reply {
                    let message = Message::PushPull { states: self.members.entries(self.incarnation), reply: true };
                    out.push(Output::Stream { to: from, len: message.len(), message, opens: false });
                }
                self.merge(now, &states, out);
            }
        }
    }

    fn handle_timer(&mut self, now: Duration, timer: Timer, out: &mut Outputs<Self>) {
        match timer {
            Timer::Probe => {
                out.push(Output::Timer { after: PROBE_INTERVAL, timer });
                self.probe_turn(now, out);
            }
            Timer::Gossip => {
                out.push(Output::Timer { after: GOSSIP_INTERVAL, timer });
                self.gossip(now, out);
            }
            Timer::PushPull => {
                let after = rules::push_pull_scale(PUSH_PULL_INTERVAL, self.members.len());
                out.push(Output::Timer { after, timer });
                self.push_pull(out);
            }
            Timer::ProbeTimeout { seq } => self.probe_overdue(seq, out),
            Timer::ProbeDeadline { seq } => self.probe_deadline(now, seq, out),
            Timer::Relay { seq } => self.relay_overdue(seq, out),
            Timer::Suspicion { node, generation } => self.suspicion_ends(now, node, generation, out),
        }
    }

    /// Whoever sends in Go waits until it can: the probe, the gossip and the exchange of state stand still, each at what it was sending.
    fn handle_blocked(&mut self, now: Duration, blocked: bool, out: &mut Outputs<Self>) {
        self.blocked = blocked;
        if !blocked {
            self.gossip_stuck = false;
            self.push_pull_stuck = false;
            self.probe_unblocked(now, out);
        }
    }
}

#[cfg(test)]
mod tests;
