//! Families of faults: what each does, to whom, and how it ends.

use std::time::Duration;

use cluster_types::seed::Draws;

use super::ms;
use crate::net::{Bandwidth, Latency, LinkModel};
use crate::scenario::{Act, DiskFault, NameFault, PathFault};

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Crash,
    Wipe,
    Leave,
    Pause,
    HalfDead,
    Starved,
    Blocked,
    Deaf,
    Mute,
    PairCut,
    Halves,
    MinorityThird,
    Bridge,
    Zone,
    Loss,
    Disorder,
    ThinLink,
    SlowPath,
    NarrowPath,
    Clog,
    ClosedLinks,
    ClockStep,
    Drift,
    Disk,
    DiskFault,
    Echo,
    Rotation,
    Metadata,
    Broadcast,
    Rebound,
    CertificateEnds,
    Names,
}

/// All that are drawn.
pub(super) const ALL: [Family; 32] = [
    Family::Crash,
    Family::Wipe,
    Family::Leave,
    Family::Pause,
    Family::HalfDead,
    Family::Starved,
    Family::Blocked,
    Family::Deaf,
    Family::Mute,
    Family::PairCut,
    Family::Halves,
    Family::MinorityThird,
    Family::Bridge,
    Family::Zone,
    Family::Loss,
    Family::Disorder,
    Family::ThinLink,
    Family::SlowPath,
    Family::NarrowPath,
    Family::Clog,
    Family::ClosedLinks,
    Family::ClockStep,
    Family::Drift,
    Family::Disk,
    Family::DiskFault,
    Family::Echo,
    Family::Rotation,
    Family::Metadata,
    Family::Broadcast,
    Family::Rebound,
    Family::CertificateEnds,
    Family::Names,
];

/// What is done, and when.
type Steps = Vec<(Duration, Act)>;

/// Whom faults can befall: a process that is down or stopped is not stopped again.
#[derive(Debug)]
pub(super) struct Cluster {
    nodes: usize,
    /// When each process is in the hands of another fault.
    busy: Vec<Vec<(Duration, Duration)>>,
    next_fault: u32,
    next_version: u64,
}

impl Cluster {
    pub(super) fn of(nodes: usize) -> Self {
        Self { nodes, busy: vec![Vec::new(); nodes], next_fault: 1, next_version: 1 }
    }

    /// A process for a fault of its own, unless it is in the hands of another.
    fn take(&mut self, draws: &mut Draws, at: Duration, span: Duration) -> Option<usize> {
        let node = draws.below(self.nodes as u64) as usize;
        let free = self.busy[node].iter().all(|(from, to)| at + span < *from || *to < at);
        free.then(|| self.busy[node].push((at, at + span)))?;
        Some(node)
    }

    fn one(&self, draws: &mut Draws) -> usize {
        draws.below(self.nodes as u64) as usize
    }

    fn others(&self, but: &[usize]) -> Vec<usize> {
        (0..self.nodes).filter(|node| !but.contains(node)).collect()
    }

    fn some(&self, draws: &mut Draws, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.nodes).collect();
        draws.shuffle(&mut all);
        all.truncate(count.max(1));
        all.sort_unstable();
        all
    }

    /// Something is wrong with the paths from some to others for a while.
    fn path(&mut self, from: Vec<usize>, to: Vec<usize>, fault: PathFault, at: Duration, span: Duration) -> Steps {
        let id = self.next_fault;
        self.next_fault += 1;
        vec![(at, Act::Fault { id, from, to, fault }), (at + span, Act::Mend(id))]
    }

    fn both_ways(&mut self, left: &[usize], right: &[usize], fault: &PathFault, at: Duration, span: Duration) -> Steps {
        let mut steps = self.path(left.to_vec(), right.to_vec(), fault.clone(), at, span);
        steps.extend(self.path(right.to_vec(), left.to_vec(), fault.clone(), at, span));
        steps
    }

    /// A pair of nodes, for a fault of their path.
    fn pair(&self, draws: &mut Draws) -> (Vec<usize>, Vec<usize>) {
        let one = self.one(draws);
        let other = (one + 1 + draws.below(self.nodes as u64 - 1) as usize) % self.nodes;
        (vec![one], vec![other])
    }
}

impl Family {
    /// How long a fault lasts, given what was drawn: a process that is told to leave has eight seconds to stop.
    pub(super) fn lasts(self, drawn: Duration) -> Duration {
        if self == Self::Leave { drawn + ms(9_000) } else { drawn }
    }

