//! Where a scenario is played: a world that can be acted on, whatever its fidelity.

use std::time::Duration;

use cluster_types::{Instant, State};

use super::Act;
use crate::engine_world::{EngineWorld, Reported};
use crate::net::LinkModel;
use crate::stack_world::StackWorld;

/// A world with nodes, numbered from 0.
pub trait Stage {
    /// Does something to it; `false` when this world cannot.
    fn act(&mut self, act: &Act) -> bool;
    /// Lets virtual time pass.
    fn run_for(&mut self, span: Duration);
    /// Virtual time now.
    fn now(&self) -> Instant;
    /// Everything reported so far, in order.
    fn reports(&self) -> Vec<Reported>;
    /// What node `i` holds node `j` to be; `None` where it knows nothing, or does not run.
    fn state(&self, i: usize, j: usize) -> Option<State>;
    /// Bytes on the wire sent by all so far.
    fn bytes_sent(&self) -> u64;
    /// What is wrong with a world that has come to rest, beside what the nodes report, in words.
    fn loose_ends(&self) -> Vec<String>;
    /// How the links of the users are, in words, for a report.
    fn peer_reports(&self) -> Vec<String> {
        Vec::new()
    }
    /// Ends every process in order; says what is left that should not be, in words.
    fn finish(&mut self) -> Vec<String>;
    /// A hash of everything that has happened, and how many events it is over.
    fn trace_hash(&self) -> (u128, u64);
}

impl Stage for EngineWorld {
    fn act(&mut self, act: &Act) -> bool {
        match act {
            Act::Start { node, seeds } => self.start(*node, seeds),
            Act::StartAt { node, place, seeds } => self.start_in_place_of(*node, *place, seeds),
            Act::Crash(node) => self.crash(*node),
            Act::Leave(node) => self.leave(*node),
            Act::Pause(node) => self.pause(*node),
            Act::Resume(node) => self.resume(*node),
            Act::Cut { from, to } => self.cut_one_way(from, to),
            Act::Split(left, right) => self.partition(left, right),
            Act::Heal => self.heal(),
            Act::Links(LinkModel { loss, .. }) => self.set_loss(*loss),
            // The engine has no disk, and draws a new life anyway.
            Act::Wipe(_) | Act::Disk { .. } => {}
            Act::BlockApplication(_)
            | Act::StepWallClock { .. }
            | Act::CloseLinks { .. }
            | Act::Transfer { .. }
            | Act::PingPong { .. } => {
                return false;
            }
        }
        true
    }

    fn run_for(&mut self, span: Duration) {
        Self::run_for(self, span);
    }

    fn now(&self) -> Instant {
        Self::now(self)
    }

    fn reports(&self) -> Vec<Reported> {
        self.trace().to_vec()
    }

    fn state(&self, i: usize, j: usize) -> Option<State> {
        if self.is_running(i) { Self::state(self, i, j) } else { None }
    }

    fn bytes_sent(&self) -> u64 {
        self.sent().wire
    }

    fn loose_ends(&self) -> Vec<String> {
        Vec::new()
    }

    fn finish(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn trace_hash(&self) -> (u128, u64) {
        let trace = crate::Trace::default();
        for Reported { at, by, kind } in self.trace() {
            trace.note_report(at.since_origin(), *by, kind);
        }
        trace.note_text(self.now().since_origin(), &format!("{} happenings, {:?}", self.happenings(), self.sent()));
        (trace.hash(), trace.events())
    }
}

impl Stage for StackWorld {
    fn act(&mut self, act: &Act) -> bool {
        match act {
            Act::Start { node, seeds } => self.start(*node, seeds),
            Act::StartAt { node, place, seeds } => self.start_in_place_of(*node, *place, seeds),
            Act::Disk { node, slow_by_ms, full } => self.set_disk(*node, Duration::from_millis(*slow_by_ms), *full),
            Act::Crash(node) => self.crash(*node),
            Act::Leave(node) => self.leave(*node),
            Act::Pause(node) => self.pause(*node),
            Act::Resume(node) => self.resume(*node),
            Act::BlockApplication(node) => self.block_application(*node),
            Act::Wipe(node) => self.wipe(*node),
            Act::Cut { from, to } => self.cut_one_way(from, to),
            Act::Split(left, right) => self.partition(left, right),
            Act::Heal => self.heal(),
            Act::Links(model) => self.set_link(model.clone()),
            Act::StepWallClock { node, by_ms } => self.step_wall_clock(*node, *by_ms),
            Act::CloseLinks { node, to } => self.close_links(*node, *to),
            Act::Transfer { from, to, bytes } => self.transfer(*from, *to, *bytes),
            Act::PingPong { from, to, rounds } => self.ping_pong(*from, *to, *rounds),
        }
        true
    }

    fn run_for(&mut self, span: Duration) {
        Self::run_for(self, span);
    }

    fn now(&self) -> Instant {
        Self::now(self)
    }

    fn reports(&self) -> Vec<Reported> {
        Self::reports(self)
    }

    fn state(&self, i: usize, j: usize) -> Option<State> {
        if self.is_running(i) { Self::state(self, i, j) } else { None }
    }

    fn bytes_sent(&self) -> u64 {
        self.packets().sent_bytes
    }

    fn loose_ends(&self) -> Vec<String> {
        Self::loose_ends(self)
    }

    fn peer_reports(&self) -> Vec<String> {
        Self::peer_reports(self)
    }

    fn finish(&mut self) -> Vec<String> {
        self.stop_all()
    }

    fn trace_hash(&self) -> (u128, u64) {
        (self.trace().hash(), self.trace().events())
    }
}
