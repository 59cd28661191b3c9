//! What a path does to packets.

use std::time::Duration;

use cluster_types::Seed;
use serde::{Deserialize, Serialize};

use crate::{reachable, sometimes};

/// How long a packet is under way, one way. Whole milliseconds: the runtime's timers know nothing finer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// Anything between the two.
    Uniform(Duration, Duration),
    /// At least the first, with a long tail of this mean above it.
    Exponential(Duration, Duration),
    /// Usually the first; for this share of the packets the second.
    Bimodal(Duration, Duration, f64),
    /// Each pair of hosts has one latency between the two for ever.
    PerPair(Duration, Duration),
}

/// Losses that come in bursts (Gilbert and Elliott: a path is good or bad, and changes at random).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    /// Chance, a packet, that a good path turns bad.
    pub begin: f64,
    /// Chance, a packet, that a bad path turns good.
    pub end: f64,
    /// Share lost while it is bad.
    pub loss: f64,
}

/// A rate, with a queue before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Bytes a second.
    pub bytes_per_s: u64,
    /// Bytes that may wait; what comes on top is lost.
    pub queue_bytes: u64,
}

/// A kind of path. Shares are of packets, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkModel {
    /// One-way latency. Packets of one direction do not overtake each other, but for the reordered share: independent delays
    /// would look to QUIC like losses.
    pub latency: Latency,
    /// Share lost, each for itself.
    pub loss: f64,
    /// Losses in bursts, on top.
    pub burst: Option<Burst>,
    /// Share that arrives twice.
    pub duplicate: f64,
    /// Share that is held back and overtaken.
    pub reorder: f64,
    /// Share that arrives with a bit flipped.
    pub damage: f64,
    /// `None` for no limit.
    pub bandwidth: Option<Bandwidth>,
    /// Longer packets vanish, in bytes of UDP payload.
    pub mtu: usize,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl LinkModel {
    /// A local network without faults: 1 to 2 ms.
    #[must_use]
    pub const fn lan() -> Self {
        Self {
            latency: Latency::Uniform(ms(1), ms(2)),
            loss: 0.0,
            burst: None,
            duplicate: 0.0,
            reorder: 0.0,
            damage: 0.0,
            bandwidth: None,
            mtu: 1_472,
        }
    }

    /// A wide network: each pair has 10 to 80 ms, one packet in a thousand is lost.
    #[must_use]
    pub const fn wan() -> Self {
        Self { latency: Latency::PerPair(ms(10), ms(80)), loss: 0.001, ..Self::lan() }
    }

    /// A busy radio: a long tail, and losses in bursts.
    #[must_use]
    pub const fn wifi() -> Self {
        let burst = Burst { begin: 0.005, end: 0.2, loss: 0.6 };
        Self { latency: Latency::Exponential(ms(2), ms(6)), burst: Some(burst), reorder: 0.005, ..Self::lan() }
    }

    /// By way of a geostationary satellite: 280 ms, 1 % lost, 2 MB/s.
    #[must_use]
    pub const fn satellite() -> Self {
        let bandwidth = Bandwidth { bytes_per_s: 2_000_000, queue_bytes: 500_000 };
        Self { latency: Latency::Constant(ms(280)), loss: 0.01, bandwidth: Some(bandwidth), ..Self::lan() }
    }

    /// The same, with this share lost.
    #[must_use]
    pub const fn with_loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// The same, with this latency.
    #[must_use]
    pub const fn with_latency(self, latency: Latency) -> Self {
        Self { latency, ..self }
    }

    /// What becomes of a packet of `len` bytes that is sent at `now`.
    pub(crate) fn deliver(&self, path: &mut PathState, now: Duration, len: usize) -> Deliveries {
        let draws = path.next_draws();
        let bad = self.burst.is_some_and(|burst| path.is_bad(&burst, draws.fraction(0)));
        let burst_loss = self.burst.filter(|_| bad).map_or(0.0, |burst| burst.loss);
        if len > self.mtu || draws.fraction(1) < self.loss.max(burst_loss) {
            return Deliveries::default();
        }
        let Some(departure) = path.depart(self.bandwidth, now, len) else { return Deliveries::default() };
        let mut at = departure + self.latency.draw(path, draws.fraction(2));
        if draws.fraction(3) < self.reorder {
            reachable!("a packet is held back and overtaken");
            at += HELD_BACK.mul_f64(draws.fraction(4));
        } else {
            at = at.max(path.last_arrival);
            path.last_arrival = at;
        }
        let bit = draws.below(5, (len * 8).max(1) as u64);
        let damaged_bit = (draws.fraction(6) < self.damage).then_some(bit as usize);
        let again = draws.fraction(7) < self.duplicate;
        sometimes!(again, "a packet arrives twice");
        let twin = again.then(|| Delivery { at: at + ms(1), damaged_bit: None });
        Deliveries([Some(Delivery { at, damaged_bit }), twin])
    }
}

