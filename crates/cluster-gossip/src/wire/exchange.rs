//! Requests and answers on streams: joining, comparing views, fetching metadata, and the probe of last resort.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_types::limits::MEMBERS_MAX;
use cluster_types::{Metadata, NodeId};
use serde::{Deserialize, Serialize};

use super::update::{Update, WireUpdate};
use super::{WireError, body, bytes_of};

/// Metadata up to this size travels inside a list of members; longer bodies are fetched one by one.
pub const INLINE_METADATA_MAX: usize = 512;

/// A member as it stands in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is held of it.
    pub update: Update,
    /// Its metadata, if it is known and short.
    pub metadata: Option<Metadata>,
    /// Since when it has failed or left; zero for one that takes part. In whole seconds on the wire.
    pub gone_for: Duration,
}

/// What is asked on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Let me in; this is me.
    Join(Entry),
    /// This is the hash of my view; is yours the same?
    Sync {
        /// See [`Swim`](crate::Swim): equal views have equal roots.
        root: [u8; 16],
    },
    /// This is what I hold in the buckets in which our views differ; what do you hold that is newer?
    Compare {
        /// Numbers of the buckets.
        buckets: BTreeSet<u8>,
        /// What the asker holds of the members in them.
        entries: Vec<Entry>,
    },
    /// This is what you lacked.
    Push(Vec<Entry>),
    /// Are you there? Sent when datagrams get no answer.
    Probe,
    /// What is the metadata of this member?
    Metadata(NodeId),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// You are in, or our views differ; this is what I hold.
    Entries(Vec<Entry>),
    /// Our views differ, and both are long: these are the hashes of the 256 parts of mine.
    Buckets(Vec<u64>),
    /// Our views are the same, or I have taken what you pushed.
    Same,
    /// I am here.
    Here,
}

const JOIN: u16 = 32;
const SYNC: u16 = 33;
const PUSH: u16 = 34;
const PROBE: u16 = 35;
const METADATA: u16 = 36;
const COMPARE: u16 = 37;
const ENTRIES: u16 = 40;
const SAME: u16 = 41;
const HERE: u16 = 42;
const BUCKETS: u16 = 43;

#[derive(Serialize, Deserialize)]
struct WireEntry<'a> {
    #[serde(borrow)]
    update: WireUpdate<'a>,
    metadata: Option<Vec<(&'a str, &'a str)>>,
    gone_s: u32,
}

impl<'a> WireEntry<'a> {
    fn new(entry: &'a Entry) -> Self {
        Self {
            update: WireUpdate::new(&entry.update),
            metadata: entry.metadata.as_ref().map(|metadata| metadata.iter().collect()),
            gone_s: u32::try_from(entry.gone_for.as_secs()).unwrap_or(u32::MAX),
        }
    }
}

impl TryFrom<WireEntry<'_>> for Entry {
    type Error = WireError;

    fn try_from(wire: WireEntry<'_>) -> Result<Self, WireError> {
        let metadata = |pairs: Vec<(&str, &str)>| {
            let pairs = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
            Metadata::new(pairs).map_err(|e| WireError::Body { reason: e.to_string() })
        };
        let gone_for = Duration::from_secs(u64::from(wire.gone_s));
        Ok(Self {
            update: Update::try_from(wire.update)?,
            metadata: wire.metadata.map(metadata).transpose()?,
            gone_for,
        })
    }
}

fn encode_entries(entries: &[Entry]) -> Vec<u8> {
    bytes_of(&entries.iter().take(MEMBERS_MAX).map(WireEntry::new).collect::<Vec<_>>())
}

fn decode_entries(bytes: &[u8]) -> Result<Vec<Entry>, WireError> {
    entries_of(body(bytes)?)
}

fn entries_of(wire: Vec<WireEntry<'_>>) -> Result<Vec<Entry>, WireError> {
    if wire.len() > MEMBERS_MAX {
        return Err(WireError::Range { field: "count of members", found: wire.len() as u64 });
    }
    wire.into_iter().map(Entry::try_from).collect()
}

