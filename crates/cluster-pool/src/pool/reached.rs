//! How often a pool dropped or refused something because a limit was reached, by limit. Datagrams that its owner did not read in
//! time, and handshakes, have numbers of their own.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::transport::TransportDrops;

/// A limit that was reached.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    Callers,
    Peers,
    ControlRequests,
    UnreachableHints,
    Addresses,
}

/// How often each limit of a pool was reached since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitsReached {
    /// Connections that this side asked for, and for which there was no place.
    pub callers: u64,
    /// Connections of peers and clients for which there was no place: they were told so.
    pub peers: u64,
    /// Requests on control links that were refused because the owner does not read its events fast enough.
    pub control_requests: u64,
    /// Addresses that the system refuses to send to, of which the owner was not told: it does not read fast enough, or there are
    /// too many.
    pub unreachable_hints: u64,
    /// Addresses forgotten because too many were dialled: the next call for one dials it anew.
    pub addresses: u64,
    /// Dials, failures and evictions that are counted in all only, and not by peer, because there are too many peers.
    pub peer_counts: u64,
    /// Datagrams that were too long for their path, or gave way to newer ones before they were sent: at least so many, for the transport does
    /// not say how many made room for one.
    pub datagrams: u64,
}

/// Counted as it happens.
#[derive(Debug, Default)]
pub(super) struct Reached([AtomicU64; 5]);

impl Reached {
    pub(super) fn note(&self, limit: Limit) {
        self.note_many(limit, 1);
    }

    pub(super) fn note_many(&self, limit: Limit, times: u64) {
        self.0[limit as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// With what is counted elsewhere.
    pub(super) fn read(&self, peer_counts: u64, drops: TransportDrops) -> LimitsReached {
        let of = |limit: Limit| self.0[limit as usize].load(Ordering::Relaxed);
        LimitsReached {
            callers: of(Limit::Callers),
            peers: of(Limit::Peers),
            control_requests: of(Limit::ControlRequests),
            unreachable_hints: of(Limit::UnreachableHints) + drops.refusals,
            addresses: of(Limit::Addresses),
            peer_counts,
            datagrams: drops.datagrams,
        }
    }
}
