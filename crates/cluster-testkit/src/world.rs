//! Worlds: where a scenario is played. One trait, three fidelities.

pub mod engine;
pub(crate) mod hashing;
pub mod loopback;
mod naming;
pub mod stack;
mod subscriber;

use std::net::SocketAddr;
use std::time::Duration;

use cluster_gossip::swim::ZONE_KEY;
use cluster_types::{Claim, Incarnation, Instant, Life, Member, Metadata, State};

pub(crate) use naming::{ORIGIN_UNIX_MS, addr_of, cluster_name};
pub use naming::{Reported, index_of, name_of};
pub(crate) use subscriber::Subscriber;

use crate::scenario::Act;

/// What is known of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Where it is reached.
    pub addr: SocketAddr,
    /// Which run of its process.
    pub life: Option<Life>,
    /// How recent that is.
    pub incarnation: Incarnation,
    /// What it says about itself.
    pub metadata: Metadata,
}

impl View {
    pub(crate) fn of(member: &Member) -> Self {
        let Claim { addr, life, incarnation, .. } = member.claim;
        Self { addr, life: Some(life), incarnation, metadata: member.metadata.clone() }
    }
}

/// What a node says about itself after [`Act::Metadata`].
pub(crate) fn metadata(zone: &str, version: u64) -> Metadata {
    let zone = (!zone.is_empty()).then(|| (ZONE_KEY.to_owned(), zone.to_owned()));
    let pairs = zone.into_iter().chain([("version".to_owned(), version.to_string())]);
    Metadata::new(pairs).unwrap_or_else(|e| panic!("a zone and a number are short: {e}"))
}

/// A world with nodes, numbered from 0.
pub trait World {
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
    /// What node `i` knows of node `j`, or, of itself, says; `None` where it knows nothing, or does not run.
    fn view(&self, i: usize, j: usize) -> Option<View> {
        let _ = (i, j);
        None
    }
    /// The lives of a node's processes so far, in order.
    fn lives(&self, node: usize) -> Vec<Life> {
        let _ = node;
        Vec::new()
    }
    /// Subscribers whose snapshot and deltas do not add up to what their node holds, and gaps in the numbers of events, in words.
    fn subscribers_disagree(&self) -> Vec<String> {
        Vec::new()
    }
    /// Numbers of the nodes that differ from what the world counted itself, in words.
    fn numbers_disagree(&self) -> Vec<String> {
        Vec::new()
    }
    /// Damaged files that a node wrote over, in words: they are to be kept for whoever looks into it.
    fn damaged_files_lost(&self) -> Vec<String> {
        Vec::new()
    }
    /// Bytes on the wire sent by all so far.
    fn bytes_sent(&self) -> u64;
    /// Bytes of membership without headers sent from a second on; `None` where nobody knows them.
    fn payload_since(&self, s: u64) -> Option<u64> {
        let _ = s;
        None
    }
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
