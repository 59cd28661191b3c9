//! Broadcasts of users: small messages that gossip carries to everybody, beside what it says of members and with a budget of
//! its own, so that neither can crowd out the other.
//!
//! Best effort: each member hears a broadcast at most once, and all but surely once while the cluster is whole. Nobody waits
//! for it and nothing is sent again after its rounds are over. For more, send messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_types::{Life, NodeId};

/// Longest payload. With its origin a broadcast then takes a quarter of a datagram.
pub const BROADCAST_LEN_MAX: usize = 200;

/// Broadcasts under way at once. When more come in, the one that was told most often gives way.
pub const BROADCASTS_MAX: usize = 64;

/// How many of one origin's latest broadcasts are told apart; an older one counts as heard.
const WINDOW: u64 = 64;

/// Whose broadcast, and which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BroadcastId {
    /// Who broadcast it.
    pub origin: NodeId,
    /// In which life.
    pub life: Life,
    /// Counted by the origin, from 1.
    pub seq: u64,
}

/// One broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Whose, and which.
    pub id: BroadcastId,
    /// What it says.
    pub payload: Arc<[u8]>,
}

/// Why a broadcast is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// It is too long.
    #[error("the broadcast is {len} bytes long: at most {BROADCAST_LEN_MAX} are allowed; send it as a message")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Too many are under way.
    #[error("{BROADCASTS_MAX} broadcasts are under way: wait for their rounds to end")]
    Full,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
}

#[derive(Debug)]
struct Piece {
    broadcast: Broadcast,
    told: u32,
}

/// What has been heard of one origin's life.
#[derive(Debug, Clone, Copy)]
struct Heard {
    life: Life,
    highest: u64,
    /// Bit n: number `highest - n` was heard.
    bits: u64,
}

impl Heard {
    /// Notes a number; says whether it is new.
    const fn note(&mut self, seq: u64) -> bool {
        if seq > self.highest {
            let by = seq - self.highest;
            self.bits = if by < WINDOW { self.bits << by } else { 0 } | 1;
            self.highest = seq;
            return true;
        }
        let behind = self.highest - seq;
        if behind >= WINDOW || self.bits >> behind & 1 == 1 {
            return false;
        }
        self.bits |= 1 << behind;
        true
    }
}

/// Broadcasts under way, and which ones were heard.
#[derive(Debug, Default)]
pub(crate) struct UserNews {
    pieces: Vec<Piece>,
    heard: BTreeMap<NodeId, Heard>,
    own_seq: u64,
    /// How many there was no room for, or gave way.
    over_limit: u64,
}

impl UserNews {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Broadcasts that were not taken for want of room, or gave way before their rounds were over.
    pub(crate) const fn over_limit(&self) -> u64 {
        self.over_limit
    }

    /// A broadcast of this node's own.
    pub(crate) fn begin(&mut self, origin: NodeId, life: Life, payload: &[u8]) -> Result<(), BroadcastError> {
        if payload.len() > BROADCAST_LEN_MAX {
            return Err(BroadcastError::TooLong { len: payload.len() });
        }
        if self.pieces.len() >= BROADCASTS_MAX {
            self.over_limit += 1;
            return Err(BroadcastError::Full);
        }
        self.own_seq += 1;
        let id = BroadcastId { origin, life, seq: self.own_seq };
        self.pieces.push(Piece { broadcast: Broadcast { id, payload: payload.into() }, told: 0 });
        Ok(())
    }

    /// One that was heard; says whether it is new. `life` is the life that its origin is known by.
    pub(crate) fn hear(&mut self, broadcast: &Broadcast, life: Life) -> bool {
        let BroadcastId { origin, life: said, seq } = &broadcast.id;
        if *said != life || broadcast.payload.len() > BROADCAST_LEN_MAX {
            return false;
        }
        let fresh = Heard { life, highest: 0, bits: 0 };
        let heard = self.heard.entry(origin.clone()).or_insert(fresh);
        if heard.life != life {
            *heard = fresh;
        }
        if *seq == 0 || !heard.note(*seq) {
            cluster_sites::sometimes!(crate::sites::BROADCAST_TWICE, *seq != 0);
            return false;
        }
        if self.pieces.len() >= BROADCASTS_MAX {
            let most_told = (0..self.pieces.len()).max_by_key(|&i| self.pieces[i].told);
            most_told.map(|i| self.pieces.swap_remove(i));
            self.over_limit += 1;
        }
        self.pieces.push(Piece { broadcast: broadcast.clone(), told: 0 });
        true
    }

