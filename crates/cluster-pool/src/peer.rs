//! A peer: one other node, as somebody sees it who has something to say to it and does not want to think about connections.
//!
//! ```text
//!   send ---> queue ---> lane of its priority ====> the receiver's handler or inbox
//!               ^             |      ^                        |
//!               |   link lost |      '------- settled <-------'
//!               '-- unwritten-'
//! ```
//!
//! Messages wait in a bounded queue; the *driver*, one future that its owner runs, sees to it that there is a link while there
//! is something to say, and moves messages onto it: a stream for each priority, so that order holds within one, and a receiver
//! that is slow with one holds up no other. What was written when a link ends is reported as *maybe delivered*; what was not
//! goes out first on the next link. Nothing is sent twice.

mod asking;
mod config;
mod course;
mod drive;
mod error;
pub(crate) mod exchange;
mod explain;
mod inbox;
mod lane;
mod message;
mod metrics;
mod queue;
mod session;
mod shared;
pub(crate) mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cluster_types::{Life, NodeId};
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::time::Instant as Moment;

pub use config::{MESSAGE_LEN_MAX, PeerConfig, PeerConfigError};
pub use course::{PeerEvent, PeerState};
pub use drive::PeerDriver;
pub use error::{Fate, PeerError, RejectReason, Rejected};
pub use exchange::Reply;
pub use explain::PeerReport;
pub use inbox::Received;
pub(crate) use inbox::{Arrived, Inbox, Settling};
pub use message::{Channel, Message, NotSent, Outcome, Priority, Ticket, Unknown};
pub use metrics::{Latencies, PeerMetrics};
pub use queue::Overflow;

use crate::latest::Latest;
use crate::link::Link;
use crate::planted::Bug;
use crate::pool::ConnectionPool;
use crate::router::Router;
use crate::transport::{CloseCode, LinkClass};
use course::Course;
use queue::SendQueue;
use shared::{Shared, State};

/// Events that a reader may be behind: a flapping link makes three a cycle.
const EVENTS_BEHIND_MAX: usize = 64;

/// Closes the peer when the last handle is gone.
#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// One other node. Cheap to clone; clones are the same peer. Dropping the last one closes it.
#[derive(Clone)]
pub struct Peer(Arc<Handle>);

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({}, {})", self.node(), self.state().as_str())
    }
}

impl Peer {
    /// A peer at an address, reached through `pool`. Messages of its that no handler of `router` serves come out of
    /// [`receive`](Self::receive); use the router that serves the pool's streams. Nothing happens until the driver is run: put
    /// [`PeerDriver::drive`] on your task tracker.
    ///
    /// # Errors
    /// Nothing can be at the address, or a setting makes no sense.
    pub fn new(
        pool: &ConnectionPool,
        router: &Router,
        node: NodeId,
        addr: SocketAddr,
        config: PeerConfig,
    ) -> Result<(Self, PeerDriver), PeerError> {
        config.check()?;
        check_addr(&node, addr)?;
        let inbox = Arc::new(Inbox::default());
        router.add_inbox(&node, &inbox);
        let state = State {
            addr,
            queue: SendQueue::new(config.bounds()),
            course: Course::new(&config),
            metrics: PeerMetrics::default(),
            callers: 0,
            reconnect: false,
        };
        let shared = Arc::new(Shared {
            node,
            pool: pool.clone(),
            origin: Moment::now(),
            state: Mutex::new(state),
            wake: Notify::new(),
            room: Notify::new(),
            ended: Notify::new(),
            status: Latest::new(PeerState::Idle),
            events: broadcast::Sender::new(EVENTS_BEHIND_MAX),
            requests: Semaphore::new(config.requests_max),
            router: router.clone(),
            inbox,
            config,
        });
        Ok((Self(Arc::new(Handle(Arc::clone(&shared)))), PeerDriver::new(shared)))
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// The peer's name.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.shared().node
    }

