//! The engine world as a place where scenarios are played.

use std::time::Duration;

use cluster_types::{Instant, Life, State};

use super::EngineWorld;
use crate::scenario::Act;
use crate::world::{Reported, View, World, metadata};

impl World for EngineWorld {
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
            Act::Links(model) => self.set_links(model.clone()),
            Act::Fault { id, from, to, fault } => self.fault(*id, from, to, fault),
            Act::Mend(id) => self.mend(*id),
            Act::Metadata { node, zone, version } => self.set_metadata(*node, metadata(zone, *version)),
            // One that is leaving takes none.
            Act::Broadcast { node, bytes } => drop(self.try_broadcast(*node, &vec![7; *bytes])),
            // The engine has no disk, and draws a new life anyway.
            Act::Wipe(_) | Act::Disk { .. } | Act::DiskFault { .. } => {}
            // It has no transport beside the loop.
            Act::HalfStop(node) => self.pause(*node),
            Act::BlockApplication(_)
            | Act::StepWallClock { .. }
            | Act::Drift { .. }
            | Act::Echo(_)
            | Act::Rotate { .. }
            | Act::Rebind(_)
            | Act::Names(_)
            | Act::CloseLinks { .. }
            | Act::Transfer { .. }
            | Act::Burst { .. }
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

    fn view(&self, i: usize, j: usize) -> Option<View> {
        let member = self.member(i, j).filter(|_| self.is_running(i))?;
        Some(View::of(&member))
    }

    fn lives(&self, node: usize) -> Vec<Life> {
        self.lives[node].clone()
    }

    fn subscribers_disagree(&self) -> Vec<String> {
        (0..self.nodes.len()).filter(|&i| self.is_running(i)).flat_map(|i| self.registry_differs(i)).collect()
    }

    fn numbers_disagree(&self) -> Vec<String> {
        (0..self.nodes.len()).filter(|&i| self.is_running(i)).flat_map(|i| self.numbers_differ(i)).collect()
    }

    fn bytes_sent(&self) -> u64 {
        self.sent().wire
    }

    fn payload_since(&self, s: u64) -> Option<u64> {
        let from = usize::try_from(s).unwrap_or(usize::MAX);
        Some(self.payload_by_second.iter().skip(from).sum())
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
        trace.note_text(self.now().since_origin(), &format!("{:?}", self.sent()));
        (trace.hash(), trace.events())
    }
}
