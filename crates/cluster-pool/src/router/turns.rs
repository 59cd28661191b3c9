//! Whose messages are handled: of one sender and priority those of one lane at a time.
//!
//! A sender that connects anew opens a new lane while the handler of the last message of the old one may still be at work. The new
//! lane waits, or what was sent later would be handled before what was sent first.

use std::sync::{Arc, Weak};

use cluster_types::Life;
use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::link::Link;
use crate::peer::Priority;

/// A sender, by its certificate, its life and one of its priorities.
type Sender = (String, Life, Priority);

#[derive(Debug, Default)]
pub(super) struct Turns(DashMap<Sender, Weak<Mutex<()>>>);

/// Entries of senders that are gone are looked for when there are more than this.
const SENDERS: usize = 1_024;

impl Turns {
    /// Waits for the turn of a lane, which has it until the guard is dropped.
    pub(super) async fn take(&self, link: &Link, priority: Priority) -> OwnedMutexGuard<()> {
        let turn = self.turn_of((link.remote_identity().uri(), link.life(), priority));
        turn.lock_owned().await
    }

    fn turn_of(&self, sender: Sender) -> Arc<Mutex<()>> {
        if self.0.len() > SENDERS {
            self.0.retain(|_, turn| turn.strong_count() > 0);
        }
        let mut entry = self.0.entry(sender).or_default();
        if let Some(turn) = entry.upgrade() {
            return turn;
        }
        let turn = Arc::new(Mutex::new(()));
        *entry = Arc::downgrade(&turn);
        turn
    }
}
