//! Many nodes in one process, over real sockets and in real time. `cargo xtask integration links` runs them with a table.

#![expect(clippy::disallowed_methods, reason = "what is real here is bounded by the real clock")]

mod dying;
mod many;
mod probing;
mod storms;

use std::time::{Duration, Instant};

/// Longer than anything may take on a loaded machine, shorter than anyone's patience.
const PATIENCE: Duration = Duration::from_secs(60);

/// For the table of `cargo xtask integration`.
#[expect(clippy::print_stdout, reason = "it is read there")]
fn checked(nodes: usize, what: &str) {
    println!("checked: {nodes} | {what}");
}

/// How many nodes there are to be, where a test can have any number.
fn nodes_or(own: usize) -> usize {
    std::env::var("INTEGRATION_NODES").ok().and_then(|nodes| nodes.parse().ok()).unwrap_or(own)
}

/// Looks until `holds`, for as long as [`PATIENCE`] allows.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
