//! What a node says of itself beside its name, its address and its metadata: which features it knows, and whatever nodes of a
//! later version say of themselves that this one does not understand.
//!
//! Facts travel with every claim about the node. A member that does not understand some of them carries them on all the same,
//! byte by byte: two nodes of a later version hear each other's through any number of older ones between them.
//!
//! ```text
//! features of the fabric (varint) | features of the application (varint) | what is not known here ...
//! ```
//!
//! Zeros at the end are left out, so most nodes say nothing in one byte. A field that is missing at the end is zero.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::blame::{Blame, Blamed};
use crate::feature::Features;
use crate::limits::FACTS_LEN_MAX;

/// Why bytes are not facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// They are longer than [`FACTS_LEN_MAX`].
    #[error("{len} bytes of facts: at most {FACTS_LEN_MAX} are carried")]
    TooLong {
        /// How long they are, in bytes.
        len: usize,
    },
    /// A set of features ends in the middle, or has numbers above 31.
    #[error("the features are no number of 32 bits")]
    Features,
}

impl Blamed for FactsError {
    fn blame(&self) -> Blame {
        Blame::PeerMisbehaved
    }
}

/// The facts about one node. A word where there are none, and cheap to clone; ordered as their bytes on the wire are, so that every member of
/// every version prefers the same ones of two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Facts(Option<Arc<Stated>>);

impl Ord for Facts {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other { Ordering::Equal } else { self.encode().cmp(&other.encode()) }
    }
}

impl PartialOrd for Facts {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Stated {
    features: Features,
    /// What follows the fields that are known here.
    unknown: Box<[u8]>,
}

impl Facts {
    /// A node that knows no feature and says nothing more.
    pub const NONE: Self = Self(None);

    /// A node that knows these features.
    #[must_use]
    pub fn of(features: Features) -> Self {
        Self::stated(features, &[])
    }

    fn stated(features: Features, unknown: &[u8]) -> Self {
        let says_something = !features.is_empty() || !unknown.is_empty();
        Self(says_something.then(|| Arc::new(Stated { features, unknown: unknown.into() })))
    }

    /// Which features it knows.
    #[must_use]
    pub fn features(&self) -> Features {
        self.0.as_ref().map_or(Features::NONE, |stated| stated.features)
    }

    /// What it says of itself that is not understood here.
    #[must_use]
    pub fn unknown(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |stated| &stated.unknown)
    }

    /// As they go onto the wire: at most [`FACTS_LEN_MAX`] bytes, none for none.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(stated) = &self.0 else { return bytes };
        let (fabric, application) = (stated.features.fabric_bits(), stated.features.application_bits());
        put_varint(&mut bytes, fabric);
        if application != 0 || !stated.unknown.is_empty() {
            put_varint(&mut bytes, application);
        }
        bytes.extend_from_slice(&stated.unknown);
        bytes
    }

    /// Reads what came off the wire, and keeps what is not known.
    ///
    /// # Errors
    /// See [`FactsError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FactsError> {
        if bytes.len() > FACTS_LEN_MAX {
            return Err(FactsError::TooLong { len: bytes.len() });
        }
        let (fabric, rest) = take_varint(bytes)?;
        let (application, unknown) = take_varint(rest)?;
        Ok(Self::stated(Features::from_bits(fabric, application), unknown))
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The number in front and the rest; zero where nothing is left.
fn take_varint(bytes: &[u8]) -> Result<(u32, &[u8]), FactsError> {
    if bytes.is_empty() {
        return Ok((0, bytes));
    }
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_too_large| FactsError::Features)?;
            return Ok((value, &bytes[at + 1..]));
        }
    }
    Err(FactsError::Features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zeros_at_the_end_are_left_out() {
        let encoded = |fabric, application| Facts::of(Features::from_bits(fabric, application)).encode();
        assert_eq!(encoded(0, 0), [0u8; 0]);
        assert_eq!(encoded(1, 0), [1]);
        assert_eq!(encoded(0, 1), [0, 1]);
        assert_eq!(encoded(0x80, 0x7f), [0x80, 1, 0x7f]);
        assert_eq!(Facts::of(Features::NONE), Facts::NONE);
        assert_eq!(size_of::<Facts>(), 8, "there is one in every claim that is held");
    }

    #[test]
    fn bad_facts_are_named() {
        let decode = |bytes: &[u8]| Facts::decode(bytes).unwrap_err().to_string();
        assert_eq!(decode(&[0; FACTS_LEN_MAX + 1]), "65 bytes of facts: at most 64 are carried");
        assert_eq!(decode(&[0x80]), "the features are no number of 32 bits");
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0x1f]), "the features are no number of 32 bits");
        assert_eq!(decode(&[1, 0x80, 0x80, 0x80, 0x80, 0x80, 1]), "the features are no number of 32 bits");
        let most = Facts::decode(&[0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap();
        assert_eq!(most.features().fabric_bits(), u32::MAX);
    }

    /// A later version that understands more of them prefers the same ones.
    #[test]
    fn facts_are_ordered_by_their_bytes() {
        let of = |bytes: &[u8]| Facts::decode(bytes).unwrap();
        let sorted = [&[][..], &[0, 1], &[1], &[1, 0, 7], &[0x80, 2], &[0x81, 1]];
        let mut facts = sorted.map(of);
        facts.reverse();
        facts.sort();
        assert_eq!(facts, sorted.map(of));
    }

    proptest! {
        /// What is not understood goes on as it came.
        #[test]
        fn unknown_facts_are_carried_on(
            fabric: u32, application: u32, unknown in prop::collection::vec(any::<u8>(), 0..=54),
        ) {
            let facts = Facts::stated(Features::from_bits(fabric, application), &unknown);
            let bytes = facts.encode();
            prop_assert!(bytes.len() <= FACTS_LEN_MAX);
            let read = Facts::decode(&bytes).unwrap();
            prop_assert_eq!(read.unknown(), &unknown[..]);
            prop_assert_eq!((read.features().fabric_bits(), read.features().application_bits()), (fabric, application));
            prop_assert_eq!(read.encode(), bytes);
        }

        /// Whatever comes in goes out no longer, and means the same to whoever is next.
        #[test]
        fn no_bytes_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(facts) = Facts::decode(&bytes) {
                let again = facts.encode();
                prop_assert!(again.len() <= bytes.len());
                prop_assert_eq!(Facts::decode(&again), Ok(facts));
            }
        }
    }
}
