//! Datagrams: probes, their answers, gossip, and the farewell.
//!
//! ```text
//! envelope | seq (varint) | target name (length + bytes, empty unless ping-req) | turn (varint ms) | flags
//!          | count | updates, each with its length ... | count | broadcasts, each with its length ... | what is not known here
//! ```

use std::time::Duration;

use cluster_types::limits::DATAGRAM_LEN_MAX;
use cluster_types::{Envelope, Life, NodeId};
use serde::{Deserialize, Serialize};

use super::update::Update;
use super::{WireError, body, bytes_of};
use crate::user_news::{BROADCAST_LEN_MAX, Broadcast, BroadcastId};

/// Most updates in one datagram. Written as one byte.
pub const UPDATES_MAX: usize = 20;

/// The longest broadcast on the wire: its length, a name of 64 with its length, two numbers of at most 10, and the payload with its
/// length.
const BROADCAST_WIRE_LEN_MAX: usize = 2 + 65 + 10 + 10 + 2 + BROADCAST_LEN_MAX;

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramKind {
    /// Are you there?
    Ping,
    /// I am here.
    Ack,
    /// Please ask the target for me.
    PingReq,
    /// The target answered me; this is for the ping-req of that number.
    Relayed,
    /// The target did not answer me either.
    Nack,
    /// Only news.
    Gossip,
    /// I am leaving; please say that you heard.
    Leave,
    /// I heard that you are leaving.
    LeaveAck,
}

impl DatagramKind {
    const ALL: [(u16, Self); 8] = [
        (16, Self::Ping),
        (17, Self::Ack),
        (18, Self::PingReq),
        (19, Self::Relayed),
        (20, Self::Nack),
        (21, Self::Gossip),
        (22, Self::Leave),
        (23, Self::LeaveAck),
    ];

    /// The kind of an encoded datagram, without a look at the rest; `None` where it is none.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let (envelope, _) = Envelope::parse(bytes, DATAGRAM_LEN_MAX).ok()?;
        Self::ALL.iter().find(|(number, _)| *number == envelope.kind).map(|(_, kind)| *kind)
    }

    /// Whether it answers another one.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Ack | Self::Relayed | Self::Nack | Self::LeaveAck)
    }

    fn number(self) -> u16 {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or(0, |(number, _)| *number)
    }
}

/// A decoded datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// What it is.
    pub kind: DatagramKind,
    /// Ties an answer to its question; 0 where there is none.
    pub seq: u64,
    /// Who is to be asked, for a ping-req.
    pub target: Option<NodeId>,
    /// In an ack: how long until the subject wants to be probed by the same observer again. A millisecond at least.
    pub turn: Option<Duration>,
    /// In an ack: the subject says that its application is not well.
    pub unwell: bool,
    /// What came along.
    pub updates: Vec<Update>,
    /// Broadcasts of users that came along.
    pub broadcasts: Vec<Broadcast>,
    /// How many updates came along that say something which this version does not know. They are left out.
    pub skipped: u64,
}

/// The flag of an ack that says that the application is not well. The others are for later and ignored.
const UNWELL: u8 = 1;

#[derive(Serialize, Deserialize)]
struct WireDatagram<'a> {
    seq: u64,
    target: &'a str,
    turn_ms: u32,
    flags: u8,
    #[serde(borrow)]
    updates: Vec<&'a [u8]>,
    #[serde(borrow)]
    broadcasts: Vec<&'a [u8]>,
}

#[derive(Serialize, Deserialize)]
struct WireBroadcast<'a> {
    origin: &'a str,
    life: u64,
    seq: u64,
    payload: &'a [u8],
}

fn read_broadcast(bytes: &[u8]) -> Result<Broadcast, WireError> {
    let wire: WireBroadcast<'_> = body(bytes)?;
    if wire.payload.len() > BROADCAST_LEN_MAX {
        return Err(WireError::Range { field: "bytes of a broadcast", found: wire.payload.len() as u64 });
    }
    let id = BroadcastId { origin: NodeId::new(wire.origin)?, life: Life::from_raw(wire.life), seq: wire.seq };
    Ok(Broadcast { id, payload: wire.payload.into() })
}

