//! One link in use: from the moment it is there until it ends, rests, or has to go. One future, no task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant as Moment;

use super::config::word_of;
use super::course::PeerState;
use super::exchange::after;
use super::lane::{Lane, Step};
use super::message::{NotSent, Outcome, Priority, Unknown};
use super::shared::Shared;
use crate::frame::FrameError;
use crate::link::{Link, LinkStream};
use crate::planted::Bug;
use crate::pool::Lease;
use crate::transport::{CloseCode, ConnectionError, stream_code};

/// Why a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// The link did: why, and whether nobody is to blame.
    Lost(String, bool),
    /// The link goes, and nothing is under way on it.
    WoundDown,
    /// There is nothing to say.
    Rested,
    /// The owner wants another link.
    Reconnect,
    /// The owner closed the peer.
    Closed,
}

type Opening = Pin<Box<dyn Future<Output = Result<LinkStream, String>> + Send>>;

pub(super) struct Session<'a> {
    shared: &'a Shared,
    lease: Lease,
    /// By place of the priority.
    lanes: [Option<Lane>; 3],
    opening: Option<(Priority, Opening)>,
    used_at: Moment,
    /// Which lane is looked at first: each in its turn, so that none waits for another that always has something.
    first: usize,
    /// The link goes: nothing new begins on it.
    going: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(shared: &'a Shared, lease: Lease) -> Self {
        Self { shared, lease, lanes: [None, None, None], opening: None, used_at: Moment::now(), first: 0, going: false }
    }

    /// Uses the link until there is a reason not to.
    pub(super) async fn run(mut self) -> End {
        let link = self.lease.link().clone();
        let end = self.turn(&link).await;
        self.wrap_up(&end);
        if matches!(end, End::Reconnect) {
            link.close(CloseCode::RECONNECT);
        }
        end
    }

    async fn turn(&mut self, link: &Link) -> End {
        let shared = self.shared;
        let mut closed = std::pin::pin!(link.closed());
        let mut winding_down = std::pin::pin!(link.winding_down());
        loop {
            if let Some(end) = self.told_to_end() {
                return end;
            }
            shared.expire();
            if !self.going {
                self.fill();
            }
            let quiet = self.lanes.iter().flatten().all(Lane::is_quiet);
            if self.going && quiet {
                return End::WoundDown;
            }
            let rest_at = after(self.used_at, shared.config.rest_after);
            if shared.state().queue.is_empty() {
                // What it was to be opened for has expired.
                self.opening = None;
            }
            let resting = quiet && self.opening.is_none();
            if resting && Moment::now() >= rest_at {
                return End::Rested;
            }
            let expiry = shared.state().queue.next_expiry().map(|at| shared.at(at));
            let wake_at = expiry.into_iter().chain(resting.then_some(rest_at)).min();
            tokio::select! {
                biased;
                error = &mut closed => return End::Lost(error.to_string(), is_orderly(&error)),
                () = &mut winding_down, if !self.going => self.going = true,
                opened = poll_opening(&mut self.opening), if self.opening.is_some() => {
                    if let Err(end) = self.note_opened(opened) {
                        return end;
                    }
                }
                (priority, step) = std::future::poll_fn(|cx| poll_lanes(&mut self.lanes, self.first, cx)) => {
                    self.first = (self.first + 1) % 3;
                    self.note_step(priority, step, link);
                }
                () = shared.wake.notified() => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    fn told_to_end(&self) -> Option<End> {
        let mut state = self.shared.state();
        if state.course.state() == PeerState::Closed {
            return Some(End::Closed);
        }
        std::mem::take(&mut state.reconnect).then_some(End::Reconnect)
    }

    /// Moves messages from the queue onto lanes that can take them, and sees to a lane for those that have none.
    fn fill(&mut self) {
        let mut state = self.shared.state();
        let mut without_lane = None;
        loop {
            let lanes = &self.lanes;
            let popped = state.queue.pop(|priority, len| match &lanes[priority.index()] {
                Some(lane) => lane.is_ready_for(len),
                None => {
                    without_lane.get_or_insert(priority);
                    false
                }
            });
            // Lanes hold one message each that is not written: the next is taken when that is.
            let Some(waiting) = popped else { break };
            if let Some(lane) = &mut self.lanes[waiting.message.priority.index()] {
                lane.write(waiting);
                self.used_at = Moment::now();
                self.shared.room.notify_one();
            }
        }
        drop(state);
        if let (Some(priority), None) = (without_lane, &self.opening) {
            self.open(priority);
        }
    }

    fn open(&mut self, priority: Priority) {
        let link = self.lease.link().clone();
        // As long as it takes: the messages have their times, and the end of the link is seen elsewhere.
        self.opening = Some((priority, Box::pin(async move { link.open_bi().await.map_err(|e| e.to_string()) })));
    }

    fn note_opened(&mut self, (priority, opened): (Priority, Result<LinkStream, String>)) -> Result<(), End> {
        self.opening = None;
        let stream = opened.map_err(|reason| End::Lost(reason, false))?;
        self.lanes[priority.index()] = Some(Lane::new(priority, stream));
        Ok(())
    }

    fn note_step(&mut self, priority: Priority, step: Step, link: &Link) {
        match step {
            Step::Written => {}
            Step::Settled(settled) => {
                self.used_at = Moment::now();
                self.shared.state().course.handle_proof();
                for (waiting, code) in settled {
                    self.shared.end_all([waiting], self.outcome_of(code));
                }
            }
            Step::GoAway => self.go(link),
            Step::Failed(error) => self.lose_lane(priority, &error, link),
        }
        let in_flight = self.lanes.iter().flatten().map(Lane::in_flight).sum();
        self.shared.state().metrics.in_flight = in_flight;
    }

    fn outcome_of(&self, code: CloseCode) -> Outcome {
        match code {
            CloseCode::DONE => Outcome::Delivered { life: self.lease.life() },
            refused @ (CloseCode::REFUSED | CloseCode::UNSUPPORTED | CloseCode::OVERLOADED | CloseCode::DRAINING) => {
                Outcome::NotSent(NotSent::Refused(refused))
            }
            // Failed, and whatever a later version may say.
            _ => Outcome::MaybeDelivered(Unknown::HandlerFailed),
        }
    }

    /// The receiver ended one lane, or the link is over, which is seen next.
    fn lose_lane(&mut self, priority: Priority, error: &FrameError, link: &Link) {
        let code = if let FrameError::Io(e) = error { stream_code(e) } else { None };
        tracing::debug!(peer = %self.shared.node, lane = word_of(priority), %error, "a lane ended");
        let Some(lane) = self.lanes[priority.index()].take() else { return };
        let (writing, in_flight) = lane.give_up();
        if code == Some(CloseCode::DRAINING) {
            cluster_sites::reachable!(crate::sites::LANE_REJECTED);
            // Turned away before any of it was looked at: all of it goes elsewhere, in order.
            self.go(link);
            let unread = in_flight.into_iter().chain(writing).collect::<Vec<_>>();
            return unread.into_iter().rev().for_each(|waiting| self.put_back(Some(waiting)));
        }
        // Nobody over there serves messages at all: none of them was looked at.
        let refused = code == Some(CloseCode::UNSUPPORTED);
        let refusal = Outcome::NotSent(NotSent::Refused(CloseCode::UNSUPPORTED));
        let outcome = if refused { refusal } else { Outcome::MaybeDelivered(Unknown::LinkLost) };
        self.shared.end_all(in_flight, outcome);
        if refused {
            self.shared.end_all(writing, refusal);
        } else {
            self.put_back(writing);
        }
    }

    /// Nothing new begins on this link, by whomever.
    fn go(&mut self, link: &Link) {
        self.going = true;
        link.wind_down();
    }

    fn put_back(&self, writing: Option<super::queue::Waiting>) {
        if let Some(waiting) = writing {
            cluster_sites::reachable!(crate::sites::PUT_BACK);
            let mut state = self.shared.state();
            if self.shared.pool.has(Bug::ReorderAfterReconnect) {
                state.queue.push_back_again(waiting);
            } else {
                state.queue.push_front(waiting);
            }
        }
    }

    /// Accounts for everything that is still on a lane.
    fn wrap_up(&mut self, end: &End) {
        for lane in std::mem::take(&mut self.lanes).into_iter().flatten() {
            if lane.is_quiet() {
                lane.finish();
                continue;
            }
            let (writing, in_flight) = lane.give_up();
            self.shared.end_all(in_flight, Outcome::MaybeDelivered(Unknown::LinkLost));
            if matches!(end, End::Closed) {
                self.shared.end_all(writing, Outcome::NotSent(NotSent::Closed));
            } else {
                self.put_back(writing);
            }
        }
        self.shared.state().metrics.in_flight = 0;
    }
}

impl Drop for Session<'_> {
    /// The driver is dropped in the middle of it.
    fn drop(&mut self) {
        self.wrap_up(&End::Closed);
    }
}

async fn poll_opening(opening: &mut Option<(Priority, Opening)>) -> (Priority, Result<LinkStream, String>) {
    match opening {
        Some((priority, opening)) => (*priority, opening.await),
        None => std::future::pending().await,
    }
}

fn poll_lanes(lanes: &mut [Option<Lane>; 3], first: usize, cx: &mut Context<'_>) -> Poll<(Priority, Step)> {
    for place in (0..3).map(|n| (first + n) % 3) {
        if let Some(lane) = &mut lanes[place]
            && let Poll::Ready(step) = lane.poll_step(cx)
        {
            return Poll::Ready((Priority::ALL[place], step));
        }
    }
    Poll::Pending
}

pub(super) async fn sleep_until(at: Option<Moment>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What a link that is gone said, where it matters whether anybody is to blame.
pub(super) const fn is_orderly(error: &ConnectionError) -> bool {
    matches!(
        error,
        ConnectionError::ClosedByPeer { code: CloseCode::DUPLICATE | CloseCode::SUPERSEDED }
            | ConnectionError::ClosedHere { .. }
    )
}
