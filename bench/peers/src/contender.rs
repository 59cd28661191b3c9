//! What every protocol can be asked to go through.

use std::time::Duration;

/// What a world is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) nodes: usize,
    pub(crate) links: Links,
    pub(crate) seed: u64,
    /// Whether all run and know each other from the start; otherwise node 0 runs alone.
    pub(crate) joined: bool,
}

/// The paths between nodes: how long a packet is under way, one way, and the share that is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    pub(crate) low: Duration,
    pub(crate) high: Duration,
    pub(crate) loss: f64,
}

impl Links {
    pub(crate) const fn ms(low: u64, high: u64, loss: f64) -> Self {
        Self { low: Duration::from_millis(low), high: Duration::from_millis(high), loss }
    }

    /// 1 to 2 ms.
    pub(crate) const fn lan(loss: f64) -> Self {
        Self::ms(1, 2, loss)
    }
}

/// One node holds another to be alive, or failed, from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Duration,
    pub(crate) by: usize,
    pub(crate) about: usize,
    pub(crate) up: bool,
}

/// What all nodes have sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    /// Bytes on the wire, with what the protocol's own transport adds.
    pub(crate) wire: u64,
    /// The same with 75 bytes a packet instead of 28, which is what ours is charged; nothing for acknowledgements.
    pub(crate) as_quic: u64,
}

/// A cluster of nodes 0 to n-1 in virtual time.
pub(crate) trait Contender {
    /// Starts node `i`, which joins through node 0.
    fn join(&mut self, i: usize);
    /// Holds up its sends and receipts while its timers go on.
    fn hold_io(&mut self, i: usize);
    fn release_io(&mut self, i: usize);
    fn crash(&mut self, i: usize);
    /// Nothing that others send to these arrives, until mended.
    fn deafen(&mut self, nodes: &[usize]);
    /// This share of what these send is lost, until mended.
    fn mumble(&mut self, nodes: &[usize], loss: f64);
    /// Ends every fault of the paths.
    fn mend(&mut self);
    fn run_for(&mut self, span: Duration);
    fn now(&self) -> Duration;
    /// What changed since this was asked last, in order.
    fn take_changes(&mut self) -> Vec<Change>;
    fn sent(&self) -> Sent;
}
