//! What a teller may say about whom.
//!
//! | what is said | who may say it |
//! |---|---|
//! | of somebody unknown: that it lives | anybody |
//! | of a member: that it lives, at another address, with other metadata, in another life, with a higher incarnation | itself, over its own link or signed |
//! | that somebody has left | itself, likewise |
//! | an accusation | its accuser, signed: this node may have to pass it on; of what its subject has announced here |
//! | that a member of the same life has failed | anybody, who is believed when the votes say so as well, or a second teller, or much later |
//! | that somebody unknown has failed | two tellers, or one for long enough |
//!
//! What is signed by a certificate that is not held here waits until whoever told it has shown the certificate. What cannot be true, and what is
//! signed by nobody who could, is held against the teller, and one that goes on is not listened to for a while: its own probes and
//! answers, and what it says of itself, still count.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_sites::{reachable, sometimes};
use cluster_types::{Claim, Instant, NodeId, State};

use super::Swim;
use crate::planted::Bug;
use crate::seal::{CertificateTag, Checked, Proof, statement_of, statement_of_vote};
use crate::sites;
use crate::wire::exchange::CERTIFICATES_MAX;
use crate::wire::{Entry, Request, Update};

/// What waits for certificates, at most. More is left out: it is told again, by this teller or another.
const PARKED_MAX: usize = 256;

/// How long something waits for a certificate: a request, asked twice.
const PARKED_FOR: Duration = Duration::from_secs(6);

/// A certificate is asked for again after this.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// Failed members that only one has told of, at most.
const HEARSAY_MAX: usize = 1_024;

/// What somebody may say within a minute that cannot be true, before it is not listened to.
const OFFENCES_TOLERATED: u32 = 8;

/// In which they are counted.
const OFFENCES_WITHIN: Duration = Duration::from_secs(60);

/// What one peer has said that cannot be true.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Offences {
    /// Since its link came up.
    pub(super) total: u64,
    lately: u32,
    counted_since: Instant,
}

/// What is not believed yet, and who is not believed any more.
#[derive(Debug, Default)]
pub(super) struct Trust {
    parked: Vec<(Entry, NodeId, Instant)>,
    asked: BTreeMap<(NodeId, CertificateTag), Instant>,
    /// Who was asked for whose word, and when.
    asked_words: BTreeMap<(NodeId, NodeId), Instant>,
    /// Members unknown here that have failed, as one teller says, and since when it says so.
    hearsay: BTreeMap<NodeId, (NodeId, Instant)>,
    pub(super) offences: BTreeMap<NodeId, Offences>,
    muted: BTreeMap<NodeId, Instant>,
}

impl Swim {
    /// What of an entry may be taken over now, from whoever told it.
    pub(super) fn weigh(&mut self, now: Instant, mut entry: Entry, from: &NodeId) -> Option<Entry> {
        let first_hand = self.speaks_of_itself(from, &entry.update.claim);
        if !first_hand && self.is_muted(now, from) {
            self.stats.muted += 1;
            return None;
        }
        if !self.seal.is_demanded() {
            return self.weigh_end(now, entry, from);
        }
        if self.goes_beyond_its_word(now, &entry.update.claim, from) {
            return None;
        }
        let said = &entry.update.claim;
        let accuses = matches!(said.state, State::Suspect | State::Failed);
        let same_word = |held: &&Claim| (held.life, held.incarnation) == (said.life, said.incarnation);
        if let Some(held) = self.view.claim(&said.node).filter(same_word).filter(|_| accuses) {
            // Where it is, and what else it is, says nobody but itself.
            entry.update.claim = Claim { state: said.state, ..held.clone() };
        }
        match entry.update.claim.state {
            State::Alive | State::Left => self.weigh_word(now, entry, from, first_hand),
            State::Suspect if entry.update.vote.is_none() => {
                entry.update.proof = None;
                Some(entry)
            }
            State::Suspect => self.weigh_vote(now, entry, from),
            State::Failed => {
                entry.update.proof = None;
                self.weigh_end(now, entry, from)
            }
        }
    }

    /// Whether somebody is accused with an incarnation, or in a life, that it has not announced here. Nobody but itself raises it: an accusation that it
    /// would not take for one about itself could never be refuted. Its word is asked for; what accuses it comes again.
    fn goes_beyond_its_word(&mut self, now: Instant, claim: &Claim, from: &NodeId) -> bool {
        let accuses = matches!(claim.state, State::Suspect | State::Failed);
        let held = self.view.claim(&claim.node).filter(|held| held.state.is_live() || claim.state == State::Suspect);
        let is_beyond = |held: &Claim| claim.life != held.life || claim.incarnation > held.incarnation;
        let beyond = accuses && held.is_some_and(|held| claim.supersedes(held) && is_beyond(held));
        if beyond {
            reachable!(sites::BEYOND_ITS_WORD);
            self.trust.asked_words.retain(|_, asked| now.since(*asked) < ASKED_AGAIN);
            let key = (from.clone(), claim.node.clone());
            if self.links.contains_key(from) && !self.trust.asked_words.contains_key(&key) {
                self.trust.asked_words.insert(key, now);
                self.request(from, &Request::Metadata(claim.node.clone()));
            }
        }
        beyond
    }