impl Datagram {
    /// Decodes one datagram.
    ///
    /// # Errors
    /// Anything but exactly one well-formed datagram of a kind that is known.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (envelope, rest) = Envelope::parse(bytes, DATAGRAM_LEN_MAX)?;
        if !rest.is_empty() {
            return Err(WireError::Body { reason: format!("{} bytes after the message", rest.len()) });
        }
        let known = DatagramKind::ALL.iter().find(|(number, _)| *number == envelope.kind);
        let kind = known.ok_or(WireError::Kind { kind: envelope.kind })?.1;
        Self::decode_body(kind, envelope.body)
    }

    fn decode_body(kind: DatagramKind, bytes: &[u8]) -> Result<Self, WireError> {
        let wire: WireDatagram<'_> = body(bytes)?;
        at_most(UPDATES_MAX, "count of updates", wire.updates.len())?;
        at_most(UPDATES_MAX, "count of broadcasts", wire.broadcasts.len())?;
        let target = if wire.target.is_empty() { None } else { Some(NodeId::new(wire.target)?) };
        if target.is_some() != (kind == DatagramKind::PingReq) {
            return Err(WireError::Body { reason: "a target belongs to a ping-req and to nothing else".into() });
        }
        let mut updates = Vec::with_capacity(wire.updates.len());
        for update in &wire.updates {
            updates.extend(Update::decode(update)?);
        }
        let skipped = (wire.updates.len() - updates.len()) as u64;
        let turn = (wire.turn_ms > 0).then(|| Duration::from_millis(u64::from(wire.turn_ms)));
        let broadcasts = wire.broadcasts.iter().map(|bytes| read_broadcast(bytes)).collect::<Result<_, _>>()?;
        let unwell = wire.flags & UNWELL != 0;
        Ok(Self { kind, seq: wire.seq, target, turn, unwell, updates, broadcasts, skipped })
    }
}

const fn at_most(most: usize, field: &'static str, found: usize) -> Result<(), WireError> {
    if found > most { Err(WireError::Range { field, found: found as u64 }) } else { Ok(()) }
}

/// Builds a datagram, update by update, up to the limits.
#[derive(Debug)]
pub struct DatagramWriter {
    kind: DatagramKind,
    head: Vec<u8>,
    updates: Vec<u8>,
    count: u8,
    broadcasts: Vec<u8>,
    broadcast_count: u8,
    /// Bytes that updates leave for broadcasts.
    reserved: usize,
}

fn head(seq: u64, target: &str, turn_ms: u32, flags: u8) -> Vec<u8> {
    bytes_of(&(seq, target, turn_ms, flags))
}

impl DatagramWriter {
    /// An empty message.
    #[must_use]
    pub fn new(kind: DatagramKind, seq: u64, target: Option<&NodeId>) -> Self {
        let head = head(seq, target.map_or("", NodeId::as_str), 0, 0);
        Self::with_head(kind, head)
    }

    const fn with_head(kind: DatagramKind, head: Vec<u8>) -> Self {
        Self { kind, head, updates: Vec::new(), count: 0, broadcasts: Vec::new(), broadcast_count: 0, reserved: 0 }
    }

    /// Leaves room for one broadcast of users at least, whatever there is to say of members.
    #[must_use]
    pub const fn reserving_for_broadcasts(mut self) -> Self {
        self.reserved = BROADCAST_WIRE_LEN_MAX;
        self
    }

    /// An ack: when the observer's next turn is, and whether the application is well.
    #[must_use]
    pub fn ack(seq: u64, turn: Option<Duration>, unwell: bool) -> Self {
        // Zero stands for none, so a turn that is nearer than a millisecond is a millisecond away.
        let turn_ms = turn.map_or(0, |turn| u32::try_from(turn.as_millis()).unwrap_or(u32::MAX).max(1));
        let head = head(seq, "", turn_ms, if unwell { UNWELL } else { 0 });
        Self::with_head(DatagramKind::Ack, head)
    }

    /// Adds an update if it fits; says whether it did.
    pub fn push(&mut self, update: &Update) -> bool {
        let bytes = bytes_of(&update.encode());
        let fits = self.len() + bytes.len() + self.reserved <= DATAGRAM_LEN_MAX;
        if fits && usize::from(self.count) < UPDATES_MAX {
            self.updates.extend_from_slice(&bytes);
            self.count += 1;
            return true;
        }
        false
    }

