//! Exchanges on streams: joining, comparing whole views, fetching metadata.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::{Claim, Instant, Metadata, NodeId, Seed, State};

use super::spreading::Urgency;
use super::{Output, PeerInfo, RequestToken, Swim};
use crate::wire::exchange::INLINE_METADATA_MAX;
use crate::wire::{Answer, Entry, Request, Update};

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) to: NodeId,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Join,
    Sync,
    Other,
}

impl Swim {
    /// Asks a linked member to let this node in. The outcome is [`Output::Joined`] or [`Output::JoinFailed`].
    pub fn join(&mut self, via: &NodeId) {
        let own = self.own_entry();
        self.request_as(via, &Request::Join(own), What::Join);
    }

    pub(super) fn request(&mut self, to: &NodeId, request: &Request) {
        self.request_as(to, request, What::Other);
    }

    fn request_as(&mut self, to: &NodeId, request: &Request, what: What) {
        let token = RequestToken(self.next_token);
        self.next_token += 1;
        self.requests.insert(token, Pending { to: to.clone(), what });
        let (kind, body) = request.encode();
        self.emit(Output::Request { to: to.clone(), token, kind, body });
    }

    pub(super) fn sync_with(&mut self, node: &NodeId) {
        let root = self.root();
        self.request_as(node, &Request::Sync { root }, What::Sync);
    }

    pub(super) fn sync_with_somebody(&mut self) {
        let warm = self.warm();
        if let Some(peer) = self.any_of(&warm) {
            self.sync_with(&peer);
        }
    }

    /// Compares views soon rather than in its turn: a link has come up, or a difference was found.
    pub(super) fn sync_soon(&mut self, now: Instant) {
        const SOON: Duration = Duration::from_millis(250);
        self.next_sync = self.next_sync.min(now + SOON.mul_f64(1.0 + self.draws.fraction()));
    }

    /// One missing body at a time, from the member itself or else from anybody warm.
    pub(super) fn fetch_missing_metadata(&mut self) {
        let lacking: Vec<NodeId> =
            self.view.values().filter(|known| known.lacks_metadata()).map(|known| known.claim.node.clone()).collect();
        // By chance, or one body that nobody near has would stand before all others for ever.
        let Some(node) = self.any_of(&lacking) else { return };
        let warm = self.warm();
        let from = if warm.contains(&node) { Some(node.clone()) } else { self.any_of(&warm) };
        if let Some(from) = from {
            self.request(&from, &Request::Metadata(node));
        }
    }

    fn any_of(&mut self, nodes: &[NodeId]) -> Option<NodeId> {
        let at = self.draws.below(nodes.len() as u64) as usize;
        nodes.get(at).cloned()
    }

    /// What to say to a request.
    pub(super) fn answer(&mut self, now: Instant, peer: &PeerInfo, request: Request) -> Option<Answer> {
        match request {
            Request::Join(entry) => {
                if entry.update.claim.node != peer.node || entry.update.claim.life != peer.life {
                    self.stats.malformed += 1;
                    return None;
                }
                self.learn_entry(now, entry, &peer.node);
                Some(Answer::Entries(self.entries(now)))
            }
            Request::Sync { root } if root == self.root() => Some(Answer::Same),
            Request::Sync { .. } => Some(Answer::Entries(self.entries(now))),
            Request::Push(entries) => {
                self.learn_all(now, entries, &peer.node);
                Some(Answer::Same)
            }
            Request::Probe => Some(Answer::Here),
            Request::Metadata(node) => self.full_entry(&node).map(|entry| Answer::Entries(vec![entry])),
        }
    }

