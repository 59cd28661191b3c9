//! The driver of a peer: the one future that makes it live. Its owner runs it.

use std::sync::Arc;

use super::course::Next;
use super::course::PeerState;
use super::session::{End, Session, sleep_until};
use super::shared::Shared;
use crate::pool::{Lease, PoolError};
use crate::transport::LinkClass;

/// Runs a peer. Dropped, or ended, it closes the peer: what waits is reported as not sent.
#[derive(Debug)]
#[must_use = "a peer does nothing until its driver is run: put `driver.drive()` on your task tracker"]
pub struct PeerDriver(Arc<Shared>);

impl Drop for PeerDriver {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl PeerDriver {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Connects while there is something to say, sends, and connects again when the link ends. Returns when the peer is closed.
    ///
    /// # Cancel safety
    /// Dropping the future closes the peer.
    pub async fn drive(self) {
        loop {
            self.0.expire();
            let wanted = self.0.state().wants_a_link();
            match self.0.steer(|course, now| course.next(now, wanted)) {
                Next::Stop => return,
                Next::Dial => self.connect().await,
                Next::Rest => self.wait(None).await,
                Next::Wait(until) => self.wait(Some(self.0.at(until))).await,
            }
        }
    }

    async fn wait(&self, until: Option<tokio::time::Instant>) {
        let shared = &*self.0;
        let expiry = shared.state().queue.next_expiry().map(|at| shared.at(at));
        tokio::select! {
            biased;
            () = shared.wake.notified() => {}
            // The peer has dialled.
            _link = shared.pool.link_to(LinkClass::Data, &shared.node), if until.is_some() => {
                shared.steer(|course, _| course.handle_alive());
            }
            () = sleep_until(until.into_iter().chain(expiry).min()) => {}
        }
    }

    /// One dial, and the use of its link to its end.
    async fn connect(&self) {
        let shared = &*self.0;
        let Some(dialled) = self.dial().await else { return };
        match dialled {
            Ok(lease) => self.use_link(lease).await,
            Err(error @ (PoolError::PoolFull { .. } | PoolError::Closing)) => {
                shared.steer(|course, now| course.handle_not_tried(now, error.to_string()));
            }
            Err(error) => {
                let reason = chain(&error);
                shared.steer(|course, now| course.handle_failed(now, reason));
            }
        }
    }

    /// `None` when the peer is closed meanwhile.
    async fn dial(&self) -> Option<Result<Lease, PoolError>> {
        let shared = &*self.0;
        let addr = {
            let mut state = shared.state();
            // There is no link to give up.
            state.reconnect = false;
            state.addr
        };
        let mut dial = std::pin::pin!(shared.pool.get_or_create(&shared.node, addr));
        loop {
            shared.expire();
            let expiry = shared.state().queue.next_expiry().map(|at| shared.at(at));
            tokio::select! {
                biased;
                dialled = &mut dial => return Some(dialled),
                () = shared.wake.notified() => {
                    let mut state = shared.state();
                    if state.course.state() == PeerState::Closed {
                        return None;
                    }
                    // It is being connected anew.
                    state.reconnect = false;
                }
                () = sleep_until(expiry) => {}
            }
        }
    }

    async fn use_link(&self, lease: Lease) {
        let shared = &*self.0;
        let life = lease.life();
        shared.steer(|course, now| course.handle_connected(now, life));
        let end = Session::new(shared, lease).run().await;
        let (reason, orderly) = match end {
            End::Lost(reason, orderly) => (reason, orderly),
            End::WoundDown => ("the link was wound down".into(), true),
            End::Rested => return shared.steer(|course, _| course.handle_rested()),
            End::Reconnect => ("connected anew by its owner".into(), true),
            End::Closed => return,
        };
        shared.steer(|course, now| course.handle_disconnected(now, reason, orderly));
    }
}

/// An error and everything under it, in one line.
fn chain(error: &PoolError) -> String {
    match error {
        PoolError::Dial { source, .. } | PoolError::DialAt { source, .. } => source.chain(),
        other => other.to_string(),
    }
}
