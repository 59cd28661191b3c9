//! Other people's protocols on an event heap of the same kind as our engine world: the same latencies and losses, stopped, held up
//! and crashed in the same way. A protocol is a machine without a clock and without sockets.

mod paths;

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::Seed;

use crate::contender::{Change, Contender, Sent, Setting};
use paths::Paths;

/// A protocol's node. Time is since the beginning of the world.
pub(crate) trait Machine: Sized {
    type Message;
    type Timer;

    /// It runs from now on, knowing nodes 0 to `known` - 1 or, where that is 0, only itself.
    fn begin(&mut self, now: Duration, known: usize, out: &mut Outputs<Self>);
    /// Joins through that node.
    fn join(&mut self, now: Duration, seed: usize, out: &mut Outputs<Self>);
    fn handle_message(&mut self, now: Duration, from: usize, message: Self::Message, out: &mut Outputs<Self>);
    fn handle_timer(&mut self, now: Duration, timer: Self::Timer, out: &mut Outputs<Self>);
    /// Whether a call that sends would block.
    fn handle_blocked(&mut self, _now: Duration, _blocked: bool, _out: &mut Outputs<Self>) {}
}

/// What a machine wants, in order.
pub(crate) type Outputs<M> = Vec<Output<M>>;

pub(crate) enum Output<M: Machine> {
    /// A datagram of so many bytes of payload.
    Packet { to: usize, message: M::Message, len: usize },
    /// On a reliable stream, which is opened for it, or is the one on which the other one has just asked.
    Stream { to: usize, message: M::Message, len: usize, opens: bool },
    /// To be woken.
    Timer { after: Duration, timer: M::Timer },
    /// It holds that node to be alive, or failed.
    Changed { about: usize, up: bool },
}

enum Happening<M: Machine> {
    Message { from: usize, message: M::Message },
    Timer(M::Timer),
}

struct Node<M: Machine> {
    machine: M,
    running: bool,
    held: bool,
    /// What it wanted to send while it was held.
    unsent: Vec<Output<M>>,
    /// What arrived while it was held.
    arrived: Vec<Happening<M>>,
}

pub(crate) struct World<M: Machine> {
    now: Duration,
    nodes: Vec<Node<M>>,
    heap: BTreeMap<(Duration, u64), (usize, Happening<M>)>,
    next: u64,
    paths: Paths,
    sent: Sent,
    changes: Vec<Change>,
}

impl<M: Machine> World<M> {
    pub(crate) fn new(setting: Setting, machine: impl Fn(usize, Seed) -> M) -> Self {
        let Setting { nodes, links, seed, joined } = setting;
        let seed = Seed::new(seed);
        let node = |i: usize| Node {
            machine: machine(i, seed.derive("machine", i as u64)),
            running: joined || i == 0,
            held: false,
            unsent: Vec::new(),
            arrived: Vec::new(),
        };
        let mut world = Self {
            now: Duration::ZERO,
            nodes: (0..nodes).map(node).collect(),
            heap: BTreeMap::new(),
            next: 0,
            paths: Paths::new(links, seed.derive("paths", 0)),
            sent: Sent::default(),
            changes: Vec::new(),
        };
        let starts = seed.derive("starts", 0);
        for i in 0..if joined { nodes } else { 1 } {
            // Not all in the same millisecond.
            world.now = Duration::from_secs(1).mul_f64(starts.fraction(i as u64));
            world.turn(i, |machine, now, out| machine.begin(now, if joined { nodes } else { 0 }, out));
        }
        world.now = Duration::ZERO;
        // They have known each other for long.
        world.changes.clear();
        world
    }

    /// The machine of node `i`.
    #[cfg(test)]
    pub(crate) fn machine(&self, i: usize) -> &M {
        &self.nodes[i].machine
    }

    fn push(&mut self, at: Duration, to: usize, happening: Happening<M>) {
        self.heap.insert((at, self.next), (to, happening));
        self.next += 1;
    }

    fn turn(&mut self, i: usize, act: impl FnOnce(&mut M, Duration, &mut Outputs<M>)) {
        let mut out = Vec::new();
        act(&mut self.nodes[i].machine, self.now, &mut out);
        for output in out {
            self.carry_out(i, output);
        }
    }

    fn carry_out(&mut self, by: usize, output: Output<M>) {
        match output {
            Output::Packet { .. } | Output::Stream { .. } if self.nodes[by].held => self.nodes[by].unsent.push(output),
            Output::Packet { to, message, len } => {
                self.sent.wire += (paths::UDP + len) as u64;
                self.sent.as_quic += (paths::QUIC + len) as u64;
                if let Some(at) = self.paths.packet(self.now, by, to) {
                    self.push(at, to, Happening::Message { from: by, message });
                }
            }
            Output::Stream { to, message, len, opens } => {
                let bytes = paths::stream_bytes(len, opens);
                self.sent.wire += bytes;
                self.sent.as_quic += bytes;
                if let Some(at) = self.paths.stream(self.now, by, to, opens) {
                    self.push(at, to, Happening::Message { from: by, message });
                }
            }
            Output::Timer { after, timer } => self.push(self.now + after, by, Happening::Timer(timer)),
            Output::Changed { about, up } => self.changes.push(Change { at: self.now, by, about, up }),
        }
    }

    fn happen(&mut self, at: usize, happening: Happening<M>) {
        let node = &mut self.nodes[at];
        if !node.running {
            return;
        }
        match happening {
            message @ Happening::Message { .. } if node.held => node.arrived.push(message),
            Happening::Message { from, message } => {
                self.turn(at, |machine, now, out| machine.handle_message(now, from, message, out));
            }
            Happening::Timer(timer) => self.turn(at, |machine, now, out| machine.handle_timer(now, timer, out)),
        }
    }
}

impl<M: Machine> Contender for World<M> {
    fn join(&mut self, i: usize) {
        self.nodes[i].running = true;
        self.turn(i, |machine, now, out| {
            machine.begin(now, 0, out);
            machine.join(now, 0, out);
        });
    }

    fn hold_io(&mut self, i: usize) {
        self.nodes[i].held = true;
        self.turn(i, |machine, now, out| machine.handle_blocked(now, true, out));
    }

    /// Lets what was held go, the sends first.
    fn release_io(&mut self, i: usize) {
        self.nodes[i].held = false;
        for output in std::mem::take(&mut self.nodes[i].unsent) {
            self.carry_out(i, output);
        }
        self.turn(i, |machine, now, out| machine.handle_blocked(now, false, out));
        let arrived = std::mem::take(&mut self.nodes[i].arrived);
        arrived.into_iter().for_each(|happening| self.happen(i, happening));
    }

    fn crash(&mut self, i: usize) {
        self.nodes[i].running = false;
    }

    fn deafen(&mut self, nodes: &[usize]) {
        self.paths.deafen(nodes);
    }

    fn mumble(&mut self, nodes: &[usize], loss: f64) {
        self.paths.mumble(nodes, loss);
    }

    fn mend(&mut self) {
        self.paths.mend();
    }

    fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(entry) = self.heap.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), (to, happening)) = entry.remove_entry();
            self.now = at;
            self.happen(to, happening);
        }
        self.now = until;
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn sent(&self) -> Sent {
        self.sent
    }
}
