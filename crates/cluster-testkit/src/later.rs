//! A version from the future: what a node of a later release would put onto the wire, made from what today's puts there.
//!
//! Every message, every item of a list and every head gets one more field; beside the kinds of messages, frames, streams and states that
//! there are, there is one more of each. It restates `docs/wire.md` and calls nothing of the product's own codecs, so that a mistake there
//! is not made here as well.

mod bytes;
mod connection;

use cluster_types::envelope::{Envelope, HEADER_LEN};
use cluster_types::limits::DATAGRAM_LEN_MAX;
use cluster_types::{Facts, Feature};

use bytes::{Reader, put_sized, put_varint};
pub use connection::LaterTransport;

/// The field that is added.
pub const FIELD: &[u8] = b"+later";

/// A kind of message, of request, of answer and of frame that nobody knows today.
pub const KIND: u16 = 999;

/// The name of a member in a state that nobody knows today. Nobody may learn of it.
pub const MEMBER: &str = "later";

/// An update about [`MEMBER`]: life 1, incarnation 1, state 9, no metadata, 10.9.9.9:1, no vote, no facts, no proof.
const UPDATE: &[u8] = b"\x05later\x01\x01\x09\x00\x00\x0a\x09\x09\x09\x01\x00\x00\x00";

/// What a later node says of itself: a feature of its version, and a fact that only its version understands.
#[must_use]
pub fn facts() -> Facts {
    let mut bytes = Facts::of([Feature::fabric(31)].into_iter().flatten().collect()).encode();
    // No feature of the application.
    bytes.push(0);
    bytes.extend_from_slice(FIELD);
    Facts::decode(&bytes).unwrap_or_else(|e| panic!("{} bytes of facts: {e}", bytes.len()))
}

/// A datagram of a kind that nobody knows today.
#[must_use]
pub fn unknown_datagram() -> Vec<u8> {
    Envelope { kind: KIND, body: FIELD }.encode()
}

/// A datagram of today with more in it, where it fits: a later version would tell of less then.
#[must_use]
pub fn datagram(bytes: &[u8]) -> Vec<u8> {
    let grown = Envelope::parse(bytes, DATAGRAM_LEN_MAX).ok().and_then(|(envelope, _)| {
        let body = datagram_body(envelope.body)?;
        Some(Envelope { kind: envelope.kind, body: &body }.encode())
    });
    grown.filter(|grown| grown.len() <= DATAGRAM_LEN_MAX).unwrap_or_else(|| bytes.to_vec())
}

fn datagram_body(body: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(body);
    let mut head = Vec::new();
    put_varint(&mut head, reader.varint()?);
    put_sized(&mut head, reader.sized()?);
    put_varint(&mut head, reader.varint()?);
    head.push(*reader.take(1)?.first()?);
    let mut updates: Vec<Vec<u8>> = reader.list()?.into_iter().map(with_field).collect();
    if updates.len() < 20 {
        // Between those that are known, or first.
        updates.insert(updates.len() / 2, UPDATE.to_vec());
    }
    let broadcasts: Vec<Vec<u8>> = reader.list()?.into_iter().map(with_field).collect();
    Some([head, list_of(&updates), list_of(&broadcasts), with_field(reader.0)].concat())
}

fn with_field(bytes: &[u8]) -> Vec<u8> {
    [bytes, FIELD].concat()
}

fn list_of(items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, items.len() as u64);
    items.iter().for_each(|item| put_sized(&mut bytes, item));
    bytes
}

/// The body of a frame of today with more in it. A kind that is not known here stays as it is.
#[must_use]
pub fn body(kind: u16, body: &[u8]) -> Vec<u8> {
    let grown = match kind {
        // Hello, welcome, refusal; sync, probe, metadata; same, here, buckets, unsupported.
        1..=3 | 33 | 35 | 36 | 38 | 41..=45 => Some(with_field(body)),
        32 => entry(body).map(|entry| with_field(&entry)),
        34 | 40 => entries(&mut Reader(body)),
        37 => {
            let mut reader = Reader(body);
            let (before, count) = (reader.0.len(), reader.varint());
            count.and_then(|count| reader.take(usize::try_from(count).ok()?)).and_then(|_| {
                let buckets = &body[..before - reader.0.len()];
                Some([buckets.to_vec(), entries(&mut reader)?].concat())
            })
        }
        64..=67 | 70..=73 => body.split_first().and_then(|(len, rest)| {
            let (head, carried) = rest.split_at_checked(usize::from(*len))?;
            Some([&[len + FIELD.len() as u8][..], head, FIELD, carried].concat())
        }),
        _ => None,
    };
    grown.unwrap_or_else(|| body.to_vec())
}

fn entries(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let mut entries: Vec<Vec<u8>> = reader.list()?.into_iter().map(entry).collect::<Option<_>>()?;
    let mut unknown = Vec::new();
    put_sized(&mut unknown, UPDATE);
    // No metadata, gone for no time.
    unknown.extend_from_slice(&[0, 0]);
    entries.insert(entries.len() / 2, unknown);
    Some([list_of(&entries), FIELD.to_vec()].concat())
}

fn entry(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(bytes);
    let mut entry = Vec::new();
    put_sized(&mut entry, &with_field(reader.sized()?));
    entry.extend_from_slice(&with_field(reader.0));
    Some(entry)
}

/// What a later node writes for a whole frame of today.
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let Ok((Envelope { kind, body: today }, _)) = Envelope::parse(bytes, usize::MAX) else { return bytes.to_vec() };
    let frame = Envelope { kind, body: &body(kind, today) }.encode();
    let unknown = Envelope { kind: KIND, body: FIELD }.encode();
    match kind {
        // Where another frame may follow, one of another kind may be between.
        1..=3 | 65 | 66 | 67 | 71 | 72 => [unknown, frame].concat(),
        _ => frame,
    }
}

