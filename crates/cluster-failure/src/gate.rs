//! The dial gate: back-off and breaker of one peer on one clock.
//!
//! Kept apart they quarrel: the breaker cools down while the back-off still waits, or the other way round, and the trial that
//! decides comes late. Here there is one moment of the next attempt. While the breaker is closed it is the back-off's; while
//! it is open it is the breaker's, and the trial it then admits *is* the next dial.

use cluster_types::{Instant, Seed};

use crate::backoff::{Backoff, BackoffConfig};
use crate::breaker::{BreakerConfig, BreakerState, CircuitBreaker, Outcome, Permit, Refused, Transition};

/// Decides when a peer may be dialled for users. Probes and healing do not ask.
#[derive(Debug)]
pub struct DialGate {
    backoff: Backoff,
    breaker: CircuitBreaker,
}

impl DialGate {
    /// Ready at once.
    #[must_use]
    pub fn new(backoff: BackoffConfig, breaker: BreakerConfig, seed: Seed) -> Self {
        Self { backoff: Backoff::new(backoff, seed), breaker: CircuitBreaker::new(breaker) }
    }

    /// When the next attempt may start; `None` while a trial decides.
    #[must_use]
    pub const fn ready_at(&self) -> Option<Instant> {
        match self.breaker.state() {
            BreakerState::Closed => Some(self.backoff.ready_at()),
            BreakerState::Open => self.breaker.retry_at(),
            BreakerState::HalfOpen => None,
        }
    }

    /// The breaker's state.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Asks for an attempt.
    ///
    /// # Errors
    /// Its time has not come.
    pub fn permit(&mut self, now: Instant) -> (Result<Permit, Refused>, Option<Transition>) {
        match self.ready_at() {
            Some(ready) if now < ready => (Err(Refused { retry_at: Some(ready) }), None),
            _ => self.breaker.permit(now),
        }
    }

    /// A dial ended. Success means proven: the hello is through.
    pub fn handle_outcome(&mut self, now: Instant, permit: Permit, outcome: Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Success => self.backoff.reset(),
            Outcome::Failure => {
                self.backoff.note_failure(now);
            }
        }
        self.breaker.handle_outcome(now, permit, outcome)
    }

    /// The peer has shown itself: an inbound link, an `alive`, a new life. Everything is forgiven.
    pub fn handle_sign_of_life(&mut self) -> Option<Transition> {
        self.backoff.reset();
        self.breaker.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn gate() -> DialGate {
        DialGate::new(BackoffConfig::reconnect(), BreakerConfig::dialling(), Seed::new(3))
    }

    fn fail(gate: &mut DialGate, now: Instant) {
        let (permit, _) = gate.permit(now);
        gate.handle_outcome(now, permit.expect("its time has come"), Outcome::Failure);
    }

    /// Fails until the breaker opens; the moment it does.
    fn opened() -> (DialGate, Instant) {
        let mut gate = gate();
        let mut now = Instant::ORIGIN;
        while gate.state() == BreakerState::Closed {
            now = gate.ready_at().unwrap().max(now);
            fail(&mut gate, now);
        }
        (gate, now)
    }

    #[test]
    fn while_closed_the_backoff_decides() {
        let mut gate = gate();
        assert_eq!(gate.ready_at(), Some(Instant::ORIGIN));
        fail(&mut gate, Instant::ORIGIN);
        let ready = gate.ready_at().unwrap();
        let waited = ready.since(Instant::ORIGIN);
        assert!(waited >= Duration::from_millis(50) && waited <= Duration::from_millis(100), "{waited:?}");
        let refused = gate.permit(ready - Duration::from_nanos(1)).0.unwrap_err();
        assert_eq!(refused, Refused { retry_at: Some(ready) });
        assert!(gate.permit(ready).0.is_ok());
    }

    #[test]
    fn once_open_the_half_open_trial_is_the_next_dial() {
        let (mut gate, now) = opened();
        let ready = now + Duration::from_secs(30);
        assert_eq!(gate.ready_at(), Some(ready));
        assert!(gate.permit(ready - Duration::from_nanos(1)).0.is_err());
        let (trial, transition) = gate.permit(ready);
        assert_eq!(transition.map(|t| t.to), Some(BreakerState::HalfOpen));
        assert_eq!(gate.ready_at(), None);
        assert!(gate.permit(ready).0.is_err(), "one trial at a time");
        let ended = gate.handle_outcome(ready, trial.unwrap(), Outcome::Success);
        assert_eq!(ended.map(|t| t.to), Some(BreakerState::Closed));
        assert_eq!(gate.ready_at(), Some(Instant::ORIGIN), "proven: the back-off starts over");
    }

    #[test]
    fn a_sign_of_life_forgives_everything() {
        let (mut gate, now) = opened();
        assert_eq!(gate.handle_sign_of_life().map(|t| t.to), Some(BreakerState::Closed));
        assert_eq!(gate.ready_at(), Some(Instant::ORIGIN));
        assert!(gate.permit(now).0.is_ok());
        assert_eq!(gate.handle_sign_of_life(), None);
    }
}
