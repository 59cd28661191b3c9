//! Whether to be connected, and when to try again. Pure: `now` and what happened in, what to do next out.
//!
//! A peer is in exactly one state, so it is never connecting and connected at once. A dial that succeeds proves little: a link
//! that ends within a second without an answer counts as one more failure for the back-off, or a peer that accepts and closes
//! would be dialled in a loop.

use std::fmt;
use std::time::Duration;

use cluster_failure::breaker::{Outcome, Permit};
use cluster_failure::{Backoff, BreakerState, CircuitBreaker};
use cluster_sites::{always, reachable, sometimes};
use cluster_types::{Instant, Life, Seed};

use super::config::PeerConfig;
use crate::sites;

/// A link that has lasted for this long has proven itself.
const PROVEN_AFTER: Duration = Duration::from_secs(1);

/// What a peer is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerState {
    /// There is no link, and nothing to send.
    Idle,
    /// The last attempt failed; the next one waits.
    BackingOff,
    /// The breaker is open: no attempt is made.
    BreakerOpen,
    /// A link is being dialled.
    Connecting,
    /// There is a link.
    Connected,
    /// Its owner closed it.
    Closed,
}

impl PeerState {
    /// The word used in logs and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::BackingOff => "backing off",
            Self::BreakerOpen => "breaker open",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened between two looks at a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEvent {
    /// A link is up.
    Connected {
        /// To which life of the peer.
        life: Life,
    },
    /// The process on the other side is another one than before: it was started anew. Told before `Connected`.
    Restarted {
        /// The life before.
        from: Life,
        /// The one now.
        to: Life,
    },
    /// The link is over.
    Disconnected {
        /// Why, in words.
        reason: String,
    },
    /// An attempt to connect failed.
    ConnectFailed {
        /// Why, in words.
        reason: String,
        /// When the next one is made at the earliest, from now.
        retry_in: Duration,
    },
    /// The breaker changed.
    Breaker {
        /// What it was.
        from: BreakerState,
        /// What it is.
        to: BreakerState,
    },
    /// Its owner closed it. Nothing comes after this.
    Closed,
    /// The reader was so slow that this many events are missing here.
    Lagged(u64),
}

/// What the driver is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, until something happens or is wanted.
    Rest,
    /// Nothing before then.
    Wait(Instant),
    /// Dial.
    Dial,
    /// End.
    Stop,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Waiting { until: Instant, breaker: bool },
    Connecting { permit: Permit },
    Connected { life: Life, since: Instant, proven: bool },
    Closed,
}

#[derive(Debug)]
pub(super) struct Course {
    phase: Phase,
    backoff: Backoff,
    breaker: CircuitBreaker,
    /// The life that the last link led to.
    last_life: Option<Life>,
    last_error: Option<String>,
    /// The last link was let go, and not lost.
    at_rest: bool,
    events: Vec<PeerEvent>,
}

impl Course {
    pub(super) fn new(config: &PeerConfig) -> Self {
        Self {
            phase: Phase::Idle,
            backoff: Backoff::new(config.backoff, Seed::new(config.seed)),
            breaker: CircuitBreaker::new(config.breaker),
            last_life: None,
            last_error: None,
            at_rest: false,
            events: Vec::new(),
        }
    }

    pub(super) const fn state(&self) -> PeerState {
        match self.phase {
            Phase::Idle => PeerState::Idle,
            Phase::Waiting { breaker: true, .. } => PeerState::BreakerOpen,
            Phase::Waiting { breaker: false, .. } => PeerState::BackingOff,
            Phase::Connecting { .. } => PeerState::Connecting,
            Phase::Connected { .. } => PeerState::Connected,
            Phase::Closed => PeerState::Closed,
        }
    }

    pub(super) const fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// The life on the other end of the link there is.
    pub(super) const fn life(&self) -> Option<Life> {
        match self.phase {
            Phase::Connected { life, .. } => Some(life),
            _ => None,
        }
    }

    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Attempts that failed since a link last proved itself.
    pub(super) const fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// When the next attempt is made at the earliest.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// What happened since this was asked last.
    pub(super) fn take_events(&mut self) -> Vec<PeerEvent> {
        std::mem::take(&mut self.events)
    }

    /// What to do now, if a link is wanted or not. After [`Next::Dial`] the outcome is due; until then, and while there is a
    /// link, nothing is to do.
    pub(super) fn next(&mut self, now: Instant, wanted: bool) -> Next {
        let busy = matches!(self.phase, Phase::Connecting { .. } | Phase::Connected { .. });
        always!(sites::NEVER_DIALS_CONNECTED, !busy);
        match &self.phase {
            Phase::Closed => return Next::Stop,
            // A second dial would forget the first, or the link.
            _ if busy => return Next::Rest,
            Phase::Waiting { until, .. } if now < *until => return Next::Wait(*until),
            _ if !wanted => {
                self.phase = Phase::Idle;
                return Next::Rest;
            }
            _ => {}
        }
        let ready_at = self.backoff.ready_at();
        if now < ready_at {
            sometimes!(sites::PEER_BACKS_OFF_LONG, self.failures() > 5);
            self.phase = Phase::Waiting { until: ready_at, breaker: false };
            return Next::Wait(ready_at);
        }
        let (permit, transition) = self.breaker.permit(now);
        self.note_breaker(transition);
        match permit {
            Ok(permit) => {
                self.phase = Phase::Connecting { permit };
                Next::Dial
            }
            Err(refused) => {
                // A trial under way is this peer's own, whose outcome is always reported.
                let until = refused.retry_at.unwrap_or(now + PROVEN_AFTER);
                self.phase = Phase::Waiting { until, breaker: true };
                Next::Wait(until)
            }
        }
    }

