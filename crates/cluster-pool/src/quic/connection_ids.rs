//! Connection ids of this node: seven bytes that only the holder of its secret can make, and that nobody else can tie together.
//!
//! Seven and not eight: what a peer opens a connection by has at least eight (RFC 9000, 7.2). So a late answer to a connection that was given
//! up is never taken for somebody who knocks. With eight quinn derives keys from the id that mean nothing, and whether it knocks is what the
//! random bits then say: one time in four.

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use ring::hmac;

/// Told apart by this; two equal ones of one endpoint are drawn again by quinn.
const NONCE: usize = 3;

const SIGNATURE: usize = 4;

const LENGTH: usize = NONCE + SIGNATURE;

/// Makes them, and knows them again, also after a restart with the same secret: what comes for a connection of a former life is answered
/// with a reset.
pub(super) struct ConnectionIds {
    key: hmac::Key,
    next: u64,
}

impl ConnectionIds {
    /// From a secret of the node's own, and a number that no other process of the node begins with.
    pub(super) fn new(secret: &[u8], first: u64) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), next: first }
    }

    fn signed(&self, nonce: &[u8]) -> [u8; LENGTH] {
        let signature = hmac::sign(&self.key, &nonce[..NONCE]);
        let mut id = [0; LENGTH];
        id[..NONCE].copy_from_slice(&nonce[..NONCE]);
        id[NONCE..].copy_from_slice(&signature.as_ref()[..SIGNATURE]);
        id
    }
}

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.next = self.next.wrapping_add(1);
        // Longer than a nonce, so that it is the signature of no id.
        let drawn = hmac::sign(&self.key, &self.next.to_le_bytes());
        ConnectionId::new(&self.signed(drawn.as_ref()))
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let known = id.get(..NONCE).is_some_and(|nonce| self.signed(nonce)[..] == id[..]);
        if known { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn they_are_known_again_by_the_same_secret_and_by_no_other() {
        let (mut ids, after, stranger) =
            (ConnectionIds::new(b"a", 7), ConnectionIds::new(b"a", 9), ConnectionIds::new(b"b", 7));
        let made: BTreeSet<Vec<u8>> = (0..1_000).map(|_| ids.generate_cid().to_vec()).collect();
        assert!(made.len() > 990, "{}", made.len());
        for id in &made {
            assert_eq!(id.len(), 7);
            let id = ConnectionId::new(id);
            assert!(ids.validate(&id).is_ok() && after.validate(&id).is_ok() && stranger.validate(&id).is_err());
        }
        assert!(ids.validate(&ConnectionId::new(&[0; 7])).is_err() && ids.validate(&ConnectionId::new(&[])).is_err());
        let mut again = ConnectionIds::new(b"a", 1_000_000);
        assert!(!made.contains(&again.generate_cid().to_vec()), "another process draws others");
    }
}
