//! Whose messages are handled: of one sender and priority those of one link at a time.
//!
//! A sender that connects anew opens a new lane while the handler of the last message of the old one may still be at work. The new
//! lane waits, or what was sent later would be handled before what was sent first. Lanes of one link do not wait for each other.

use std::sync::{Arc, Weak};

use cluster_types::Life;
use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::link::{Link, LinkId};
use crate::peer::Priority;

/// A sender, by its certificate, its life and one of its priorities.
type Sender = (String, Life, Priority);

/// The turn of a link, held by each of its lanes.
pub(super) type Turn = Arc<OwnedMutexGuard<()>>;

#[derive(Debug, Default)]
struct Entry {
    turns: Arc<Mutex<()>>,
    /// The link that has the turn, while one of its lanes holds it.
    held: Option<(LinkId, Weak<OwnedMutexGuard<()>>)>,
}

impl Entry {
    fn of(&self, link: LinkId) -> Option<Turn> {
        self.held.as_ref().filter(|(holder, _)| *holder == link).and_then(|(_, held)| held.upgrade())
    }

    fn is_used(&self) -> bool {
        Arc::strong_count(&self.turns) > 1
    }
}

#[derive(Debug, Default)]
pub(super) struct Turns(DashMap<Sender, Entry>);

/// Entries of senders that are gone are looked for when there are more than this.
const SENDERS: usize = 1_024;

impl Turns {
    /// Waits for the turn of a lane's link, which has it until the last of its lanes lets go.
    pub(super) async fn take(&self, link: &Link, priority: Priority) -> Turn {
        let sender = (link.remote_identity().uri(), link.life(), priority);
        if self.0.len() > SENDERS {
            self.0.retain(|_, entry| entry.is_used());
        }
        let turns = {
            let entry = self.0.entry(sender.clone()).or_default();
            if let Some(turn) = entry.of(link.id()) {
                return turn;
            }
            Arc::clone(&entry.turns)
        };
        cluster_sites::sometimes!(crate::sites::LANE_WAITS_ITS_TURN, turns.try_lock().is_err());
        let turn = Arc::new(turns.lock_owned().await);
        self.0.entry(sender).or_default().held = Some((link.id(), Arc::downgrade(&turn)));
        turn
    }
}