    /// A fault of this family, from its beginning to its end.
    pub(super) fn fault(self, cluster: &mut Cluster, draws: &mut Draws, at: Duration, span: Duration) -> Steps {
        match self {
            Self::Crash | Self::Wipe | Self::Leave | Self::Pause | Self::HalfDead | Self::Starved | Self::Blocked => {
                self.of_a_process(cluster, draws, at, span)
            }
            Self::Deaf
            | Self::Mute
            | Self::PairCut
            | Self::Halves
            | Self::MinorityThird
            | Self::Bridge
            | Self::Zone => self.of_groups(cluster, draws, at, span),
            Self::Loss | Self::Disorder | Self::ThinLink | Self::SlowPath | Self::NarrowPath | Self::Clog => {
                self.of_paths(cluster, draws, at, span)
            }
            Self::ClosedLinks | Self::ClockStep | Self::Drift | Self::Disk | Self::DiskFault | Self::Echo => {
                self.of_machines(cluster, draws, at, span)
            }
            Self::Rotation | Self::Metadata | Self::Broadcast => self.of_machines(cluster, draws, at, span),
            Self::Rebound => vec![(at, Act::Rebind(cluster.one(draws)))],
            Self::CertificateEnds => certificate_ends(cluster, draws, at, span),
            Self::Names => names(cluster, draws, at, span),
        }
    }

    fn of_a_process(self, cluster: &mut Cluster, draws: &mut Draws, at: Duration, span: Duration) -> Steps {
        let Some(node) = cluster.take(draws, at, span) else { return Steps::new() };
        let seeds = vec![(node + 1) % cluster.nodes];
        let back = (at + span, Act::Start { node, seeds });
        let resume = (at + span, Act::Resume(node));
        match self {
            Self::Crash => vec![(at, Act::Crash(node)), back],
            Self::Wipe => vec![(at, Act::Crash(node)), (at, Act::Wipe(node)), back],
            Self::Leave => vec![(at, Act::Leave(node)), back],
            Self::Pause => vec![(at, Act::Pause(node)), resume],
            Self::HalfDead => vec![(at, Act::HalfStop(node)), resume],
            Self::Blocked => vec![(at, Act::BlockApplication(node)), resume],
            _ => starved(node, draws, at, span),
        }
    }

    fn of_groups(self, cluster: &mut Cluster, draws: &mut Draws, at: Duration, span: Duration) -> Steps {
        let cut = PathFault::Cut;
        let n = cluster.nodes;
        match self {
            Self::Deaf | Self::Mute => {
                let one = vec![cluster.one(draws)];
                let rest = cluster.others(&one);
                let (from, to) = if self == Self::Deaf { (rest, one) } else { (one, rest) };
                cluster.path(from, to, cut, at, span)
            }
            Self::PairCut => {
                let (one, other) = cluster.pair(draws);
                cluster.both_ways(&one, &other, &cut, at, span)
            }
            Self::Halves | Self::MinorityThird => {
                let left = cluster.some(draws, if self == Self::Halves { n / 2 } else { n / 3 });
                let right = cluster.others(&left);
                cluster.both_ways(&left, &right, &cut, at, span)
            }
            Self::Bridge => {
                let bridge = cluster.one(draws);
                let rest = cluster.others(&[bridge]);
                let (left, right) = rest.split_at(rest.len() / 2);
                cluster.both_ways(left, right, &cut, at, span)
            }
            // Every third node is in one zone, which is away from the others.
            _ => {
                let zone = draws.below(3) as usize;
                let (inside, outside): (Vec<usize>, Vec<usize>) = (0..n).partition(|node| node % 3 == zone);
                cluster.both_ways(&inside, &outside, &cut, at, span)
            }
        }
    }

    fn of_paths(self, cluster: &mut Cluster, draws: &mut Draws, at: Duration, span: Duration) -> Steps {
        let lan = LinkModel::lan;
        let fault = match self {
            Self::Loss => PathFault::Like(lan().with_loss(0.02 + draws.fraction() * 0.2)),
            Self::Disorder => PathFault::Like(LinkModel { duplicate: 0.1, reorder: 0.2, ..lan() }),
            Self::ThinLink => {
                let bandwidth = Some(Bandwidth { bytes_per_s: 16_000 + draws.below(64_000), queue_bytes: 32_000 });
                PathFault::Like(LinkModel { bandwidth, ..lan() })
            }
            Self::SlowPath => PathFault::Like(lan().with_latency(Latency::Constant(ms(20 + draws.below(180))))),
            // Long packets vanish: what a tunnel does that nobody told of.
            Self::NarrowPath => PathFault::Like(LinkModel { mtu: 1_200 + draws.below(80) as usize, ..lan() }),
            _ => PathFault::Hold,
        };
        // A clogged path is one of two nodes; what is rough may be all paths of one.
        let (from, to) = if self == Self::Clog || draws.below(2) == 0 {
            cluster.pair(draws)
        } else {
            let one = vec![cluster.one(draws)];
            let rest = cluster.others(&one);
            (one, rest)
        };
        cluster.both_ways(&from, &to, &fault, at, span)
    }