    /// Where it is dialled.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.shared().state().addr
    }

    /// It is somewhere else now. The link there is stays; the next one is dialled there, without waiting.
    ///
    /// # Errors
    /// Nothing can be at the address: it stays where it was.
    pub fn set_addr(&self, addr: SocketAddr) -> Result<(), PeerError> {
        check_addr(self.node(), addr)?;
        let moved = std::mem::replace(&mut self.shared().state().addr, addr) != addr;
        if moved {
            self.note_alive();
        }
        Ok(())
    }

    /// What it is at.
    #[must_use]
    pub fn state(&self) -> PeerState {
        match self.shared().state().course.state() {
            // At rest it holds no link, and the pool may have one.
            PeerState::Idle if self.link_now().is_some() => PeerState::Connected,
            state => state,
        }
    }

    /// Whether there is a live link to it.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state() == PeerState::Connected
    }

    /// The process on the other side of the link there is.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        let of_session = self.shared().state().course.life();
        of_session.or_else(|| self.link_now().map(|link| link.life()))
    }

    fn link_now(&self) -> Option<Link> {
        self.shared().pool.current(LinkClass::Data, self.node())
    }

    /// Messages that wait.
    #[must_use]
    pub fn queue_size(&self) -> usize {
        self.shared().state().queue.len()
    }

    /// Sends a message when it is its turn. Returns as soon as it waits in the queue; the ticket tells how it ended.
    ///
    /// # Errors
    /// It was not taken, and is handed back: there is no room and the rule is to refuse, or all that wait go before it; it is too
    /// long; or the peer is closed.
    ///
    /// # Cancel safety
    /// Safe: a message whose ticket was not returned was not taken. With [`Overflow::Wait`] the place in the line is lost.
    pub async fn send(&self, message: Message) -> Result<Ticket, Rejected> {
        let shared = self.shared();
        let mut message = message;
        loop {
            let mut room = std::pin::pin!(shared.room.notified());
            room.as_mut().enable();
            match self.enqueue(message) {
                Err(Rejected { reason: RejectReason::Full { .. }, message: back, .. })
                    if shared.config.overflow == Overflow::Wait =>
                {
                    message = back;
                }
                outcome => return outcome.inspect_err(|_| self.note_rejected()),
            }
            room.await;
        }
    }

    /// As [`send`](Self::send), and never waits: where the rule is to wait for room, the message is handed back.
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, message: Message) -> Result<Ticket, Rejected> {
        let uncounted = self.shared().pool.has(Bug::RejectedUncounted);
        self.enqueue(message).inspect_err(|_| {
            if !uncounted {
                self.note_rejected()
            }
        })
    }

    fn note_rejected(&self) {
        self.shared().state().metrics.rejected += 1;
    }

    fn enqueue(&self, message: Message) -> Result<Ticket, Rejected> {
        let shared = self.shared();
        let reject = |reason, message| Err(Rejected { node: shared.node.clone(), reason, message });
        let (len, max) = (message.body.len(), shared.config.message_len_max);
        if len > max {
            return reject(RejectReason::TooLong { len, max }, message);
        }
        let now = shared.now();
        let mut state = shared.state();
        let full = RejectReason::Full { len: state.queue.len(), bytes: state.queue.bytes() };
        if state.course.state() == PeerState::Closed {
            return reject(RejectReason::Closed, message);
        }
        let mut dropped = Vec::new();
        if !state.queue.has_room_for(&message) {
            let made = match shared.config.overflow {
                Overflow::DropOldest => state.queue.make_room_for(&message),
                Overflow::Refuse | Overflow::Wait => None,
            };
            match made {
                Some(made_room) => dropped = made_room,
                None => {
                    cluster_sites::reachable!(crate::sites::QUEUE_FULL);
                    return reject(full, message);
                }
            }
        }
        let (outcome, ticket) = Ticket::new();
        let (expiry, first) = (state.queue.next_expiry(), !state.queue.holds(message.priority));
        state.queue.push(message, outcome, now);
        let wake = first || state.queue.next_expiry() < expiry;
        state.metrics.queued += 1;
        drop(state);
        shared.end_all(dropped, Outcome::NotSent(NotSent::Dropped));
        // A driver that knows of messages of this priority looks again when it can send more of them.
        if wake {
            shared.wake.notify_one();
        }
        Ok(ticket)
    }

    /// The next message of the peer's that no handler of the router serves; `None` once the peer is closed. The sender learns that
    /// it was taken. A hundred wait at most, then their senders wait.
    ///
    /// # Cancel safety
    /// Safe: no message is lost.
    pub async fn receive(&self) -> Option<Received> {
        self.shared().inbox.receive().await
    }

    /// Waits until every message that was taken so far, and any taken meanwhile, has ended.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn flushed(&self) {
        let shared = self.shared();
        loop {
            let mut ended = std::pin::pin!(shared.ended.notified());
            ended.as_mut().enable();
            {
                let metrics = &shared.state().metrics;
                if metrics.queued == metrics.ended() {
                    return;
                }
            }
            ended.await;
        }
    }

    /// Gives up the link there is, if there is one, and connects anew without waiting. What was written and not yet taken is reported
    /// as maybe delivered; the rest goes out on the new link.
    pub fn reconnect(&self) {
        let shared = self.shared();
        shared.steer(|course, _| course.handle_alive());
        let in_use = {
            let mut state = shared.state();
            let in_use = state.course.state() == PeerState::Connected;
            state.reconnect = in_use;
            in_use
        };
        if !in_use && let Some(resting) = self.link_now() {
            resting.close(CloseCode::RECONNECT);
        }
        shared.wake.notify_one();
    }

    /// Somebody has heard of it: the breaker closes, and the next attempt is made at once.
    pub fn note_alive(&self) {
        self.shared().steer(|course, _| course.handle_alive());
        self.shared().wake.notify_one();
    }

    /// Closes it: what waits is reported as not sent, what is under way as maybe delivered. The link stays with the pool. A second call
    /// is harmless.
    pub fn close(&self) {
        self.shared().close();
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> PeerEvents {
        let (shared, events) = (self.shared(), self.shared().events.subscribe());
        PeerEvents { events, ended: shared.state().course.state() == PeerState::Closed }
    }

    /// What it has done, and what it holds.
    #[must_use]
    pub fn metrics(&self) -> PeerMetrics {
        let state = self.shared().state();
        PeerMetrics {
            queue_len: state.queue.len(),
            queue_bytes: state.queue.bytes(),
            breaker: state.course.breaker(),
            ..state.metrics.clone()
        }
    }
}

fn check_addr(node: &NodeId, addr: SocketAddr) -> Result<(), PeerError> {
    let reason = match (addr.ip().is_unspecified(), addr.ip().is_multicast(), addr.port()) {
        (true, ..) => "the address stands for all of a machine, and says not which",
        (_, true, _) => "it is a group's address",
        (.., 0) => "port 0 is no port",
        _ => return Ok(()),
    };
    Err(PeerError::InvalidAddress { node: node.clone(), addr, reason })
}

/// What happens to a peer, in order.
#[derive(Debug)]
pub struct PeerEvents {
    events: broadcast::Receiver<PeerEvent>,
    ended: bool,
}

impl PeerEvents {
    /// The next event; `None` once the peer is closed and everything has been read.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn next(&mut self) -> Option<PeerEvent> {
        if self.ended {
            return None;
        }
        match self.events.recv().await {
            Ok(event) => {
                self.ended = event == PeerEvent::Closed;
                Some(event)
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(PeerEvent::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
