//! What there is to gossip: the least told first, of those the longest, of those the youngest; each so often.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::message::Rumour;
use super::rules::{RETRANSMIT_MULT, retransmit_limit};

/// Times sent, then length, then age.
type Key = (u32, Reverse<usize>, Reverse<u64>);

#[derive(Debug, Default)]
pub(super) struct Queue {
    rumours: BTreeMap<Key, Rumour>,
    /// The one about each node.
    about: HashMap<usize, Key>,
    next: u64,
}

impl Queue {
    /// Takes in a rumour, in place of a former one about the same node.
    pub(super) fn push(&mut self, rumour: Rumour) {
        self.next += 1;
        self.insert(0, self.next, rumour);
    }

    fn insert(&mut self, sent: u32, id: u64, rumour: Rumour) {
        let key = (sent, Reverse(rumour.len()), Reverse(id));
        if let Some(former) = self.about.insert(rumour.about(), key) {
            self.rumours.remove(&former);
        }
        self.rumours.insert(key, rumour);
    }

    /// As many as fit into `limit` bytes with `overhead` for each. In a cluster of `nodes` each is given so often, and then forgotten.
    pub(super) fn take(&mut self, overhead: usize, limit: usize, nodes: usize) -> Vec<Rumour> {
        let Some((_, last)) = self.rumours.keys().next().zip(self.rumours.keys().next_back()) else {
            return Vec::new();
        };
        let (most, times) = (last.0, retransmit_limit(RETRANSMIT_MULT, nodes));
        let (mut taken, mut again, mut used, mut sent) = (Vec::new(), Vec::new(), 0, 0);
        while sent <= most && used + overhead < limit {
            let from: Key = (sent, Reverse(limit - used - overhead), Reverse(u64::MAX));
            let key = self.rumours.range(from..).next().map(|(key, _)| *key).filter(|key| key.0 == sent);
            let Some((key, rumour)) = key.and_then(|key| Some((key, self.rumours.remove(&key)?))) else {
                sent += 1;
                continue;
            };
            self.about.remove(&rumour.about());
            used += overhead + rumour.len();
            taken.push(rumour);
            if key.0 + 1 < times {
                again.push((key.0 + 1, key.2.0, rumour));
            }
        }
        for (sent, id, rumour) in again {
            self.insert(sent, id, rumour);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspect(node: usize) -> Rumour {
        Rumour::Suspect { incarnation: 1, node, from: 9 }
    }

    #[test]
    fn each_is_given_as_often_as_the_size_asks_for() {
        let mut queue = Queue::default();
        queue.push(suspect(1));
        // Four times the tenfolds of 128 nodes, of which there are three.
        let given = std::iter::repeat_with(|| queue.take(2, 1_398, 128)).take_while(|given| !given.is_empty()).count();
        assert_eq!(given, 12);
    }

    #[test]
    fn the_last_word_about_a_node_counts() {
        let mut queue = Queue::default();
        queue.push(suspect(1));
        queue.push(suspect(2));
        queue.push(Rumour::Alive { incarnation: 2, node: 1 });
        let given = queue.take(2, 1_398, 10);
        assert_eq!(given, [Rumour::Alive { incarnation: 2, node: 1 }, suspect(2)]);
    }

    #[test]
    fn what_does_not_fit_waits_and_comes_before_what_was_told() {
        let mut queue = Queue::default();
        (1..=4).for_each(|node| queue.push(suspect(node)));
        let len = suspect(1).len() + 2;
        let first: Vec<usize> = queue.take(2, 3 * len, 10).iter().map(Rumour::about).collect();
        assert_eq!(first, [4, 3, 2]);
        let second: Vec<usize> = queue.take(2, 3 * len, 10).iter().map(Rumour::about).collect();
        assert_eq!(second, [1, 4, 3]);
    }
}
