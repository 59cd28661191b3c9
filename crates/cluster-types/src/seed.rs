//! Randomness by counter: the n-th draw for a purpose and an entity is a pure function of the seed, so taking one draw away
//! moves no other. That is what lets a simulated schedule lose one fault and keep the rest.
//!
//! The mixer is the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
//! It is not for secrets.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A key to an endless table of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// A seed from a number.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The number it was made from or derived to.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The seed for one purpose and entity, for example `seed.derive("loss", link)`.
    #[must_use]
    pub fn derive(self, purpose: &str, entity: u64) -> Self {
        let named = purpose.bytes().fold(self.0, |h, b| mix(h ^ u64::from(b)).wrapping_add(GOLDEN));
        Self(mix(named ^ mix(entity.wrapping_add(GOLDEN))))
    }

    /// The `n`-th draw.
    #[must_use]
    pub const fn draw(self, n: u64) -> u64 {
        mix(self.0.wrapping_add(n.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// The `n`-th draw below `bound` (0 when `bound` is 0), by multiplication: the bias is below bound / 2^64.
    #[must_use]
    pub const fn below(self, n: u64, bound: u64) -> u64 {
        ((self.draw(n) as u128 * bound as u128) >> 64) as u64
    }

    /// The `n`-th draw as a fraction in [0, 1).
    #[must_use]
    pub const fn fraction(self, n: u64) -> f64 {
        (self.draw(n) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Draws in order, for code that needs no random access.
    #[must_use]
    pub const fn stream(self) -> Draws {
        Draws { seed: self, next: 0 }
    }
}

/// A cursor over the draws of a [`Seed`].
#[derive(Debug, Clone)]
pub struct Draws {
    seed: Seed,
    next: u64,
}

impl Draws {
    const fn take(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The next draw.
    pub const fn next_u64(&mut self) -> u64 {
        let n = self.take();
        self.seed.draw(n)
    }

    /// The next draw below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        let n = self.take();
        self.seed.below(n, bound)
    }

    /// The next draw in [0, 1).
    pub const fn fraction(&mut self) -> f64 {
        let n = self.take();
        self.seed.fraction(n)
    }

    /// Shuffles in place (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_reference_values() {
        // The first outputs of SplitMix64 for seed 1234567, as published with the algorithm's reference code.
        let seed = Seed::new(1_234_567);
        let expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
        assert_eq!([0, 1, 2, 3].map(|n| seed.draw(n)), expected);
    }

    #[test]
    fn purposes_and_entities_are_independent_streams() {
        let seed = Seed::new(7);
        let streams = [seed.derive("loss", 1), seed.derive("loss", 2), seed.derive("delay", 1), seed];
        for (i, a) in streams.iter().enumerate() {
            for b in &streams[i + 1..] {
                assert!((0..64).all(|n| a.draw(n) != b.draw(n)));
            }
        }
    }

    /// Worked out with an implementation of its own in another language, from the description at the top.
    #[test]
    fn derived_seeds_are_the_same_on_every_machine() {
        assert_eq!(Seed::new(7).derive("loss", 3).get(), 16221723815583150540);
        assert_eq!(Seed::new(99).get(), 99);
    }

    #[test]
    fn a_stream_is_the_draws_in_order() {
        let seed = Seed::new(5);
        let mut stream = seed.stream();
        assert_eq!([stream.next_u64(), stream.next_u64(), stream.next_u64()], [0, 1, 2].map(|n| seed.draw(n)));
        assert_eq!(stream.fraction(), seed.fraction(3));
        assert_eq!(stream.below(1_000), seed.below(4, 1_000));
        let mean = (0..10_000).map(|n| seed.fraction(n)).sum::<f64>() / 10_000.0;
        // Standard deviation of the mean is 1 / sqrt(12 * 10^4) = 0.0029; five of them are 0.0145.
        assert!((mean - 0.5).abs() < 0.0145, "{mean}");
    }

    /// Every place is reached from every place: 4! orders, each about equally often.
    #[test]
    fn every_order_is_shuffled_to() {
        let mut counts = std::collections::BTreeMap::new();
        let mut draws = Seed::new(8).stream();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            draws.shuffle(&mut items);
            *counts.entry(items).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // Expected 1,000 each with a standard deviation of 31; five of them are 155.
        assert!(counts.values().all(|c| c.abs_diff(1_000) < 155), "{counts:?}");
    }

    #[test]
    fn draws_below_a_bound_are_even() {
        let mut counts = [0u32; 10];
        let mut draws = Seed::new(42).stream();
        for _ in 0..100_000 {
            counts[draws.below(10) as usize] += 1;
        }
        // Standard deviation is sqrt(1e5 * 0.1 * 0.9) = 95; five of them are 475.
        assert!(counts.iter().all(|c| c.abs_diff(10_000) < 475), "{counts:?}");
        assert_eq!(draws.below(0), 0);
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&draws.fraction())));
    }

    #[test]
    fn shuffling_keeps_the_items_and_repeats_with_the_seed() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..50).collect();
            Seed::new(seed).stream().shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
        let mut sorted = shuffled(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}
