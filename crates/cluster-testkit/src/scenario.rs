//! A scenario: a cluster, what is done to it and when, and what must hold. It is plain data, so that it can be printed, kept,
//! cut down and run again, on the pure engine (L0), on the whole stack (L1), and over real sockets (L2) alike.
//!
//! A seed expands to a schedule; the schedule, not the seed, is what a saved regression keeps, since a seed means another
//! schedule after the next change of the code.

mod catalogue;
mod limits;
mod saved;
mod swarm;
mod valid;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use catalogue::{CATALOGUE, Entry, entry};
pub use limits::Limits;
pub use saved::Saved;

use crate::net::LinkModel;

/// How much of the real thing runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// The pure engine on an event heap.
    L0,
    /// The whole stack over the simulated network.
    L1,
    /// The whole stack over sockets of this machine, in real time. It knows no faults of the network.
    L2,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::L0 => "L0",
            Self::L1 => "L1",
            Self::L2 => "L2",
        })
    }
}

/// What is wrong with some paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PathFault {
    /// Nothing passes.
    Cut,
    /// Nothing passes, and all of it arrives when the fault is mended: a path that is clogged.
    Hold,
    /// They are like this, and not like the others: slow, thin, lossy, or too narrow for long packets.
    Like(LinkModel),
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DiskFault {
    /// What was said to be on the disk is not, when the machine goes down: its last writings are lost.
    LostSync,
    /// The last writing before the machine goes down is there by half.
    TornWrite,
    /// Nothing can be read.
    ReadError,
}

/// What is wrong with the service that tells where names are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NameFault {
    /// It never answers.
    Hang,
    /// It answers so many milliseconds late.
    Late(u64),
    /// It knows no name.
    Unknown,
    /// Whatever the name, it is said to stand for these nodes. Numbers where nobody is are addresses that never answer.
    Wrong(Vec<usize>),
}

/// One thing that is done to a world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Act {
    /// A process starts, for the first time or after its end, and joins through these nodes. Numbers where nobody is are
    /// seeds that never answer.
    Start {
        /// Which node.
        node: usize,
        /// Through whom.
        seeds: Vec<usize>,
    },
    /// A process starts at the address of a node whose process has ended, as a node of its own: the next number.
    StartAt {
        /// The newcomer.
        node: usize,
        /// Whose place it takes.
        place: usize,
        /// Through whom.
        seeds: Vec<usize>,
    },
    /// A process dies at once.
    Crash(usize),
    /// A process is told to leave and to stop.
    Leave(usize),
    /// A process is stopped, as by SIGSTOP.
    Pause(usize),
    /// The membership loop of a process and its users' tasks stop; its transport goes on and acknowledges what arrives: half dead.
    HalfStop(usize),
    /// It goes on, whatever of it was stopped or blocked.
    Resume(usize),
    /// What a node keeps on its disk is lost: key, certificate and secret. It gets new ones when it next starts.
    Wipe(usize),
    /// A node's disk takes so long for each writing from now on, and takes none when it is full.
    Disk {
        /// Whose.
        node: usize,
        /// How long, in milliseconds.
        slow_by_ms: u64,
        /// Whether there is no room.
        full: bool,
    },
    /// A node's disk has a fault from now on, or none.
    DiskFault {
        /// Whose.
        node: usize,
        /// Which.
        fault: Option<DiskFault>,
    },
    /// What a node sent last arrives once more, be it of a process that has ended since.
    Echo(usize),
    /// A node gets a new certificate while it runs, and shows it from now on.
    Rotate {
        /// Whose.
        node: usize,
        /// For how many seconds it is valid. When they are over and it has got no other one, nobody makes new links with it.
        valid_s: u64,
    },
    /// What others see of a node's address changes, as behind a translation that has forgotten it: what it sends comes from another
    /// port or another address from now on, and what is sent to the former one gets nowhere. Where it is bound it is reached all the time.
    Rebind(usize),
    /// Something is wrong with the name service from now on, or nothing.
    Names(Option<NameFault>),
    /// The user's tasks on a node block; the node itself goes on.
    BlockApplication(usize),
    /// Nothing from the first gets to the second.
    Cut {
        /// Senders.
        from: Vec<usize>,
        /// Receivers.
        to: Vec<usize>,
    },
    /// Nothing passes between the two groups.
    Split(Vec<usize>, Vec<usize>),
    /// Something is wrong with the paths from the first to the second, beside whatever else is wrong with them.
    Fault {
        /// What [`Act::Mend`] names it by.
        id: u32,
        /// Senders.
        from: Vec<usize>,
        /// Receivers.
        to: Vec<usize>,
        /// What is wrong.
        fault: PathFault,
    },
    /// One fault is mended, and no other.
    Mend(u32),
    /// All paths are open again, and as [`Act::Links`] said last.
    Heal,
    /// All paths are like this from now on.
    Links(LinkModel),
    /// A wall clock is set by so many milliseconds.
    StepWallClock {
        /// Whose.
        node: usize,
        /// Forward, or back.
        by_ms: i64,
    },
    /// A wall clock runs fast, or slow, from now on.
    Drift {
        /// Whose.
        node: usize,
        /// By how many parts in a million.
        ppm: i64,
    },
    /// A node closes its links to another; they are dialled anew where they are needed.
    CloseLinks {
        /// Who closes.
        node: usize,
        /// To whom.
        to: usize,
    },
    /// A node changes what it says about itself: its zone, and a number of its own. The number tells its changes apart.
    Metadata {
        /// Whose.
        node: usize,
        /// Its failure domain from now on; none when empty.
        zone: String,
        /// Which change this is.
        version: u64,
    },
    /// A node broadcasts so many bytes to everybody.
    Broadcast {
        /// Who.
        node: usize,
        /// How much.
        bytes: usize,
    },
    /// A node sends another so many bytes on a stream of the users.
    Transfer {
        /// Who sends.
        from: usize,
        /// To whom.
        to: usize,
        /// How much.
        bytes: u64,
    },
    /// A node sends another so many messages at once, of all priorities: more than its queue holds, if they are many. Each has a known end.
    Burst {
        /// Who sends.
        from: usize,
        /// To whom.
        to: usize,
        /// How many.
        messages: u64,
    },
    /// Two nodes play ping-pong over their peers.
    PingPong {
        /// Who serves.
        from: usize,
        /// Who returns.
        to: usize,
        /// How often.
        rounds: u64,
    },
}

