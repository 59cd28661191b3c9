//! The ledger of a world's traffic: what was sent, what arrived, how each ended; and what must fit between the two sides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_pool::{Outcome, Priority};

use super::counts::Counts;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Message(Priority),
    Request,
    Stream,
    /// A caller wants a link; nobody takes anything.
    Link,
}

/// One run of one node.
pub(super) type Run = (usize, u64);

/// How something ended, for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    NotSent,
    Maybe,
    Done,
}

impl From<&Outcome> for End {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::NotSent(_) => Self::NotSent,
            Outcome::MaybeDelivered(_) => Self::Maybe,
            Outcome::Delivered { .. } => Self::Done,
        }
    }
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    from: Run,
    end: Option<End>,
    taken: u32,
}

/// Who sends whom what, of what has an order: receiver, sender, priority.
type Lane = (Run, Run, Priority);

#[derive(Debug, Default)]
struct Book {
    entries: BTreeMap<u64, Entry>,
    order: BTreeMap<Lane, Vec<u64>>,
    wrong: Vec<String>,
}

/// Clones are the same ledger.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    book: Arc<Mutex<Book>>,
    /// What the nodes must have counted themselves.
    pub(super) counts: Counts,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is about to be sent; its number.
    pub(super) fn begin(&self, kind: Kind, from: Run) -> u64 {
        let mut book = self.lock();
        let number = book.entries.len() as u64 + 1;
        book.entries.insert(number, Entry { kind, from, end: None, taken: 0 });
        number
    }

    /// Its sender learns how it ended.
    pub(super) fn end(&self, number: u64, end: End) {
        let mut book = self.lock();
        let former = book.entries.get_mut(&number).and_then(|entry| entry.end.replace(end));
        if let Some(former) = former {
            book.wrong.push(format!("number {number} ended twice: {former:?} and {end:?}"));
        }
    }

    /// What must not be, in words.
    pub(super) fn complain(&self, what: String) {
        self.lock().wrong.push(what);
    }

    /// A handler was given it.
    pub(super) fn take(&self, number: u64, by: Run) {
        let mut book = self.lock();
        let Some(entry) = book.entries.get_mut(&number) else {
            return book.wrong.push(format!("number {number} arrived and was never sent"));
        };
        entry.taken += 1;
        let (kind, from) = (entry.kind, entry.from);
        if let Kind::Message(priority) = kind {
            book.order.entry((by, from, priority)).or_default().push(number);
        }
    }

    /// How many were sent, and how many of these are known to have arrived.
    pub(super) fn sent_and_arrived(&self) -> (usize, usize) {
        let book = self.lock();
        (book.entries.len(), book.entries.values().filter(|entry| entry.end == Some(End::Done)).count())
    }

    /// What does not fit, in words. `ended` are the runs that have ended: what they had under way has no end to wait for.
    pub(super) fn balance(&self, ended: impl Fn(Run) -> bool) -> Vec<String> {
        let book = self.lock();
        let mut wrong = book.wrong.clone();
        for (number, Entry { kind, from, end, taken }) in &book.entries {
            let fits = match end {
                None => ended(*from) && *taken <= 1,
                Some(End::NotSent) => *taken == 0,
                Some(End::Maybe) => *taken <= 1,
                Some(End::Done) => *taken == 1,
            };
            if !fits {
                wrong.push(format!(
                    "{kind:?} number {number} of {from:?} was handled {taken} times and ended as {end:?}"
                ));
            }
        }
        for ((to, from, priority), numbers) in &book.order {
            if let Some(pair) = numbers.windows(2).find(|pair| pair[0] >= pair[1]) {
                wrong.push(format!("{from:?} to {to:?}, {priority:?}: {} was handled before {}", pair[0], pair[1]));
            }
        }
        wrong.truncate(WRONG_MAX);
        wrong
    }
}

/// Enough to see what it is about.
const WRONG_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const A: Run = (0, 1);
    const B: Run = (1, 1);
    const HIGH: Kind = Kind::Message(Priority::High);

    /// What does not fit after these: how each ended, and how often it was handled.
    fn wrong(sent: &[(Option<End>, u32)]) -> usize {
        let ledger = Ledger::default();
        for (end, taken) in sent {
            let number = ledger.begin(HIGH, A);
            (0..*taken).for_each(|_| ledger.take(number, B));
            end.iter().for_each(|end| ledger.end(number, *end));
        }
        ledger.balance(|_| false).len()
    }

    #[test]
    fn each_end_fits_what_the_handlers_saw() {
        assert_eq!(
            wrong(&[(Some(End::Done), 1), (Some(End::NotSent), 0), (Some(End::Maybe), 0), (Some(End::Maybe), 1)]),
            0
        );
        for (end, taken) in [(End::Done, 0), (End::NotSent, 1)] {
            assert_eq!(wrong(&[(Some(end), taken)]), 1, "{end:?} and handled {taken} times");
        }
        // Twice in one lane is out of order as well.
        assert_eq!([wrong(&[(Some(End::Done), 2)]), wrong(&[(Some(End::Maybe), 2)])], [2, 2]);
        assert_eq!(wrong(&[(None, 0)]), 1, "a send without an end");
    }

    #[test]
    fn what_a_run_that_has_ended_had_under_way_is_excused() {
        let ledger = Ledger::default();
        let number = ledger.begin(Kind::Request, A);
        ledger.take(number, B);
        assert_eq!((ledger.balance(|run| run == A).len(), ledger.balance(|run| run == B).len()), (0, 1));
    }

    #[test]
    fn order_holds_within_a_priority_and_a_pair_of_runs() {
        let ledger = Ledger::default();
        let numbers: Vec<u64> = (0..3).map(|_| ledger.begin(HIGH, A)).collect();
        [numbers[0], numbers[2], numbers[1]].iter().for_each(|number| ledger.take(*number, B));
        numbers.iter().for_each(|number| ledger.end(*number, End::Done));
        assert_eq!(ledger.balance(|_| false), ["(0, 1) to (1, 1), High: 3 was handled before 2"]);
        let other = Ledger::default();
        let (first, second) = (other.begin(HIGH, A), other.begin(Kind::Message(Priority::Low), A));
        [second, first].iter().for_each(|number| other.take(*number, B));
        [first, second].iter().for_each(|number| other.end(*number, End::Done));
        assert!(other.balance(|_| false).is_empty(), "priorities may overtake each other");
    }

    #[test]
    fn two_ends_and_what_nobody_sent_are_found() {
        let ledger = Ledger::default();
        let number = ledger.begin(Kind::Stream, A);
        ledger.end(number, End::Maybe);
        ledger.end(number, End::NotSent);
        ledger.take(77, B);
        assert_eq!(ledger.balance(|_| false).len(), 2);
    }
}