    pub(super) fn handle_connected(&mut self, now: Instant, life: Life) {
        match std::mem::replace(&mut self.phase, Phase::Connected { life, since: now, proven: false }) {
            Phase::Connecting { permit } => {
                let transition = self.breaker.handle_outcome(now, permit, Outcome::Success);
                self.note_breaker(transition);
            }
            Phase::Closed => {
                self.phase = Phase::Closed;
                return;
            }
            // The peer has dialled.
            Phase::Idle | Phase::Waiting { .. } => {
                let transition = self.breaker.close();
                self.note_breaker(transition);
            }
            Phase::Connected { .. } => {
                let reason = "another link took its place".into();
                self.events.push(PeerEvent::Disconnected { reason });
            }
        }
        let went_on = std::mem::take(&mut self.at_rest) && self.last_life == Some(life);
        if went_on {
            return;
        }
        if let Some(from) = self.last_life.replace(life)
            && from != life
        {
            reachable!(sites::PEER_RESTARTED);
            self.events.push(PeerEvent::Restarted { from, to: life });
        }
        self.events.push(PeerEvent::Connected { life });
    }

    /// The other side has answered: the link is one.
    pub(super) fn handle_proof(&mut self) {
        if let Phase::Connected { proven, .. } = &mut self.phase
            && !*proven
        {
            *proven = true;
            self.backoff.reset();
            self.last_error = None;
        }
    }

    /// The link is over. Not a failure where it had proven itself, or where nobody is to blame: `orderly`.
    pub(super) fn handle_disconnected(&mut self, now: Instant, reason: String, orderly: bool) {
        let Phase::Connected { since, proven, .. } = self.phase else { return };
        self.phase = Phase::Idle;
        if proven || now.since(since) >= PROVEN_AFTER {
            self.backoff.reset();
        } else if !orderly {
            self.backoff.note_failure(now);
        }
        self.last_error = Some(reason.clone());
        self.events.push(PeerEvent::Disconnected { reason });
    }

    /// There is nothing to say: the link is let go, and may be there when it is wanted again.
    pub(super) fn handle_rested(&mut self) {
        if let Phase::Connected { .. } = self.phase {
            self.phase = Phase::Idle;
            self.at_rest = true;
            self.backoff.reset();
        }
    }

    /// The attempt failed.
    pub(super) fn handle_failed(&mut self, now: Instant, reason: String) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Connecting { permit } => {
                self.at_rest = false;
                let delay = self.backoff.note_failure(now);
                let transition = self.breaker.handle_outcome(now, permit, Outcome::Failure);
                self.note_breaker(transition);
                let retry_at = self.breaker.retry_at().unwrap_or(now).max(now + delay);
                self.last_error = Some(reason.clone());
                self.events.push(PeerEvent::ConnectFailed { reason, retry_in: retry_at.since(now) });
            }
            other => self.phase = other,
        }
    }

    /// No attempt was made, for a reason of this side's own: it is tried again, and the breaker knows nothing of it.
    pub(super) fn handle_not_tried(&mut self, now: Instant, reason: String) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Connecting { permit } => {
                reachable!(sites::NOT_TRIED);
                // Given back unused.
                drop(permit);
                self.at_rest = false;
                let retry_in = self.backoff.note_failure(now);
                self.last_error = Some(reason.clone());
                self.events.push(PeerEvent::ConnectFailed { reason, retry_in });
            }
            other => self.phase = other,
        }
    }

    /// There is a reason to think that it can be reached now: it was heard, it has a new address, its owner says so.
    pub(super) fn handle_alive(&mut self) {
        let transition = self.breaker.close();
        self.note_breaker(transition);
        self.backoff.reset();
        if matches!(self.phase, Phase::Waiting { .. }) {
            self.phase = Phase::Idle;
        }
    }

    /// Closed for good.
    pub(super) fn handle_close(&mut self) {
        if let Phase::Connected { .. } = self.phase {
            self.events.push(PeerEvent::Disconnected { reason: "closed by its owner".into() });
        }
        if !matches!(std::mem::replace(&mut self.phase, Phase::Closed), Phase::Closed) {
            self.events.push(PeerEvent::Closed);
        }
    }

    fn note_breaker(&mut self, transition: Option<cluster_failure::breaker::Transition>) {
        if let Some(cluster_failure::breaker::Transition { from, to }) = transition {
            sometimes!(sites::BREAKER_OPENS, to == BreakerState::Open);
            sometimes!(sites::BREAKER_TRIES, to == BreakerState::HalfOpen);
            sometimes!(sites::BREAKER_CLOSES, to == BreakerState::Closed);
            self.events.push(PeerEvent::Breaker { from, to });
        }
    }
}

#[cfg(test)]
mod tests;
