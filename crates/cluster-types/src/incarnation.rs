//! [`Incarnation`] and [`Life`]: how what is said about a node is ordered, and how two processes under one name are told
//! apart.
//!
//! Only the node itself raises its incarnation: once when it starts, and once for every accusation it refutes. It starts at
//! the wall clock, so a restart supersedes the former life without any state on disk. A clock that went backwards is
//! survived, since the node hears the old, higher number about itself and goes above it.

use std::fmt;
use std::time::Duration;

use crate::limits::{ACCUSATION_AHEAD_MAX, INCARNATION_AHEAD_MAX};

/// Bits below the millisecond: 1,024 refutations fit into each millisecond of wall clock.
const REFUTATION_BITS: u32 = 10;

/// Orders what is said about one node: higher wins. Stays below 2^53 until the year 2248, so it is exact in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(u64);

impl Incarnation {
    /// Lower than any incarnation of a started process.
    pub const ZERO: Self = Self(0);
    /// Highest value that can be said at all; it cannot be refuted, so no claim may carry it.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The incarnation a process starts with: `unix_ms << 10`. `unix_ms` is milliseconds since 1970, cut at 2^43 - 1.
    #[must_use]
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        let cut = if unix_ms >> 43 == 0 { unix_ms } else { (1 << 43) - 1 };
        Self(cut << REFUTATION_BITS)
    }

    /// From the number on the wire. Anything is accepted; [`Self::is_plausible`] judges it.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number on the wire and in JSON.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next higher one. Stays at [`Self::MAX`].
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 >= Self::MAX.0 { Self::MAX } else { Self(self.0 + 1) }
    }

    /// Whether a claim with this incarnation may be believed when the wall clock shows `unix_ms`: not more than a day in
    /// the future, and below [`Self::MAX`].
    #[must_use]
    pub fn is_plausible(self, unix_ms: u64) -> bool {
        let ahead = INCARNATION_AHEAD_MAX.as_millis() as u64;
        self < Self::MAX && self <= Self::from_unix_ms(unix_ms.saturating_add(ahead))
    }

    /// Whether an accusation with this incarnation may be believed about a node that announced `announced` itself.
    #[must_use]
    pub const fn is_plausible_accusation(self, announced: Self) -> bool {
        self.0 <= announced.0.saturating_add(ACCUSATION_AHEAD_MAX)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of a process under a node's name: the boot's milliseconds since 1970 above 20 random bits.
///
/// Lives order by boot, so "the newer life" and "the older boot" are comparisons of two numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Life(u64);

impl Life {
    const RANDOM_BITS: u32 = 20;

    /// The life of a process that started at `unix_ms`; of `random`, the low 20 bits are used.
    #[must_use]
    pub const fn new(unix_ms: u64, random: u32) -> Self {
        Self((unix_ms << Self::RANDOM_BITS) | (random as u64 & ((1 << Self::RANDOM_BITS) - 1)))
    }

    /// From the number on the wire.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// When the process started, since 1970.
    #[must_use]
    pub const fn boot(self) -> Duration {
        Duration::from_millis(self.0 >> Self::RANDOM_BITS)
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_000_000_000;
    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_restart_a_millisecond_later_is_higher_than_a_thousand_refutations() {
        let mut former = Incarnation::from_unix_ms(NOW_MS);
        for _ in 0..1_000 {
            former = former.next();
        }
        assert!(Incarnation::from_unix_ms(NOW_MS + 1) > former);
    }

    #[test]
    fn values_are_exact_in_json() {
        assert!(Incarnation::from_unix_ms(NOW_MS).get() < 1 << 53);
        assert!(Incarnation::from_unix_ms(u64::MAX).get() < 1 << 53);
        assert_eq!(Incarnation::MAX.next(), Incarnation::MAX);
        assert_eq!(Incarnation::ZERO.next().get(), 1);
    }

    #[test]
    fn claims_from_the_far_future_are_not_plausible() {
        assert!(Incarnation::from_unix_ms(NOW_MS + DAY_MS).is_plausible(NOW_MS));
        assert!(!Incarnation::from_unix_ms(NOW_MS + DAY_MS + 1).is_plausible(NOW_MS));
        assert!(!Incarnation::MAX.is_plausible(u64::MAX));
        assert_eq!(
            Incarnation::MAX.get(),
            9_007_199_254_740_991,
            "2^53 - 1, the largest exact integer of a JSON reader"
        );
        assert_eq!(Incarnation::from_raw(12).to_string(), "12");
        assert!(Incarnation::ZERO.is_plausible(0));
    }

    #[test]
    fn accusations_may_run_ahead_by_two_to_the_twenty() {
        let own = Incarnation::from_unix_ms(NOW_MS);
        assert!(Incarnation::from_raw(own.get() + (1 << 20)).is_plausible_accusation(own));
        assert!(!Incarnation::from_raw(own.get() + (1 << 20) + 1).is_plausible_accusation(own));
    }

    #[test]
    fn lives_order_by_boot_and_keep_it() {
        assert!(Life::new(NOW_MS + 1, 0) > Life::new(NOW_MS, u32::MAX));
        assert_eq!(Life::new(NOW_MS, u32::MAX).boot(), Duration::from_millis(NOW_MS));
        assert_ne!(Life::new(NOW_MS, 1), Life::new(NOW_MS, 2));
        assert_eq!(Life::new(1, 7).to_string(), "0000000000100007");
        assert_eq!(format!("{:?}", Life::new(1, 7)), "0000000000100007");
        assert_eq!(Life::from_raw(99).get(), 99);
    }
}
