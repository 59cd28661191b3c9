//! What fuzzing does with bytes. Here and not in the targets, so that the committed corpus runs on stable as an ordinary test.

use std::time::Duration;

use cluster_types::{Claim, Incarnation, Instant, Life, Metadata, NodeId, Seed, State};

use crate::wire::{Answer, Datagram, DatagramKind, DatagramWriter, Read, Request, Update, Vote};
use crate::{Output, PeerInfo, RequestToken, Swim, SwimConfig};

/// A datagram is decoded or refused; one that is decoded has updates that fit into a datagram again.
pub fn datagram(bytes: &[u8]) {
    let Ok(datagram) = Datagram::decode(bytes) else { return };
    let mut writer = DatagramWriter::new(datagram.kind, datagram.seq, datagram.target.as_ref());
    for update in &datagram.updates {
        writer.push(update);
    }
    let again = Datagram::decode(&writer.finish()).expect("what we write is read");
    assert!(again.updates.iter().zip(&datagram.updates).all(|(again, first)| again == first));
}

/// A request or an answer is decoded or refused; one that is decoded is written and read as the same.
pub fn exchange(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else { return };
    let kind = u16::from(*kind);
    if let Ok(request) = Request::decode(kind, body) {
        let (kind, body) = request.value.encode();
        assert_eq!(Request::decode(kind, &body), Ok(Read { skipped: 0, ..request }));
    }
    if let Ok(answer) = Answer::decode(kind, body) {
        let (kind, body) = answer.value.encode();
        assert_eq!(Answer::decode(kind, &body), Ok(Read { skipped: 0, ..answer }));
    }
}

/// Takes bytes as a script, one byte an operation and the next ones its operands, and puts a core through it.
pub fn core(bytes: &[u8]) {
    let mut script = Script { bytes, core: new_core(), now: Instant::ORIGIN, pending: Vec::new() };
    while script.step().is_some() {
        script.drain();
    }
}

const PEERS: u8 = 6;
const BOOT_MS: u64 = 1_795_000_000_000;

fn name(i: u8) -> NodeId {
    NodeId::new(&format!("p{}", i % PEERS)).expect("a name")
}

fn claim(i: u8) -> Claim {
    let addr = std::net::SocketAddr::from(([10, 0, 0, i % PEERS], 7_000));
    Claim::alive(name(i), Life::new(BOOT_MS, u32::from(i % PEERS)), Incarnation::from_unix_ms(BOOT_MS), addr)
}

fn new_core() -> Swim {
    let cluster = "fuzz".parse().expect("a name");
    Swim::new(SwimConfig::lan(), &cluster, claim(0), Metadata::default(), BOOT_MS, Seed::new(1), Instant::ORIGIN)
}

struct Script<'a> {
    bytes: &'a [u8],
    core: Swim,
    now: Instant,
    pending: Vec<RequestToken>,
}

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn take(&mut self, len: u8) -> Vec<u8> {
        let len = usize::from(len).min(self.bytes.len());
        let (taken, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        taken.to_vec()
    }

    fn info(i: u8) -> PeerInfo {
        PeerInfo::from(&claim(i))
    }

    fn step(&mut self) -> Option<()> {
        let operation = self.byte()?;
        let peer = self.byte()?;
        let (node, now) = (name(peer), self.now);
        match operation % 11 {
            0 => {
                let len = self.byte()?;
                let bytes = self.take(len);
                self.core.handle_datagram(now, &node, &bytes);
            }
            1 => self.gossip(peer)?,
            2 => self.core.handle_link_up(now, Self::info(peer)),
            3 => self.core.handle_link_down(now, &node, claim(peer).life),
            4 => {
                let gap = Duration::from_millis(u64::from(self.byte()?) * 100);
                self.now += gap;
                self.core.handle_gap(self.now, gap);
            }
            5 | 6 => self.pass(Duration::from_millis(u64::from(peer) * 50)),
            7 => {
                let (kind, len) = (self.byte()?, self.byte()?);
                let body = self.take(len);
                let _answer = self.core.handle_request(now, &Self::info(peer), u16::from(kind), &body);
            }
            8 => {
                let (kind, len) = (self.byte()?, self.byte()?);
                let body = self.take(len);
                if let Some(token) = self.pending.pop() {
                    let outcome = if len == 0 { Err("lost".into()) } else { Ok((u16::from(kind), body)) };
                    self.core.handle_answer(now, token, outcome);
                }
            }
            9 => self.core.handle_unreachable(now, &node),
            _ => {
                if peer == 255 {
                    self.core.leave(now);
                }
            }
        }
        Some(())
    }

    /// A well-formed message: kind, number, and one update with or without a vote.
    fn gossip(&mut self, from: u8) -> Option<()> {
        const KINDS: [DatagramKind; 5] =
            [DatagramKind::Gossip, DatagramKind::Ping, DatagramKind::Ack, DatagramKind::Nack, DatagramKind::Leave];
        let (kind, about, state, raise) = (self.byte()?, self.byte()?, self.byte()?, self.byte()?);
        let base = claim(about);
        let incarnation = Incarnation::from_raw(base.incarnation.get() + u64::from(raise));
        let claim = Claim { state: State::ALL[usize::from(state % 4)], incarnation, ..base };
        let silence = Duration::from_millis(u64::from(raise) * 100);
        let vote = (state >= 128).then(|| Vote {
            accuser: name(raise),
            life: Life::new(1, u32::from(raise)),
            sign_ms: u64::from(state),
            silence,
            unanswered: silence,
            age: silence,
        });
        let mut writer = DatagramWriter::new(KINDS[usize::from(kind % 5)], u64::from(raise), None);
        writer.push(&Update { claim, vote, proof: None });
        self.core.handle_datagram(self.now, &name(from), &writer.finish());
        Some(())
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        let mut turns = 0;
        while self.core.next_deadline() <= until {
            self.now = self.now.max(self.core.next_deadline());
            self.core.handle_timeout(self.now);
            self.drain();
            turns += 1;
            assert!(turns < 10_000, "it spins");
        }
        self.now = until;
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            if let Output::Request { token, .. } = output {
                self.pending.push(token);
            }
        }
        assert!(self.core.stats().over_limit == 0, "six names do not fill a view");
        let excess = self.pending.len().saturating_sub(64);
        self.pending.drain(..excess);
    }
}
