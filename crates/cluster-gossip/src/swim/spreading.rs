//! What goes on which datagram. Every datagram that leaves carries news; news that cannot wait makes datagrams of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_sites::{buggify, reachable};
use cluster_types::{Instant, NodeId, State};

use super::view::Known;
use super::{Output, Swim};
use crate::broadcast::{News, transmissions};
use crate::sites;
use crate::user_news::{Broadcast, BroadcastError, BroadcastId};
use crate::wire::{DatagramKind, DatagramWriter, Update};

/// Who is to hear at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Nobody: the tick will do.
    None,
    /// As many as a tick tells.
    Some,
    /// Every warm link.
    Everybody,
}

/// How often one member is told the same of another because it says something else.
const CORRECTED_EVERY: Duration = Duration::from_millis(100);

impl Swim {
    /// Sends a message, filled up with news.
    pub(super) fn send(&mut self, now: Instant, to: &NodeId, kind: DatagramKind, seq: u64, target: Option<&NodeId>) {
        let (told, broadcasts) = self.send_filled(now, to, kind, seq, target);
        if told.is_empty() && self.user_news.is_empty() {
            return;
        }
        let limit = transmissions(self.view.live() + 1);
        self.user_news.note_told(&broadcasts, limit);
        for news in &told {
            self.queue.note_told(news, limit);
        }
    }

    /// Sends a message, filled up with news; returns what it told.
    fn send_filled(
        &mut self,
        now: Instant,
        to: &NodeId,
        kind: DatagramKind,
        seq: u64,
        target: Option<&NodeId>,
    ) -> (Vec<News>, Vec<BroadcastId>) {
        let mut told = Vec::new();
        if !self.links.contains_key(to) {
            return (told, Vec::new());
        }
        let mut writer = match kind {
            DatagramKind::Ack => DatagramWriter::ack(seq, self.plan.turn_of(now, to), !self.app_well),
            kind => DatagramWriter::new(kind, seq, target),
        };
        if !self.user_news.is_empty() {
            writer = writer.reserving_for_broadcasts();
        }
        // Whoever is held to be suspect or failed hears it with every word, until it has refuted.
        if let Some(accusation) = self.accusation_of(now, to) {
            writer.push(&accusation);
        }
        // Whoever is accused may well be dead: the news of a bad day is not spent on it.
        let answers_for_others = matches!(kind, DatagramKind::PingReq | DatagramKind::Nack | DatagramKind::Relayed);
        let listens = !self.suspects.contains(to) && !answers_for_others;
        for news in self.queue.iter().filter(|_| listens) {
            let Some(update) = self.update_for(now, news, to) else {
                continue;
            };
            if !writer.push(&update) {
                reachable!(sites::DATAGRAM_FULL);
                break;
            }
            told.push(news.clone());
            if buggify!(sites::SMALL_DATAGRAM) {
                break;
            }
        }
        let broadcasts = if listens { self.push_broadcasts(&mut writer, to) } else { Vec::new() };
        // Gossip without news says nothing.
        if kind != DatagramKind::Gossip || writer.has_news() {
            self.emit(Output::Datagram { to: to.clone(), bytes: writer.finish() });
        }
        (told, broadcasts)
    }

    /// What users broadcast, after what there is to say of members; which of it was told.
    fn push_broadcasts(&self, writer: &mut DatagramWriter, to: &NodeId) -> Vec<BroadcastId> {
        let mut told = Vec::new();
        if self.user_news.is_empty() {
            return told;
        }
        for broadcast in self.user_news.next() {
            // Its origin knows it: that counts as told.
            if broadcast.id.origin != *to && !writer.push_broadcast(broadcast) {
                break;
            }
            told.push(broadcast.id.clone());
        }
        told
    }

    /// Broadcasts a small message to everybody by gossip: best effort, each member hears it at most once, as
    /// [`Output::Broadcast`].
    ///
    /// # Errors
    /// It is too long, too many are under way, or this node is leaving.
    pub fn broadcast(&mut self, now: Instant, payload: &[u8]) -> Result<(), BroadcastError> {
        if self.farewell.is_some() {
            return Err(BroadcastError::Leaving);
        }
        self.user_news.begin(self.own.node.clone(), self.own.life, payload)?;
        self.urgency = self.urgency.max(Urgency::Some);
        self.flush(now);
        Ok(())
    }

    /// A broadcast came along. It goes on to the owner, and to others, once.
    pub(super) fn hear_broadcast(&mut self, broadcast: &Broadcast) {
        let origin = &broadcast.id.origin;
        let Some(life) = self.view.claim(origin).map(|claim| claim.life) else { return };
        if self.user_news.hear(broadcast, life) {
            self.urgency = self.urgency.max(Urgency::Some);
            self.emit(Output::Broadcast { from: origin.clone(), payload: Arc::clone(&broadcast.payload) });
        }
    }

    fn accusation_of(&self, now: Instant, node: &NodeId) -> Option<Update> {
        let claim = self.view.claim(node)?;
        if self.solitude.has_concluded(node) {
            return None;
        }
        match claim.state {
            State::Suspect => Some(self.accusation(now, claim.clone())),
            // Whoever leaves knows; but one that lives must hear that it is taken to have left.
            State::Failed | State::Left => self.word_of(node),
            State::Alive => None,
        }
    }

