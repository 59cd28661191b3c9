//! Requests and answers on streams: joining, comparing views, fetching metadata, and the probe of last resort.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_types::limits::MEMBERS_MAX;
use cluster_types::{Metadata, NodeId};
use serde::{Deserialize, Serialize};

use super::update::Update;
use super::{Read, WireError, body, bytes_of};
use crate::seal::{CERTIFICATE_LEN_MAX, CertificateTag};

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
    /// Which certificates have these tags?
    Certificates(Vec<CertificateTag>),
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
    /// Of the certificates asked for those that are held here.
    Certificates(Vec<Vec<u8>>),
    /// I do not know what you ask: I am of an older version.
    Unsupported,
}

const JOIN: u16 = 32;
const SYNC: u16 = 33;
const PUSH: u16 = 34;
const PROBE: u16 = 35;
const METADATA: u16 = 36;
const COMPARE: u16 = 37;
const CERTIFICATES: u16 = 38;
const ENTRIES: u16 = 40;
const SAME: u16 = 41;
const HERE: u16 = 42;
const BUCKETS: u16 = 43;
const UNSUPPORTED: u16 = 44;
const HELD: u16 = 45;

/// How many certificates are asked for at once.
pub const CERTIFICATES_MAX: usize = 16;

/// In lists with its length in front.
#[derive(Serialize, Deserialize)]
struct WireEntry<'a> {
    update: &'a [u8],
    #[serde(borrow)]
    metadata: Option<Vec<(&'a str, &'a str)>>,
    gone_s: u32,
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        bytes_of(&WireEntry {
            update: &self.update.encode(),
            metadata: self.metadata.as_ref().map(|metadata| metadata.iter().collect()),
            gone_s: u32::try_from(self.gone_for.as_secs()).unwrap_or(u32::MAX),
        })
    }

    /// Reads one entry; `None` where its update says something that this version does not know.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let wire: WireEntry<'_> = body(bytes)?;
        let metadata = |pairs: Vec<(&str, &str)>| {
            let pairs = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
            Metadata::new(pairs).map_err(|e| WireError::Body { reason: e.to_string() })
        };
        let metadata = wire.metadata.map(metadata).transpose()?;
        let gone_for = Duration::from_secs(u64::from(wire.gone_s));
        Ok(Update::decode(wire.update)?.map(|update| Self { update, metadata, gone_for }))
    }
}

/// A list as it goes onto the wire, each entry with its length.
fn list_of(entries: &[Entry]) -> Vec<Vec<u8>> {
    entries.iter().take(MEMBERS_MAX).map(Entry::encode).collect()
}

fn decode_entries(bytes: &[u8]) -> Result<Read<Vec<Entry>>, WireError> {
    // Its count comes first, and is looked at before anything is made of it.
    if let Ok((count, _)) = postcard::take_from_bytes::<u64>(bytes)
        && count > MEMBERS_MAX as u64
    {
        return Err(too_many(count));
    }
    entries_of(&body::<Vec<&[u8]>>(bytes)?)
}

const fn at_most(found: usize) -> Result<(), WireError> {
    if found > CERTIFICATES_MAX {
        return Err(WireError::Range { field: "count of certificates", found: found as u64 });
    }
    Ok(())
}

const fn too_many(found: u64) -> WireError {
    WireError::Range { field: "count of members", found }
}

/// The entries that are understood, and how many are not.
fn entries_of(wire: &[&[u8]]) -> Result<Read<Vec<Entry>>, WireError> {
    if wire.len() > MEMBERS_MAX {
        return Err(too_many(wire.len() as u64));
    }
    let read = wire.iter().map(|entry| Entry::decode(entry)).collect::<Result<Vec<_>, _>>()?;
    let skipped = read.iter().filter(|entry| entry.is_none()).count() as u64;
    Ok(Read { value: read.into_iter().flatten().collect(), skipped })
}

impl Request {
    /// Kind and body.
    #[must_use]
    pub fn encode(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Join(entry) => (JOIN, entry.encode()),
            Self::Sync { root } => (SYNC, bytes_of(root)),
            Self::Compare { buckets, entries } => (COMPARE, bytes_of(&(buckets, list_of(entries)))),
            Self::Push(entries) => (PUSH, bytes_of(&list_of(entries))),
            Self::Probe => (PROBE, Vec::new()),
            Self::Metadata(node) => (METADATA, bytes_of(&node.as_str())),
            // Fixed width, as buckets: they are hashes.
            Self::Certificates(tags) => {
                (CERTIFICATES, bytes_of(&tags.iter().map(|tag| tag.0.to_le_bytes()).collect::<Vec<[u8; 8]>>()))
            }
        }
    }

    /// Decodes a frame.
    ///
    /// # Errors
    /// An unknown kind, or a body that is not what its kind says.
    pub fn decode(kind: u16, bytes: &[u8]) -> Result<Read<Self>, WireError> {
        Ok(match kind {
            JOIN => Read::whole(Self::Join(Entry::decode(bytes)?.ok_or(WireError::Newcomer)?)),
            SYNC => Read::whole(Self::Sync { root: body(bytes)? }),
            COMPARE => {
                let (buckets, wire): (BTreeSet<u8>, Vec<&[u8]>) = body(bytes)?;
                entries_of(&wire)?.map(|entries| Self::Compare { buckets, entries })
            }
            PUSH => decode_entries(bytes)?.map(Self::Push),
            PROBE => Read::whole(Self::Probe),
            METADATA => Read::whole(Self::Metadata(NodeId::new(body(bytes)?)?)),
            CERTIFICATES => {
                let tags: Vec<[u8; 8]> = body(bytes)?;
                at_most(tags.len())?;
                let tags = tags.into_iter().map(u64::from_le_bytes).map(CertificateTag);
                Read::whole(Self::Certificates(tags.collect()))
            }
            kind => return Err(WireError::Kind { kind }),
        })
    }
}

