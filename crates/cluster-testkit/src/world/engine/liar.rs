//! A member that lies: beside what its engine says, it says whatever the wire knows, about anybody and in any name, to whomever it is linked to.
//!
//! It holds a certificate of its own, so that everybody listens to it; it hears what a member hears, and says it again, changed or at another time;
//! it signs what it likes in its own name. What it cannot do is sign in another name.

use std::collections::VecDeque;
use std::time::Duration;

use cluster_gossip::Seal as _;
use cluster_gossip::seal::{CertificateTag, Proof, statement_of, statement_of_vote};
use cluster_gossip::wire::{Answer, Datagram, DatagramKind, DatagramWriter, Entry, Request, Update, Vote};
use cluster_types::seed::Draws;
use cluster_types::{Claim, Incarnation, Life, NodeId, State};

use super::{EngineWorld, Happening};

/// What it has heard, at most.
const HEARD_MAX: usize = 256;

/// Whoever is not heard for so long may be in trouble.
const QUIET: Duration = Duration::from_millis(1_200);

/// How often it lies: at most so much between two lies.
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// What it sends beside what its engine sends.
#[derive(Debug, Clone)]
enum Packet {
    Datagrams(Vec<Vec<u8>>),
    Request(u16, Vec<u8>),
}

/// Who lies in a world, and what it knows.
#[derive(Debug)]
pub(super) struct Liar {
    pub(super) node: usize,
    draws: Draws,
    /// What came, as it came.
    datagrams: VecDeque<Vec<u8>>,
    proofs: VecDeque<Proof>,
    claims: VecDeque<Claim>,
    /// How often it has lied.
    lies: u64,
}

impl Liar {
    fn draw(&mut self, below: usize) -> usize {
        usize::try_from(self.draws.below(below.max(1) as u64)).unwrap_or(0)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.draw(from.len())].clone()
    }

    /// Notes what came.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        keep(&mut self.datagrams, bytes.to_vec());
        let Ok(datagram) = Datagram::decode(bytes) else { return };
        for Update { claim, proof, .. } in datagram.updates {
            keep(&mut self.claims, claim);
            proof.into_iter().for_each(|proof| keep(&mut self.proofs, proof));
        }
    }
}

fn keep<T>(kept: &mut VecDeque<T>, one: T) {
    if kept.len() == HEARD_MAX {
        kept.pop_front();
    }
    kept.push_back(one);
}

impl EngineWorld {
    /// From now on a node lies, now and then, until it is told to be honest.
    pub fn begin_to_lie(&mut self, node: usize) {
        let draws = self.seed.derive("liar", node as u64).stream();
        let (datagrams, proofs, claims) = Default::default();
        self.liar = Some(Liar { node, draws, datagrams, proofs, claims, lies: 0 });
        self.push(self.now, Happening::Lie { node });
    }

    /// It is honest again.
    pub fn stop_lying(&mut self) {
        self.liar = None;
    }

    /// How often a node has lied so far.
    #[must_use]
    pub fn lies(&self) -> u64 {
        self.liar.as_ref().map_or(0, |liar| liar.lies)
    }

    /// One lie, and the time of the next.
    pub(super) fn lie(&mut self, node: usize) {
        let Some(mut liar) = self.liar.take().filter(|liar| liar.node == node) else { return };
        let peers = self.nodes[node].links.names();
        if !peers.is_empty() {
            liar.lies += 1;
            // To one, or to all: a lie that all hear is another one.
            let packet = self.invent(&mut liar);
            let choir = matches!(&packet, Packet::Datagrams(several) if several.len() > 1);
            let to = if choir || liar.draw(3) == 0 { peers.clone() } else { vec![liar.pick(&peers)] };
            for to in to {
                match packet.clone() {
                    Packet::Datagrams(several) => several.into_iter().for_each(|bytes| self.send(node, &to, bytes)),
                    Packet::Request(kind, body) => self.begin_unasked(node, &to, kind, body),
                }
            }
        }
        let pause = PAUSE_MAX.mul_f64(liar.draws.fraction());
        self.liar = Some(liar);
        self.push(self.now + pause, Happening::Lie { node });
    }

