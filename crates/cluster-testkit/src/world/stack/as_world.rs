//! The stack world as a place where scenarios are played.

use std::time::Duration;

use cluster_types::{Instant, Life, State};

use super::StackWorld;
use crate::scenario::Act;
use crate::world::{Reported, View, World, metadata};

impl World for StackWorld {
    fn act(&mut self, act: &Act) -> bool {
        match act {
            Act::Start { node, seeds } => self.start(*node, seeds),
            Act::StartAt { node, place, seeds } => self.start_in_place_of(*node, *place, seeds),
            Act::Disk { node, slow_by_ms, full } => self.set_disk(*node, Duration::from_millis(*slow_by_ms), *full),
            Act::Crash(node) => self.crash(*node),
            Act::Leave(node) => self.leave(*node),
            Act::Pause(node) => self.pause(*node),
            Act::HalfStop(node) => self.half_stop(*node),
            Act::Resume(node) => self.resume(*node),
            Act::DiskFault { node, fault } => self.set_disk_fault(*node, *fault),
            Act::Echo(node) => self.echo(*node),
            Act::Rotate { node, valid_s } => self.rotate(*node, *valid_s),
            Act::Rebind(node) => self.rebind(*node),
            Act::Names(fault) => self.set_name_fault(fault.clone()),
            Act::Drift { node, ppm } => self.drift(*node, *ppm),
            Act::BlockApplication(node) => self.block_application(*node),
            Act::Wipe(node) => self.wipe(*node),
            Act::Cut { from, to } => self.cut_one_way(from, to),
            Act::Split(left, right) => self.partition(left, right),
            Act::Heal => self.heal(),
            Act::Links(model) => self.set_link(model.clone()),
            Act::StepWallClock { node, by_ms } => self.step_wall_clock(*node, *by_ms),
            Act::CloseLinks { node, to } => self.close_links(*node, *to),
            Act::Fault { id, from, to, fault } => self.fault(*id, from, to, fault),
            Act::Mend(id) => self.mend(*id),
            Act::Metadata { node, zone, version } => self.set_metadata(*node, metadata(zone, *version)),
            Act::Broadcast { node, bytes } => self.broadcast(*node, vec![7; *bytes]),
            Act::Transfer { from, to, bytes } => self.transfer(*from, *to, *bytes),
            Act::Burst { from, to, messages } => self.burst(*from, *to, *messages),
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

    fn view(&self, i: usize, j: usize) -> Option<View> {
        let member = self.member(i, j).filter(|_| self.is_running(i))?;
        Some(View::of(&member))
    }

    fn lives(&self, node: usize) -> Vec<Life> {
        Self::lives(self, node).to_vec()
    }

    fn subscribers_disagree(&self) -> Vec<String> {
        Self::subscribers_disagree(self)
    }

    fn numbers_disagree(&self) -> Vec<String> {
        Self::numbers_disagree(self)
    }

    fn damaged_files_lost(&self) -> Vec<String> {
        let lost =
            self.hosts.iter().enumerate().flat_map(|(i, host)| host.disk.lost().into_iter().map(move |path| (i, path)));
        lost.map(|(i, path)| format!("node {i} wrote over {}, of which a part was lost", path.display())).collect()
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
