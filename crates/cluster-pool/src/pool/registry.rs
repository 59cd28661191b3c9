//! Every link that has not ended: those in a slot, private ones, clients' ones, and those that lost against another and finish
//! what they have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::link::{Link, LinkId};
use crate::transport::LinkClass;

type Links = BTreeMap<LinkId, Link>;

#[derive(Debug, Clone, Default)]
pub(super) struct Registry(Arc<Mutex<Links>>);

/// Takes its link out when it is dropped.
#[derive(Debug)]
pub(super) struct Entered(Registry, LinkId);

impl Drop for Entered {
    fn drop(&mut self) {
        let gone = self.0.links().remove(&self.1);
        // Dropped without the lock: it may be the last handle.
        drop(gone);
    }
}

impl Registry {
    /// Held for a look or a change, never across a wait.
    fn links(&self) -> MutexGuard<'_, Links> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, link: &Link) -> Entered {
        self.links().insert(link.id(), link.clone());
        Entered(self.clone(), link.id())
    }

    /// How many of a class there are.
    pub(super) fn count(&self, class: LinkClass) -> usize {
        self.links().values().filter(|link| link.class() == class).count()
    }

    /// Every one.
    pub(super) fn all(&self) -> Vec<Link> {
        self.links().values().cloned().collect()
    }

    /// The users' links.
    pub(super) fn of_users(&self) -> Vec<Link> {
        self.links().values().filter(|link| link.class() != LinkClass::Control).cloned().collect()
    }

    /// Links that clients have begun.
    pub(super) fn of_clients(&self) -> Vec<Link> {
        self.links().values().filter(|link| link.remote().client).cloned().collect()
    }
}
