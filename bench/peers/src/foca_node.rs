//! foca as a machine of the world of peers.

use std::time::Duration;

use cluster_types::Seed;
use foca::{
    AccumulatingRuntime, Config, Foca, Identity, Member, NoCustomBroadcast, OwnedNotification, PostcardCodec, Timer,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::world::{Machine, Output, Outputs};

/// A node and how often it came back: foca wants a new identity after it was declared down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Id {
    node: u32,
    generation: u32,
}

impl Id {
    const fn new(node: usize) -> Self {
        Self { node: node as u32, generation: 0 }
    }
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

pub(crate) struct FocaNode {
    me: usize,
    foca: Foca<Id, PostcardCodec, StdRng, NoCustomBroadcast>,
}

impl FocaNode {
    /// Of a cluster of this size, which foca's settings depend on.
    pub(crate) fn new(me: usize, nodes: usize, seed: Seed) -> Self {
        let size = u32::try_from(nodes).ok().and_then(std::num::NonZeroU32::new).expect("a few nodes");
        let draws = StdRng::seed_from_u64(seed.get());
        Self { me, foca: Foca::new(Id::new(me), Config::new_lan(size), draws, PostcardCodec) }
    }
}

fn drain(mut runtime: AccumulatingRuntime<Id>, out: &mut Outputs<FocaNode>) {
    while let Some((to, data)) = runtime.to_send() {
        out.push(Output::Packet { to: to.node as usize, len: data.len(), message: data.to_vec() });
    }
    while let Some((after, timer)) = runtime.to_schedule() {
        out.push(Output::Timer { after, timer });
    }
    while let Some(notification) = runtime.to_notify() {
        let (id, up) = match notification {
            OwnedNotification::MemberUp(id) => (id, true),
            OwnedNotification::MemberDown(id) => (id, false),
            _ => continue,
        };
        out.push(Output::Changed { about: id.node as usize, up });
    }
}

impl Machine for FocaNode {
    type Message = Vec<u8>;
    type Timer = Timer<Id>;

    fn begin(&mut self, _now: Duration, known: usize, out: &mut Outputs<Self>) {
        let mut runtime = AccumulatingRuntime::new();
        let others = (0..known).filter(|other| *other != self.me).map(|other| Member::alive(Id::new(other)));
        self.foca.apply_many(others, false, &mut runtime).expect("members are taken in");
        drain(runtime, out);
    }

    fn join(&mut self, _now: Duration, seed: usize, out: &mut Outputs<Self>) {
        let mut runtime = AccumulatingRuntime::new();
        self.foca.announce(Id::new(seed), &mut runtime).expect("the seed is told");
        drain(runtime, out);
    }

    fn handle_message(&mut self, _now: Duration, _from: usize, message: Vec<u8>, out: &mut Outputs<Self>) {
        let mut runtime = AccumulatingRuntime::new();
        // What it makes of bad or late input is its own affair.
        let _ = self.foca.handle_data(&message, &mut runtime);
        drain(runtime, out);
    }

    fn handle_timer(&mut self, _now: Duration, timer: Timer<Id>, out: &mut Outputs<Self>) {
        let mut runtime = AccumulatingRuntime::new();
        let _ = self.foca.handle_timer(timer, &mut runtime);
        drain(runtime, out);
    }
}