    /// The words for a piece of news; none where it is out of date or `to` needs not hear it.
    fn update_for(&self, now: Instant, news: &News, to: &NodeId) -> Option<Update> {
        match news {
            News::Claim(node) if *node == self.own.node => Some(self.own_word()),
            News::Claim(node) => {
                let word = self.word_of(node)?;
                // It knows that it lives; but another life under its name is news to it.
                let same_life = self.links.get(to).is_some_and(|peer| peer.life == word.claim.life);
                (node != to || !same_life).then_some(word)
            }
            News::Vote { subject, accuser } if subject != to && accuser != to => {
                let told = self.vote_of(subject, accuser, now);
                let (vote, proof) = told.filter(|(vote, proof)| {
                    // Its own word it may say over its own link.
                    vote.accuser == self.own.node || self.can_tell(proof.as_ref())
                })?;
                Some(Update { claim: self.view.claim(subject)?.clone(), vote: Some(vote), proof })
            }
            News::Vote { .. } => None,
        }
    }

    /// What this node says of itself.
    pub(super) fn own_word(&self) -> Update {
        Update { claim: self.own.clone(), vote: None, proof: self.own_proof.clone() }
    }

    /// What is held of a member, with its signature where that is its own word.
    pub(super) fn word_of(&self, node: &NodeId) -> Option<Update> {
        self.view.get(node).map(Known::word)
    }

    /// Tells one member what there is to tell.
    pub(super) fn tell(&mut self, now: Instant, to: &NodeId) {
        self.send(now, to, DatagramKind::Gossip, 0, None);
    }

    /// Live members with a warm link.
    pub(super) fn warm(&self) -> Vec<NodeId> {
        self.links.keys().filter(|node| self.view.is_live(node)).cloned().collect()
    }

    /// A few of the warm links, chosen at random.
    fn some(&mut self) -> Vec<NodeId> {
        let mut warm = self.warm();
        self.draws.shuffle(&mut warm);
        warm.truncate(self.config.gossip_fanout);
        warm
    }

    /// Takes out news that no linked member needs to hear: votes that were withdrawn, and what is about the only listener.
    fn drop_moot_news(&mut self, now: Instant) {
        let warm = self.warm();
        let moot = |news: &&News| warm.iter().all(|to| self.update_for(now, news, to).is_none());
        let moot: Vec<News> = self.queue.iter().filter(moot).cloned().collect();
        if !warm.is_empty() {
            moot.iter().for_each(|news| self.queue.remove(news));
        }
    }

    /// The tick: tells a few what there is to tell.
    pub(super) fn gossip(&mut self, now: Instant) {
        let mut told = false;
        for to in self.some() {
            let waiting = self.queue.told();
            self.tell(now, &to);
            told |= self.queue.told() > waiting;
        }
        if !told {
            self.drop_moot_news(now);
        }
        // News nobody can be told of (there is no link) would keep the tick awake; it is told when links come up.
        if self.links.is_empty() {
            self.next_gossip = now + self.config.sync_interval;
        }
    }

    /// Whoever told old news of somebody hears what is held, at once.
    fn correct(&mut self, now: Instant) {
        if self.corrections.is_empty() {
            return;
        }
        let mut corrections: BTreeMap<NodeId, Vec<Update>> = BTreeMap::new();
        self.corrected.retain(|_, at| now.since(*at) < CORRECTED_EVERY);
        for (to, about) in std::mem::take(&mut self.corrections) {
            // Two that both insist would tell each other as fast as the path carries it.
            if self.links.contains_key(&to)
                && !self.corrected.contains_key(&(to.clone(), about.clone()))
                && let Some(update) = self.last_word(&about)
            {
                self.corrected.insert((to.clone(), about), now);
                corrections.entry(to).or_default().push(update);
            }
        }
        for (to, updates) in corrections {
            let mut writer = DatagramWriter::new(DatagramKind::Gossip, 0, None);
            for update in &updates {
                if !writer.push(update) {
                    let full = std::mem::replace(&mut writer, DatagramWriter::new(DatagramKind::Gossip, 0, None));
                    self.emit(Output::Datagram { to: to.clone(), bytes: full.finish() });
                    writer.push(update);
                }
            }
            self.emit(Output::Datagram { to, bytes: writer.finish() });
        }
    }

    /// Ends an input: what became urgent in it is told now. That does not count as told: few links may be warm yet, as in a
    /// node that has just joined, and the ticks must reach beyond them.
    pub(super) fn flush(&mut self, now: Instant) {
        self.settle_plan(now);
        self.correct(now);
        let listeners = match std::mem::replace(&mut self.urgency, Urgency::None) {
            Urgency::None => return,
            // One crash is told of at once, hop by hop. Where there is news after news, what has gathered goes together.
            Urgency::Some if now < self.urgent_after => {
                self.next_gossip = self.next_gossip.min(self.urgent_after);
                return;
            }
            Urgency::Some => {
                self.urgent_after = now + self.config.gossip_interval / 2;
                self.some()
            }
            Urgency::Everybody => self.warm(),
        };
        for to in listeners {
            self.send_filled(now, &to, DatagramKind::Gossip, 0, None);
        }
    }
}
