//! What is said about a node ([`Claim`]), what is known of it ([`Member`]), and the merge rule between claims.
//!
//! The rule is a total order, so merging is taking the maximum: commutative, associative and idempotent by construction,
//! whatever order gossip arrives in.
//!
//! | compared first to last | higher wins |
//! |---|---|
//! | incarnation | only the node itself raises it |
//! | state | Left > Failed > Suspect > Alive |
//! | metadata version | the newer metadata |
//! | address bytes | arbitrary, but the same everywhere |
//! | life | arbitrary, but the same everywhere |
//! | facts | arbitrary, but the same everywhere; some before none |

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::blame::{Blame, Blamed};
use crate::facts::Facts;
use crate::id::NodeId;
use crate::incarnation::{Incarnation, Life};
use crate::limits::METADATA_LEN_MAX;
use crate::time::Instant;

/// What a node is said to be. The order is the precedence at equal incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// A member that answers.
    Alive,
    /// Accused of silence; it has until its deadline to refute.
    Suspect,
    /// Declared failed; remembered, retried by the reconnector, revived only by a higher incarnation.
    Failed,
    /// Said goodbye by itself.
    Left,
}

impl State {
    /// Every state, in order of precedence.
    pub const ALL: [Self; 4] = [Self::Alive, Self::Suspect, Self::Failed, Self::Left];

    /// Whether the node takes part: it is probed, gossiped to and counted.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }

    /// The word used in events, JSON and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
            Self::Left => "left",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One statement about one node: the unit of gossip.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The subject.
    pub node: NodeId,
    /// Which process under that name.
    pub life: Life,
    /// How recent the statement is.
    pub incarnation: Incarnation,
    /// What the subject is said to be.
    pub state: State,
    /// Version of the subject's metadata, from 1 in each life; 0 when it has none.
    pub meta_version: u32,
    /// Where the subject is reached.
    pub addr: SocketAddr,
    /// What else the subject says of itself. The same for the whole of a life.
    pub facts: Facts,
}

type MergeKey<'a> = (Incarnation, State, u32, u8, [u8; 16], u16, Life, &'a Facts);

impl Claim {
    /// The claim of a node that has just started.
    #[must_use]
    pub const fn alive(node: NodeId, life: Life, incarnation: Incarnation, addr: SocketAddr) -> Self {
        Self { node, life, incarnation, state: State::Alive, meta_version: 0, addr, facts: Facts::NONE }
    }

    /// Whether this claim replaces `known` about the same node. Equal claims do not.
    #[must_use]
    pub fn supersedes(&self, known: &Self) -> bool {
        debug_assert_eq!(self.node, known.node, "claims about different nodes are not comparable");
        self.merge_key() > known.merge_key()
    }

    fn merge_key(&self) -> MergeKey<'_> {
        let (family, octets) = match self.addr.ip() {
            IpAddr::V4(ip) => (4, ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => (6, ip.octets()),
        };
        (self.incarnation, self.state, self.meta_version, family, octets, self.addr.port(), self.life, &self.facts)
    }
}

/// Why metadata is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// Keys and values together are too long.
    #[error("the metadata is {len} bytes long: at most {METADATA_LEN_MAX} are allowed")]
    TooLong {
        /// Sum of the lengths of all keys and values.
        len: usize,
    },
    /// A key is empty.
    #[error("a metadata key must not be empty")]
    EmptyKey,
}

impl Blamed for MetadataError {
    fn blame(&self) -> Blame {
        Blame::CallerMisused
    }
}

/// What a node says about itself beyond its address: zone, role, version. Cheap to clone, ordered, at most 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(Arc<BTreeMap<String, String>>);

impl Metadata {
    /// Checks and keeps the pairs; the last value of a repeated key stays.
    ///
    /// # Errors
    /// Empty keys, or more than 64 KiB in total.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, MetadataError> {
        let map: BTreeMap<String, String> = pairs.into_iter().collect();
        if map.contains_key("") {
            return Err(MetadataError::EmptyKey);
        }
        let len = map.iter().map(|(k, v)| k.len() + v.len()).sum();
        if len > METADATA_LEN_MAX {
            return Err(MetadataError::TooLong { len });
        }
        Ok(Self(Arc::new(map)))
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is known of a node: the winning claim and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The claim that won the merge.
    pub claim: Claim,
    /// The metadata body, empty until it has been fetched.
    pub metadata: Metadata,
    /// When the state last changed here.
    pub since: Instant,
}

impl Member {
    /// The node's name.
    #[must_use]
    pub const fn node(&self) -> &NodeId {
        &self.claim.node
    }

