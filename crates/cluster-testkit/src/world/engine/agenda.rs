//! What is to happen, by time: what is near in order, everything else in bins without any.
//!
//! Most of what waits is far away (an idle time of 30 s a link), and a heap of all of it would be moved about in memory that no cache
//! holds. So what is further away than the bin that is being worked off is only put down, and is sorted when its bin comes up.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use cluster_types::Instant;

/// How much time a bin spans: 2^27 ns are 134 ms, a few events in a small world and a thousand in one of a thousand nodes.
const BIN_BITS: u32 = 27;

/// One thing, with its place among those of the same moment.
#[derive(Debug)]
struct Item<T> {
    at: Instant,
    number: u64,
    what: T,
}

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<T> Eq for Item<T> {}

impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest: the standard heap gives out the greatest.
impl<T> Ord for Item<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// Things to come, in order of time; those of one moment in the order in which they were put in.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    /// What stood in the bin that is being worked off when it came up, the last first.
    sorted: Vec<Item<T>>,
    /// What was put into it since, or before it.
    late: BinaryHeap<Item<T>>,
    bin: u64,
    far: BTreeMap<u64, Vec<Item<T>>>,
    next_number: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { sorted: Vec::new(), late: BinaryHeap::new(), bin: 0, far: BTreeMap::new(), next_number: 0 }
    }
}

fn bin_of(at: Instant) -> u64 {
    at.since(Instant::ORIGIN).as_nanos() as u64 >> BIN_BITS
}

impl<T> Agenda<T> {
    /// How many things were put in so far.
    pub(super) const fn len_ever(&self) -> u64 {
        self.next_number
    }

    pub(super) fn push(&mut self, at: Instant, what: T) {
        let (bin, item) = (bin_of(at), Item { at, number: self.next_number, what });
        self.next_number += 1;
        if bin <= self.bin {
            self.late.push(item);
        } else {
            self.far.entry(bin).or_default().push(item);
        }
    }

    /// Takes out what is next, if it is due until then.
    pub(super) fn pop_until(&mut self, until: Instant) -> Option<(Instant, T)> {
        if self.sorted.is_empty() && self.late.is_empty() {
            let next = self.far.first_entry().filter(|entry| *entry.key() <= bin_of(until))?;
            self.bin = *next.key();
            self.sorted = next.remove();
            self.sorted.sort_unstable();
        }
        // The greater of two is the one that comes first.
        let from_late = self.late.peek() > self.sorted.last();
        let next = if from_late { self.late.peek() } else { self.sorted.last() };
        next.filter(|item| item.at <= until)?;
        let next = if from_late { self.late.pop() } else { self.sorted.pop() };
        next.map(|Item { at, what, .. }| (at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// Whatever is put in and taken out, and when: in the order of a plain ordered map.
        #[test]
        fn things_come_out_in_order(steps in prop::collection::vec((0_u64..200, any::<bool>()), 0..300)) {
            let mut agenda = Agenda::default();
            let mut map = BTreeMap::new();
            let mut now = Instant::ORIGIN;
            for (n, (ms, put_in)) in steps.into_iter().enumerate() {
                let at = now + Duration::from_millis(ms);
                if put_in {
                    agenda.push(at, n);
                    map.insert((at, n), n);
                } else {
                    let due = map.first_key_value().filter(|((due, _), _)| *due <= at).map(|(key, n)| (key.0, *n));
                    prop_assert_eq!(agenda.pop_until(at), due);
                    if let Some((due, n)) = due {
                        map.remove(&(due, n));
                        now = now.max(due);
                    }
                }
            }
            while let Some(((at, _), n)) = map.pop_first() {
                prop_assert_eq!(agenda.pop_until(Instant::END), Some((at, n)));
            }
            prop_assert_eq!(agenda.pop_until(Instant::END), None);
        }
    }

    #[test]
    fn nothing_comes_before_its_time_and_the_past_comes_at_once() {
        let at = |ms| Instant::after_origin(Duration::from_millis(ms));
        let mut agenda = Agenda::default();
        agenda.push(at(1_000), "a");
        assert_eq!(agenda.pop_until(at(999)), None);
        agenda.push(at(500), "b");
        assert_eq!(agenda.pop_until(at(2_000)), Some((at(500), "b")));
        assert_eq!(agenda.pop_until(at(2_000)), Some((at(1_000), "a")));
        agenda.push(at(0), "c");
        assert_eq!((agenda.pop_until(at(0)), agenda.len_ever()), (Some((at(0), "c")), 3));
    }
}
