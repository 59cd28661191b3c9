//! What is reliable while its path is: a dial, a request with its answer. Each leg is a packet that may be lost, and is sent again
//! after three round trips or 50 ms, then twice as long, as QUIC does, until the whole has taken too long.
//!
//! A dial has four legs, the two round trips of a handshake and the hellos. At the third the side that is dialled has a link, at the fourth
//! the side that dials.

use std::net::SocketAddr;
use std::time::Duration;

use cluster_gossip::RequestToken;
use cluster_manager::engine::DialFailure;
use cluster_pool::DialTarget;
use cluster_types::{Instant, NodeId};

use super::{EngineWorld, Happening};
use crate::later;

/// A request to nobody fails after this, as in the driver.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// A dial to nobody fails after this, as in the pool.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The least time before something is sent again.
const RETRY_MIN: Duration = Duration::from_millis(50);

/// A packet of a handshake.
const HANDSHAKE_LEN: usize = 1_200;

/// The leg at which the side that is dialled has a link.
const LINKED_THERE: u8 = 2;

/// The leg at which the side that dials has one.
const LINKED_HERE: u8 = 3;

#[derive(Debug)]
enum What {
    Dial(DialTarget),
    /// Who is there? Only the first half of a dial.
    Visit(SocketAddr),
    /// Without a token where its engine knows nothing of it.
    Request {
        token: Option<RequestToken>,
        kind: u16,
        body: Vec<u8>,
    },
    Answer {
        token: Option<RequestToken>,
        outcome: Result<(u16, Vec<u8>), String>,
    },
}

/// Something that goes to and fro between two nodes.
#[derive(Debug)]
pub(super) struct Exchange {
    from: usize,
    from_life: u64,
    /// Where the other one stands, and which life of it has answered, once one has.
    to: usize,
    to_life: Option<u64>,
    /// The leg that is under way.
    leg: u8,
    what: What,
    deadline: Instant,
}

impl Exchange {
    /// Who sends a leg, and who takes it.
    const fn ends(&self, leg: u8) -> (usize, usize) {
        if leg.is_multiple_of(2) { (self.from, self.to) } else { (self.to, self.from) }
    }

    const fn len(&self) -> usize {
        match &self.what {
            What::Dial(_) | What::Visit(_) => HANDSHAKE_LEN,
            What::Request { body, .. } => body.len(),
            What::Answer { outcome: Ok((_, body)), .. } => body.len(),
            What::Answer { .. } => 0,
        }
    }
}

impl EngineWorld {
    pub(super) fn begin_dial(&mut self, from: usize, target: DialTarget) {
        self.traffic.count_dial();
        let to = self.by_addr.get(&target.addr).copied().filter(|to| *to != from);
        self.begin(from, to, What::Dial(target), DIAL_TIMEOUT);
    }

    pub(super) fn begin_visit(&mut self, from: usize, addr: SocketAddr) {
        self.traffic.count_dial();
        let to = self.by_addr.get(&addr).copied().filter(|to| *to != from);
        self.begin(from, to, What::Visit(addr), REQUEST_TIMEOUT);
    }

    pub(super) fn begin_request(&mut self, from: usize, to: &NodeId, token: RequestToken, kind: u16, body: Vec<u8>) {
        let body = self.versions.body(from, kind, body);
        self.traffic.count_request(body.len());
        let to = self.linked(from, to);
        self.begin(from, to, What::Request { token: Some(token), kind, body }, REQUEST_TIMEOUT);
    }

    /// Asks what a node's engine has not asked.
    pub(super) fn begin_unasked(&mut self, from: usize, to: &NodeId, kind: u16, body: Vec<u8>) {
        self.traffic.count_request(body.len());
        let to = self.linked(from, to);
        self.begin(from, to, What::Request { token: None, kind, body }, REQUEST_TIMEOUT);
    }

    fn begin(&mut self, from: usize, to: Option<usize>, what: What, timeout: Duration) {
        let id = self.next_exchange;
        self.next_exchange += 1;
        let (from_life, deadline) = (self.nodes[from].life(), self.now + timeout);
        let exchange = Exchange { from, from_life, to: to.unwrap_or(from), to_life: None, leg: 0, what, deadline };
        self.exchanges.insert(id, exchange);
        if to.is_some() {
            self.try_leg(id, 0, 0);
        }
        self.push(deadline, Happening::Expire { node: from, exchange: id });
    }

    /// Sends a leg, for the first time or again.
    pub(super) fn try_leg(&mut self, id: u64, leg: u8, repeats: u32) {
        let Some(exchange) = self.exchanges.get(&id).filter(|exchange| exchange.leg == leg) else { return };
        let ((sender, taker), len, deadline) =
            (exchange.ends(leg), exchange.len().min(HANDSHAKE_LEN), exchange.deadline);
        let through = Happening::Through { node: taker, exchange: id, leg };
        self.put_on(sender, taker, len, through);
        let pause = (self.paths.round_trip(sender, taker) * 3).max(RETRY_MIN) * 2_u32.saturating_pow(repeats.min(10));
        if self.now + pause < deadline {
            self.push(self.now + pause, Happening::Again { node: sender, exchange: id, leg, repeats: repeats + 1 });
        }
    }

