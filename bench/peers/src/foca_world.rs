//! foca on an event heap of the same kind: the same latencies and losses, paused and crashed in the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::Seed;
use foca::{
    AccumulatingRuntime, Config, Foca, Identity, Member, NoCustomBroadcast, OwnedNotification, PostcardCodec, Timer,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::contender::{Contender, Declared};

/// A node and how often it came back: foca wants a new identity after it was declared down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    node: u32,
    generation: u32,
}

impl Identity for Id {
    type Addr = u32;

    fn renew(&self) -> Option<Self> {
        Some(Self { node: self.node, generation: self.generation + 1 })
    }

    fn addr(&self) -> u32 {
        self.node
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        self.generation > other.generation
    }
}

enum Happening {
    Data(Vec<u8>),
    Timer(Timer<Id>),
}

struct Node {
    foca: Foca<Id, PostcardCodec, StdRng, NoCustomBroadcast>,
    running: bool,
    paused: bool,
    held: bool,
    unsent: Vec<(Id, Vec<u8>)>,
    data: Vec<Happening>,
    timers: Vec<Happening>,
}

pub struct FocaWorld {
    now: Duration,
    nodes: Vec<Node>,
    heap: BTreeMap<(Duration, u64), (usize, Happening)>,
    next: u64,
    seed: Seed,
    drawn: u64,
    loss: f64,
    bytes: u64,
    declared: Vec<Declared>,
}

impl FocaWorld {
    pub fn new(count: usize, loss: f64, seed: u64) -> Self {
        let size = u32::try_from(count).ok().and_then(std::num::NonZeroU32::new).expect("a few nodes");
        let id = |i: usize| Id { node: i as u32, generation: 0 };
        let node = |i: usize| Node {
            foca: Foca::new(
                id(i),
                Config::new_lan(size),
                StdRng::seed_from_u64(seed * 1_000 + i as u64),
                PostcardCodec,
            ),
            running: true,
            paused: false,
            held: false,
            unsent: Vec::new(),
            data: Vec::new(),
            timers: Vec::new(),
        };
        let mut world = Self {
            now: Duration::ZERO,
            nodes: (0..count).map(node).collect(),
            heap: BTreeMap::new(),
            next: 0,
            seed: Seed::new(seed),
            drawn: 0,
            loss,
            bytes: 0,
            declared: Vec::new(),
        };
        for i in 0..count {
            let mut runtime = AccumulatingRuntime::new();
            let others = (0..count).filter(|j| *j != i).map(|j| Member::alive(id(j)));
            world.nodes[i].foca.apply_many(others, false, &mut runtime).expect("members are taken in");
            // Not all in the same millisecond.
            world.now = Duration::from_secs(1).mul_f64(world.fraction());
            world.drain(i, runtime);
        }
        world.now = Duration::ZERO;
        world
    }

    fn fraction(&mut self) -> f64 {
        self.drawn += 1;
        self.seed.fraction(self.drawn)
    }

    fn push(&mut self, after: Duration, to: usize, happening: Happening) {
        self.heap.insert((self.now + after, self.next), (to, happening));
        self.next += 1;
    }

    fn drain(&mut self, by: usize, mut runtime: AccumulatingRuntime<Id>) {
        while let Some((to, data)) = runtime.to_send() {
            if self.nodes[by].held {
                self.nodes[by].unsent.push((to, data.to_vec()));
            } else {
                self.send(&to, data.to_vec());
            }
        }
        while let Some((after, timer)) = runtime.to_schedule() {
            self.push(after, by, Happening::Timer(timer));
        }
        while let Some(notification) = runtime.to_notify() {
            if let OwnedNotification::MemberDown(id) = notification {
                self.declared.push(Declared { at: self.now, by, about: id.node as usize });
            }
        }
    }

    fn send(&mut self, to: &Id, data: Vec<u8>) {
        self.bytes += 75 + data.len() as u64;
        let delay = Duration::from_millis(1) + Duration::from_millis(1).mul_f64(self.fraction());
        if self.fraction() >= self.loss {
            self.push(delay, to.node as usize, Happening::Data(data));
        }
    }

    fn happen(&mut self, at: usize, happening: Happening) {
        let node = &mut self.nodes[at];
        if !node.running {
            return;
        }
        if node.paused {
            match happening {
                data @ Happening::Data(_) => node.data.push(data),
                timer => node.timers.push(timer),
            }
            return;
        }
        if node.held && matches!(happening, Happening::Data(_)) {
            return node.data.push(happening);
        }
        let mut runtime = AccumulatingRuntime::new();
        // What it makes of bad or late input is its own affair.
        let _ = match happening {
            Happening::Data(data) => node.foca.handle_data(&data, &mut runtime),
            Happening::Timer(timer) => node.foca.handle_timer(timer, &mut runtime),
        };
        self.drain(at, runtime);
    }
}

impl Contender for FocaWorld {
    fn pause(&mut self, i: usize) {
        self.nodes[i].paused = true;
    }

    /// Sockets first, then the timers that are late: the kinder order.
    fn resume(&mut self, i: usize) {
        self.nodes[i].paused = false;
        let data = std::mem::take(&mut self.nodes[i].data);
        let timers = std::mem::take(&mut self.nodes[i].timers);
        data.into_iter().chain(timers).for_each(|happening| self.happen(i, happening));
    }

    fn hold_io(&mut self, i: usize) {
        self.nodes[i].held = true;
    }

    fn release_io(&mut self, i: usize) {
        self.nodes[i].held = false;
        for (to, data) in std::mem::take(&mut self.nodes[i].unsent) {
            self.send(&to, data);
        }
        let data = std::mem::take(&mut self.nodes[i].data);
        data.into_iter().for_each(|happening| self.happen(i, happening));
    }

    fn crash(&mut self, i: usize) {
        self.nodes[i].running = false;
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

    fn declared(&self) -> Vec<Declared> {
        self.declared.iter().map(|d| Declared { at: d.at, by: d.by, about: d.about }).collect()
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
