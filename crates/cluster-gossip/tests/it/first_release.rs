//! The bytes of the first release, frozen: whatever is added later, they are understood as they were meant.
//!
//! The golden bytes beside the codecs say what is written today, and change with it. `first_release.txt` never changes.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_gossip::seal::{CertificateTag, Proof};
use cluster_gossip::wire::{Answer, Datagram, DatagramKind, Entry, Read, Request, Update, Vote};
use cluster_types::{Claim, Facts, Features, Incarnation, Life, Metadata, NodeId, State};

use crate::hand::{ms, node};

const FROZEN: &str = include_str!("first_release.txt");

fn frozen() -> BTreeMap<&'static str, Vec<u8>> {
    let lines = FROZEN.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    let byte = |text| u8::from_str_radix(text, 16).expect("two hexadecimal digits");
    lines.map(|(what, bytes)| (what, bytes.split_whitespace().map(byte).collect())).collect()
}

fn claim(name: &str, state: State) -> Claim {
    Claim {
        node: node(name),
        life: Life::from_raw(0x1122_3344_5566),
        incarnation: Incarnation::from_unix_ms(1_795_000_000_000),
        state,
        meta_version: 3,
        addr: "10.1.2.3:7000".parse().expect("an address"),
        facts: Facts::NONE,
    }
}

/// One that is alive, and one that is suspected and knows feature 0 of the fabric, feature 1 of the application, and more.
fn updates() -> Vec<Update> {
    let facts = Facts::decode(&[1, 2, 0xfa, 0xce]).expect("short enough");
    assert_eq!(facts.features(), Features::from_bits(1, 2));
    let vote = Vote {
        accuser: node("judge"),
        life: Life::from_raw(0x77),
        sign_ms: 300,
        silence: ms(1_500),
        unanswered: ms(700),
        age: ms(40),
    };
    let suspect = Claim { facts, ..claim("b", State::Suspect) };
    vec![Update::unproven(claim("a", State::Alive)), Update { claim: suspect, vote: Some(vote), proof: Some(proof()) }]
}

/// By certificate 0x0102030405060708.
fn proof() -> Proof {
    Proof::new(CertificateTag(0x0102_0304_0506_0708), &[7; 64])
}

#[test]
fn datagrams_of_the_first_release_are_understood() {
    use DatagramKind::{Ack, Gossip, Leave, LeaveAck, Nack, Ping, PingReq, Relayed};
    let frozen = frozen();
    let plain = |kind, seq, updates: Vec<Update>| Datagram {
        kind,
        seq,
        target: None,
        turn: None,
        unwell: false,
        updates,
        broadcasts: Vec::new(),
        skipped: 0,
    };
    let full =
        [Ping, Ack, Relayed, Nack, Leave, LeaveAck].map(|kind| (format!("{kind:?}"), plain(kind, 300, updates())));
    let target = Some(node("x"));
    let others = [
        ("PingReq".to_owned(), Datagram { target, ..plain(PingReq, 300, Vec::new()) }),
        ("Gossip".to_owned(), plain(Gossip, 300, Vec::new())),
        (
            "Ack with a turn, unwell".to_owned(),
            Datagram { turn: Some(ms(9_700)), unwell: true, ..plain(Ack, 300, Vec::new()) },
        ),
    ];
    for (what, meant) in full.into_iter().chain(others) {
        assert_eq!(Datagram::decode(&frozen[what.as_str()]).as_ref(), Ok(&meant), "{what}");
    }
    let shouted = Datagram::decode(&frozen["Gossip with a broadcast"]).expect("a datagram");
    let broadcast = shouted.broadcasts.first().expect("one");
    let id = (broadcast.id.origin.as_str(), broadcast.id.life, broadcast.id.seq);
    assert_eq!((id, &broadcast.payload[..]), (("a", Life::from_raw(5), 300), &b"hello"[..]));
}

fn entry(name: &str, metadata: bool) -> Entry {
    let addr = "[::1]:7000".parse().expect("an address");
    let claim = Claim::alive(node(name), Life::from_raw(7), Incarnation::from_raw(9), addr);
    let zone = Metadata::new([("zone".to_owned(), "eu".to_owned())]).expect("short enough");
    Entry { update: Update::unproven(claim), metadata: metadata.then_some(zone), gone_for: Duration::from_secs(90) }
}

#[test]
fn exchanges_of_the_first_release_are_understood() {
    let frozen = frozen();
    let tags = vec![CertificateTag(7), CertificateTag(300)];
    let asked: [(u16, Request); 7] = [
        (38, Request::Certificates(tags)),
        (32, Request::Join(entry("a", true))),
        (33, Request::Sync { root: [7; 16] }),
        (37, Request::Compare { buckets: [3, 200].into(), entries: vec![entry("a", true)] }),
        (34, Request::Push(vec![entry("a", true), entry("b", false)])),
        (35, Request::Probe),
        (36, Request::Metadata(NodeId::new("a").expect("a name"))),
    ];
    for (kind, value) in asked {
        let read = Request::decode(kind, &frozen[kind.to_string().as_str()]);
        assert_eq!(read, Ok(Read { value, skipped: 0 }), "{kind}");
    }
    let answered = [
        (40, Answer::Entries(vec![entry("c", true)])),
        (41, Answer::Same),
        (42, Answer::Here),
        (43, Answer::Buckets((0..256).map(|i| i << 56 | i).collect())),
        (44, Answer::Unsupported),
        (45, Answer::Certificates(vec![b"one".to_vec(), Vec::new()])),
    ];
    for (kind, value) in answered {
        let read = Answer::decode(kind, &frozen[kind.to_string().as_str()]);
        assert_eq!(read, Ok(Read { value, skipped: 0 }), "{kind}");
    }
}
