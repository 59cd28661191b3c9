//! What a peer has done, in numbers.

use std::time::Duration;

use cluster_failure::BreakerState;

use super::course::PeerEvent;
use super::message::{NotSent, Outcome};

/// How many spans fell between powers of two of a microsecond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    /// `counts[i]` spans of less than 2^i microseconds, and not less than 2^(i-1); the last one also holds all that are longer.
    counts: [u64; Self::BUCKETS],
    sum: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: [0; Self::BUCKETS], sum: Duration::ZERO }
    }
}

impl Latencies {
    /// The last bound is 2^26 microseconds, 67 s: longer than any message waits.
    const BUCKETS: usize = 27;

    pub(super) fn note(&mut self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.counts[bucket.min(Self::BUCKETS - 1)] += 1;
        self.sum += span;
    }

    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }

    /// Upper bounds and how many spans were below each, but not below the one before: for a histogram.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts.iter().enumerate().map(|(i, count)| (Duration::from_micros(1 << i), *count))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// A bound that so large a part (0 to 1) of them does not pass: right to a factor of two. `None` where there are none.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = ((self.count() as f64 * part).ceil() as u64).max(1);
        let mut below = 0;
        self.buckets().find_map(|(bound, count)| {
            below += count;
            (below >= wanted).then_some(bound)
        })
    }
}

/// What a [`Peer`](super::Peer) has done since it was made, and what it holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerMetrics {
    /// Links that came up.
    pub connects: u64,
    /// Attempts that failed.
    pub connect_failures: u64,
    /// Links that came up after another one had ended.
    pub reconnects: u64,
    /// Times the breaker opened.
    pub breaker_opened: u64,
    /// Messages taken for sending.
    pub queued: u64,
    /// Messages that the receiving application has taken.
    pub delivered: u64,
    /// Messages of which that is not known.
    pub maybe_delivered: u64,
    /// Messages that waited for too long.
    pub expired: u64,
    /// Messages that made room for newer ones.
    pub dropped: u64,
    /// Messages that were handed back at once, for lack of room or for their length.
    pub rejected: u64,
    /// Messages that the receiver turned away.
    pub refused: u64,
    /// Messages that waited when the peer was closed.
    pub closed: u64,
    /// Requests made.
    pub requests: u64,
    /// Of these, the ones that were answered.
    pub replies: u64,
    /// Of these, the ones that waited in vain for their turn: too many others were under way.
    pub requests_busy: u64,
    /// Of these, the ones that were too long, and were not sent.
    pub requests_too_long: u64,
    /// Messages that wait now.
    pub queue_len: usize,
    /// And their bytes.
    pub queue_bytes: usize,
    /// Messages under way now.
    pub in_flight: usize,
    /// What the breaker does now.
    pub breaker: BreakerState,
    /// From `send` to the receiver's word that it has taken the message.
    pub send_latency: Latencies,
    /// From `request` to its reply.
    pub request_latency: Latencies,
}

impl Default for PeerMetrics {
    fn default() -> Self {
        Self {
            connects: 0,
            connect_failures: 0,
            reconnects: 0,
            breaker_opened: 0,
            queued: 0,
            delivered: 0,
            maybe_delivered: 0,
            expired: 0,
            dropped: 0,
            rejected: 0,
            refused: 0,
            closed: 0,
            requests: 0,
            replies: 0,
            requests_busy: 0,
            requests_too_long: 0,
            queue_len: 0,
            queue_bytes: 0,
            in_flight: 0,
            breaker: BreakerState::Closed,
            send_latency: Latencies::default(),
            request_latency: Latencies::default(),
        }
    }
}

impl PeerMetrics {
    pub(super) fn note_event(&mut self, event: &PeerEvent) {
        match event {
            PeerEvent::Connected { .. } => {
                self.reconnects += u64::from(self.connects > 0);
                self.connects += 1;
            }
            PeerEvent::ConnectFailed { .. } => self.connect_failures += 1,
            PeerEvent::Breaker { to: BreakerState::Open, .. } => self.breaker_opened += 1,
            _ => {}
        }
    }