    /// What it answers instead of the truth, now and then.
    pub(super) fn lying_answer(&mut self, node: usize) -> Option<(u16, Vec<u8>)> {
        let mut liar = self.liar.take()?;
        let lies = liar.node == node && liar.draw(2) == 0;
        let answer = lies.then(|| match liar.draw(6) {
            0 => Answer::Same,
            1 => Answer::Here,
            2 => Answer::Buckets((0..256).map(|_| liar.draws.below(u64::MAX)).collect()),
            3 => Answer::Certificates(vec![vec![7; 480], self.nodes[node].seal.shown()]),
            _ => Answer::Entries(self.entries(&mut liar)),
        });
        self.liar = Some(liar);
        answer.map(|answer| answer.encode())
    }

    fn invent(&self, liar: &mut Liar) -> Packet {
        match liar.draw(8) {
            // What it heard, again.
            0 if !liar.datagrams.is_empty() => {
                let at = liar.draw(liar.datagrams.len());
                Packet::Datagrams(vec![liar.datagrams[at].clone()])
            }
            1 => {
                let entries = self.entries(liar);
                let request = match liar.draw(4) {
                    0 => Request::Compare { buckets: (0..=255).collect(), entries },
                    1 => Request::Join(entries.into_iter().next().unwrap_or_else(|| self.entry(liar))),
                    2 => Request::Sync { root: [7; 16] },
                    _ => Request::Push(entries),
                };
                let (kind, body) = request.encode();
                Packet::Request(kind, body)
            }
            2 => Packet::Datagrams(self.choir(liar)),
            _ => Packet::Datagrams(vec![self.datagram(liar)]),
        }
    }

    /// One is accused in the name of all who watch it, and of a long silence: best somebody who has not been heard for a while.
    fn choir(&self, liar: &mut Liar) -> Vec<Vec<u8>> {
        let swim = self.nodes[liar.node].engine.swim();
        let held = |at: usize| swim.member(&self.nodes[at].name).map(|member| member.claim.clone());
        let known: Vec<Claim> = (0..self.nodes.len()).filter_map(held).filter(|claim| claim.state.is_live()).collect();
        let grounds = |claim: &Claim| swim.explain(self.now, &claim.node);
        let is_quiet = |claim: &&Claim| grounds(claim).is_some_and(|g| g.linked && g.last_sign > Some(QUIET));
        let quiet: Vec<Claim> = known.iter().filter(is_quiet).cloned().collect();
        let among = if quiet.is_empty() || liar.draw(3) == 0 { known } else { quiet };
        if among.is_empty() {
            return Vec::new();
        }
        let claim = Claim { state: State::Suspect, ..liar.pick(&among) };
        let own = &self.nodes[liar.node].seal;
        let observers = grounds(&claim).map(|grounds| grounds.observers).unwrap_or_default();
        // Or in so many names of nobody that there is no room for others.
        let nobody = (0..25).filter_map(|i| NodeId::new(&format!("x{i}")).ok()).collect();
        let accusers: Vec<NodeId> = if liar.draw(2) == 0 { observers } else { nobody };
        let life = self.nodes[liar.node].engine.swim().own().life;
        let mut several = Vec::new();
        for accuser in accusers {
            let signer = accuser.clone();
            let long = Duration::from_secs(40);
            let vote = Vote { accuser, life, sign_ms: 0, silence: long, unanswered: long, age: Duration::ZERO };
            let made_up = own.sign(&statement_of_vote(&claim, &vote));
            let proof = made_up.map(|proof| Proof::new(tag_in(self, &signer), proof.signature()));
            let mut writer = DatagramWriter::new(DatagramKind::Gossip, 0, None);
            writer.push(&Update { claim: claim.clone(), vote: Some(vote), proof });
            several.push(writer.finish());
        }
        several
    }

    fn datagram(&self, liar: &mut Liar) -> Vec<u8> {
        use DatagramKind::{Ack, Gossip, Leave, LeaveAck, Nack, Ping, PingReq, Relayed};
        let kind = liar.pick(&[Gossip, Gossip, Gossip, Ping, Ack, PingReq, Relayed, Nack, Leave, LeaveAck]);
        let target = (kind == PingReq).then(|| self.somebody(liar));
        let seq = liar.draws.below(200);
        let mut writer = DatagramWriter::new(kind, seq, target.as_ref());
        // The same subject again and again, each word above the answer to the one before, or somebody else each time.
        let (count, same) = (liar.draw(4), liar.draw(2) == 0);
        let first = self.update(liar);
        for nth in 0..count {
            let update = if same {
                let above = first.claim.incarnation.get().saturating_add(nth as u64 * 2);
                let claim = Claim { incarnation: Incarnation::from_raw(above), ..first.claim.clone() };
                Update { claim, ..first.clone() }
            } else {
                self.update(liar)
            };
            writer.push(&update);
        }
        writer.finish()
    }

