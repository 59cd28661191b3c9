//! The broadcast queue: what is still to be told, least told first, a farewell before everything else.
//!
//! It holds only *what* to tell, not the words: those are made from the core's view at the moment of sending, so an update
//! that has been overtaken is never sent. Every member tells it 4 ceil(log10(n + 1)) times: at 16 members 8 times, after which
//! one of them has not heard of it with a probability of about e^-8 (Das, Gupta, Motivala: "SWIM", 2002, section 4.1).
//! Comparing views finds the rest.

use std::collections::{BTreeMap, BTreeSet};

use cluster_types::NodeId;

/// What to tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// What is held of a member.
    Claim(NodeId),
    /// That one member accuses another.
    Vote {
        /// The accused.
        subject: NodeId,
        /// The accuser.
        accuser: NodeId,
    },
}

/// How urgent it is. The order is the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A member says goodbye: nothing goes before it.
    Farewell,
    /// Everything else about members.
    Membership,
}

/// rank, times told, newest first, what.
type Place = (Rank, u32, std::cmp::Reverse<u64>, News);

/// What is still to be told.
#[derive(Debug, Default)]
pub struct BroadcastQueue {
    places: BTreeSet<Place>,
    /// Where each piece of news stands. At most one place for each, so the queue is bounded by the view.
    by_news: BTreeMap<News, (Rank, u32, u64)>,
    /// Accusers whose votes wait, by subject.
    votes: BTreeMap<NodeId, BTreeSet<NodeId>>,
    next_age: u64,
    told: u64,
}

/// How often each piece of news is told in a cluster of `members`.
#[must_use]
pub fn transmissions(members: usize) -> u32 {
    // The number of decimal digits of n is the logarithm of n + 1, rounded up.
    4 * (members.max(1).ilog10() + 1)
}

impl BroadcastQueue {
    /// Puts news in, told zero times; news about the same thing that is already there starts over.
    pub fn push(&mut self, rank: Rank, news: News) {
        self.remove(&news);
        let age = self.next_age;
        self.next_age += 1;
        if let News::Vote { subject, accuser } = &news {
            self.votes.entry(subject.clone()).or_default().insert(accuser.clone());
        }
        self.by_news.insert(news.clone(), (rank, 0, age));
        self.places.insert((rank, 0, std::cmp::Reverse(age), news));
    }

    /// Takes news out.
    pub fn remove(&mut self, news: &News) {
        if let Some((rank, told, age)) = self.by_news.remove(news) {
            self.places.remove(&(rank, told, std::cmp::Reverse(age), news.clone()));
        }
        if let News::Vote { subject, accuser } = news
            && let Some(accusers) = self.votes.get_mut(subject)
        {
            accusers.remove(accuser);
            if accusers.is_empty() {
                self.votes.remove(subject);
            }
        }
    }

    /// Takes out every vote against a subject.
    pub fn remove_votes(&mut self, subject: &NodeId) {
        let votes = self.votes.remove(subject).unwrap_or_default();
        for accuser in votes {
            self.remove(&News::Vote { subject: subject.clone(), accuser });
        }
    }

    /// What to tell next, in order, without counting it as told.
    pub fn iter(&self) -> impl Iterator<Item = &News> {
        self.places.iter().map(|(.., news)| news)
    }

    /// Counts news as told once more; after `limit` times it is done.
    pub fn note_told(&mut self, news: &News, limit: u32) {
        let Some((rank, told, age)) = self.by_news.get(news).copied() else {
            return;
        };
        self.told += 1;
        if told + 1 >= limit {
            self.remove(news);
        } else {
            self.places.remove(&(rank, told, std::cmp::Reverse(age), news.clone()));
            self.by_news.insert(news.clone(), (rank, told + 1, age));
            self.places.insert((rank, told + 1, std::cmp::Reverse(age), news.clone()));
        }
    }

    /// How often anything was told so far.
    #[must_use]
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many pieces of news wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str) -> News {
        News::Claim(name.parse().unwrap())
    }

    fn order(queue: &BroadcastQueue) -> String {
        let name = |news: &News| match news {
            News::Claim(node) => node.to_string(),
            News::Vote { subject, accuser } => format!("{accuser}!{subject}"),
        };
        queue.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn least_told_goes_first_then_newest_and_a_farewell_before_all() {
        let mut queue = BroadcastQueue::default();
        queue.push(Rank::Membership, claim("a"));
        queue.push(Rank::Membership, claim("b"));
        assert_eq!(order(&queue), "b a");
        queue.note_told(&claim("b"), 9);
        assert_eq!(order(&queue), "a b");
        queue.push(Rank::Farewell, claim("c"));
        queue.note_told(&claim("c"), 9);
        assert_eq!(order(&queue), "c a b");
    }

    #[test]
    fn news_is_done_after_its_limit_and_starts_over_when_it_changes() {
        let mut queue = BroadcastQueue::default();
        queue.push(Rank::Membership, claim("a"));
        queue.note_told(&claim("a"), 2);
        queue.push(Rank::Membership, claim("a"));
        assert_eq!(queue.len(), 1);
        queue.note_told(&claim("a"), 2);
        assert!(!queue.is_empty());
        queue.note_told(&claim("a"), 2);
        assert!(queue.is_empty());
        queue.note_told(&claim("a"), 2);
        assert!(queue.is_empty(), "telling what is not there changes nothing");
        assert_eq!((queue.told(), queue.len()), (3, 0));
    }

    #[test]
    fn votes_of_several_accusers_stand_side_by_side_and_go_together() {
        let mut queue = BroadcastQueue::default();
        for accuser in ["a", "b"] {
            queue.push(
                Rank::Membership,
                News::Vote { subject: "x".parse().unwrap(), accuser: accuser.parse().unwrap() },
            );
        }
        queue.push(Rank::Membership, claim("x"));
        assert_eq!(order(&queue), "x b!x a!x");
        queue.remove_votes(&"x".parse().unwrap());
        assert_eq!(order(&queue), "x");
    }

    #[test]
    fn told_four_times_the_decimal_logarithm() {
        let by_hand = [(0, 4), (1, 4), (9, 4), (10, 8), (16, 8), (99, 8), (100, 12), (999, 12), (10_000, 20)];
        for (members, times) in by_hand {
            assert_eq!(transmissions(members), times, "{members} members");
        }
    }
}
