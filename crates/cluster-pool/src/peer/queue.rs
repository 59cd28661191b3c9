//! What waits to be sent to one peer: bounded in count, bytes and age, in order within a priority. Pure: `now` is an argument.
//!
//! The highest priority goes first, but not always: of ten messages six are high, three normal and one low while all three
//! wait, so that nothing starves.

use std::collections::VecDeque;
use std::time::Duration;

use cluster_sites::{always, sometimes};
use cluster_types::Instant;

use super::message::{Message, Priority, Sender};
use crate::sites;

/// What happens to a message for which there is no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest message of the lowest priority that waits makes room, unless all that wait are above the new one, which is
    /// then refused.
    #[default]
    DropOldest,
    /// It is refused, and handed back.
    Refuse,
    /// Its sender waits.
    Wait,
}

/// A message that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) message: Message,
    pub(super) outcome: Sender,
    pub(super) queued_at: Instant,
    pub(super) expires_at: Instant,
}

impl Waiting {
    /// Bytes it counts for: its body, and what a queue entry costs beside it.
    const fn weight(&self) -> usize {
        weight_of(&self.message)
    }
}

/// What a message counts for beside its body: an empty one is not free.
pub(super) const ENTRY: usize = 64;

const fn weight_of(message: &Message) -> usize {
    message.body.len() + ENTRY
}

/// Who goes next while all three priorities wait: indices of [`Priority::ALL`].
const ORDER: [usize; 10] = [0, 1, 0, 0, 1, 0, 2, 0, 1, 0];

/// Whose turn it is among the priorities.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Turns(usize);

impl Turns {
    /// The next one of those that are ready, by place of the priority.
    pub(super) fn next(&mut self, ready: [bool; 3]) -> Option<usize> {
        if !ready.contains(&true) {
            return None;
        }
        loop {
            let lane = ORDER[self.0];
            self.0 = (self.0 + 1) % ORDER.len();
            if ready[lane] {
                return Some(lane);
            }
        }
    }
}

/// Bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) len_max: usize,
    pub(super) bytes_max: usize,
    pub(super) age_max: Duration,
}

#[derive(Debug)]
pub(super) struct SendQueue {
    bounds: Bounds,
    lanes: [VecDeque<Waiting>; 3],
    bytes: usize,
    /// Nothing expires before this; looked for anew only when it has come.
    earliest: Instant,
    turns: Turns,
}

impl SendQueue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, lanes: Default::default(), bytes: 0, earliest: Instant::END, turns: Turns::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }

    /// Whether a message of that priority waits.
    pub(super) fn holds(&self, priority: Priority) -> bool {
        !self.lanes[priority.index()].is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message fits beside what waits.
    pub(super) fn has_room_for(&self, message: &Message) -> bool {
        self.len() < self.bounds.len_max && self.bytes + weight_of(message) <= self.bounds.bytes_max
    }

    /// Takes out what makes room for a message: the oldest ones of the lowest priorities, none above its own. `None`, and nothing is
    /// taken out, if that is not enough.
    pub(super) fn make_room_for(&mut self, message: &Message) -> Option<Vec<Waiting>> {
        let mut dropped = Vec::new();
        while !self.has_room_for(message) {
            let lowest = (message.priority.index()..3).rev().find(|lane| !self.lanes[*lane].is_empty());
            let Some(oldest) = lowest.and_then(|lane| self.lanes[lane].pop_front()) else {
                // Back where they were, in their order.
                for waiting in dropped.into_iter().rev() {
                    self.push_front(waiting);
                }
                return None;
            };
            self.bytes -= oldest.weight();
            dropped.push(oldest);
        }
        let place = message.priority.index();
        sometimes!(sites::LOWER_GIVES_WAY, dropped.iter().any(|oldest| oldest.message.priority.index() > place));
        Some(dropped)
    }

    /// Adds a message for which there is room.
    pub(super) fn push(&mut self, message: Message, outcome: Sender, now: Instant) {
        debug_assert!(self.has_room_for(&message), "room is made before a message is added");
        let age = message.time_to_live.map_or(self.bounds.age_max, |ttl| ttl.min(self.bounds.age_max));
        let waiting = Waiting { message, outcome, queued_at: now, expires_at: now + age };
        self.bytes += waiting.weight();
        self.earliest = self.earliest.min(waiting.expires_at);
        self.lanes[waiting.message.priority.index()].push_back(waiting);
    }

    /// Puts one back that was taken and certainly did not go: it is the next of its priority again. (Bounds may be passed by what a
    /// lane had taken, one message a priority.)
    pub(super) fn push_front(&mut self, waiting: Waiting) {
        self.bytes += waiting.weight();
        self.earliest = self.earliest.min(waiting.expires_at);
        let lane = &mut self.lanes[waiting.message.priority.index()];
        always!(sites::PUT_BACK_IN_ORDER, lane.front().is_none_or(|next| waiting.queued_at <= next.queued_at));
        lane.push_front(waiting);
    }

    /// The mistake of putting it at the end.
    pub(super) fn push_back_again(&mut self, waiting: Waiting) {
        self.bytes += waiting.weight();
        self.lanes[waiting.message.priority.index()].push_back(waiting);
    }

    /// The next message of those priorities that are ready for one; `next_is_ready` sees the length of the body.
    pub(super) fn pop(&mut self, mut next_is_ready: impl FnMut(Priority, usize) -> bool) -> Option<Waiting> {
        let ready = Priority::ALL.map(|priority| {
            let next = self.lanes[priority.index()].front();
            next.is_some_and(|waiting| next_is_ready(priority, waiting.message.body.len()))
        });
        let lane = self.turns.next(ready)?;
        let waiting = self.lanes[lane].pop_front()?;
        self.bytes -= waiting.weight();
        Some(waiting)
    }

    /// Everything whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Waiting> {
        if now < self.earliest {
            return Vec::new();
        }
        let mut expired = Vec::new();
        for lane in &mut self.lanes {
            // Times to live differ, so the next to expire need not be the next to go.
            if lane.iter().any(|waiting| waiting.expires_at <= now) {
                let (gone, kept) = lane.drain(..).partition(|waiting: &Waiting| waiting.expires_at <= now);
                *lane = kept;
                expired.extend::<VecDeque<_>>(gone);
            }
        }
        sometimes!(sites::EXPIRED_WAITING, !expired.is_empty());
        self.bytes -= expired.iter().map(Waiting::weight).sum::<usize>();
        self.earliest = self.lanes.iter().flatten().map(|w| w.expires_at).min().unwrap_or(Instant::END);
        expired
    }

    /// Before when nothing expires; `None` when nothing waits.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.earliest)
    }

    /// How long the oldest one has waited.
    pub(super) fn oldest(&self, now: Instant) -> Option<Duration> {
        self.lanes.iter().filter_map(VecDeque::front).map(|waiting| now.since(waiting.queued_at)).max()
    }

    /// Everything, in order.
    pub(super) fn drain(&mut self) -> Vec<Waiting> {
        self.bytes = 0;
        self.lanes.iter_mut().flat_map(|lane| lane.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests;