    /// Whether a node's own word, over its own link or signed, is better than what is held of it, which others have said and it never has.
    pub(super) fn outweighs_hearsay(&self, claim: &Claim, is_proven: bool, from: &NodeId) -> bool {
        let demanded = self.seal.is_demanded() && claim.state == State::Alive;
        demanded && self.is_hearsay(claim) && (is_proven || self.speaks_of_itself(from, claim))
    }

    /// Whether what is held of a member is an accusation beyond its word, and no later one is known to be behind it.
    fn is_hearsay(&self, said: &Claim) -> bool {
        let held = self.view.get(&said.node).filter(|held| held.proof.is_none() && held.claim().life == said.life);
        held.is_some_and(|held| {
            matches!(held.state(), State::Suspect | State::Failed) && held.claim().incarnation > said.incarnation
        })
    }

    /// Whether a peer speaks of itself, over its own link.
    fn speaks_of_itself(&self, from: &NodeId, claim: &Claim) -> bool {
        *from == claim.node && self.links.get(from).is_some_and(|peer| peer.life == claim.life)
    }

    /// What a node is said to have said of itself.
    fn weigh_word(&mut self, now: Instant, mut entry: Entry, from: &NodeId, first_hand: bool) -> Option<Entry> {
        let claim = &entry.update.claim;
        let held = self.view.claim(&claim.node).or_else(|| self.tombs.get(&claim.node));
        let unheard_of = held.is_none() && claim.state == State::Alive;
        let known = self.view.get(&claim.node);
        if known.is_some_and(|known| known.proof.is_some() && known.word() == entry.update) {
            return Some(entry);
        }
        let is_news = held.is_none_or(|held| claim.supersedes(held)) || self.is_hearsay(claim);
        if !first_hand && (unheard_of || !is_news) {
            // Believed as it is, or no news; whether it is proven was not looked at, so nobody else is told that it is.
            entry.update.proof = None;
            return Some(entry);
        }
        if claim.state == State::Left && self.config.has(Bug::BelievesFarewells) {
            return Some(entry);
        }
        let statement = statement_of(&entry.update.claim);
        match self.look_at(&entry.update.claim.node, &statement, entry.update.proof.as_ref()) {
            Looked::At(Checked::Proven) => Some(entry),
            // Its word to this node needs no signature; the others believe it when it has one.
            Looked::Missing if first_hand => Some(entry),
            Looked::At(Checked::Unknown) if first_hand => {
                // It has a new certificate, and this link is from before.
                let _ = self.park(now, entry.clone(), from);
                entry.update.proof = None;
                Some(entry)
            }
            Looked::At(Checked::Forged) => self.refuse_forged(now, from),
            Looked::At(Checked::Unknown) => self.park(now, entry, from),
            Looked::Missing => {
                reachable!(sites::UNPROVEN);
                self.stats.unproven += 1;
                None
            }
        }
    }

    fn weigh_vote(&mut self, now: Instant, entry: Entry, from: &NodeId) -> Option<Entry> {
        let Update { claim, vote, proof } = &entry.update;
        let vote = vote.as_ref()?;
        if self.holds_vote(claim, vote.life, vote.sign_ms, &vote.accuser) {
            return Some(entry);
        }
        if vote.accuser == self.own.node {
            // One of its own that it does not hold is out of date, or none.
            return None;
        }
        if self.config.has(Bug::BelievesVotes) {
            return Some(entry);
        }
        let statement = statement_of_vote(claim, vote);
        match self.look_at(&vote.accuser, &statement, proof.as_ref()) {
            Looked::At(Checked::Proven) => Some(entry),
            Looked::At(Checked::Forged) => self.refuse_forged(now, from),
            Looked::At(Checked::Unknown) => self.park(now, entry, from),
            // From the accuser itself it counts here, and goes no further.
            Looked::Missing
                if self.links.get(from).is_some_and(|peer| (&peer.node, peer.life) == (&vote.accuser, vote.life)) =>
            {
                Some(entry)
            }
            Looked::Missing => {
                self.stats.unproven += 1;
                None
            }
        }
    }

    /// Whether others would believe a vote that is passed on to them.
    pub(super) fn can_tell(&self, proof: Option<&Proof>) -> bool {
        proof.is_some() || !self.seal.is_demanded()
    }