    fn of_machines(self, cluster: &mut Cluster, draws: &mut Draws, at: Duration, span: Duration) -> Steps {
        let node = cluster.one(draws);
        match self {
            Self::ClosedLinks => {
                let (_, to) = cluster.pair(draws);
                vec![(at, Act::CloseLinks { node, to: to[0] })]
            }
            Self::ClockStep => vec![(at, Act::StepWallClock { node, by_ms: draws.below(600_001) as i64 - 300_000 })],
            Self::Drift => {
                let ppm = draws.below(20_001) as i64 - 10_000;
                vec![(at, Act::Drift { node, ppm }), (at + span, Act::Drift { node, ppm: 0 })]
            }
            Self::Disk => {
                let (slow_by_ms, full) = (draws.below(2_000), draws.below(3) == 0);
                let sound = Act::Disk { node, slow_by_ms: 0, full: false };
                vec![(at, Act::Disk { node, slow_by_ms, full }), (at + span, sound)]
            }
            // It shows when the machine goes down meanwhile.
            Self::DiskFault => {
                let fault = [DiskFault::LostSync, DiskFault::TornWrite][draws.below(2) as usize];
                let Some(node) = cluster.take(draws, at, span) else { return Steps::new() };
                let seeds = vec![(node + 1) % cluster.nodes];
                vec![
                    (at, Act::DiskFault { node, fault: Some(fault) }),
                    (at + span / 2, Act::Crash(node)),
                    (at + span, Act::Start { node, seeds }),
                    (at + span, Act::DiskFault { node, fault: None }),
                ]
            }
            Self::Echo => vec![(at, Act::Echo(node)), (at + span, Act::Echo(node))],
            Self::Rotation => vec![(at, Act::Rotate { node, valid_s: 86_400 })],
            Self::Metadata => {
                let (zone, version) = (["", "a", "b"][draws.below(3) as usize].to_owned(), cluster.next_version);
                cluster.next_version += 1;
                vec![(at, Act::Metadata { node, zone, version })]
            }
            _ => vec![(at, Act::Broadcast { node, bytes: 1 + draws.below(200) as usize })],
        }
    }
}

/// Runs a tenth of the time, in slices.
fn starved(node: usize, draws: &mut Draws, from: Duration, span: Duration) -> Steps {
    let (mut steps, mut at) = (Steps::new(), from);
    loop {
        let stopped = ms(20 + draws.below(500));
        if at + stopped > from + span {
            return steps;
        }
        steps.extend([(at, Act::Pause(node)), (at + stopped, Act::Resume(node))]);
        at += stopped + stopped / 10 + ms(1);
    }
}

/// A certificate is over before the next one is there; meanwhile a link ends, and cannot be made anew.
fn certificate_ends(cluster: &mut Cluster, draws: &mut Draws, at: Duration, span: Duration) -> Steps {
    let Some(node) = cluster.take(draws, at, span) else { return Steps::new() };
    let (_, to) = cluster.pair(draws);
    vec![
        (at, Act::Rotate { node, valid_s: 1 + draws.below(5) }),
        (at + span / 2, Act::CloseLinks { node, to: to[0] }),
        (at + span, Act::Rotate { node, valid_s: 86_400 }),
    ]
}

/// Whoever starts meanwhile asks for names in vain, or too early, or is told of somebody else.
fn names(cluster: &Cluster, draws: &mut Draws, at: Duration, span: Duration) -> Steps {
    let fault = match draws.below(4) {
        0 => NameFault::Hang,
        1 => NameFault::Late(draws.below(7_000)),
        2 => NameFault::Unknown,
        _ => NameFault::Wrong(vec![cluster.one(draws), 1_000]),
    };
    vec![(at, Act::Names(Some(fault))), (at + span, Act::Names(None))]
}