    /// Adds a broadcast of a user if it fits; says whether it did.
    pub fn push_broadcast(&mut self, broadcast: &Broadcast) -> bool {
        let Broadcast { id: BroadcastId { origin, life, seq }, payload } = broadcast;
        let wire = WireBroadcast { origin: origin.as_str(), life: life.get(), seq: *seq, payload };
        let bytes = bytes_of(&bytes_of(&wire));
        let fits = self.len() + bytes.len() <= DATAGRAM_LEN_MAX && usize::from(self.broadcast_count) < UPDATES_MAX;
        if fits {
            self.broadcasts.extend_from_slice(&bytes);
            self.broadcast_count += 1;
        }
        fits
    }

    fn len(&self) -> usize {
        // Below 128, a postcard length is its own byte: one for each of the two lists.
        cluster_types::envelope::HEADER_LEN + self.head.len() + 2 + self.updates.len() + self.broadcasts.len()
    }

    /// Whether it says anything beside its kind.
    #[must_use]
    pub const fn has_news(&self) -> bool {
        self.count > 0 || self.broadcast_count > 0
    }

    /// How many updates are in.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The finished datagram.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut body = self.head;
        body.push(self.count);
        body.extend_from_slice(&self.updates);
        body.push(self.broadcast_count);
        body.extend_from_slice(&self.broadcasts);
        Envelope { kind: self.kind.number(), body: &body }.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{CertificateTag, Proof};
    use crate::wire::Vote;
    use cluster_types::{Claim, Facts, Incarnation, State};
    use proptest::prelude::*;