/// How long a packet is held back at most, to be overtaken.
const HELD_BACK: Duration = ms(20);

impl Latency {
    /// The longest that a packet is under way; of a long tail, what one in a hundred and fifty exceeds.
    #[must_use]
    pub fn highest(self) -> Duration {
        match self {
            Self::Constant(latency) => latency,
            Self::Uniform(_, high) | Self::PerPair(_, high) => high,
            Self::Exponential(least, mean) => least + mean * 5,
            Self::Bimodal(_, slow, _) => slow,
        }
    }

    fn draw(self, path: &PathState, fraction: f64) -> Duration {
        let between = |low: Duration, high: Duration, f: f64| low + high.saturating_sub(low).mul_f64(f);
        match self {
            Self::Constant(latency) => latency,
            Self::Uniform(low, high) => between(low, high, fraction),
            Self::Exponential(least, mean) => least + mean.mul_f64(exponential(fraction)),
            Self::Bimodal(usual, slow, share) => {
                if fraction < share {
                    slow
                } else {
                    usual
                }
            }
            Self::PerPair(low, high) => between(low, high, path.of_pair),
        }
    }
}

/// An exponential draw of mean 1 from a uniform one, by halving and a straight line between the halves: within 6 % of the
/// logarithm, and, unlike it, the same on every platform.
fn exponential(fraction: f64) -> f64 {
    let (mut rest, mut halvings) = (1.0 - fraction, 0.0);
    while rest < 0.5 && halvings < 60.0 {
        rest *= 2.0;
        halvings += 1.0;
    }
    (halvings + 2.0 * (1.0 - rest)) * std::f64::consts::LN_2
}

/// One arrival of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Since the world's origin.
    pub(crate) at: Duration,
    /// Which bit is flipped.
    pub(crate) damaged_bit: Option<usize>,
}

/// What becomes of a packet: nothing, one arrival, two.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deliveries([Option<Delivery>; 2]);

impl Deliveries {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }
}

impl IntoIterator for Deliveries {
    type Item = Delivery;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Delivery>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// One direction between two hosts.
#[derive(Debug)]
pub(crate) struct PathState {
    seed: Seed,
    packets: u64,
    bad: bool,
    free_at: Duration,
    last_arrival: Duration,
    of_pair: f64,
}

impl PathState {
    pub(crate) fn new(seed: Seed, from: usize, to: usize) -> Self {
        let key = |a: usize, b: usize| ((a as u64) << 32) | b as u64;
        let of_pair = seed.derive("pair", key(from.min(to), from.max(to))).fraction(0);
        let seed = seed.derive("path", key(from, to));
        Self { seed, packets: 0, bad: false, free_at: Duration::ZERO, last_arrival: Duration::ZERO, of_pair }
    }

    /// Each packet has draws of its own, so that one kind of fault does not move another's.
    const fn next_draws(&mut self) -> Seed {
        self.packets += 1;
        Seed::new(self.seed.draw(self.packets))
    }

    fn is_bad(&mut self, burst: &Burst, fraction: f64) -> bool {
        self.bad = if self.bad { fraction >= burst.end } else { fraction < burst.begin };
        self.bad
    }

