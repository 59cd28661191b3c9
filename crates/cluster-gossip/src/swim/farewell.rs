//! Leaving: said directly to every linked member, again until each has acknowledged, and counted.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_types::{Claim, Instant, NodeId, State};

use super::Swim;
use crate::broadcast::{News, Rank};
use crate::planted::Bug;
use crate::wire::DatagramKind;

/// Between two sendings to whoever has not acknowledged: a few round trips of a local network.
const RESEND: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Farewell {
    asked: usize,
    acknowledged: usize,
    waiting: BTreeSet<NodeId>,
    next_send: Instant,
}

impl Farewell {
    /// When it is said again, if somebody has not acknowledged.
    pub(super) fn next_send(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next_send)
    }
}

/// How far a farewell has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FarewellProgress {
    /// Members told directly.
    pub asked: usize,
    /// Of these, the ones that acknowledged or are leaving themselves.
    pub acknowledged: usize,
    /// Of these, the ones still waited for.
    pub waiting: usize,
}

impl Swim {
    /// Leaves: from now on this node probes nobody and refutes nothing; it says goodbye and answers.
    pub fn leave(&mut self, now: Instant) {
        if self.farewell.is_some() {
            return;
        }
        self.rounds.clear();
        if self.rivals.is_lost() {
            // The name is somebody else's, who stays.
            self.farewell = Some(Farewell { asked: 0, acknowledged: 0, waiting: BTreeSet::new(), next_send: now });
            return;
        }
        self.own.state = State::Left;
        let waiting: BTreeSet<NodeId> = self.warm().into_iter().collect();
        self.farewell = Some(Farewell { asked: waiting.len(), acknowledged: 0, waiting, next_send: now });
        self.publish_own();
        if !self.config.has(Bug::StarvedLeave) {
            self.queue.push(Rank::Farewell, News::Claim(self.own.node.clone()));
        }
        self.resend_farewell(now);
    }

    /// How far the farewell has come; `None` before [`leave`](Self::leave).
    #[must_use]
    pub fn farewell(&self) -> Option<FarewellProgress> {
        let Farewell { asked, acknowledged, waiting, .. } = self.farewell.as_ref()?;
        Some(FarewellProgress { asked: *asked, acknowledged: *acknowledged, waiting: waiting.len() })
    }

    pub(super) fn resend_farewell(&mut self, now: Instant) {
        let Some(farewell) = self.farewell.as_mut().filter(|farewell| now >= farewell.next_send) else {
            return;
        };
        farewell.next_send = now + RESEND;
        if self.config.has(Bug::StarvedLeave) {
            return;
        }
        let waiting: Vec<NodeId> = farewell.waiting.iter().cloned().collect();
        let incarnation = self.own.incarnation.get();
        for to in waiting {
            self.send(now, &to, DatagramKind::Leave, incarnation, None);
        }
    }

    /// A member says goodbye itself.
    pub(super) fn hear_farewell(&mut self, now: Instant, from: &NodeId, incarnation: u64) {
        let known = self.view.claim(from).cloned();
        // A process that lost the name to another one does not speak for it.
        let life = self.links.get(from).map(|peer| peer.life);
        if let Some(before) = known.filter(|known| Some(known.life) == life) {
            let incarnation = cluster_types::Incarnation::from_raw(incarnation).max(before.incarnation);
            let claim = Claim { state: State::Left, incarnation, ..before };
            self.learn(now, crate::wire::Update::unproven(claim), from);
        }
        // One that leaves as well will not hear what this node has to say, and needs not.
        self.note_farewell_heard(from);
        self.send(now, from, DatagramKind::LeaveAck, 0, None);
    }

    pub(super) fn note_farewell_heard(&mut self, from: &NodeId) {
        if let Some(farewell) = &mut self.farewell {
            farewell.acknowledged += usize::from(farewell.waiting.remove(from));
        }
    }

    /// Somebody waited for is gone: it needs not be told any more.
    pub(super) fn note_farewell_moot(&mut self, node: &NodeId) {
        if let Some(farewell) = &mut self.farewell {
            farewell.waiting.remove(node);
        }
    }
}