    /// What an answer, or its failure, means.
    pub(super) fn conclude(&mut self, now: Instant, pending: Pending, answer: Result<Answer, String>) {
        let Pending { to, what } = pending;
        match (what, answer) {
            (What::Join, Ok(Answer::Entries(entries))) => {
                self.learn_all(now, entries, &to);
                self.emit(Output::Joined { via: to });
            }
            (What::Join, Ok(_)) => {
                self.emit(Output::JoinFailed { via: to, reason: "an answer to nothing asked".into() })
            }
            (What::Join, Err(reason)) => self.emit(Output::JoinFailed { via: to, reason }),
            (What::Sync, Ok(Answer::Entries(entries))) => {
                let theirs: BTreeMap<NodeId, Claim> =
                    entries.iter().map(|e| (e.update.claim.node.clone(), e.update.claim.clone())).collect();
                let before = self.root();
                self.learn_all(now, entries, &to);
                if self.root() != before {
                    // Where two views differ, a third may differ as well. (A difference that cannot be merged is no reason.)
                    self.sync_soon(now);
                }
                // Only now: what was learnt may have been about this node, and what it says to that must go back.
                let lacking = self.lacking_in(now, &theirs);
                if !lacking.is_empty() {
                    self.request(&to, &Request::Push(lacking));
                }
            }
            (What::Other, Ok(Answer::Entries(entries))) => self.learn_all(now, entries, &to),
            // A probe's answer has done its work as a sign of life; a failed exchange is tried again in its time.
            (_, Ok(Answer::Same | Answer::Here) | Err(_)) => {}
        }
    }

    fn learn_all(&mut self, now: Instant, entries: Vec<Entry>, from: &NodeId) {
        for entry in entries {
            self.learn_entry(now, entry, from);
        }
        // A list is old news to everybody but this node: the tick spreads what little is not.
        if self.urgency == Urgency::Some {
            self.urgency = Urgency::None;
        }
    }

    fn own_entry(&self) -> Entry {
        let metadata = inline(&self.own_metadata);
        Entry { update: Update { claim: self.own.clone(), vote: None }, metadata }
    }

    /// The whole view, this node included.
    fn entries(&self, now: Instant) -> Vec<Entry> {
        let others = self.view.values().map(|known| {
            let metadata = if known.lacks_metadata() { None } else { inline(&known.metadata) };
            let vote = self.any_vote(&known.claim.node, now);
            Entry { update: Update { claim: known.claim.clone(), vote }, metadata }
        });
        std::iter::once(self.own_entry()).chain(others).collect()
    }

    fn full_entry(&self, node: &NodeId) -> Option<Entry> {
        if *node == self.own.node {
            let metadata = Some(self.own_metadata.clone());
            return Some(Entry { metadata, ..self.own_entry() });
        }
        let known = self.view.get(node).filter(|known| !known.lacks_metadata())?;
        let update = Update { claim: known.claim.clone(), vote: None };
        Some(Entry { update, metadata: Some(known.metadata.clone()) })
    }

    /// What this node knows and the author of `theirs` does not.
    fn lacking_in(&self, now: Instant, theirs: &BTreeMap<NodeId, Claim>) -> Vec<Entry> {
        let newer = |entry: &Entry| {
            let claim = &entry.update.claim;
            theirs.get(&claim.node).is_none_or(|theirs| claim.supersedes(theirs))
        };
        self.entries(now).into_iter().filter(newer).collect()
    }

    /// A hash of everything that must be equal in the end: names, incarnations, metadata versions, and whether a member is
    /// in, failed or gone. Suspicions come and go, so a suspect counts as alive.
    fn root(&self) -> [u8; 16] {
        let own = std::iter::once(&self.own);
        let (mut low, mut high) = (0u64, 0u64);
        for claim in own.chain(self.view.values().map(|known| &known.claim)) {
            let settled = if claim.state == State::Suspect { State::Alive } else { claim.state };
            let facts = Seed::new(claim.incarnation.get())
                .derive(claim.node.as_str(), claim.life.get())
                .derive(settled.as_str(), u64::from(claim.meta_version));
            // Sums, so that the order does not matter.
            low = low.wrapping_add(facts.draw(0));
            high = high.wrapping_add(facts.draw(1));
        }
        let mut root = [0; 16];
        root[..8].copy_from_slice(&low.to_le_bytes());
        root[8..].copy_from_slice(&high.to_le_bytes());
        root
    }
}

fn inline(metadata: &Metadata) -> Option<Metadata> {
    let len: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    (len > 0 && len <= INLINE_METADATA_MAX).then(|| metadata.clone())
}
