//! What the handles and the driver of a peer share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_sites::crossing;
use cluster_types::{Instant, NodeId};
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::time::Instant as Moment;

use super::config::PeerConfig;
use super::course::{Course, PeerEvent, PeerState};
use super::inbox::Inbox;
use super::message::{NotSent, Outcome};
use super::metrics::PeerMetrics;
use super::queue::{SendQueue, Waiting};
use crate::latest::Latest;
use crate::pool::ConnectionPool;
use crate::router::Router;

/// What handle and driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) node: NodeId,
    pub(super) pool: ConnectionPool,
    pub(super) config: PeerConfig,
    pub(super) origin: Moment,
    /// Held for a few lines at a time, never across a wait.
    pub(super) state: Mutex<State>,
    /// The driver has something to do.
    pub(super) wake: Notify,
    /// There is room in the queue.
    pub(super) room: Notify,
    /// A message has ended.
    pub(super) ended: Notify,
    pub(super) status: Latest<PeerState>,
    pub(super) events: broadcast::Sender<PeerEvent>,
    pub(super) requests: Semaphore,
    pub(super) router: Router,
    pub(super) inbox: Arc<Inbox>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) addr: SocketAddr,
    pub(super) queue: SendQueue,
    pub(super) course: Course,
    pub(super) metrics: PeerMetrics,
    /// Requests that wait for a link.
    pub(super) callers: usize,
    /// The owner wants another link.
    pub(super) reconnect: bool,
}

impl State {
    pub(super) fn wants_a_link(&self) -> bool {
        self.callers > 0 || !self.queue.is_empty()
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Instant {
        Instant::after_origin(self.origin.elapsed())
    }

    pub(super) fn at(&self, instant: Instant) -> Moment {
        // A day from now stands for never.
        self.origin + instant.since_origin().min(self.origin.elapsed() + Duration::from_secs(86_400))
    }

    /// Changes the course, and tells everybody what came of it.
    pub(super) fn steer<T>(&self, change: impl FnOnce(&mut Course, Instant) -> T) -> T {
        crossing!();
        let now = self.now();
        let mut state = self.state();
        let result = change(&mut state.course, now);
        let events = state.course.take_events();
        events.iter().for_each(|event| state.metrics.note_event(event));
        let status = state.course.state();
        // Told before the next change can be: neither waits for anybody.
        self.status.change(|told| std::mem::replace(told, status) != status);
        for event in events {
            tracing::debug!(peer = %self.node, ?event, "peer");
            // Nobody need listen.
            let _ = self.events.send(event);
        }
        drop(state);
        result
    }

    /// Tells how messages ended.
    pub(super) fn end_all(&self, ended: impl IntoIterator<Item = Waiting>, outcome: Outcome) {
        let now = self.now();
        for waiting in ended {
            self.state().metrics.note_outcome(outcome, now.since(waiting.queued_at));
            waiting.outcome.tell(outcome);
            self.room.notify_one();
        }
        self.ended.notify_waiters();
    }

    /// Ends what has waited for too long.
    pub(super) fn expire(&self) {
        crossing!();
        let now = self.now();
        let expired = self.state().queue.expire(now);
        self.end_all(expired, Outcome::NotSent(NotSent::Expired));
    }

    pub(super) fn close(&self) {
        self.steer(|course, _| course.handle_close());
        crossing!();
        let waiting = self.state().queue.drain();
        self.end_all(waiting, Outcome::NotSent(NotSent::Closed));
        self.router.remove_inbox(&self.node, &self.inbox);
        self.inbox.close();
        self.wake.notify_one();
        self.room.notify_waiters();
    }
}