/// An act and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// What is done.
    pub act: Act,
}

/// What must hold beside what must always hold: legal orders of states, incarnations that only rise, no verdict on a member
/// that is alive and reachable, none earlier than five seconds after what caused it, agreement of all at the end, nothing left
/// of a process that was told to stop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// Nobody is suspected, let alone declared failed.
    pub calm: bool,
    /// Nobody is declared failed.
    pub no_failures: bool,
    /// Each crash is known to all by then.
    pub crash_known_within_ms: Option<u64>,
    /// Each farewell is known to all by then.
    pub leave_known_within_ms: Option<u64>,
    /// After the last start, all know all by then.
    pub met_within_ms: Option<u64>,
    /// Bytes a node and second, on the wire, over the whole run.
    pub bytes_per_s_max: Option<f64>,
    /// Bytes of membership a node and second, without headers, from a minute after the last act on. At L0 alone, which knows them.
    #[serde(default)]
    pub quiet_payload_per_s_max: Option<f64>,
}

/// A cluster, what is done to it, and what must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name in the catalogue.
    pub name: String,
    /// The paths at the beginning.
    pub links: LinkModel,
    /// Whether the nodes talk all the while: messages of three priorities, requests and streams, each with a known end. At L1 alone.
    #[serde(default)]
    pub traffic: bool,
    /// Whether the code takes unusual turns now and then, where it says that it may.
    #[serde(default)]
    pub storm: bool,
    /// Whether tasks that are ready run in an order that the seed draws, and not in the one in which they are woken. At L1 alone.
    #[serde(default)]
    pub shuffled: bool,
    /// Whether nodes are told the names of their seeds and not their addresses. At L1 alone.
    #[serde(default)]
    pub names: bool,
    /// How little the nodes may hold. At L1 alone.
    #[serde(default)]
    pub limits: Limits,
    /// What is done, in order of time.
    pub steps: Vec<Step>,
    /// When it ends. The last part should be quiet, for agreement is expected then.
    pub until_ms: u64,
    /// What must hold.
    pub expect: Expect,
}

impl Scenario {
    /// A scenario on a faultless local network in which nothing happens yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let name = name.to_owned();
        let (links, expect) = (LinkModel::lan(), Expect::default());
        let (steps, limits) = (Vec::new(), Limits::default());
        let (traffic, storm, shuffled, names) = (false, false, false, false);
        Self { name, links, traffic, storm, shuffled, names, limits, steps, until_ms: 0, expect }
    }

    /// Does something at a time. It lasts at least that long, then.
    #[must_use]
    pub fn at(mut self, at: Duration, act: Act) -> Self {
        let at_ms = millis(at);
        let place = self.steps.partition_point(|step| step.at_ms <= at_ms);
        self.steps.insert(place, Step { at_ms, act });
        self.until_ms = self.until_ms.max(at_ms);
        self
    }

    /// Starts `count` nodes at the beginning, joining through the first.
    #[must_use]
    pub fn cluster(mut self, count: usize) -> Self {
        for node in 0..count {
            let seeds = if node == 0 { vec![] } else { vec![0] };
            self = self.at(Duration::ZERO, Act::Start { node, seeds });
        }
        self
    }

    /// Adds faults that are drawn: which kinds of them, and of those which, of whom, and when. At the end of the span everything is
    /// healed.
    #[must_use]
    pub(crate) fn with_swarm(self, seed: u64, during: std::ops::Range<Duration>) -> Self {
        swarm::faults(self, cluster_types::Seed::new(seed).derive("swarm", 0), during)
    }

    /// Lets so much time pass after the last act.
    #[must_use]
    pub const fn then_quiet(mut self, span: Duration) -> Self {
        self.until_ms += millis(span);
        self
    }

    /// Says what must hold.
    #[must_use]
    pub fn expecting(mut self, change: impl FnOnce(&mut Expect)) -> Self {
        change(&mut self.expect);
        self
    }

    /// The paths from the beginning on.
    #[must_use]
    pub fn over(mut self, links: LinkModel) -> Self {
        self.links = links;
        self
    }

    /// How many nodes there ever are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        let started = self.steps.iter().filter_map(|step| match step.act {
            Act::Start { node, .. } | Act::StartAt { node, .. } => Some(node.saturating_add(1)),
            _ => None,
        });
        started.max().unwrap_or(0)
    }
}

const fn millis(span: Duration) -> u64 {
    span.as_secs() * 1_000 + span.subsec_millis() as u64
}
