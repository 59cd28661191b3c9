//! What the world itself counts of each run of a node: its own record of what the product counts, too. The two must be equal.
//!
//! A run that is killed takes with it what its users have not heard yet. So much may be missing in the world's record, and not one more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_manager::Metrics;
use cluster_pool::Outcome;
use cluster_pool::peer::NotSent;

use super::ledger::Run;

/// A number of the product: its name, and the value of its label.
pub(super) type Number = (&'static str, &'static str);

const MESSAGES: &str = "cluster_messages_total";
const EVENTS: &str = "cluster_events_total";

const QUEUED: Number = ("cluster_messages_queued_total", "");
const REJECTED: Number = (MESSAGES, "rejected");
const REQUESTS: Number = ("cluster_requests_total", "");
const REPLIES: Number = ("cluster_replies_total", "");
const TAKEN: Number = ("cluster_handled_total", "messages");
const ASKED: Number = ("cluster_handled_total", "requests");

/// How a message may end.
const ENDS: [&str; 6] = ["delivered", "maybe_delivered", "expired", "dropped", "refused", "closed"];

/// What never happens in a world: nobody sends what cannot be read, or is more than fits.
const NEVER: [Number; 4] = [
    ("cluster_gossip_malformed_total", ""),
    ("cluster_members_over_limit_total", ""),
    ("cluster_events_dropped_total", ""),
    ("cluster_handled_total", "panicked"),
];

fn words((name, label): Number) -> String {
    if label.is_empty() { name.to_owned() } else { format!("{name} of {label}") }
}

const fn word_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered { .. } => "delivered",
        Outcome::MaybeDelivered(_) => "maybe_delivered",
        Outcome::NotSent(NotSent::Expired) => "expired",
        Outcome::NotSent(NotSent::Dropped) => "dropped",
        Outcome::NotSent(NotSent::Refused(_)) => "refused",
        Outcome::NotSent(_) => "closed",
    }
}

/// What was counted of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Count {
    numbers: BTreeMap<Number, u64>,
    /// Messages whose end its users have not heard yet.
    unheard: u64,
    /// Requests likewise.
    unanswered: u64,
}

#[derive(Debug, Default)]
struct Book {
    runs: BTreeMap<Run, Count>,
    /// Balls hit at each node that nobody there has taken out of an inbox.
    balls: BTreeMap<usize, u64>,
    wrong: Vec<String>,
}