    fn entries(&self, liar: &mut Liar) -> Vec<Entry> {
        (0..liar.draw(6)).map(|_| self.entry(liar)).collect()
    }

    fn entry(&self, liar: &mut Liar) -> Entry {
        let update = self.update(liar);
        let gone_for = if update.claim.state.is_live() { 0 } else { liar.draws.below(100_000) };
        Entry { update, metadata: None, gone_for: Duration::from_secs(gone_for) }
    }

    fn update(&self, liar: &mut Liar) -> Update {
        let base = self.somebodys_claim(liar);
        let incarnation = match liar.draw(8) {
            0 => base.incarnation.get().saturating_sub(1),
            1..4 => base.incarnation.get(),
            4 => base.incarnation.get().saturating_add(1 << 20),
            above => base.incarnation.get().saturating_add(above as u64 - 4),
        };
        let life = match liar.draw(6) {
            0 => base.life.get().saturating_sub(1 << 20),
            1 => base.life.get().saturating_add(1 << 20),
            _ => base.life.get(),
        };
        let elsewhere = self.somebodys_claim(liar).addr;
        let claim = Claim {
            incarnation: Incarnation::from_raw(incarnation),
            life: Life::from_raw(life),
            state: liar.pick(&[State::Alive, State::Suspect, State::Suspect, State::Failed, State::Left]),
            meta_version: base.meta_version + u32::from(liar.draw(4) == 0),
            addr: if liar.draw(6) == 0 { elsewhere } else { base.addr },
            ..base
        };
        let vote = (claim.state == State::Suspect).then(|| self.vote(liar));
        let signer = vote.as_ref().map_or(&claim.node, |vote| &vote.accuser).clone();
        let statement = match &vote {
            Some(vote) => statement_of_vote(&claim, vote),
            None => statement_of(&claim),
        };
        let own = &self.nodes[liar.node].seal;
        let proof = match liar.draw(8) {
            0 => None,
            1 => Some(Proof::new(CertificateTag(liar.draws.below(u64::MAX)), &[7; 66])),
            2 | 3 => {
                let at = liar.draw(liar.proofs.len());
                liar.proofs.get(at).cloned()
            }
            // Its own signature, also where it passes for another's.
            4 => own.sign(&statement).map(|proof| Proof::new(tag_in(self, &signer), proof.signature())),
            _ => own.sign(&statement),
        };
        Update { claim, vote, proof }
    }

    fn vote(&self, liar: &mut Liar) -> Vote {
        let span = |liar: &mut Liar| Duration::from_millis(liar.pick(&[0, 400, 1_500, 5_000, 20_000, 40_000]));
        let accuser = if liar.draw(2) == 0 { liar.node } else { liar.draw(self.nodes.len()) };
        let invented = liar.draw(6) == 0;
        let own = self.nodes[accuser].engine.swim().own();
        let name = if invented { NodeId::new(&format!("x{}", liar.draw(40))) } else { Ok(own.node.clone()) };
        let now_ms = u64::try_from(self.now.since_origin().as_millis()).unwrap_or(0);
        Vote {
            accuser: name.unwrap_or_else(|_| own.node.clone()),
            life: own.life,
            sign_ms: liar.pick(&[0, now_ms, now_ms.saturating_sub(3_000), u64::MAX]),
            silence: span(liar),
            unanswered: span(liar),
            age: span(liar),
        }
    }

    fn somebody(&self, liar: &mut Liar) -> NodeId {
        let at = liar.draw(self.nodes.len());
        self.nodes[at].name.clone()
    }

    /// What somebody said of itself, or what was said of it lately.
    fn somebodys_claim(&self, liar: &mut Liar) -> Claim {
        if liar.draw(3) == 0 && !liar.claims.is_empty() {
            let at = liar.draw(liar.claims.len());
            return liar.claims[at].clone();
        }
        let at = liar.draw(self.nodes.len());
        let name = self.nodes[at].name.clone();
        let swim = self.nodes[liar.node].engine.swim();
        let held = swim.member(&name).map(|member| member.claim.clone());
        held.unwrap_or_else(|| self.nodes[at].engine.swim().own().clone())
    }
}

/// The tag of somebody's certificate.
fn tag_in(world: &EngineWorld, node: &NodeId) -> CertificateTag {
    let holder = world.nodes.iter().find(|held| held.name == *node);
    holder.and_then(|held| held.seal.sign(b"")).map_or(CertificateTag(7), |proof| proof.certificate())
}
