//! Mocks of every seam, made by mockall in the crate of each seam and gathered here.
//!
//! For the edges of a unit under test: what it is given, what it must say. Never for the thing under test, and rarely for a
//! whole network: that is what the worlds of this crate are for.
//!
//! ```
//! use cluster_testkit::mocks::MockWallClock;
//! use cluster_manager::WallClock;
//!
//! let mut clock = MockWallClock::new();
//! clock.expect_unix_ms().times(1).return_const(1_795_000_000_000u64);
//! assert_eq!(clock.unix_ms(), 1_795_000_000_000);
//! ```

/// Judges silence; says what it thinks of a process's death.
pub use cluster_failure::detector::{MockDeathWatch, MockFailureDetector};
/// Says who watches whom, and when.
pub use cluster_gossip::plan::MockProbePlan;
/// Says where others may be.
pub use cluster_manager::discovery::MockDiscovery;
/// Says what day it is.
pub use cluster_manager::host::MockWallClock;
/// Keeps what outlives a node.
pub use cluster_manager::storage::MockStorage;
/// Decides who gets in.
pub use cluster_pool::hello::MockAdmission;
/// Serves the streams of peers.
pub use cluster_pool::pool::MockStreamHandler;
/// Finds where a name is.
pub use cluster_pool::resolver::MockResolver;
/// Handle what peers send.
pub use cluster_pool::router::{MockMessageHandler, MockRequestHandler};
/// Runs tasks.
pub use cluster_pool::spawn::MockSpawner;
/// Reach peers and be reached.
pub use cluster_pool::transport::{MockConnection, MockTransport};
