//! A core in the hand: peers are played by the test, time is moved by the test, outputs are read as sentences.

use std::sync::Arc;
use std::time::Duration;

use cluster_gossip::wire::{Datagram, DatagramKind, DatagramWriter, Update, Vote};
use cluster_gossip::{NoSeal, Output, PeerInfo, Seal, Statement, Swim, SwimConfig};
use cluster_types::{Claim, Incarnation, Instant, Life, Metadata, NodeId, Seed, State};

pub(crate) const BOOT_MS: u64 = 1_795_000_000_000;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().expect("a name")
}

/// The claim that a peer makes of itself.
pub(crate) fn alive(name: &str) -> Claim {
    let port = 1_000 + u16::from(name.as_bytes()[0]);
    let addr = std::net::SocketAddr::from(([10, 0, 0, 1], port));
    Claim::alive(node(name), Life::new(BOOT_MS, 7), Incarnation::from_unix_ms(BOOT_MS), addr)
}

pub(crate) fn state(claim: Claim, state: State) -> Claim {
    Claim { state, ..claim }
}

pub(crate) fn raised(claim: Claim, by: u64) -> Claim {
    Claim { incarnation: Incarnation::from_raw(claim.incarnation.get() + by), ..claim }
}

/// Node "m" and everything it has put out since the last look.
pub(crate) struct Hand {
    pub(crate) swim: Swim,
    pub(crate) now: Instant,
    outputs: Vec<Output>,
}

impl Hand {
    /// Node "m" with these peers known and linked.
    pub(crate) fn with(peers: &[&str]) -> Self {
        Self::sealed(peers, Arc::new(NoSeal))
    }

    /// As [`with`](Self::with), and it asks for signatures.
    pub(crate) fn sealed(peers: &[&str], seal: Arc<dyn Seal>) -> Self {
        Self::named("m", peers, seal)
    }

    /// As [`sealed`](Self::sealed), under another name.
    pub(crate) fn named(own: &str, peers: &[&str], seal: Arc<dyn Seal>) -> Self {
        let cluster = "test".parse().expect("a name");
        let now = Instant::ORIGIN;
        let swim = Swim::new(SwimConfig::lan(), &cluster, alive(own), Metadata::default(), BOOT_MS, Seed::new(5), now);
        let swim = swim.with_seal(seal);
        let mut hand = Self { swim, now, outputs: Vec::new() };
        for peer in peers {
            hand.link(peer);
            hand.hear(peer, &[alive(peer)]);
        }
        hand.read();
        hand
    }

    pub(crate) fn link(&mut self, peer: &str) {
        self.swim.handle_link_up(self.now, PeerInfo::from(&alive(peer)));
    }

    /// A datagram from a peer.
    pub(crate) fn receive(
        &mut self,
        from: &str,
        kind: DatagramKind,
        seq: u64,
        target: Option<&str>,
        updates: &[Update],
    ) {
        let target = target.map(node);
        let mut writer = DatagramWriter::new(kind, seq, target.as_ref());
        assert!(updates.iter().all(|update| writer.push(update)));
        self.swim.handle_datagram(self.now, &node(from), &writer.finish());
    }

    /// Gossip from a peer.
    pub(crate) fn hear(&mut self, from: &str, claims: &[Claim]) {
        let updates: Vec<Update> = claims.iter().map(|claim| Update::unproven(claim.clone())).collect();
        self.receive(from, DatagramKind::Gossip, 0, None, &updates);
    }

    /// Gossip of an accusation.
    pub(crate) fn hear_vote(&mut self, from: &str, subject: Claim, accuser: &str, silent: Duration) {
        // As if the accuser's clock showed what this node's does.
        let sign_ms =
            u64::try_from((self.now - silent).since_origin().as_millis()).expect("less than half a billion years");
        self.hear_copy(from, subject, (accuser, sign_ms), silent);
    }

    /// Gossip of an accusation that counts from this sign, by the accuser's clock.
    pub(crate) fn hear_copy(&mut self, from: &str, subject: Claim, (accuser, sign_ms): (&str, u64), silent: Duration) {
        self.hear_aged(from, subject, (accuser, sign_ms), (silent, Duration::ZERO));
    }

    /// As [`hear_copy`](Self::hear_copy), of a vote that was signed a while ago, as `from` says.
    pub(crate) fn hear_aged(
        &mut self,
        from: &str,
        subject: Claim,
        (accuser, sign_ms): (&str, u64),
        (silent, age): (Duration, Duration),
    ) {
        let life = Life::new(1, 1);
        let vote = Vote { accuser: node(accuser), life, sign_ms, silence: silent, unanswered: silent, age };
        let update = Update { claim: state(subject, State::Suspect), vote: Some(vote), proof: None };
        self.receive(from, DatagramKind::Gossip, 0, None, &[update]);
    }

    /// Moves time to the next deadline, and through it.
    pub(crate) fn step(&mut self) {
        self.now = self.now.max(self.swim.next_deadline());
        self.swim.handle_timeout(self.now);
    }

    /// Steps until `span` has passed. Peers that are named answer every ping at once.
    pub(crate) fn pass(&mut self, span: Duration, answering: &[&str]) {
        let until = self.now + span;
        while self.swim.next_deadline() <= until {
            self.step();
            self.answer_pings(answering);
        }
        self.now = until;
    }

    fn answer_pings(&mut self, answering: &[&str]) {
        self.collect();
        let pings: Vec<(String, u64)> = self.outputs.iter().filter_map(sent).filter_map(ping).collect();
        self.outputs
            .retain(|output| sent(output).and_then(ping).is_none_or(|(to, _)| !answering.contains(&to.as_str())));
        for (to, seq) in pings {
            if answering.contains(&to.as_str()) {
                self.receive(&to, DatagramKind::Ack, seq, None, &[]);
            }
        }
    }

    fn collect(&mut self) {
        while let Some(output) = self.swim.poll_output() {
            self.outputs.push(output);
        }
    }

    /// Everything put out since the last look.
    pub(crate) fn read(&mut self) -> Vec<Output> {
        self.collect();
        std::mem::take(&mut self.outputs)
    }

    /// The datagrams among it: to whom and what.
    pub(crate) fn sent(&mut self) -> Vec<(String, Datagram)> {
        self.read().iter().filter_map(sent).collect()
    }

    /// The statements among it.
    pub(crate) fn published(&mut self) -> Vec<Statement> {
        let published = |output| if let Output::Publish(statement) = output { Some(statement) } else { None };
        self.read().into_iter().filter_map(published).collect()
    }
}

fn sent(output: &Output) -> Option<(String, Datagram)> {
    match output {
        Output::Datagram { to, bytes } => {
            Some((to.to_string(), Datagram::decode(bytes).expect("what we send decodes")))
        }
        _ => None,
    }
}

fn ping((to, datagram): (String, Datagram)) -> Option<(String, u64)> {
    (datagram.kind == DatagramKind::Ping).then_some((to, datagram.seq))
}
