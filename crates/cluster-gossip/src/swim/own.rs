//! What others say of this node: refuting what is wrong, and finding out that another process has its name.
//!
//! A claim about this node's name with another life is first taken for a memory of a former run, and refuted. Only a
//! process that lives answers a refutation by going one above it, again and again: after two such answers there are two
//! processes, and the one that booted first stays. (One answer could be an older memory that happens to be one higher.)

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_sites::{always, reachable};
use cluster_types::{Claim, EventKind, Incarnation, Instant, Life, Member, NodeId, State};

use super::spreading::Urgency;
use super::{Output, Swim};
use crate::broadcast::{News, Rank};
use crate::planted::Bug;
use crate::registry::Statement;
use crate::sites;

/// Other lives heard of under this node's name. Bounded: a name is fought over by a handful of processes, not by a crowd.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    lives: BTreeMap<Life, Rival>,
    lost: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rival {
    /// The incarnation this node refuted it with.
    refuted_with: Incarnation,
    /// How often it answered by going one above.
    answers: u32,
}

impl Rivals {
    pub(super) const fn lose(&mut self) {
        self.lost = true;
    }

    /// Whether this node has lost its name.
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }
}

/// Answers that prove a living rival.
const ANSWERS_PROVE: u32 = 2;

const RIVALS_MAX: usize = 16;

impl Swim {
    pub(super) fn hear_about_self(&mut self, now: Instant, heard: &Claim, from: &NodeId) {
        if self.farewell.is_some() || self.rivals.lost {
            return;
        }
        if heard.incarnation < self.own.incarnation {
            // It was refuted, and whoever says so has not heard it: the refutation may have been lost on a path that was cut.
            if heard.state != State::Alive && !self.config.has(Bug::RefutesOnce) {
                self.corrections.insert((from.clone(), self.own.node.clone()));
            }
            return;
        }
        let ahead = heard.incarnation > self.own.incarnation;
        let of_this_life = heard.life == self.own.life;
        let too_far = of_this_life && !heard.incarnation.is_plausible_accusation(self.own.incarnation);
        if too_far || !heard.incarnation.is_plausible(self.unix_ms(now)) {
            self.stats.implausible += 1;
            return;
        }
        match heard.state {
            // What beats this node's own word about itself is no word of its own.
            State::Alive if of_this_life && !ahead && !heard.supersedes(&self.own) => {}
            State::Alive if !of_this_life => self.hear_rival(now, heard),
            _ => self.refute(now, heard.incarnation),
        }
    }

    fn hear_rival(&mut self, now: Instant, heard: &Claim) {
        let mut rival = self.rivals.lives.get(&heard.life).copied().unwrap_or_default();
        rival.answers += u32::from(heard.incarnation == rival.refuted_with.next());
        if rival.answers == ANSWERS_PROVE {
            reachable!(sites::NAME_CONFLICT);
            self.emit(Output::Event(EventKind::Conflict {
                node: heard.node.clone(),
                incarnation: heard.incarnation,
                addr: heard.addr,
                reason: format!("another live process at {} has this node's name", heard.addr),
            }));
        }
        if rival.answers >= ANSWERS_PROVE && heard.life < self.own.life {
            reachable!(sites::NAME_LOST);
            self.rivals.lost = true;
            return self.emit(Output::NameLost { addr: heard.addr });
        }
        self.refute(now, heard.incarnation);
        rival.refuted_with = self.own.incarnation;
        if self.rivals.lives.len() < RIVALS_MAX || self.rivals.lives.contains_key(&heard.life) {
            self.rivals.lives.insert(heard.life, rival);
        } else {
            self.stats.rivals_over_limit += 1;
        }
    }

    /// Goes above what was heard and tells everybody.
    fn refute(&mut self, now: Instant, heard: Incarnation) {
        if self.config.has(Bug::SkipRefutation) {
            return;
        }
        self.own.incarnation = heard.next();
        reachable!(sites::REFUTED);
        always!(sites::REFUTATION_IS_HIGHER, self.own.incarnation > heard);
        self.stats.refuted += 1;
        self.health.note_refuted_self();
        self.publish_own();
        self.emit(Output::OwnChanged(self.own.clone()));
        self.queue.push(Rank::Membership, News::Claim(self.own.node.clone()));
        self.urgency = Urgency::Everybody;
        self.next_gossip = self.next_gossip.min(now);
    }

    pub(super) fn publish_own(&mut self) {
        let (claim, metadata) = (self.own.clone(), self.own_metadata.clone());
        let member = Arc::new(Member { claim, metadata, since: Instant::ORIGIN });
        self.emit(Output::Publish(Statement { member, complete: true, evidence: None, withdraws: false }));
    }
}