/// Clones are the same record.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(Arc<Mutex<Book>>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, run: Run, change: impl FnOnce(&mut Count)) {
        change(self.lock().runs.entry(run).or_default());
    }

    fn add(&self, run: Run, number: Number) {
        self.change(run, |count| *count.numbers.entry(number).or_default() += 1);
    }

    /// A peer has taken a message for sending.
    pub(super) fn queued(&self, run: Run) {
        self.add(run, QUEUED);
        self.change(run, |count| count.unheard += 1);
    }

    /// A peer has handed a message back.
    pub(super) fn rejected(&self, run: Run) {
        self.add(run, REJECTED);
    }

    /// The sender of a message has heard how it ended.
    pub(super) fn ended(&self, run: Run, outcome: &Outcome) {
        self.add(run, (MESSAGES, word_of(outcome)));
        self.change(run, |count| count.unheard = count.unheard.saturating_sub(1));
    }

    /// A peer is asked.
    pub(super) fn requested(&self, run: Run) {
        self.add(run, REQUESTS);
        self.change(run, |count| count.unanswered += 1);
    }

    /// A request has ended, with a reply or without.
    pub(super) fn answered(&self, run: Run, replied: bool) {
        self.change(run, |count| count.unanswered = count.unanswered.saturating_sub(1));
        if replied {
            self.add(run, REPLIES);
        }
    }

    /// A handler was given a message.
    pub(super) fn taken(&self, run: Run) {
        self.add(run, TAKEN);
    }

    /// A handler was given a request.
    pub(super) fn asked(&self, run: Run) {
        self.add(run, ASKED);
    }

    /// A ball was hit at a node.
    pub(super) fn hit(&self, at: usize) {
        *self.lock().balls.entry(at).or_default() += 1;
    }

    /// It was taken out of an inbox there.
    pub(super) fn caught(&self, run: Run) {
        self.taken(run);
        if let Some(waiting) = self.lock().balls.get_mut(&run.0) {
            *waiting = waiting.saturating_sub(1);
        }
    }

    /// A subscriber was told of an event.
    pub(super) fn told(&self, run: Run, word: &'static str) {
        self.add(run, (EVENTS, word));
    }

    /// A run is over, or looked at: what its node counted is held against what was counted here. `all` says whether all that was
    /// said on it was said by the world.
    pub(super) fn compare(&self, run: Run, told: &Told, all: bool) {
        let mut book = self.lock();
        let count = book.runs.get(&run).cloned().unwrap_or_default();
        let asking = book.runs.values().map(|count| count.unanswered).sum();
        let balls = book.balls.get(&run.0).copied().unwrap_or_default();
        let mut differences: Vec<String> =
            NEVER.iter().filter_map(|number| Count::default().exactly(told, *number, 0)).collect();
        differences.extend(count.events(told));
        if all {
            differences.extend(count.messages(told));
            differences.extend(count.exactly(told, REQUESTS, 0));
            differences.extend(count.replies(told));
            differences.extend(count.exactly(told, TAKEN, balls));
            differences.extend(count.exactly(told, ASKED, asking));
        }
        let (node, boot) = run;
        book.wrong.extend(differences.into_iter().map(|what| format!("run {boot} of node {node}: {what}")));
    }

    /// What was found to differ, in words.
    pub(super) fn wrong(&self) -> Vec<String> {
        self.lock().wrong.clone()
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    numbers: BTreeMap<(&'static str, String), u64>,
    /// The number of its last event, where it is known.
    published: Option<u64>,
}

impl Told {
    pub(super) fn of(metrics: &Metrics, published: Option<u64>) -> Self {
        let numbers = metrics.samples().iter().map(|sample| {
            let label = sample.label.clone().unwrap_or_default();
            ((sample.name, label), sample.value as u64)
        });
        Self { numbers: numbers.collect(), published }
    }

    fn number(&self, (name, label): Number) -> u64 {
        self.numbers.get(&(name, label.to_owned())).copied().unwrap_or_default()
    }

    fn events(&self) -> u64 {
        self.numbers.iter().filter(|((name, _), _)| *name == EVENTS).map(|(_, n)| *n).sum()
    }
}

impl Count {
    fn of(&self, number: Number) -> u64 {
        self.numbers.get(&number).copied().unwrap_or_default()
    }

    /// The run's own number is this record's, or more by so much at most.
    fn exactly(&self, told: &Told, number: Number, unheard: u64) -> Option<String> {
        let (told, counted) = (told.number(number), self.of(number));
        let name = words(number);
        let more = if unheard == 0 { String::new() } else { format!(" to {}", counted + unheard) };
        (!(counted..=counted + unheard).contains(&told))
            .then(|| format!("{name} is {told}, and the world counted {counted}{more}"))
    }

    /// No more than there were. A reply that comes after its peer was closed is not counted (docs/limitations.md).
    fn replies(&self, told: &Told) -> Option<String> {
        let (told, counted) = (told.number(REPLIES), self.of(REPLIES));
        (told > counted).then(|| format!("{} is {told}, and the world counted {counted}", words(REPLIES)))
    }

    /// What was taken for sending, and how all of it ended. What the users have not heard yet has ended in some way, or waits.
    fn messages(&self, told: &Told) -> Vec<String> {
        let ends = ENDS.map(|word| (MESSAGES, word));
        let each = ends.iter().filter_map(|end| self.exactly(told, *end, self.unheard));
        let mut differences: Vec<String> = each.collect();
        differences.extend(self.exactly(told, QUEUED, 0));
        differences.extend(self.exactly(told, REJECTED, 0));
        let ended = ends.map(|end| told.number(end)).iter().sum::<u64>();
        let most = ends.map(|end| self.of(end)).iter().sum::<u64>() + self.unheard;
        if differences.is_empty() && ended > most {
            differences.push(format!("{ended} messages ended, and no more than {most} were sent"));
        }
        differences
    }

    /// All events are of some kind, and a subscriber heard of no kind more than there were.
    fn events(&self, told: &Told) -> Vec<String> {
        let Some(published) = told.published else { return Vec::new() };
        let heard = self.numbers.iter().filter(|((name, _), _)| *name == EVENTS);
        let unheard = published.saturating_sub(heard.clone().map(|(_, n)| n).sum());
        let each = heard.filter_map(|(number, _)| self.exactly(told, *number, unheard));
        let mut differences: Vec<String> = each.collect();
        if told.events() != published {
            differences.push(format!("{EVENTS} is {} in all, and {published} events have numbers", told.events()));
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::Life;

    const RUN: Run = (3, 1);
    const EXPIRED: Outcome = Outcome::NotSent(NotSent::Expired);

    fn told(numbers: &[(Number, u64)]) -> Told {
        let numbers = numbers.iter().map(|((name, label), n)| ((*name, (*label).to_owned()), *n));
        Told { numbers: numbers.collect(), published: None }
    }

    fn wrong(counts: &Counts, told: &Told) -> Vec<String> {
        let looked_at = Counts(Arc::new(Mutex::new(Book { runs: counts.lock().runs.clone(), ..Book::default() })));
        looked_at.compare(RUN, told, true);
        looked_at.wrong()
    }

    /// Two messages and a request, of which one message has no end yet.
    fn counts() -> Counts {
        let counts = Counts::default();
        counts.queued(RUN);
        counts.queued(RUN);
        counts.ended(RUN, &EXPIRED);
        counts.rejected(RUN);
        counts.requested(RUN);
        counts.answered(RUN, true);
        counts
    }

    const EQUAL: [(Number, u64); 4] = [(QUEUED, 2), ((MESSAGES, "expired"), 1), (REJECTED, 1), (REQUESTS, 1)];

    #[test]
    fn a_number_that_misses_one_is_found() {
        assert_eq!(wrong(&counts(), &told(&EQUAL)), [""; 0]);
        for missed in 0..EQUAL.len() {
            let mut numbers = EQUAL;
            numbers[missed].1 -= 1;
            let name = words(numbers[missed].0);
            let found = wrong(&counts(), &told(&numbers));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("run 1 of node 3: {name} is ")), "{found:?}");
        }
    }

    #[test]
    fn what_nobody_has_heard_yet_is_excused_and_not_one_more() {
        let mut numbers = EQUAL.to_vec();
        numbers.push(((MESSAGES, "closed"), 1));
        assert_eq!(wrong(&counts(), &told(&numbers)), [""; 0], "the second message may have ended");
        numbers.push(((MESSAGES, "delivered"), 1));
        assert_eq!(
            wrong(&counts(), &told(&numbers)),
            ["run 1 of node 3: 3 messages ended, and no more than 2 were sent"]
        );
        let heard = counts();
        heard.ended(RUN, &Outcome::Delivered { life: Life::new(1, 1) });
        assert_eq!(wrong(&heard, &told(&EQUAL)).len(), 1, "an end that was heard must have been counted");
    }

    #[test]
    fn events_that_nobody_counted_are_found() {
        let counts = Counts::default();
        counts.told(RUN, "joined");
        let events = |joined, published| {
            let numbers = told(&[((EVENTS, "joined"), joined)]);
            wrong(&counts, &Told { published: Some(published), ..numbers }).len()
        };
        assert_eq!(events(2, 2), 0, "one was in the snapshot");
        assert_eq!([events(1, 2), events(0, 1), events(3, 2)], [1, 2, 2]);
    }

    #[test]
    fn a_reply_that_nobody_got_is_not_counted() {
        let with = |replies| [&EQUAL[..], &[(REPLIES, replies)]].concat();
        assert_eq!([wrong(&counts(), &told(&with(1))).len(), wrong(&counts(), &told(&with(2))).len()], [0, 1]);
    }

    #[test]
    fn what_never_happens_is_not_counted() {
        assert_eq!(wrong(&Counts::default(), &told(&[(NEVER[0], 1)])).len(), 1);
    }
}
