//! Our engine, as the testkit's world drives it.

use std::time::Duration;

use cluster_gossip::SwimConfig;
use cluster_testkit::net::{Latency, LinkModel};
use cluster_testkit::scenario::PathFault;
use cluster_testkit::world::Reported;
use cluster_testkit::{EngineWorld, WorldConfig};
use cluster_types::{EventKind, NodeId};

use crate::contender::{Change, Contender, Links, Sent, Setting};

pub(crate) struct Ours {
    world: EngineWorld,
    nodes: usize,
    links: Links,
    /// How much of the trace has been told.
    told: usize,
}

fn model(links: Links, loss: f64) -> LinkModel {
    LinkModel::lan().with_latency(Latency::Uniform(links.low, links.high)).with_loss(loss)
}

impl Ours {
    pub(crate) fn new(setting: Setting, swim: SwimConfig) -> Self {
        let Setting { nodes, links, seed, joined } = setting;
        let mut world = EngineWorld::new(WorldConfig { swim, links: model(links, links.loss) }, seed);
        if joined {
            world.start_joined(nodes);
        } else {
            world.start(0, &[]);
        }
        Self { world, nodes, links, told: 0 }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.nodes).collect()
    }
}

fn number(node: &NodeId) -> usize {
    node.as_str()[1..].parse().expect("n and a number")
}

fn change(reported: &Reported) -> Option<Change> {
    let (member, up) = match &reported.kind {
        EventKind::Joined(member) | EventKind::Alive(member) => (member, true),
        EventKind::Failed(member, _) | EventKind::Left(member) | EventKind::Reaped(member) => (member, false),
        _ => return None,
    };
    Some(Change { at: reported.at.since_origin(), by: reported.by, about: number(member.node()), up })
}

impl Contender for Ours {
    fn join(&mut self, i: usize) {
        self.world.start(i, &[0]);
    }

    fn hold_io(&mut self, i: usize) {
        self.world.hold_io(i);
    }

    fn release_io(&mut self, i: usize) {
        self.world.release_io(i);
    }

    fn crash(&mut self, i: usize) {
        self.world.crash(i);
    }

    fn deafen(&mut self, nodes: &[usize]) {
        self.world.fault(0, &self.all(), nodes, &PathFault::Cut);
    }

    fn mumble(&mut self, nodes: &[usize], loss: f64) {
        self.world.fault(1, nodes, &self.all(), &PathFault::Like(model(self.links, loss)));
    }

    fn mend(&mut self) {
        self.world.heal();
    }

    fn run_for(&mut self, span: Duration) {
        self.world.run_for(span);
    }

    fn now(&self) -> Duration {
        self.world.now().since_origin()
    }

    fn take_changes(&mut self) -> Vec<Change> {
        let trace = self.world.trace();
        let fresh = trace[self.told..].iter().filter_map(change).collect();
        self.told = trace.len();
        fresh
    }

    fn sent(&self) -> Sent {
        let wire = self.world.sent().wire;
        Sent { wire, as_quic: wire }
    }
}
