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
