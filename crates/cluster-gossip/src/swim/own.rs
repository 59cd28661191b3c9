//! What others say of this node: refuting what is wrong, and finding out that another process has its name.
//!
//! A claim about this node's name with another life is first taken for a memory of a former run, and refuted. Whether there is a second process,
//! this node finds out itself: it dials where the other one is said to be, and looks at the certificate and the life of whoever
//! answers. What others say makes it look, and nothing more. Of two processes the one that booted first stays.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_sites::{always, reachable};
use cluster_types::{Claim, EventKind, Incarnation, Instant, Life, Member, NodeId, State};

use super::spreading::Urgency;
use super::{Output, PeerInfo, Swim};
use crate::broadcast::{News, Rank};
use crate::planted::Bug;
use crate::registry::Statement;
use crate::seal::{Proof, statement_of};
use crate::sites;

/// Other lives heard of under this node's name.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// Where somebody was looked for, and when, and whether its life matters.
    sought: BTreeMap<SocketAddr, Sought>,
    /// Those that were found.
    found: BTreeSet<Life>,
    /// When one was refuted last.
    refuted_at: Option<Instant>,
    lost: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sought {
    at: Instant,
    /// This node is a newcomer that was turned away for it: whoever is there was first.
    yields: bool,
}

impl Rivals {
    /// Whether this node has lost its name.
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }
}

/// How often one place is looked at.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// Bounded: a name is fought over by a handful of processes, not by a crowd.
const RIVALS_MAX: usize = 16;

impl Swim {
    /// What it says of itself in a hello.
    #[must_use]
    pub fn as_peer(&self) -> PeerInfo {
        PeerInfo { proof: self.hello_proof(), ..PeerInfo::from(&self.own) }
    }

    /// A hello says that its sender is there: the signature of one who leaves would not fit under it.
    fn hello_proof(&self) -> Option<Proof> {
        self.own_proof.clone().filter(|_| self.own.state == State::Alive)
    }

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
        // Where words are signed, nobody takes an accusation that goes beyond them.
        let far = ahead && self.seal.is_demanded() && matches!(heard.state, State::Suspect | State::Failed);
        let too_far = of_this_life && (far || !heard.incarnation.is_plausible_accusation(self.own.incarnation));
        if too_far || !heard.incarnation.is_plausible(self.unix_ms(now)) {
            // Nothing to go above. Whoever says so may hold it all the same, and is to hear this node's own word.
            self.stats.implausible += 1;
            self.corrections.insert((from.clone(), self.own.node.clone()));
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
        if self.config.has(Bug::NameLostUnseen) && heard.life < self.own.life {
            return self.lose_name_to(heard.addr);
        }
        self.find_rival(now, heard.addr, false);
        // A former run is refuted once. A process that lives answers, and cannot be convinced: it is found, or there is no way to it.
        if self.rivals.refuted_at.is_none_or(|at| now.since(at) >= LOOKED_EVERY) {
            self.rivals.refuted_at = Some(now);
            self.refute(now, heard.incarnation);
        }
    }

    /// Somebody with this node's name is said to be there: this node looks itself. `yields` where this node is a newcomer and was turned away for it.
    pub fn find_rival(&mut self, now: Instant, addr: SocketAddr, yields: bool) {
        if addr == self.own.addr || self.rivals.lost {
            return;
        }
        self.rivals.sought.retain(|_, sought| now.since(sought.at) < LOOKED_EVERY);
        if let Some(sought) = self.rivals.sought.get_mut(&addr) {
            sought.yields |= yields;
            return;
        }
        if self.rivals.sought.len() >= RIVALS_MAX {
            self.stats.rivals_over_limit += 1;
            return;
        }
        self.rivals.sought.insert(addr, Sought { at: now, yields });
        self.emit(Output::FindRival { addr });
    }

    /// Who answers at an address under this node's name: another life of it, or nobody (also where the path is gone). Found by this node itself,
    /// by the certificate of whoever answered.
    pub fn handle_rival(&mut self, addr: SocketAddr, found: Option<(Life, Incarnation)>) {
        let yields = self.rivals.sought.get(&addr).is_some_and(|sought| sought.yields);
        let Some((life, incarnation)) = found.filter(|(life, _)| *life != self.own.life) else { return };
        if self.farewell.is_some() || self.rivals.lost {
            return;
        }
        if self.rivals.found.len() < RIVALS_MAX && self.rivals.found.insert(life) {
            reachable!(sites::NAME_CONFLICT);
            self.emit(Output::Event(EventKind::Conflict {
                node: self.own.node.clone(),
                incarnation,
                addr,
                reason: format!("another live process at {addr} has this node's name"),
            }));
        }
        if yields || life < self.own.life {
            self.lose_name_to(addr);
        }
    }

    fn lose_name_to(&mut self, addr: SocketAddr) {
        reachable!(sites::NAME_LOST);
        self.rivals.lost = true;
        self.emit(Output::NameLost { addr });
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
        self.queue.push(Rank::Membership, News::Claim(self.own.node.clone()));
        self.urgency = Urgency::Everybody;
        self.next_gossip = self.next_gossip.min(now);
    }

    /// What this node says of itself has changed: it is signed, and said in hellos from now on.
    pub(super) fn publish_own(&mut self) {
        self.own_proof = self.seal.sign(&statement_of(&self.own));
        self.emit(Output::OwnChanged { claim: self.own.clone(), proof: self.hello_proof() });
        let (claim, metadata) = (self.own.clone(), self.own_metadata.clone());
        let member = Arc::new(Member { claim, metadata, since: Instant::ORIGIN });
        self.emit(Output::Publish(Statement { member, complete: true, evidence: None, withdraws: false }));
    }
}