    pub(super) fn note_outcome(&mut self, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Delivered { .. } => {
                self.delivered += 1;
                self.send_latency.note(took);
            }
            Outcome::MaybeDelivered(_) => self.maybe_delivered += 1,
            Outcome::NotSent(NotSent::Expired) => self.expired += 1,
            Outcome::NotSent(NotSent::Dropped) => self.dropped += 1,
            Outcome::NotSent(NotSent::Refused(_)) => self.refused += 1,
            Outcome::NotSent(NotSent::Closed) => self.closed += 1,
        }
    }

    /// Adds what another peer did, and holds: for sums over many. What its breaker does is not added.
    pub fn add(&mut self, other: &Self) {
        self.connects += other.connects;
        self.connect_failures += other.connect_failures;
        self.reconnects += other.reconnects;
        self.breaker_opened += other.breaker_opened;
        self.queued += other.queued;
        self.delivered += other.delivered;
        self.maybe_delivered += other.maybe_delivered;
        self.expired += other.expired;
        self.dropped += other.dropped;
        self.rejected += other.rejected;
        self.refused += other.refused;
        self.closed += other.closed;
        self.requests += other.requests;
        self.replies += other.replies;
        self.requests_busy += other.requests_busy;
        self.requests_too_long += other.requests_too_long;
        self.queue_len += other.queue_len;
        self.queue_bytes += other.queue_bytes;
        self.in_flight += other.in_flight;
        self.send_latency.add(&other.send_latency);
        self.request_latency.add(&other.request_latency);
    }

    /// Messages that have ended, in whatever way.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.delivered + self.maybe_delivered + self.expired + self.dropped + self.refused + self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_hold_everything_that_was_counted() {
        let mut latencies = Latencies::default();
        latencies.note(Duration::from_micros(3));
        let one =
            PeerMetrics { queued: 2, delivered: 1, queue_len: 1, send_latency: latencies, ..PeerMetrics::default() };
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!((sum.queued, sum.delivered, sum.queue_len, sum.ended()), (4, 2, 2, 2));
        assert_eq!((sum.send_latency.count(), sum.send_latency.sum()), (2, Duration::from_micros(6)));
    }

    /// A number for each field, none like another.
    fn numbered() -> PeerMetrics {
        let mut latencies = Latencies::default();
        latencies.note(Duration::from_micros(3));
        PeerMetrics {
            connects: 2,
            connect_failures: 3,
            reconnects: 5,
            breaker_opened: 7,
            queued: 11,
            delivered: 13,
            maybe_delivered: 17,
            expired: 19,
            dropped: 23,
            rejected: 29,
            refused: 31,
            closed: 37,
            requests: 41,
            replies: 43,
            requests_busy: 61,
            requests_too_long: 67,
            queue_len: 47,
            queue_bytes: 53,
            in_flight: 59,
            breaker: BreakerState::Closed,
            send_latency: latencies.clone(),
            request_latency: latencies,
        }
    }

    #[test]
    fn every_number_is_added_to_its_own() {
        let one = numbered();
        let mut sum = PeerMetrics::default();
        sum.add(&one);
        assert_eq!(sum, one, "what is added to nothing is itself");
        sum.add(&one);
        let twice = |read: fn(&PeerMetrics) -> u64| assert_eq!(read(&sum), 2 * read(&one));
        twice(|m| m.connects);
        twice(|m| m.connect_failures);
        twice(|m| m.reconnects);
        twice(|m| m.breaker_opened);
        twice(|m| m.queued);
        twice(|m| m.delivered);
        twice(|m| m.maybe_delivered);
        twice(|m| m.expired);
        twice(|m| m.dropped);
        twice(|m| m.rejected);
        twice(|m| m.refused);
        twice(|m| m.closed);
        twice(|m| m.requests);
        twice(|m| m.replies);
        twice(|m| m.requests_busy);
        twice(|m| m.requests_too_long);
        twice(|m| m.queue_len as u64);
        twice(|m| m.queue_bytes as u64);
        twice(|m| m.in_flight as u64);
        twice(|m| m.request_latency.count());
        assert_eq!(one.ended(), 13 + 17 + 19 + 23 + 31 + 37, "rejected ones were never taken");
    }

    #[test]
    fn every_outcome_counts_once_and_only_what_was_delivered_has_a_latency() {
        use crate::peer::message::Unknown;
        let life = cluster_types::Life::from_raw(1);
        let outcomes = [
            Outcome::Delivered { life },
            Outcome::MaybeDelivered(Unknown::LinkLost),
            Outcome::NotSent(NotSent::Expired),
            Outcome::NotSent(NotSent::Dropped),
            Outcome::NotSent(NotSent::Refused(crate::transport::CloseCode::DONE)),
            Outcome::NotSent(NotSent::Closed),
        ];
        let mut metrics = PeerMetrics::default();
        for round in 1..=2 {
            for outcome in outcomes {
                metrics.note_outcome(outcome, Duration::from_millis(1));
            }
            let PeerMetrics { delivered, maybe_delivered, expired, dropped, refused, closed, .. } = metrics;
            assert_eq!([delivered, maybe_delivered, expired, dropped, refused, closed], [round; 6]);
            assert_eq!((metrics.ended(), metrics.send_latency.count()), (6 * round, round));
        }
    }

    #[test]
    fn a_link_after_another_is_a_reconnect() {
        let mut metrics = PeerMetrics::default();
        let life = cluster_types::Life::from_raw(1);
        let (closed, open) = (BreakerState::Closed, BreakerState::Open);
        metrics.note_event(&PeerEvent::Connected { life });
        assert_eq!((metrics.connects, metrics.reconnects), (1, 0));
        metrics.note_event(&PeerEvent::Connected { life });
        metrics.note_event(&PeerEvent::ConnectFailed { reason: String::new(), retry_in: Duration::ZERO });
        metrics.note_event(&PeerEvent::Breaker { from: closed, to: open });
        metrics.note_event(&PeerEvent::Breaker { from: open, to: closed });
        metrics.note_event(&PeerEvent::Closed);
        let PeerMetrics { connects, reconnects, connect_failures, breaker_opened, .. } = metrics;
        assert_eq!((connects, reconnects, connect_failures, breaker_opened), (2, 1, 1, 1));
    }

    #[test]
    fn a_span_is_in_the_bucket_above_it() {
        let mut latencies = Latencies::default();
        for micros in [0, 1, 1_000, 1_024, u64::MAX] {
            latencies.note(Duration::from_micros(micros));
        }
        let filled: Vec<(u128, u64)> =
            latencies.buckets().filter(|(_, count)| *count > 0).map(|(b, count)| (b.as_micros(), count)).collect();
        assert_eq!(filled, [(1, 1), (2, 1), (1_024, 1), (2_048, 1), (1 << 26, 1)]);
        assert_eq!(latencies.buckets().count(), 27);
    }

    #[test]
    fn a_quantile_is_right_to_a_factor_of_two() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for micros in 1..=1_000 {
            latencies.note(Duration::from_micros(micros));
        }
        latencies.note(Duration::from_secs(10_000));
        for (part, exact) in [(0.01, 10), (0.5, 500), (0.99, 990)] {
            let bound = latencies.quantile(part).unwrap().as_micros();
            assert!((exact..=2 * exact).contains(&bound), "{part}: {bound}");
        }
        assert_eq!(
            (latencies.count(), latencies.sum()),
            (1_001, Duration::from_micros(500_500) + Duration::from_secs(10_000))
        );
    }
}