    /// That somebody has failed, which its votes prove and nothing that is said here.
    fn weigh_end(&mut self, now: Instant, entry: Entry, from: &NodeId) -> Option<Entry> {
        let claim = &entry.update.claim;
        if claim.state != State::Failed {
            return Some(entry);
        }
        if self.view.claim(&claim.node).is_some() || self.tombs.get(&claim.node).is_some() {
            return Some(entry);
        }
        let patience = self.hearsay_patience();
        let crowded = self.trust.hearsay.len() >= HEARSAY_MAX;
        match self.trust.hearsay.get(&claim.node) {
            Some((teller, since)) if teller != from || now.since(*since) >= patience => {
                self.trust.hearsay.remove(&claim.node);
                Some(entry)
            }
            Some(_) => None,
            None => {
                sometimes!(sites::HEARSAY, !crowded);
                if !crowded {
                    self.trust.hearsay.insert(claim.node.clone(), (from.clone(), now));
                    self.sync_soon(now);
                }
                None
            }
        }
    }

    fn look_at(&self, signer: &NodeId, statement: &[u8], proof: Option<&Proof>) -> Looked {
        proof.map_or(Looked::Missing, |proof| Looked::At(self.seal.check(signer, statement, proof)))
    }

    fn refuse_forged(&mut self, now: Instant, from: &NodeId) -> Option<Entry> {
        reachable!(sites::FORGED);
        self.stats.forged += 1;
        self.blame(now, from);
        None
    }

    /// Lets something wait for the certificate that it was signed with, and asks its teller for that.
    fn park(&mut self, now: Instant, entry: Entry, from: &NodeId) -> Option<Entry> {
        let tag = entry.update.proof.as_ref()?.certificate();
        self.trust.parked.retain(|(.., since)| now.since(*since) < PARKED_FOR);
        // Of several who say the same one waits, and all are asked.
        let same = |held: &Entry| held.update.claim == entry.update.claim && held.update.proof == entry.update.proof;
        if !self.trust.parked.iter().any(|(held, ..)| same(held)) {
            if self.trust.parked.len() >= PARKED_MAX {
                self.stats.parked_over_limit += 1;
                return None;
            }
            reachable!(sites::CERTIFICATE_FETCHED);
            self.trust.parked.push((entry, from.clone(), now));
        }
        self.trust.asked.retain(|_, asked| now.since(*asked) < ASKED_AGAIN);
        let key = (from.clone(), tag);
        if self.trust.asked.contains_key(&key) || !self.links.contains_key(from) {
            return None;
        }
        self.trust.asked.insert(key, now);
        self.request(from, &Request::Certificates(vec![tag]));
        None
    }

    /// Certificates came: what waited for them is looked at again.
    pub(super) fn learn_certificates(&mut self, now: Instant, certificates: &[Vec<u8>]) {
        let learnt = certificates.iter().filter(|certificate| self.seal.learn(certificate)).count();
        if learnt == 0 {
            return;
        }
        for (entry, from, since) in std::mem::take(&mut self.trust.parked) {
            if now.since(since) < PARKED_FOR {
                self.learn_entry(now, entry, &from);
            }
        }
    }

    pub(super) fn certificates(&self, tags: &[CertificateTag]) -> Vec<Vec<u8>> {
        tags.iter().take(CERTIFICATES_MAX).filter_map(|tag| self.seal.certificate(*tag)).collect()
    }

    /// Holds something against a linked peer.
    pub(super) fn blame(&mut self, now: Instant, peer: &NodeId) {
        if !self.links.contains_key(peer) {
            return;
        }
        let offences = self.trust.offences.entry(peer.clone()).or_default();
        offences.total += 1;
        if now.since(offences.counted_since) >= OFFENCES_WITHIN {
            (offences.lately, offences.counted_since) = (0, now);
        }
        offences.lately += 1;
        if offences.lately > OFFENCES_TOLERATED {
            reachable!(sites::MUTED);
            self.trust.muted.insert(peer.clone(), now + self.config.mute);
        }
    }

    /// Until when somebody is not listened to, because it went on saying what cannot be true.
    #[must_use]
    pub fn muted_until(&self, peer: &NodeId) -> Option<Instant> {
        self.trust.muted.get(peer).copied()
    }

    /// Who is not listened to.
    pub fn muted(&self) -> impl Iterator<Item = &NodeId> {
        self.trust.muted.keys()
    }

    fn is_muted(&self, now: Instant, peer: &NodeId) -> bool {
        self.trust.muted.get(peer).is_some_and(|until| now < *until)
    }

    /// For how long one teller's word that a stranger has failed waits for a second one.
    fn hearsay_patience(&self) -> Duration {
        self.config.budget.total() * 6
    }

    /// Listens again to whoever was quiet for long enough, and forgets what nobody has said again, or what turned out to be otherwise.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.trust.muted.retain(|_, until| now < *until);
        let (kept, view) = (self.hearsay_patience() * 2, &self.view);
        self.trust.hearsay.retain(|node, (_, since)| now.since(*since) < kept && view.get(node).is_none());
    }

    /// How often a linked peer has said what cannot be decoded or cannot be true, since its link came up.
    #[must_use]
    pub fn offences(&self, peer: &NodeId) -> u64 {
        self.trust.offences.get(peer).map_or(0, |offences| offences.total)
    }
}

/// What came of looking for a proof.
enum Looked {
    Missing,
    At(Checked),
}