    /// What the node is held to be.
    #[must_use]
    pub const fn state(&self) -> State {
        self.claim.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Features;
    use proptest::prelude::*;

    fn claim(incarnation: u64, state: State, meta_version: u32, addr: &str) -> Claim {
        Claim {
            node: "n".parse().unwrap(),
            life: Life::new(1, 1),
            incarnation: Incarnation::from_raw(incarnation),
            state,
            meta_version,
            addr: addr.parse().unwrap(),
            facts: Facts::NONE,
        }
    }

    const A: &str = "10.0.0.1:1";

    /// The whole table of states at lower, equal and higher incarnation: 4 x 4 x 3 cells.
    #[test]
    fn test_state_transition_precedence() {
        let mut table = String::new();
        for known in State::ALL {
            for heard in State::ALL {
                let wins = |incarnation| claim(incarnation, heard, 0, A).supersedes(&claim(5, known, 0, A));
                let cell = [4, 5, 6].map(|i| if wins(i) { "wins" } else { "-" }).join("/");
                table += &format!("{known:>7} <- {heard:<7} lower/equal/higher: {cell}\n");
                // Independent statement of INC-1, not read off the implementation.
                let rank = |s: State| "alive suspect failed left".find(s.as_str()).unwrap();
                assert_eq!(cell, format!("-/{}/wins", if rank(heard) > rank(known) { "wins" } else { "-" }));
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn test_higher_incarnation_wins() {
        assert!(claim(6, State::Alive, 0, A).supersedes(&claim(5, State::Left, 9, A)));
    }

    #[test]
    fn test_lower_incarnation_ignored() {
        assert!(!claim(4, State::Left, 9, A).supersedes(&claim(5, State::Alive, 0, A)));
    }

    #[test]
    fn test_failed_state_not_overwritten_by_alive() {
        assert!(!claim(5, State::Alive, 0, A).supersedes(&claim(5, State::Failed, 0, A)));
    }

    #[test]
    fn ties_are_broken_by_metadata_then_address_then_life() {
        assert!(claim(5, State::Alive, 2, A).supersedes(&claim(5, State::Alive, 1, "10.0.0.9:1")));
        assert!(claim(5, State::Alive, 1, "10.0.0.2:1").supersedes(&claim(5, State::Alive, 1, A)));
        assert!(claim(5, State::Alive, 1, "10.0.0.1:2").supersedes(&claim(5, State::Alive, 1, A)));
        assert!(claim(5, State::Alive, 1, "[::1]:1").supersedes(&claim(5, State::Alive, 1, "127.0.0.1:1")));
        let newer = Claim { life: Life::new(2, 1), ..claim(5, State::Alive, 1, A) };
        assert!(newer.supersedes(&claim(5, State::Alive, 1, A)));
        assert!(Claim { facts: facts(1), ..newer.clone() }.supersedes(&newer), "more is known of it");
    }

    fn facts(fabric: u32) -> Facts {
        Facts::of(Features::from_bits(fabric, 0))
    }

    fn any_claim() -> impl Strategy<Value = Claim> {
        let parts = (0u64..4, 0usize..4, 0u32..3, 0u8..3, 0u16..2, 0u32..2, 0u32..2);
        parts.prop_map(|(inc, state, meta, host, port, life, known)| Claim {
            life: Life::new(1, life),
            facts: facts(known),
            ..claim(inc, State::ALL[state], meta, &format!("10.0.0.{host}:{}", port + 1))
        })
    }

    fn merge(a: &Claim, b: &Claim) -> Claim {
        if b.supersedes(a) { b.clone() } else { a.clone() }
    }

    proptest! {
        #[test]
        fn merge_is_commutative_associative_idempotent(a in any_claim(), b in any_claim(), c in any_claim()) {
            prop_assert_eq!(merge(&a, &b), merge(&b, &a));
            prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
            prop_assert_eq!(merge(&a, &a), a);
        }

        #[test]
        fn any_order_of_updates_ends_in_the_same_state(
            (heard, shuffled) in prop::collection::vec(any_claim(), 1..20)
                .prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle())),
        ) {
            let fold = |claims: &[Claim]| claims[1..].iter().fold(claims[0].clone(), |known, c| merge(&known, c));
            prop_assert_eq!(fold(&heard), fold(&shuffled));
        }
    }

    #[test]
    fn the_living_are_the_alive_and_the_suspect() {
        assert_eq!(State::ALL.map(State::is_live), [true, true, false, false]);
    }

    #[test]
    fn metadata_lists_its_pairs_by_key_and_keeps_the_last_value() {
        let pairs = [("b", "1"), ("a", "2"), ("b", "3")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let metadata = Metadata::new(pairs).unwrap();
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert!(!metadata.is_empty() && Metadata::default().is_empty());
    }

    #[test]
    fn metadata_is_bounded() {
        let pair = |k: &str, v: String| Metadata::new([(k.to_owned(), v)]);
        assert_eq!(pair("", "x".into()), Err(MetadataError::EmptyKey));
        assert_eq!(pair("k", "v".repeat(65_536)), Err(MetadataError::TooLong { len: 65_537 }));
        let fits = pair("k", "v".repeat(65_535)).unwrap();
        assert_eq!(fits.value("k").map(str::len), Some(65_535));
        assert_eq!(fits.value("other"), None);
    }
}