    fn update(name: &str, vote: bool) -> Update {
        let claim = Claim {
            node: name.parse().unwrap(),
            life: Life::from_raw(0x1122_3344_5566),
            incarnation: Incarnation::from_unix_ms(1_795_000_000_000),
            state: if vote { State::Suspect } else { State::Alive },
            meta_version: 3,
            addr: "10.1.2.3:7000".parse().unwrap(),
            facts: if vote { Facts::decode(&[1, 2, 0xfa, 0xce]).unwrap() } else { Facts::NONE },
        };
        let vote = vote.then(|| Vote {
            accuser: "judge".parse().unwrap(),
            life: Life::from_raw(0x77),
            sign_ms: 300,
            silence: Duration::from_millis(1_500),
            unanswered: Duration::from_millis(700),
            age: Duration::from_millis(40),
        });
        let proof = vote.is_some().then(|| Proof::new(CertificateTag(0x0102_0304_0506_0708), &[7; 64]));
        Update { claim, vote, proof }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes
            .chunks(16)
            .map(|row| row.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ") + "\n")
            .collect()
    }

    fn write(kind: DatagramKind, seq: u64, target: Option<&str>, updates: &[Update]) -> Vec<u8> {
        let target: Option<NodeId> = target.map(|t| t.parse().unwrap());
        let mut writer = DatagramWriter::new(kind, seq, target.as_ref());
        assert!(updates.iter().all(|update| writer.push(update)));
        writer.finish()
    }

    /// The bytes on the wire, one of each kind: a change here is a change of protocol.
    #[test]
    fn golden_bytes() {
        let mut golden = String::new();
        for (number, kind) in DatagramKind::ALL {
            let target = (kind == DatagramKind::PingReq).then_some("x");
            let bytes =
                write(kind, 300, target, &[update("a", false), update("b", true)][..usize::from(number % 3 != 0) * 2]);
            golden += &format!("{kind:?}\n{}", hex(&bytes));
        }
        let dealt = DatagramWriter::ack(300, Some(Duration::from_millis(9_700)), true).finish();
        let id = BroadcastId { origin: "a".parse().unwrap(), life: Life::from_raw(5), seq: 300 };
        let broadcast = Broadcast { id, payload: b"hello".as_slice().into() };
        let mut writer = DatagramWriter::new(DatagramKind::Gossip, 0, None);
        assert!(writer.push_broadcast(&broadcast) && writer.has_news());
        let shouted = writer.finish();
        golden += &format!("Gossip with a broadcast\n{}", hex(&shouted));
        assert_eq!(Datagram::decode(&shouted).unwrap().broadcasts, [broadcast]);
        golden += &format!("Ack with a turn, unwell\n{}", hex(&dealt));
        insta::assert_snapshot!(golden);
        let read = Datagram::decode(&dealt).unwrap();
        assert_eq!((read.turn, read.unwell), (Some(Duration::from_millis(9_700)), true));
        let near = Datagram::decode(&DatagramWriter::ack(1, Some(Duration::ZERO), false).finish()).unwrap();
        assert_eq!((near.turn, near.unwell), (Some(Duration::from_millis(1)), false));
    }

    #[test]
    fn test_gossip_message_size_limit() {
        let updates: Vec<Update> = (0..50).map(|i| update(&format!("node-{i:03}"), false)).collect();
        let mut writer = DatagramWriter::new(DatagramKind::Gossip, 0, None);
        let fitted = updates.iter().take_while(|update| writer.push(update)).count();
        assert_eq!((fitted, writer.count()), (20, 20));
        let bytes = writer.finish();
        assert!(bytes.len() <= DATAGRAM_LEN_MAX, "{}", bytes.len());
        assert_eq!(Datagram::decode(&bytes).unwrap().updates, &updates[..20]);
    }

    /// However much there is to say of members, one broadcast of users finds room; and the other way round.
    #[test]
    fn neither_members_nor_users_crowd_out_the_others() {
        let long = |i: u64| {
            let id = BroadcastId {
                origin: format!("{i:064}").parse().unwrap(),
                life: Life::from_raw(u64::MAX),
                seq: u64::MAX - i,
            };
            Broadcast { id, payload: vec![7; BROADCAST_LEN_MAX].into() }
        };
        let mut writer = DatagramWriter::new(DatagramKind::Gossip, 0, None).reserving_for_broadcasts();
        let members = (0..50).take_while(|i| writer.push(&update(&format!("{i:064}"), true))).count();
        let users = (0..50).take_while(|i| writer.push_broadcast(&long(*i))).count();
        assert!(members >= 3 && users >= 1, "{members} and {users}");
        let bytes = writer.finish();
        assert!(bytes.len() <= DATAGRAM_LEN_MAX, "{}", bytes.len());
        let read = Datagram::decode(&bytes).unwrap();
        assert_eq!((read.updates.len(), read.broadcasts.len()), (members, users));
    }

    #[test]
    fn long_names_fill_the_datagram_and_never_overflow_it() {
        let mut writer = DatagramWriter::new(DatagramKind::Ping, u64::MAX, None);
        let fitted = (0..50).take_while(|i| writer.push(&update(&format!("{i:064}"), true))).count();
        assert!((5..20).contains(&fitted), "{fitted}");
        let bytes = writer.finish();
        assert!(bytes.len() <= DATAGRAM_LEN_MAX);
        assert_eq!(Datagram::decode(&bytes).unwrap().updates.len(), fitted);
    }

    #[test]
    fn bad_datagrams_are_named() {
        let decode = |bytes: &[u8]| Datagram::decode(bytes).unwrap_err().to_string();
        let good = write(DatagramKind::Ping, 1, None, &[update("a", true)]);
        assert_eq!(decode(&[good.clone(), vec![0]].concat()), "the body cannot be decoded: 1 bytes after the message");
        assert_eq!(
            decode(&Envelope { kind: 99, body: &[0, 0, 0, 0, 0, 0] }.encode()),
            "message of kind 99 is not known here"
        );
        assert!(
            decode(&Envelope { kind: 18, body: &[0, 0, 0, 0, 0, 0] }.encode())
                .contains("a target belongs to a ping-req")
        );
        assert!(decode(&Envelope { kind: 16, body: &[0, 1, b'/', 0, 0, 0, 0] }.encode()).contains("cannot exist"));
        assert!(decode(&vec![1; 2_000]).contains("at most 1100 are accepted"));
        for cut in 0..good.len() {
            assert!(Datagram::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..1_200)) {
            let _ = Datagram::decode(&bytes);
        }

        #[test]
        fn no_flipped_byte_panics(at in 0usize..120, value: u8) {
            let mut bytes = write(DatagramKind::PingReq, 7, Some("t"), &[update("a", true), update("b", false)]);
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = Datagram::decode(&bytes);
        }
    }
}
