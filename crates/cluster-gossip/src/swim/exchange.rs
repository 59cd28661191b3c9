//! Exchanges on streams: joining, comparing whole views, fetching metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_sites::{buggify, reachable, sometimes};
use cluster_types::{Claim, Instant, Metadata, NodeId, State};

use super::spreading::Urgency;
use super::{Output, PeerInfo, RequestToken, Swim};
use crate::digest::{Digest, bucket_of};
use crate::planted::Bug;
use crate::sites;
use crate::wire::exchange::INLINE_METADATA_MAX;
use crate::wire::{Answer, Entry, Request, Update};

/// Up to this many members the whole view goes over at once: the buckets alone are as long as thirty entries.
const WHOLE_MAX: usize = 32;

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
    Compare,
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
        let root = self.digest().root();
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
        // By chance, or one body that nobody near has would stand before all others for ever.
        let at = self.draws.below(self.view.lacking().len() as u64) as usize;
        let Some(node) = self.view.lacking().iter().nth(at).cloned() else { return };
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
                Some(Answer::Entries(self.entries_for_newcomer(now)))
            }
            Request::Sync { root } if root == self.digest().root() => Some(Answer::Same),
            Request::Sync { .. } if self.view.len() <= WHOLE_MAX && !buggify!(sites::BUCKETS_EVEN_IF_SMALL) => {
                Some(Answer::Entries(self.entries(now)))
            }
            Request::Sync { .. } => {
                sometimes!(sites::COMPARED_BY_BUCKETS, self.view.len() > WHOLE_MAX);
                Some(Answer::Buckets(self.digest().buckets().to_vec()))
            }
            Request::Compare { buckets, entries } => {
                let theirs = claims_of(&entries);
                self.learn_comparing(now, entries, &peer.node);
                // Only now: what was learnt may have been about this node, and what it says to that must go back.
                Some(Answer::Entries(self.lacking_in(now, &theirs, |claim| buckets.contains(&bucket_number(claim)))))
            }
            Request::Push(entries) => {
                self.learn_comparing(now, entries, &peer.node);
                Some(Answer::Same)
            }
            Request::Probe => Some(Answer::Here),
            Request::Metadata(node) => self.full_entry(&node).map(|entry| Answer::Entries(vec![entry])),
            Request::Certificates(tags) => Some(Answer::Certificates(self.certificates(&tags))),
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
            (What::Join, Ok(Answer::Unsupported)) => {
                self.emit(Output::JoinFailed { via: to, reason: "it does not know this way of joining".into() });
            }
            (What::Join, Ok(_)) => {
                self.emit(Output::JoinFailed { via: to, reason: "an answer to nothing asked".into() })
            }
            (What::Join, Err(reason)) => {
                reachable!(sites::JOIN_EXCHANGE_FAILED);
                self.emit(Output::JoinFailed { via: to, reason });
            }
            (What::Sync, Ok(Answer::Entries(entries))) => {
                let theirs = claims_of(&entries);
                self.learn_comparing(now, entries, &to);
                let lacking = self.lacking_in(now, &theirs, |_| true);
                if !lacking.is_empty() {
                    reachable!(sites::PUSHED_BACK);
                    self.request(&to, &Request::Push(lacking));
                }
            }
            (What::Sync, Ok(Answer::Buckets(theirs))) => self.compare(now, &to, &theirs),
            (What::Compare, Ok(Answer::Entries(entries))) => self.learn_comparing(now, entries, &to),
            (What::Other, Ok(Answer::Entries(entries))) => self.learn_all(now, entries, &to),
            (What::Other, Ok(Answer::Certificates(held))) => self.learn_certificates(now, &held),
            // A probe's answer has done its work as a sign of life; a failed exchange is tried again in its time.
            (
                _,
                Ok(Answer::Same | Answer::Here | Answer::Certificates(_) | Answer::Buckets(_) | Answer::Unsupported)
                | Err(_),
            ) => {}
        }
    }

    /// The other view differs in some buckets: what is held here of the members in them goes there, and what is newer there
    /// comes back.
    fn compare(&mut self, now: Instant, to: &NodeId, theirs: &[u64]) {
        let own = self.digest();
        let differing = own.buckets().iter().zip(theirs).enumerate().filter(|(_, (own, theirs))| own != theirs);
        let buckets: BTreeSet<u8> = differing.filter_map(|(number, _)| u8::try_from(number).ok()).collect();
        let entries = self.entries_where(now, |claim| buckets.contains(&bucket_number(claim)));
        self.request_as(to, &Request::Compare { buckets, entries }, What::Compare);
    }

    /// Takes over what an exchange found. Where two views differ, a third may differ as well. (A difference that cannot be
    /// merged is no reason to look again.)
    fn learn_comparing(&mut self, now: Instant, entries: Vec<Entry>, from: &NodeId) {
        let before = self.digest();
        self.learn_all(now, entries, from);
        if self.digest() != before {
            self.sync_soon(now);
        }
    }

    fn learn_all(&mut self, now: Instant, entries: Vec<Entry>, from: &NodeId) {
        // What comes by the hundred goes on by the hundred: from view to view. Told one by one, a thousand members that have
        // just met would tell each other of each other for a minute.
        self.in_bulk = entries.len() > WHOLE_MAX;
        self.in_list = true;
        for entry in entries {
            self.learn_entry(now, entry, from);
        }
        self.in_bulk = false;
        self.in_list = false;
        // A list is old news to everybody but this node: the tick spreads what little is not.
        if self.urgency == Urgency::Some {
            self.urgency = Urgency::None;
        }
    }

    fn own_entry(&self) -> Entry {
        let metadata = inline(&self.own_metadata);
        Entry { update: self.own_word(), metadata, gone_for: Duration::ZERO }
    }

    /// As [`entries`](Self::entries): that others live, a newcomer believes without a signature.
    fn entries_for_newcomer(&self, now: Instant) -> Vec<Entry> {
        let mut entries = self.entries(now);
        let others = entries.iter_mut().filter(|entry| entry.update.claim.node != self.own.node);
        others.filter(|entry| entry.update.claim.state == State::Alive).for_each(|entry| entry.update.proof = None);
        entries
    }

    /// The whole view, this node included.
    fn entries(&self, now: Instant) -> Vec<Entry> {
        self.entries_where(now, |_| true)
    }

    fn entries_where(&self, now: Instant, wanted: impl Fn(&Claim) -> bool) -> Vec<Entry> {
        let others = self.view.iter().filter(|known| wanted(known.claim())).map(|known| {
            let metadata = known.complete.then(|| inline(&known.member.metadata)).flatten();
            let gone_for = self.gone_for(now, known.member.node());
            let update = match known.state() {
                State::Suspect => self.accusation(now, known.claim().clone()),
                _ => known.word(),
            };
            Entry { update, metadata, gone_for }
        });
        let own = wanted(&self.own).then(|| self.own_entry());
        own.into_iter().chain(others).collect()
    }

    /// How long a member has failed or left, whoever noticed first.
    fn gone_for(&self, now: Instant, node: &NodeId) -> Duration {
        let left = self.view.gone().get(node).map(|reap_at| reap_at.since(now));
        left.map_or(Duration::ZERO, |left| self.config.reap_after.saturating_sub(left))
    }

    fn full_entry(&self, node: &NodeId) -> Option<Entry> {
        if *node == self.own.node {
            let metadata = Some(self.own_metadata.clone());
            return Some(Entry { metadata, ..self.own_entry() });
        }
        let known = self.view.get(node).filter(|known| known.complete)?;
        let accused = matches!(known.state(), State::Suspect | State::Failed);
        let update = match &known.proof {
            // What it has said itself: whoever asks may have missed it.
            Some(proof) if accused => {
                let claim = Claim { state: State::Alive, ..known.claim().clone() };
                Update { claim, vote: None, proof: Some(proof.clone()) }
            }
            _ => known.word(),
        };
        Some(Entry { update, metadata: Some(known.member.metadata.clone()), gone_for: Duration::ZERO })
    }

    /// What this node knows and the author of `theirs` does not.
    fn lacking_in(
        &self,
        now: Instant,
        theirs: &BTreeMap<NodeId, Claim>,
        wanted: impl Fn(&Claim) -> bool,
    ) -> Vec<Entry> {
        self.entries_where(now, |claim| {
            wanted(claim) && theirs.get(&claim.node).is_none_or(|theirs| claim.supersedes(theirs))
        })
    }

    /// The view in 256 numbers, this node included.
    fn digest(&self) -> Digest {
        let mut digest = self.view.digest().clone();
        digest.add(&self.own);
        if self.config.has(Bug::RootsNeverMatch) {
            digest.add(&self.own);
        }
        digest
    }
}

fn claims_of(entries: &[Entry]) -> BTreeMap<NodeId, Claim> {
    entries.iter().map(|entry| (entry.update.claim.node.clone(), entry.update.claim.clone())).collect()
}

fn bucket_number(claim: &Claim) -> u8 {
    // Of 256.
    u8::try_from(bucket_of(claim)).unwrap_or(u8::MAX)
}

fn inline(metadata: &Metadata) -> Option<Metadata> {
    let len: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    (len > 0 && len <= INLINE_METADATA_MAX).then(|| metadata.clone())
}
