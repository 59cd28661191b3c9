//! Worlds: where a scenario is played. One trait, three fidelities.

pub mod engine;
pub mod loopback;
mod naming;
pub mod stack;

use std::time::Duration;

use cluster_types::{Instant, State};

pub(crate) use naming::{ORIGIN_UNIX_MS, addr_of, cluster_name};
pub use naming::{Reported, index_of, name_of};

use crate::scenario::Act;

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