impl Answer {
    /// Kind and body.
    #[must_use]
    pub fn encode(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Entries(entries) => (ENTRIES, bytes_of(&list_of(entries))),
            Self::Buckets(buckets) => (BUCKETS, buckets.iter().flat_map(|bucket| bucket.to_le_bytes()).collect()),
            Self::Same => (SAME, Vec::new()),
            Self::Here => (HERE, Vec::new()),
            Self::Certificates(held) => (HELD, bytes_of(held)),
            Self::Unsupported => (UNSUPPORTED, Vec::new()),
        }
    }

    /// Decodes a frame.
    ///
    /// # Errors
    /// An unknown kind, or a body that is not what its kind says.
    pub fn decode(kind: u16, bytes: &[u8]) -> Result<Read<Self>, WireError> {
        Ok(match kind {
            ENTRIES => decode_entries(bytes)?.map(Self::Entries),
            // Fixed width: they are hashes, which a variable length would only make longer.
            BUCKETS => {
                let short = WireError::Range { field: "bytes of buckets", found: bytes.len() as u64 };
                let (words, _) = bytes.get(..8 * crate::digest::BUCKETS).ok_or(short)?.as_chunks::<8>();
                Read::whole(Self::Buckets(words.iter().map(|word| u64::from_le_bytes(*word)).collect()))
            }
            SAME => Read::whole(Self::Same),
            HERE => Read::whole(Self::Here),
            HELD => {
                let held: Vec<&[u8]> = body(bytes)?;
                at_most(held.len())?;
                if let Some(long) = held.iter().find(|certificate| certificate.len() > CERTIFICATE_LEN_MAX) {
                    return Err(WireError::Range { field: "bytes of a certificate", found: long.len() as u64 });
                }
                Read::whole(Self::Certificates(held.into_iter().map(<[u8]>::to_vec).collect()))
            }
            UNSUPPORTED => Read::whole(Self::Unsupported),
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
        Entry { update: Update::unproven(claim), metadata: Some(metadata), gone_for: Duration::from_secs(90) }
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
            Request::Certificates(vec![CertificateTag(7), CertificateTag(300)]),
        ];
        let answers = [
            Answer::Entries(vec![entry("c")]),
            Answer::Same,
            Answer::Here,
            Answer::Certificates(vec![b"one".to_vec(), Vec::new()]),
            Answer::Unsupported,
            Answer::Buckets((0..256).map(|i| i << 56 | i).collect()),
        ];
        let mut golden = String::new();
        for request in requests {
            let (kind, bytes) = request.encode();
            golden += &format!("{kind} {bytes:02x?}\n");
            assert_eq!(Request::decode(kind, &bytes), Ok(Read::whole(request)));
        }
        for answer in answers {
            let (kind, bytes) = answer.encode();
            golden += &format!("{kind} {bytes:02x?}\n");
            assert_eq!(Answer::decode(kind, &bytes), Ok(Read::whole(answer)));
        }
        insta::assert_snapshot!(golden);
    }

    #[test]
    fn a_liars_count_does_not_allocate() {
        // A count of 2^32 - 1 entries in five bytes, then nothing.
        let error = Request::decode(PUSH, &[0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap_err();
        assert_eq!(error, WireError::Range { field: "count of members", found: u64::from(u32::MAX) });
        assert_eq!(Request::decode(ENTRIES, &[]), Err(WireError::Kind { kind: ENTRIES }));
        assert_eq!(Answer::decode(JOIN, &[]), Err(WireError::Kind { kind: JOIN }));
        assert!(!WireError::Kind { kind: JOIN }.is_unknown_kind(), "it is known, and belongs elsewhere");
        assert!(Answer::decode(46, &[]).unwrap_err().is_unknown_kind());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind in 30u16..46, bytes: Vec<u8>) {
            let _ = Request::decode(kind, &bytes);
            let _ = Answer::decode(kind, &bytes);
        }
    }
}
