//! Limits that several crates share, each with the sum behind the number.

use std::time::Duration;

/// Longest node or cluster name, in bytes. 64 is what a DNS label (63) and a certificate's common name (64) allow.
pub const NAME_LEN_MAX: usize = 64;

/// Largest membership datagram, in bytes. QUIC's smallest path MTU is 1,200; minus short header, packet number, AEAD tag
/// and frame header about 1,160 are left before path-MTU discovery. 1,100 leaves room for longer connection ids.
pub const DATAGRAM_LEN_MAX: usize = 1_100;

const _: () = assert!(METADATA_LEN_MAX == 65_536 && CONTROL_FRAME_LEN_MAX == 4_194_304);

/// Largest framed control message on a stream, in bytes: a full state of 20,000 members at about 200 B each is 4 MB.
pub const CONTROL_FRAME_LEN_MAX: usize = 4 * 1024 * 1024;

/// Most members a view holds, and most entries one state exchange may carry. A stranger's longer list is cut and counted.
pub const MEMBERS_MAX: usize = 20_000;

/// Largest metadata of one node, in bytes, keys and values together.
pub const METADATA_LEN_MAX: usize = 64 * 1024;

/// Longest facts about a node, in bytes, those that are not understood included. They travel with every claim: three claims with
/// such facts, the longest names and a vote each still fit into a datagram beside a broadcast.
pub const FACTS_LEN_MAX: usize = 64;

/// A claim whose incarnation lies further than this in the future is refused: a day is more than any clock error that
/// NTP would leave standing, and small enough that a poisoned value dies out.
pub const INCARNATION_AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// An accusation may exceed the incarnation that its subject announced in the same life by this much at most: 2^20
/// refutations are 12 days at one a second.
pub const ACCUSATION_AHEAD_MAX: u64 = 1 << 20;

/// Events kept for subscribers that read later. At 16 churning members a second this is about a minute.
pub const EVENT_RING_LEN: usize = 1_024;
