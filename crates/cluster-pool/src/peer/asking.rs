//! Requests and streams: made by whoever calls, on the link there is; the driver is asked for one where there is none.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant as Moment;

use super::Peer;
use super::course::PeerState;
use super::error::PeerError;
use super::exchange::{self, Reply, after};
use super::message::Channel;
use super::shared::Shared;
use crate::link::LinkStream;
use crate::pool::Lease;
use crate::transport::LinkClass;

impl Peer {
    /// Asks, and waits for the reply, for `patience` at most: for the link, for its turn among the requests under way, and for the
    /// reply together. Given up, by time or by dropping the future, it is cancelled over there, too.
    ///
    /// # Errors
    /// See [`PeerError`]; its [`fate`](PeerError::fate) says whether the other side may have handled it.
    ///
    /// # Cancel safety
    /// Safe in that the other side is told; it may have been handled.
    pub async fn request(
        &self,
        channel: Channel,
        body: impl Into<Bytes>,
        patience: Duration,
    ) -> Result<Reply, PeerError> {
        let (shared, body, began) = (self.shared(), body.into(), Moment::now());
        let (len, max) = (body.len(), shared.config.message_len_max);
        let closed = {
            let mut state = shared.state();
            state.metrics.requests += 1;
            state.course.state() == PeerState::Closed
        };
        if closed {
            return Err(PeerError::Closed { node: shared.node.clone() });
        }
        if len > max {
            shared.state().metrics.requests_too_long += 1;
            return Err(PeerError::TooLong { node: shared.node.clone(), len, max });
        }
        let deadline = after(began, patience);
        let _turn = match shared.requests.try_acquire() {
            Ok(turn) => turn,
            Err(_all_taken) => {
                cluster_sites::reachable!(crate::sites::REQUESTS_BUSY);
                let busy = || {
                    shared.state().metrics.requests_busy += 1;
                    PeerError::Busy { node: shared.node.clone(), patience, max: shared.config.requests_max }
                };
                let turn =
                    tokio::time::timeout_at(deadline, shared.requests.acquire()).await.map_err(|_late| busy())?;
                turn.map_err(|_closed| busy())?
            }
        };
        let lease = match shared.pool.lease(&shared.node) {
            Some(lease) => lease,
            None => self.link_by(deadline, patience).await?,
        };
        let reply = exchange::exchange(&lease, channel, &body, deadline, patience).await?;
        let mut state = shared.state();
        state.course.handle_proof();
        state.metrics.replies += 1;
        state.metrics.request_latency.note(began.elapsed());
        Ok(reply)
    }

    /// A stream of one's own to the handler of a channel over there; nothing is known of what happens on it.
    ///
    /// # Errors
    /// There is no link within `patience`, or it ended.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_stream(&self, channel: Channel, patience: Duration) -> Result<LinkStream, PeerError> {
        let deadline = after(Moment::now(), patience);
        let lease = self.link_by(deadline, patience).await?;
        exchange::open_stream(&lease, channel, deadline, patience).await
    }

    /// A link to it: the one there is, else the one that the driver is asked for.
    async fn link_by(&self, deadline: Moment, patience: Duration) -> Result<Lease, PeerError> {
        let shared = self.shared();
        let there = || shared.pool.lease(&shared.node);
        if shared.state().course.state() == PeerState::Closed {
            return Err(PeerError::Closed { node: shared.node.clone() });
        }
        if let Some(lease) = there() {
            return Ok(lease);
        }
        let _caller = Caller::new(shared);
        let mut status = shared.status.reader();
        loop {
            if let Some(lease) = there() {
                return Ok(lease);
            }
            match status.latest() {
                PeerState::Closed => return Err(PeerError::Closed { node: shared.node.clone() }),
                PeerState::BreakerOpen => return Err(self.breaker_open()),
                _ => {}
            }
            let not_connected = |last: &str| {
                Err(PeerError::NotConnected { node: shared.node.clone(), patience, last: last.to_owned() })
            };
            if shared.pool.is_draining() {
                return not_connected("this node is shutting down");
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => {
                    let state = shared.state();
                    return not_connected(state.course.last_error().unwrap_or("the first attempt has not ended"));
                }
                // What changes it is in what this handle holds.
                _ = status.changed() => {}
                _ = shared.pool.link_to(LinkClass::Data, &shared.node) => {}
            }
        }
    }

    fn breaker_open(&self) -> PeerError {
        let (shared, now) = (self.shared(), self.shared().now());
        let state = shared.state();
        PeerError::BreakerOpen {
            node: shared.node.clone(),
            retry_in: state.course.retry_at().unwrap_or(now).since(now),
            failures: state.course.failures(),
            last: state.course.last_error().unwrap_or_default().to_owned(),
        }
    }
}

/// Somebody waits for a link.
struct Caller<'a>(&'a Shared);

impl<'a> Caller<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.state().callers += 1;
        shared.wake.notify_one();
        Self(shared)
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.state().callers -= 1;
    }
}