    /// When a packet has left a link of this rate; `None` when its queue is full.
    fn depart(&mut self, bandwidth: Option<Bandwidth>, now: Duration, len: usize) -> Option<Duration> {
        let Some(Bandwidth { bytes_per_s, queue_bytes }) = bandwidth else { return Some(now) };
        let rate = bytes_per_s.max(1) as f64;
        let begin = self.free_at.max(now);
        if (begin - now).as_secs_f64() * rate + len as f64 > queue_bytes as f64 {
            reachable!("the queue of a thin link is full");
            return None;
        }
        self.free_at = begin + Duration::from_secs_f64(len as f64 / rate);
        Some(self.free_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 20_000;

    /// `N` packets of 100 B, a millisecond apart: what became of each.
    fn sent(model: &LinkModel) -> Vec<Vec<Delivery>> {
        let mut path = PathState::new(Seed::new(1), 0, 1);
        (0..N).map(|i| model.deliver(&mut path, ms(i as u64), 100).into_iter().collect()).collect()
    }

    fn share(what: impl Fn(&Vec<Delivery>) -> bool, of: &[Vec<Delivery>]) -> f64 {
        of.iter().filter(|d| what(d)).count() as f64 / of.len() as f64
    }

    #[test]
    fn shares_are_as_asked() {
        let faulty = LinkModel { loss: 0.1, duplicate: 0.2, damage: 0.3, ..LinkModel::lan() };
        let all = sent(&faulty);
        assert!((share(Vec::is_empty, &all) - 0.1).abs() < 0.01);
        assert!((share(|d| d.len() == 2, &all) - 0.18).abs() < 0.01, "of those that arrive");
        assert!((share(|d| d.first().is_some_and(|d| d.damaged_bit.is_some()), &all) - 0.27).abs() < 0.01);
        let clean = sent(&LinkModel::lan());
        assert!(clean.iter().all(|d| d.len() == 1 && d[0].damaged_bit.is_none()));
    }

    #[test]
    fn packets_of_a_direction_overtake_each_other_only_when_told_to() {
        let order = |model: &LinkModel| {
            let at: Vec<Duration> = sent(model).iter().flatten().map(|d| d.at).collect();
            at.windows(2).filter(|pair| pair[1] < pair[0]).count()
        };
        let jitter = LinkModel::lan().with_latency(Latency::Exponential(ms(1), ms(30)));
        assert_eq!(order(&jitter), 0);
        assert!(order(&LinkModel { reorder: 0.1, ..LinkModel::lan() }) > N / 50);
    }

    #[test]
    fn losses_of_a_bad_path_come_together() {
        let burst = Burst { begin: 0.01, end: 0.1, loss: 1.0 };
        let all = sent(&LinkModel { burst: Some(burst), ..LinkModel::lan() });
        let lost = share(Vec::is_empty, &all);
        // A chain that turns bad with b and good with e is bad for b / (b + e) of the time.
        assert!((lost - 0.01 / 0.11).abs() < 0.02, "{lost}");
        let after_a_loss: Vec<_> =
            all.windows(2).filter(|pair| pair[0].is_empty()).map(|pair| pair[1].clone()).collect();
        assert!(share(Vec::is_empty, &after_a_loss) > 0.8);
    }

    #[test]
    fn a_rate_delays_and_its_queue_is_finite() {
        let bandwidth = Some(Bandwidth { bytes_per_s: 10_000, queue_bytes: 1_000 });
        let model = LinkModel { bandwidth, ..LinkModel::lan().with_latency(Latency::Constant(ms(1))) };
        let mut path = PathState::new(Seed::new(1), 0, 1);
        let at: Vec<_> =
            (0..20).map(|_| model.deliver(&mut path, ms(0), 100).into_iter().next().map(|d| d.at)).collect();
        assert_eq!(at[0], Some(ms(11)), "100 B at 10 kB/s, and the latency");
        assert_eq!(at[9], Some(ms(101)));
        assert_eq!(at[10], None, "a kilobyte waits, and no more");
    }

    #[test]
    fn an_exponential_latency_has_its_mean_and_a_tail() {
        let mean: f64 = (0..N).map(|i| exponential((i as f64 + 0.5) / N as f64)).sum::<f64>() / N as f64;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        for fraction in [0.1, 0.5, 0.9, 0.99, 0.999] {
            let (ours, exact) = (exponential(fraction), -(1.0 - fraction).ln());
            assert!((ours - exact).abs() < 0.065, "at {fraction}: {ours} against {exact}");
        }
    }

    #[test]
    fn a_pair_has_one_latency_both_ways_and_pairs_differ() {
        let model = LinkModel::wan().with_loss(0.0);
        let latency = |from, to| {
            let mut path = PathState::new(Seed::new(1), from, to);
            model.deliver(&mut path, ms(0), 100).into_iter().next().unwrap().at
        };
        assert_eq!(latency(0, 1), latency(1, 0));
        assert_ne!(latency(0, 1), latency(0, 2));
    }

    #[test]
    fn what_is_longer_than_the_path_takes_vanishes() {
        let mut path = PathState::new(Seed::new(1), 0, 1);
        assert!(LinkModel::lan().deliver(&mut path, ms(0), 1_473).is_empty());
        assert!(!LinkModel::lan().deliver(&mut path, ms(0), 1_472).is_empty());
    }
}