/// How long a frame is, once its header is there.
pub(crate) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER_LEN>()?;
    let (_, len) = cluster_types::envelope::parse_header(*header, usize::MAX).ok()?;
    Some(HEADER_LEN + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_gossip::seal::Proof;
    use cluster_gossip::wire::{Answer, Datagram, DatagramKind, DatagramWriter, Entry, Request, Update, Vote};
    use cluster_types::{Claim, Features, Incarnation, Life, Metadata, State};
    use proptest::prelude::*;
    use std::time::Duration;

    fn any_facts() -> impl Strategy<Value = Facts> {
        (any::<u32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(
            |(fabric, application, more)| {
                let mut bytes = Facts::of(Features::from_bits(fabric | 1, application | 1)).encode();
                bytes.extend_from_slice(&more);
                Facts::decode(&bytes).unwrap()
            },
        )
    }

    fn any_update() -> impl Strategy<Value = Update> {
        let vote = prop::option::of(("[a-z]{1,64}", any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>()));
        let proof = prop::option::of(prop::collection::vec(any::<u8>(), 9..80));
        let claim = ("[a-z]{1,64}", any::<u64>(), any::<u64>(), 0usize..4, any::<u32>(), any::<([u8; 4], u16)>());
        (claim, vote, prop_oneof![Just(Facts::NONE), any_facts()], proof).prop_map(|(claim, vote, facts, proof)| {
            let (name, life, incarnation, state, meta_version, (ip, port)) = claim;
            let ms = |ms: u32| Duration::from_millis(u64::from(ms));
            let claim = Claim {
                node: name.parse().unwrap(),
                life: Life::from_raw(life),
                incarnation: Incarnation::from_raw(incarnation),
                state: State::ALL[state],
                meta_version,
                addr: (ip, port).into(),
                facts,
            };
            let vote = vote.map(|(accuser, life, sign_ms, silence, unanswered)| Vote {
                accuser: accuser.parse().unwrap(),
                life: Life::from_raw(life),
                sign_ms,
                silence: ms(silence),
                unanswered: ms(unanswered),
                age: ms(silence / 2),
            });
            Update { claim, vote, proof: proof.and_then(|bytes| Proof::from_bytes(&bytes)) }
        })
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        (any_update(), any::<bool>(), any::<u32>()).prop_map(|(update, metadata, gone_s)| {
            let metadata = metadata.then(|| Metadata::new([("zone".to_owned(), "eu".to_owned())]).unwrap());
            Entry { update, metadata, gone_for: Duration::from_secs(u64::from(gone_s)) }
        })
    }

    proptest! {
        /// Whatever a datagram says, one of a later version that says the same is read as the same.
        #[test]
        fn a_later_datagram_is_read_as_todays(
            seq: u64, kind in 0usize..5, updates in prop::collection::vec(any_update(), 0..4),
        ) {
            use DatagramKind::{Gossip, Leave, Nack, Ping, Relayed};
            let mut writer = DatagramWriter::new([Gossip, Leave, Nack, Ping, Relayed][kind], seq, None);
            updates.iter().for_each(|update| assert!(writer.push(update)));
            let today = writer.finish();
            let later = datagram(&today);
            prop_assert!(later.len() > today.len());
            let (today, later) = (Datagram::decode(&today).unwrap(), Datagram::decode(&later).unwrap());
            prop_assert_eq!(&today.updates, &updates);
            prop_assert_eq!(later.skipped, 1, "the update of a kind that is not known");
            prop_assert_eq!(Datagram { skipped: 0, ..later }, today);
        }

        /// So are requests and answers.
        #[test]
        fn a_later_exchange_is_read_as_todays(
            entries in prop::collection::vec(any_entry(), 0..6), root: [u8; 16], buckets: std::collections::BTreeSet<u8>,
        ) {
            let lists = [Request::Push(entries.clone()), Request::Compare { buckets, entries: entries.clone() }];
            let join = entries.first().cloned().map(Request::Join);
            let plain = [Request::Sync { root }, Request::Probe, Request::Metadata("a".parse().unwrap())];
            for (request, skipped) in
                lists.into_iter().map(|r| (r, 1)).chain(plain.into_iter().chain(join).map(|r| (r, 0)))
            {
                let (kind, today) = request.encode();
                let read = Request::decode(kind, &body(kind, &today)).unwrap();
                prop_assert_eq!((read.value, read.skipped), (request, skipped));
            }
            let plain = [Answer::Same, Answer::Here, Answer::Unsupported, Answer::Buckets(vec![7; 256])];
            let answers = [(Answer::Entries(entries), 1)].into_iter().chain(plain.into_iter().map(|a| (a, 0)));
            for (answer, skipped) in answers {
                let (kind, today) = answer.encode();
                let read = Answer::decode(kind, &body(kind, &today)).unwrap();
                prop_assert_eq!((read.value, read.skipped), (answer, skipped));
            }
        }
    }

    #[test]
    fn kinds_of_a_later_version_are_unknown_and_not_malformed() {
        assert!(Datagram::decode(&unknown_datagram()).unwrap_err().is_unknown_kind());
        assert!(Request::decode(KIND, FIELD).unwrap_err().is_unknown_kind());
        assert!(Answer::decode(KIND, FIELD).unwrap_err().is_unknown_kind());
        assert_eq!((facts().unknown(), facts().features().fabric_bits()), (FIELD, 1 << 31));
    }
}