    /// What to tell next: the least told first.
    pub(crate) fn next(&self) -> Vec<&Broadcast> {
        let mut pieces: Vec<&Piece> = self.pieces.iter().collect();
        pieces.sort_by(|a, b| a.told.cmp(&b.told).then_with(|| a.broadcast.id.cmp(&b.broadcast.id)));
        pieces.into_iter().map(|piece| &piece.broadcast).collect()
    }

    /// These were told once more; after `limit` times each is done.
    pub(crate) fn note_told(&mut self, told: &[BroadcastId], limit: u32) {
        for piece in self.pieces.iter_mut().filter(|piece| told.contains(&piece.broadcast.id)) {
            piece.told += 1;
        }
        self.pieces.retain(|piece| piece.told < limit);
    }

    /// A member is forgotten, and what was heard of it.
    pub(crate) fn forget(&mut self, origin: &NodeId) {
        self.heard.remove(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn origin() -> NodeId {
        "o".parse().unwrap()
    }

    fn broadcast(seq: u64, life: u32) -> Broadcast {
        let id = BroadcastId { origin: origin(), life: Life::new(1, life), seq };
        Broadcast { id, payload: b"x".as_slice().into() }
    }

    #[test]
    fn each_is_heard_once_and_a_new_life_counts_anew() {
        let mut news = UserNews::default();
        let mut hear = |seq, life, known| news.hear(&broadcast(seq, life), Life::new(1, known));
        assert!(hear(3, 1, 1) && !hear(3, 1, 1) && hear(1, 1, 1) && !hear(1, 1, 1));
        assert!(!hear(0, 1, 1), "numbers begin at 1");
        assert!(hear(70, 1, 1));
        assert!(hear(7, 1, 1) && !hear(6, 1, 1), "64 are told apart, older ones count as heard");
        assert!(!hear(71, 2, 1), "a life that is not the one known says nothing");
        assert!(hear(1, 2, 2) && !hear(1, 2, 2));
    }

    #[test]
    fn the_least_told_goes_first_and_each_is_done_after_its_rounds() {
        let mut news = UserNews::default();
        for i in 1..=3 {
            news.begin(origin(), Life::new(1, 1), &[i]).unwrap();
        }
        let order = |news: &UserNews| news.next().iter().map(|b| b.id.seq).collect::<Vec<_>>();
        assert_eq!(order(&news), [1, 2, 3]);
        news.note_told(&[broadcast(1, 1).id], 2);
        assert_eq!(order(&news), [2, 3, 1]);
        news.note_told(&[broadcast(1, 1).id, broadcast(2, 1).id], 2);
        assert_eq!(order(&news), [3, 2]);
        news.note_told(&[broadcast(2, 1).id, broadcast(3, 1).id], 1);
        assert!(news.is_empty());
    }

    #[test]
    fn there_is_a_limit_to_what_is_under_way() {
        let mut news = UserNews::default();
        let life = Life::new(1, 1);
        assert_eq!(news.begin(origin(), life, &[0; 201]), Err(BroadcastError::TooLong { len: 201 }));
        for _ in 0..BROADCASTS_MAX {
            news.begin(origin(), life, &[0; 200]).unwrap();
        }
        assert_eq!(news.begin(origin(), life, b"x"), Err(BroadcastError::Full));
        news.note_told(&[broadcast(9, 1).id], 5);
        let other = BroadcastId { origin: "p".parse().unwrap(), life, seq: 1 };
        assert!(news.hear(&Broadcast { id: other.clone(), payload: b"y".as_slice().into() }, life));
        assert_eq!(news.next().len(), BROADCASTS_MAX);
        assert!(news.next().iter().all(|b| b.id.seq != 9), "the most told one gave way");
        assert!(news.next().iter().any(|b| b.id == other));
        assert_eq!(news.over_limit(), 2, "one was not taken, and one gave way");
    }

    proptest! {
        /// Within the window, exactly the first of each number is new.
        #[test]
        fn the_window_is_a_set(seqs in prop::collection::vec(1u64..64, 0..100)) {
            let mut news = UserNews::default();
            let mut seen = BTreeSet::new();
            for seq in seqs {
                prop_assert_eq!(news.hear(&broadcast(seq, 1), Life::new(1, 1)), seen.insert(seq));
            }
        }
    }
}
