//! Who is known, in the order in which they are probed.

use std::time::Duration;

use cluster_types::seed::Draws;

use super::GOSSIP_TO_THE_DEAD;
use super::message::Entry;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Alive,
    Suspect,
    Dead,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) state: State,
    pub(super) incarnation: u32,
    /// When its state changed.
    pub(super) since: Duration,
}

pub(super) struct Members {
    me: usize,
    /// By number.
    known: Vec<Option<Member>>,
    /// The node itself among them.
    order: Vec<usize>,
    next: usize,
}

impl Members {
    pub(super) fn new(me: usize) -> Self {
        Self { me, known: Vec::new(), order: vec![me], next: 0 }
    }

    /// How many there are, itself and those that failed a moment ago included.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn get(&self, node: usize) -> Option<&Member> {
        self.known.get(node)?.as_ref()
    }

    /// Takes in a node, which is dead until it is set to be something else, at a random place of the order.
    pub(super) fn add(&mut self, node: usize, draws: &mut Draws) {
        self.known.resize(self.known.len().max(node + 1), None);
        self.known[node] = Some(Member { state: State::Dead, incarnation: 0, since: Duration::ZERO });
        let place = draws.below(self.order.len() as u64) as usize;
        self.order.push(node);
        let last = self.order.len() - 1;
        self.order.swap(place, last);
    }

    /// Says what a node that is known has become; returns what it was.
    pub(super) fn set(&mut self, node: usize, state: State, incarnation: u32, now: Duration) -> State {
        let member = self.known[node].as_mut().expect("it is known");
        let was = std::mem::replace(&mut member.state, state);
        member.incarnation = incarnation;
        if was != state {
            member.since = now;
        }
        was
    }

    /// Whose turn it is to be probed. After the last one the dead are forgotten and the order is drawn anew.
    pub(super) fn next(&mut self, now: Duration, draws: &mut Draws) -> Option<usize> {
        for _ in 0..2 * self.order.len() + 2 {
            if self.next >= self.order.len() {
                self.reset(now, draws);
            }
            let node = self.order[self.next];
            self.next += 1;
            if self.get(node).is_some_and(|member| member.state != State::Dead) {
                return Some(node);
            }
        }
        None
    }

    fn reset(&mut self, now: Duration, draws: &mut Draws) {
        let known = &mut self.known;
        let me = self.me;
        self.order.retain(|node| {
            let over =
                |member: &Member| member.state == State::Dead && now.saturating_sub(member.since) > GOSSIP_TO_THE_DEAD;
            let gone = *node != me && known[*node].as_ref().is_none_or(over);
            if gone {
                known[*node] = None;
            }
            !gone
        });
        draws.shuffle(&mut self.order);
        self.next = 0;
    }

    /// Up to `count` others that are `such`, drawn at random.
    pub(super) fn some(&self, draws: &mut Draws, count: usize, such: impl Fn(&Member) -> bool) -> Vec<usize> {
        self.some_of(draws, count, |_, member| such(member))
    }

    pub(super) fn some_of(&self, draws: &mut Draws, count: usize, such: impl Fn(usize, &Member) -> bool) -> Vec<usize> {
        let good = |node: usize| self.get(node).is_some_and(|member| such(node, member));
        if self.order.len() < count * 3 {
            let mut all: Vec<usize> = self.order.clone();
            draws.shuffle(&mut all);
            return all.into_iter().filter(|node| good(*node)).take(count).collect();
        }
        let mut found = Vec::new();
        for _ in 0..3 * self.order.len() {
            if found.len() == count {
                break;
            }
            let node = self.order[draws.below(self.order.len() as u64) as usize];
            if good(node) && !found.contains(&node) {
                found.push(node);
            }
        }
        found
    }

    /// The whole state, itself included.
    pub(super) fn entries(&self, own_incarnation: u32) -> Vec<Entry> {
        let entry = |node: &usize| match self.get(*node) {
            Some(member) => Entry { node: *node, incarnation: member.incarnation, state: member.state },
            None => Entry { node: *node, incarnation: own_incarnation, state: State::Alive },
        };
        self.order.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::Seed;
    use std::collections::BTreeSet;

    fn members(count: usize, draws: &mut Draws) -> Members {
        let mut members = Members::new(0);
        for node in 1..count {
            members.add(node, draws);
            members.set(node, State::Alive, 1, Duration::ZERO);
        }
        members
    }

    #[test]
    fn each_is_probed_once_a_round_and_itself_never() {
        let mut draws = Seed::new(1).stream();
        let mut members = members(10, &mut draws);
        for _ in 0..5 {
            let round: BTreeSet<usize> = (0..9).filter_map(|_| members.next(Duration::ZERO, &mut draws)).collect();
            assert_eq!(round, (1..10).collect());
        }
    }

    #[test]
    fn the_dead_are_not_probed_and_forgotten_after_half_a_minute() {
        let mut draws = Seed::new(1).stream();
        let mut members = members(4, &mut draws);
        members.set(2, State::Dead, 1, Duration::ZERO);
        let round = |members: &mut Members, draws: &mut Draws, s| -> BTreeSet<usize> {
            (0..8).filter_map(|_| members.next(Duration::from_secs(s), draws)).collect()
        };
        assert_eq!(round(&mut members, &mut draws, 30), BTreeSet::from([1, 3]));
        assert_eq!(members.len(), 4);
        round(&mut members, &mut draws, 31);
        assert_eq!(members.len(), 3);
        assert!(members.get(2).is_none());
    }

    #[test]
    fn those_that_are_drawn_are_different_others() {
        let mut draws = Seed::new(1).stream();
        for count in [4, 40] {
            let members = members(count, &mut draws);
            for _ in 0..100 {
                let some = members.some(&mut draws, 3, |_| true);
                assert_eq!(some.iter().collect::<BTreeSet<_>>().len(), 3);
                assert!(!some.contains(&0));
            }
        }
    }
}
