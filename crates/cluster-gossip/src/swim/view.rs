//! What is held of every member, small: what is said of it is shared with the registry, and only whoever this node has to do
//! with has more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cluster_failure::RttEstimator;
use cluster_types::{Claim, Instant, Member, NodeId, Seed, State};

use super::suspicion::Suspicion;
use crate::digest::Digest;
use crate::health::Pulse;
use crate::seal::{Proof, is_same_word};
use crate::slots::{Named, Slots};
use crate::wire::Update;

/// What is held of one member: 32 bytes beside the facts.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) member: Arc<Member>,
    /// Whether the metadata body is that of the version claimed.
    pub(super) complete: bool,
    /// Its signature under what it says of itself, where this node has seen that it is one.
    pub(super) proof: Option<Proof>,
    watch: Option<Box<Watch>>,
}

/// What is held of a member that this node is linked to, probes, or suspects.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// Last authenticated packet from it, or the last time it spoke up through others.
    pub(super) last_sign: Instant,
    pub(super) rtt: RttEstimator,
    pub(super) suspicion: Suspicion,
    /// Since when a probe for somebody else stayed unanswered. No accusation by itself: the asker may have heard more.
    pub(super) missed_since: Option<Instant>,
    /// Since when a probe waits for a link that is being dialled. If the dial fails, the probe was in vain since then.
    pub(super) waiting_since: Option<Instant>,
    /// The system refused to send to it, and nothing was heard since.
    pub(super) send_refused: bool,
    /// The rhythm of its answers, where this node probes it.
    pub(super) pulse: Option<Pulse>,
    /// It says that its application is not well.
    pub(super) unwell: bool,
}

impl Named for Known {
    fn name(&self) -> &NodeId {
        self.member.node()
    }
}

impl Known {
    pub(super) fn claim(&self) -> &Claim {
        &self.member.claim
    }

    /// What is told of it to others, with its signature where that is its own word.
    pub(super) fn word(&self) -> Update {
        let is_own_word = matches!(self.state(), State::Alive | State::Left);
        let proof = if is_own_word { self.proof.clone() } else { None };
        Update { claim: self.claim().clone(), vote: None, proof }
    }

    pub(super) fn state(&self) -> State {
        self.member.state()
    }

    pub(super) fn watch(&self) -> Option<&Watch> {
        self.watch.as_deref()
    }

    pub(super) fn watch_mut(&mut self) -> Option<&mut Watch> {
        self.watch.as_deref_mut()
    }

    /// Begins to watch it, if nobody did. Where it was never heard here, its silence counts from when it became what it is.
    pub(super) fn watched(&mut self) -> &mut Watch {
        let since = self.member.since;
        self.watch.get_or_insert_with(|| {
            Box::new(Watch {
                last_sign: since,
                rtt: RttEstimator::default(),
                suspicion: Suspicion::default(),
                missed_since: None,
                waiting_since: None,
                send_refused: false,
                pulse: None,
                unwell: false,
            })
        })
    }

    pub(super) fn last_sign(&self) -> Instant {
        self.watch.as_ref().map_or(self.member.since, |watch| watch.last_sign)
    }

    pub(super) fn lacks_metadata(&self) -> bool {
        self.state().is_live() && !self.complete
    }
}

impl Watch {
    /// Moves what this node itself counts as silence, up to `now`, its own accusation too. What others said of theirs stays their word.
    pub(super) fn shift(&mut self, now: Instant, gap: Duration, own: &NodeId) {
        self.last_sign = (self.last_sign + gap).min(now);
        self.missed_since = self.missed_since.map(|since| (since + gap).min(now));
        self.waiting_since = self.waiting_since.map(|since| (since + gap).min(now));
        self.send_refused = false;
        self.suspicion.shift(own, now, gap);
        if let Some(pulse) = &mut self.pulse {
            pulse.excuse(now);
        }
    }
}

/// Everybody known but this node.
#[derive(Debug, Clone)]
pub(super) struct View {
    slots: Slots<Known>,
    live: usize,
    digest: Digest,
    /// Whose metadata body is still to be fetched.
    lacking: BTreeSet<NodeId>,
    /// Who failed or left, and when it is forgotten.
    gone: BTreeMap<NodeId, Instant>,
}

