//! Our engine, as the testkit's world drives it.

use std::time::Duration;

use cluster_gossip::SwimConfig;
use cluster_testkit::{EngineWorld, WorldConfig};
use cluster_types::EventKind;

use crate::contender::{Contender, Declared};

pub struct Ours(EngineWorld);

impl Ours {
    pub fn new(nodes: usize, loss: f64, seed: u64, swim: SwimConfig) -> Self {
        let mut world = EngineWorld::new(WorldConfig { swim, ..WorldConfig::default() }.with_loss(loss), seed);
        world.start_joined(nodes);
        Self(world)
    }
}

impl Contender for Ours {
    fn pause(&mut self, i: usize) {
        self.0.pause(i);
    }

    fn resume(&mut self, i: usize) {
        self.0.resume(i);
    }

    fn hold_io(&mut self, i: usize) {
        self.0.hold_io(i);
    }

    fn release_io(&mut self, i: usize) {
        self.0.release_io(i);
    }

    fn crash(&mut self, i: usize) {
        self.0.crash(i);
    }

    fn run_for(&mut self, span: Duration) {
        self.0.run_for(span);
    }

    fn now(&self) -> Duration {
        self.0.now().since_origin()
    }

    fn declared(&self) -> Vec<Declared> {
        let failed = self.0.trace().iter().filter_map(|reported| match &reported.kind {
            EventKind::Failed(member, _) => Some(Declared {
                at: reported.at.since_origin(),
                by: reported.by,
                about: member.node().as_str()[1..].parse().expect("n and a number"),
            }),
            _ => None,
        });
        failed.collect()
    }

    fn bytes(&self) -> u64 {
        self.0.sent().wire
    }
}