    /// A leg has arrived.
    pub(super) fn take_leg(&mut self, id: u64, leg: u8) {
        let Some(exchange) = self.exchanges.get_mut(&id).filter(|exchange| exchange.leg == leg) else { return };
        let (from, to) = (exchange.from, exchange.to);
        let there = self.nodes[to].life();
        if self.nodes[from].life() != exchange.from_life || *exchange.to_life.get_or_insert(there) != there {
            // One of the two is a process that knows nothing of this.
            return;
        }
        exchange.leg += 1;
        match &exchange.what {
            What::Dial(_) => self.advance_dial(id, leg, (from, to)),
            What::Visit(_) if leg == 0 => self.try_leg(id, 1, 0),
            What::Visit(addr) => {
                let addr = *addr;
                self.exchanges.remove(&id);
                let there = self.nodes[to].engine.swim().own();
                let found = (there.node == self.nodes[from].name).then_some((there.life, there.incarnation));
                self.nodes[from].engine.handle_rival(self.now, addr, found);
            }
            What::Request { .. } => self.answer(id, (from, to)),
            What::Answer { .. } => {
                if let Some(Exchange { what: What::Answer { token, outcome }, .. }) = self.exchanges.remove(&id) {
                    self.note_heard(from, to);
                    if let Some(token) = token {
                        self.nodes[from].engine.handle_answer(self.now, token, outcome);
                    }
                }
            }
        }
    }

    fn advance_dial(&mut self, id: u64, leg: u8, (from, to): (usize, usize)) {
        let now = self.now;
        match leg {
            1 => {
                let wrong = self.exchanges.get(&id).is_some_and(|exchange| match &exchange.what {
                    What::Dial(target) => target.node.as_ref().is_some_and(|wanted| *wanted != self.nodes[to].name),
                    _ => false,
                });
                if wrong {
                    let is = self.nodes[to].name.clone();
                    return self.fail(id, &format!("the certificate there says {is}"));
                }
            }
            LINKED_THERE => {
                let here = self.nodes[from].peer_info();
                self.raise_link(to, here, from);
            }
            LINKED_HERE => {
                let there = self.nodes[to].peer_info();
                let name = there.node.clone();
                self.raise_link(from, there, to);
                if let Some(Exchange { what: What::Dial(target), .. }) = self.exchanges.remove(&id) {
                    self.nodes[from].engine.handle_dialled(now, &target, Ok(name));
                }
                return;
            }
            _ => {}
        }
        self.try_leg(id, leg + 1, 0);
    }

    fn answer(&mut self, id: u64, (from, to): (usize, usize)) {
        let here = self.nodes[from].peer_info();
        if self.nodes[to].links.get(self.nodes[from].number).is_none_or(|end| end.peer.life != here.life) {
            return self.refuse_link(to, from);
        }
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let What::Request { token, kind, body } = &mut exchange.what else { return };
        let (token, kind, body) = (*token, *kind, std::mem::take(body));
        let answer = self.nodes[to].engine.handle_request(self.now, &here, kind, &body);
        let lie = self.lying_answer(to);
        let answer = lie.or_else(|| answer.map(|(kind, body)| (kind, self.versions.body(to, kind, body))));
        if self.versions.is_later(from) {
            // It asks for what is not known here, too, and is told so.
            let unsupported = self.nodes[to].engine.handle_request(self.now, &here, later::KIND, later::FIELD);
            assert_eq!(unsupported, Some((44, Vec::new())), "a request of a later version at node {to}");
        }
        self.traffic.count_answer(answer.as_ref().map_or(0, |(_, body)| body.len()));
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.what = What::Answer { token, outcome: answer.ok_or_else(|| "refused".to_owned()) };
        self.note_heard(to, from);
        self.try_leg(id, 1, 0);
    }

    /// It has taken too long.
    pub(super) fn expire(&mut self, id: u64) {
        let Some(exchange) = self.exchanges.get(&id) else { return };
        let (from, to, leg) = (exchange.from, exchange.to, exchange.leg);
        if self.nodes[from].life() != exchange.from_life {
            self.exchanges.remove(&id);
            return;
        }
        let dialled = match &exchange.what {
            What::Dial(target) => Some(target.addr),
            What::Visit(_) | What::Request { .. } | What::Answer { .. } => None,
        };
        if dialled.is_some() && leg > LINKED_THERE {
            // The other side has a link that this one never had; it is told, if that arrives.
            let peer = self.nodes[from].peer_info().into();
            self.put_on(from, to, 0, Happening::Reset { at: to, peer });
        }
        let what = dialled.map_or_else(|| "no answer in time".to_owned(), |addr| format!("no answer from {addr}"));
        self.fail(id, &what);
    }

    fn fail(&mut self, id: u64, why: &str) {
        let now = self.now;
        let Some(Exchange { from, what, .. }) = self.exchanges.remove(&id) else { return };
        let engine = &mut self.nodes[from].engine;
        match what {
            What::Dial(target) => engine.handle_dialled(now, &target, Err(DialFailure::Reason(why.to_owned()))),
            What::Visit(addr) => engine.handle_rival(now, addr, None),
            What::Request { token, .. } | What::Answer { token, .. } => {
                if let Some(token) = token {
                    engine.handle_answer(now, token, Err(why.to_owned()));
                }
            }
        }
    }
}