impl View {
    pub(super) fn new(key: Seed) -> Self {
        Self {
            slots: Slots::new(key),
            live: 0,
            digest: Digest::default(),
            lacking: BTreeSet::new(),
            gone: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, node: &NodeId) -> Option<&Known> {
        self.slots.get(node)
    }

    /// For what hangs on a member. What is said of it goes through [`set`](Self::set).
    pub(super) fn get_mut(&mut self, node: &NodeId) -> Option<&mut Known> {
        self.slots.get_mut(node)
    }

    pub(super) fn claim(&self, node: &NodeId) -> Option<&Claim> {
        self.get(node).map(Known::claim)
    }

    pub(super) fn is_live(&self, node: &NodeId) -> bool {
        self.get(node).is_some_and(|known| known.state().is_live())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.slots.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Known> {
        self.slots.iter_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many are held to take part.
    pub(super) const fn live(&self) -> usize {
        self.live
    }

    pub(super) const fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(super) const fn lacking(&self) -> &BTreeSet<NodeId> {
        &self.lacking
    }

    pub(super) const fn gone(&self) -> &BTreeMap<NodeId, Instant> {
        &self.gone
    }

    /// Somebody who is gone has been so for a while already, as others know: it is forgotten by then, or when it would have been before.
    pub(super) fn forget_by(&mut self, node: &NodeId, at: Instant) {
        if let Some(reap_at) = self.gone.get_mut(node) {
            *reap_at = at.min(*reap_at);
        }
    }

    /// Holds this of a member from now on; one that is gone is forgotten at `reap_at`, or when it would have been before.
    pub(super) fn set(&mut self, member: Arc<Member>, complete: bool, reap_at: Instant) {
        let node = member.node().clone();
        if let Some(known) = self.slots.get(&node) {
            let former = Arc::clone(&known.member);
            self.discount(&former);
        }
        self.live += usize::from(member.state().is_live());
        self.digest.add(&member.claim);
        if member.state().is_live() {
            self.gone.remove(&node);
        } else {
            self.gone.entry(node.clone()).or_insert(reap_at);
        }
        match self.slots.get_mut(&node) {
            Some(known) => {
                if !is_same_word(known.claim(), &member.claim) {
                    known.proof = None;
                }
                known.member = member;
                known.complete = complete;
            }
            None => {
                self.slots.insert(Known { member, complete, proof: None, watch: None });
            }
        }
        if self.slots.get(&node).is_some_and(Known::lacks_metadata) {
            self.lacking.insert(node);
        } else {
            self.lacking.remove(&node);
        }
    }

    /// Forgets a member.
    pub(super) fn remove(&mut self, node: &NodeId) -> Option<Arc<Member>> {
        let known = self.slots.remove(node)?;
        self.discount(&known.member);
        self.lacking.remove(node);
        self.gone.remove(node);
        Some(known.member)
    }

    fn discount(&mut self, former: &Member) {
        self.live -= usize::from(former.state().is_live());
        self.digest.subtract(&former.claim);
    }

    /// Stops watching whoever nothing hangs on any more.
    pub(super) fn watch_only(&mut self, wanted: impl Fn(&NodeId) -> bool) {
        for known in self.slots.iter_mut().filter(|known| known.watch.is_some() && known.state() != State::Suspect) {
            if !wanted(known.member.node()) {
                known.watch = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::{Incarnation, Life, Metadata};

    #[test]
    fn what_is_held_of_a_member_is_four_words() {
        assert_eq!(size_of::<Known>(), 32);
        assert_eq!(size_of::<Option<Known>>(), 32);
    }

    #[test]
    fn counts_follow_what_is_said() {
        let claim = |state, meta_version| Claim {
            state,
            meta_version,
            ..Claim::alive(
                "x".parse().unwrap(),
                Life::new(1, 1),
                Incarnation::from_raw(7),
                "10.0.0.1:1".parse().unwrap(),
            )
        };
        let mut view = View::new(Seed::new(1));
        let empty = view.digest().root();
        let set = |view: &mut View, state, meta_version, complete| {
            let member =
                Member { claim: claim(state, meta_version), metadata: Metadata::default(), since: Instant::ORIGIN };
            view.set(Arc::new(member), complete, Instant::END);
            (view.len(), view.live(), view.lacking().len(), view.gone().len())
        };
        assert_eq!(set(&mut view, State::Alive, 1, false), (1, 1, 1, 0));
        assert_eq!(set(&mut view, State::Alive, 1, true), (1, 1, 0, 0));
        assert_eq!(set(&mut view, State::Suspect, 2, false), (1, 1, 1, 0));
        assert_eq!(set(&mut view, State::Failed, 2, false), (1, 0, 0, 1));
        assert_ne!(view.digest().root(), empty);
        // Two tell of its end, one of them late: what each says counts once.
        let at = |s| Instant::after_origin(Duration::from_secs(s));
        let reaped = |view: &View| view.gone().values().next().copied();
        for (told, held) in [(900, 900), (900, 900), (950, 900), (800, 800)] {
            view.forget_by(&"x".parse().unwrap(), at(told));
            assert_eq!(reaped(&view), Some(at(held)));
        }
        assert_eq!(set(&mut view, State::Left, 2, false), (1, 0, 0, 1));
        assert_eq!(reaped(&view), Some(at(800)), "it is gone since then, whatever is said of it");
        assert!(view.remove(&"x".parse().unwrap()).is_some());
        assert_eq!((view.len(), view.live(), view.gone().len()), (0, 0, 0));
        assert_eq!(view.digest().root(), empty, "what is forgotten leaves no trace");
    }
}
