//! Who is who in a world: numbers, names and addresses of nodes, and what they report.

use std::net::SocketAddr;

use cluster_types::{ClusterName, EventKind, Instant, NodeId};

/// One line of the trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// When.
    pub at: Instant,
    /// By which node.
    pub by: usize,
    /// What.
    pub kind: EventKind,
}

/// Wall clock at the beginning: any day will do.
pub(crate) const ORIGIN_UNIX_MS: u64 = 1_795_000_000_000;

/// The name of node `i`.
#[must_use]
pub fn name_of(i: usize) -> NodeId {
    NodeId::new(&format!("n{i:03}")).unwrap_or_else(|e| unreachable!("n and digits are a name: {e}"))
}

/// Which node has a name.
#[must_use]
pub fn index_of(name: &NodeId) -> Option<usize> {
    name.as_str().strip_prefix('n')?.parse().ok()
}

pub(crate) fn cluster_name() -> ClusterName {
    ClusterName::new("sim").unwrap_or_else(|e| unreachable!("a name: {e}"))
}

pub(crate) fn addr_of(i: usize) -> SocketAddr {
    SocketAddr::from(([10, (i >> 16) as u8, (i >> 8) as u8, i as u8], 7_000))
}
