//! A data connection in the hands of a user: it is not idle while he holds it.

use std::ops::Deref;

use crate::link::Link;
use crate::transport::{CloseCode, LinkClass};

/// A data connection that is leased. While a lease is held the pool does not close the connection for being idle or to make
/// room; give it back by dropping it. Clones are leases of their own.
#[derive(Debug)]
#[must_use = "dropping it gives the connection back"]
pub struct Lease(Link);

impl Lease {
    pub(super) fn new(link: Link) -> Self {
        link.note_leased();
        Self(link)
    }

    /// The connection, without the lease.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.0
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Deref for Lease {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let last = self.0.note_returned();
        // Nobody else can be given a connection of one user's own.
        if last && self.0.class() == LinkClass::Private {
            self.0.close(CloseCode::DONE);
        }
    }
}
