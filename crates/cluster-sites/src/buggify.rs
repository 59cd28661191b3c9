//! Unusual turns on demand, after FoundationDB's BUGGIFY (Zhou et al., "FoundationDB: A Distributed Unbundled Transactional Key Value
//! Store", 2021): a run chooses some of the sites, and these strike now and then.
//!
//! Whether a site strikes is drawn by counter from (seed, site, how often it was passed), so that a site more or less moves no other.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Site;

/// In a storm one site in four may strike at all.
const CHOSEN: u64 = 4;

/// A chosen site strikes once in so many times.
const STRIKES: u64 = 10;

#[derive(Debug)]
struct Weather {
    seed: u64,
    passed: BTreeMap<&'static str, u64>,
}

thread_local! {
    static WEATHER: RefCell<Option<Weather>> = const { RefCell::new(None) };
}

/// Ends its storm when it is dropped.
#[derive(Debug)]
#[must_use = "the storm ends when this is dropped"]
pub struct Storm(());

/// Lets the sites of this thread strike until the guard is dropped; which and when is drawn from the seed. A second storm replaces the first.
pub fn storm(seed: u64) -> Storm {
    WEATHER.set(Some(Weather { seed, passed: BTreeMap::new() }));
    Storm(())
}

impl Drop for Storm {
    fn drop(&mut self) {
        WEATHER.set(None);
    }
}

impl Site {
    /// Whether the unusual turn is taken this time.
    pub fn strikes(&self) -> bool {
        let struck =
            WEATHER.with_borrow_mut(|weather| weather.as_mut().is_some_and(|weather| weather.strikes(self.name())));
        self.note(struck);
        struck
    }
}

impl Weather {
    fn strikes(&mut self, site: &'static str) -> bool {
        let of_site = mix(self.seed ^ hash(site));
        let passed = self.passed.entry(site).or_default();
        *passed += 1;
        of_site.is_multiple_of(CHOSEN) && mix(of_site ^ *passed).is_multiple_of(STRIKES)
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn site(name: &'static str) -> Site {
        Site::new(Kind::Buggify, name, ("a.rs", 1), "a")
    }

    fn pattern(seed: u64, site: &Site) -> Vec<bool> {
        let _storm = storm(seed);
        (0..1_000).map(|_| site.strikes()).collect()
    }

    #[test]
    fn nothing_strikes_without_a_storm_and_the_same_seed_strikes_the_same() {
        let calm = site("calm");
        assert!((0..1_000).all(|_| !calm.strikes()));
        let patterns: Vec<Vec<bool>> = (0..100).map(|seed| pattern(seed, &calm)).collect();
        let again: Vec<Vec<bool>> = (0..100).map(|seed| pattern(seed, &calm)).collect();
        assert_eq!(patterns, again);
        assert!(!calm.strikes(), "the storm is over");
    }

    /// A quarter of the seeds choose a site; there it strikes a tenth of the time. Bands of four standard deviations.
    #[test]
    fn a_quarter_of_the_seeds_choose_a_site_and_a_tenth_of_the_passes_strike() {
        let site = site("any");
        let struck: Vec<usize> = (0..400).map(|seed| pattern(seed, &site).iter().filter(|hit| **hit).count()).collect();
        let chosen = struck.iter().filter(|count| **count > 0).count();
        assert!((65..=135).contains(&chosen), "{chosen} of 400");
        assert!(struck.iter().filter(|count| **count > 0).all(|count| (62..=138).contains(count)), "{struck:?}");
    }

    #[test]
    fn a_site_more_or_less_moves_no_other() {
        let (first, second) = (site("first"), site("second"));
        let alone = pattern(7, &first);
        let _storm = storm(7);
        let beside: Vec<bool> = (0..1_000)
            .map(|_| {
                second.strikes();
                first.strikes()
            })
            .collect();
        assert_eq!(alone, beside);
    }
}
