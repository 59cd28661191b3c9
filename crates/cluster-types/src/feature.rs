//! Features: what a node can do that a node of an older version cannot.
//!
//! A cluster is upgraded a node at a time, so nodes of two versions live in it for a while. What only the newer ones
//! understand may be used when the last of them understands it. So each node says which features it knows, in its hello and
//! as part of its [`Facts`](crate::Facts), and every member can tell.

use std::fmt;

/// How many features the fabric may have, and how many the application on top: numbers 0 to 31 of each.
pub const FEATURES_EACH: u8 = 32;

/// One thing that a node can do and another may not be able to yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feature(u8);

impl Feature {
    /// A feature of the application on top, which gives its number a meaning: 0 to 31. `None` beyond.
    #[must_use]
    pub const fn application(number: u8) -> Option<Self> {
        if number < FEATURES_EACH { Some(Self(FEATURES_EACH + number)) } else { None }
    }

    /// A feature of the fabric itself: 0 to 31. `None` beyond. The first release has none.
    #[must_use]
    pub const fn fabric(number: u8) -> Option<Self> {
        if number < FEATURES_EACH { Some(Self(number)) } else { None }
    }

    const fn bit(self) -> u64 {
        1 << self.0
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(FEATURES_EACH) {
            Some(number) => write!(f, "application-{number}"),
            None => write!(f, "fabric-{}", self.0),
        }
    }
}

/// A set of features. Small: one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Features(u64);

impl Features {
    /// No feature at all.
    pub const NONE: Self = Self(0);

    /// From the numbers of the fabric's and of the application's features, each a bit.
    #[must_use]
    pub const fn from_bits(fabric: u32, application: u32) -> Self {
        Self(fabric as u64 | (application as u64) << FEATURES_EACH)
    }

    /// The fabric's features, each a bit.
    #[must_use]
    pub const fn fabric_bits(self) -> u32 {
        (self.0 & u32::MAX as u64) as u32
    }

    /// The application's features, each a bit.
    #[must_use]
    pub const fn application_bits(self) -> u32 {
        (self.0 >> FEATURES_EACH) as u32
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | feature.bit())
    }

    /// Whether it is one of them.
    #[must_use]
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & feature.bit() != 0
    }

    /// Those of these that `other` does not have.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// All of these and all of `other`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, the fabric's first.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        (0..2 * FEATURES_EACH).map(Feature).filter(move |feature| self.has(*feature))
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<T: IntoIterator<Item = Feature>>(features: T) -> Self {
        features.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|feature| feature.to_string())).finish()
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.iter().map(|feature| feature.to_string()).collect();
        f.pad(&names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(number: u8) -> Feature {
        Feature::application(number).unwrap()
    }

    #[test]
    fn numbers_end_at_31_and_the_two_kinds_are_apart() {
        assert_eq!(Feature::application(32), None);
        assert_eq!(Feature::fabric(32), None);
        assert_eq!(application(31).to_string(), "application-31");
        assert_eq!(Feature::fabric(31).unwrap().to_string(), "fabric-31");
        assert_ne!(Feature::application(0), Feature::fabric(0));
    }

    #[test]
    fn sets_are_bits() {
        let fabric = Feature::fabric(2).unwrap();
        let both: Features = [application(0), fabric].into_iter().collect();
        assert_eq!((both.fabric_bits(), both.application_bits()), (0b100, 0b1));
        assert_eq!(Features::from_bits(0b100, 0b1), both);
        assert!(both.has(fabric) && !both.has(application(1)) && !both.is_empty());
        assert_eq!(both.without(Features::NONE.with(fabric)), Features::NONE.with(application(0)));
        assert_eq!(Features::NONE.with(fabric).union(Features::NONE.with(application(0))), both);
        assert_eq!((both.to_string(), Features::NONE.to_string()), ("fabric-2 application-0".into(), String::new()));
        assert_eq!(Features::from_bits(u32::MAX, u32::MAX).iter().count(), 64);
    }
}
