//! What every protocol is put through.

use std::collections::BTreeSet;
use std::time::Duration;

/// One declaration of failure: when, at which node, about which.
pub struct Declared {
    pub at: Duration,
    pub by: usize,
    pub about: usize,
}

/// A cluster of nodes 0 to n-1 that know each other, in virtual time.
pub trait Contender {
    fn pause(&mut self, i: usize);
    fn resume(&mut self, i: usize);
    /// Holds up its sends and receipts while its timers go on.
    fn hold_io(&mut self, i: usize);
    fn release_io(&mut self, i: usize);
    fn crash(&mut self, i: usize);
    fn run_for(&mut self, span: Duration);
    fn now(&self) -> Duration;
    fn declared(&self) -> Vec<Declared>;
    /// Bytes on the wire so far, by all: 75 a packet beside its payload; ours with its acknowledgements, UDP has none.
    fn bytes(&self) -> u64;
}

/// Healthy nodes declared failed.
#[derive(Default)]
pub struct Wrongs {
    /// By healthy nodes.
    pub at_healthy: usize,
    /// By anybody.
    pub total: usize,
}

/// How a node is blocked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Before each send and after each receive, while its timers go on: the Lifeguard paper's anomaly.
    Io,
    /// The whole process, as by a stop signal.
    Process,
}

/// `count` of the nodes are blocked for `span`, run for as long, and again, for two minutes.
pub fn blocked(world: &mut dyn Contender, nodes: usize, count: usize, span: Duration, how: Block) -> Wrongs {
    world.run_for(Duration::from_secs(20));
    // Spread over the cluster.
    let sick: BTreeSet<usize> = (0..count).map(|k| k * nodes / count).collect();
    let until = world.now() + Duration::from_secs(120);
    while world.now() < until {
        sick.iter().for_each(|&i| if how == Block::Io { world.hold_io(i) } else { world.pause(i) });
        world.run_for(span);
        sick.iter().for_each(|&i| if how == Block::Io { world.release_io(i) } else { world.resume(i) });
        world.run_for(span);
    }
    world.run_for(Duration::from_secs(20));
    let declared = world.declared();
    let wrong = declared.iter().filter(|d| !sick.contains(&d.about));
    let at_healthy = wrong.clone().filter(|d| !sick.contains(&d.by)).count();
    Wrongs { at_healthy, total: wrong.count() }
}

pub struct Found {
    pub bytes: f64,
    pub first: Option<Duration>,
    pub last: Option<Duration>,
    pub wrong: usize,
}

/// Five minutes of rest, then one crash.
pub fn crash(world: &mut dyn Contender, nodes: usize) -> Found {
    world.run_for(Duration::from_secs(20));
    let before = world.bytes();
    world.run_for(Duration::from_secs(300));
    let bytes = (world.bytes() - before) as f64 / (300.0 * nodes as f64);
    world.run_for(Duration::from_millis(370));
    let since = world.now();
    let victim = nodes / 2;
    world.crash(victim);
    world.run_for(Duration::from_secs(60));
    let declared = world.declared();
    let times: Vec<Duration> =
        declared.iter().filter(|d| d.about == victim && d.at >= since).map(|d| d.at - since).collect();
    let told: BTreeSet<usize> = declared.iter().filter(|d| d.about == victim && d.at >= since).map(|d| d.by).collect();
    let all = told.len() == nodes - 1;
    Found {
        bytes,
        first: times.iter().min().copied(),
        last: times.iter().max().copied().filter(|_| all),
        wrong: declared.iter().filter(|d| d.about != victim).count(),
    }
}