impl Request {
    /// Kind and body.
    #[must_use]
    pub fn encode(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Join(entry) => (JOIN, bytes_of(&WireEntry::new(entry))),
            Self::Sync { root } => (SYNC, bytes_of(root)),
            Self::Compare { buckets, entries } => {
                let wire: Vec<WireEntry<'_>> = entries.iter().take(MEMBERS_MAX).map(WireEntry::new).collect();
                (COMPARE, bytes_of(&(buckets, wire)))
            }
            Self::Push(entries) => (PUSH, encode_entries(entries)),
            Self::Probe => (PROBE, Vec::new()),
            Self::Metadata(node) => (METADATA, bytes_of(&node.as_str())),
        }
    }

    /// Decodes a frame.
    ///
    /// # Errors
    /// An unknown kind, or a body that is not what its kind says.
    pub fn decode(kind: u16, bytes: &[u8]) -> Result<Self, WireError> {
        Ok(match kind {
            JOIN => Self::Join(Entry::try_from(body::<WireEntry<'_>>(bytes)?)?),
            SYNC => Self::Sync { root: body(bytes)? },
            COMPARE => {
                let (buckets, wire): (BTreeSet<u8>, Vec<WireEntry<'_>>) = body(bytes)?;
                Self::Compare { buckets, entries: entries_of(wire)? }
            }
            PUSH => Self::Push(decode_entries(bytes)?),
            PROBE => Self::Probe,
            METADATA => Self::Metadata(NodeId::new(body(bytes)?)?),
            kind => return Err(WireError::Kind { kind }),
        })
    }
}

impl Answer {
    /// Kind and body.
    #[must_use]
    pub fn encode(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Entries(entries) => (ENTRIES, encode_entries(entries)),
            Self::Buckets(buckets) => (BUCKETS, buckets.iter().flat_map(|bucket| bucket.to_le_bytes()).collect()),
            Self::Same => (SAME, Vec::new()),
            Self::Here => (HERE, Vec::new()),
        }
    }

    /// Decodes a frame.
    ///
    /// # Errors
    /// An unknown kind, or a body that is not what its kind says.
    pub fn decode(kind: u16, bytes: &[u8]) -> Result<Self, WireError> {
        Ok(match kind {
            ENTRIES => Self::Entries(decode_entries(bytes)?),
            // Fixed width: they are hashes, which a variable length would only make longer.
            BUCKETS if bytes.len() == 8 * crate::digest::BUCKETS => {
                let (words, _) = bytes.as_chunks::<8>();
                Self::Buckets(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
            }
            BUCKETS => return Err(WireError::Range { field: "bytes of buckets", found: bytes.len() as u64 }),
            SAME => Self::Same,
            HERE => Self::Here,
            kind => return Err(WireError::Kind { kind }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::{Claim, Incarnation, Life};
    use proptest::prelude::*;

    fn entry(name: &str) -> Entry {
        let claim = Claim::alive(
            name.parse().unwrap(),
            Life::from_raw(7),
            Incarnation::from_raw(9),
            "[::1]:7000".parse().unwrap(),
        );
        let metadata = Metadata::new([("zone".to_owned(), "eu".to_owned())]).unwrap();
        Entry { update: Update { claim, vote: None }, metadata: Some(metadata), gone_for: Duration::from_secs(90) }
    }

    #[test]
    fn golden_bytes_and_round_trips() {
        let requests = [
            Request::Join(entry("a")),
            Request::Sync { root: [7; 16] },
            Request::Compare { buckets: BTreeSet::from([3, 200]), entries: vec![entry("a")] },
            Request::Push(vec![entry("a"), Entry { metadata: None, ..entry("b") }]),
            Request::Probe,
            Request::Metadata("a".parse().unwrap()),
        ];
        let answers = [
            Answer::Entries(vec![entry("c")]),
            Answer::Same,
            Answer::Here,
            Answer::Buckets((0..256).map(|i| i << 56 | i).collect()),
        ];
        let mut golden = String::new();
        for request in requests {
            let (kind, bytes) = request.encode();
            golden += &format!("{kind} {bytes:02x?}\n");
            assert_eq!(Request::decode(kind, &bytes), Ok(request));
        }
        for answer in answers {
            let (kind, bytes) = answer.encode();
            golden += &format!("{kind} {bytes:02x?}\n");
            assert_eq!(Answer::decode(kind, &bytes), Ok(answer));
        }
        insta::assert_snapshot!(golden);
    }

    #[test]
    fn a_liars_count_does_not_allocate() {
        // A count of 2^32 - 1 entries in five bytes, then nothing.
        let error = Request::decode(PUSH, &[0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap_err();
        assert!(error.to_string().contains("cannot be decoded"), "{error}");
        assert_eq!(Request::decode(ENTRIES, &[]), Err(WireError::Kind { kind: ENTRIES }));
        assert_eq!(Answer::decode(JOIN, &[]), Err(WireError::Kind { kind: JOIN }));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind in 30u16..45, bytes: Vec<u8>) {
            let _ = Request::decode(kind, &bytes);
            let _ = Answer::decode(kind, &bytes);
        }
    }
}
