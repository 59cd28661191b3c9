//! Assertions about whole runs: [`always!`](crate::always), [`sometimes!`](crate::sometimes),
//! [`reachable!`](crate::reachable).
//!
//! A test that passes may have tested nothing: the fault never fell where it hurts. So a site says what it hopes to see, is
//! known from the moment the program is linked, and is reported as missed when no seed of many got there.

use cluster_sites::Site;
use serde::{Deserialize, Serialize};

pub(crate) use cluster_sites::take_broken_here;

/// What a site claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The condition holds each time.
    Always,
    /// The condition holds at least once in some run.
    Sometimes,
    /// The place is reached in some run.
    Reachable,
    /// An unusual turn is taken in some run.
    Buggify,
}

impl From<cluster_sites::Kind> for Kind {
    fn from(kind: cluster_sites::Kind) -> Self {
        match kind {
            cluster_sites::Kind::Always => Self::Always,
            cluster_sites::Kind::Sometimes => Self::Sometimes,
            cluster_sites::Kind::Reachable => Self::Reachable,
            cluster_sites::Kind::Buggify => Self::Buggify,
        }
    }
}

/// How the catalogue finds the sites; made by the macros.
#[doc(hidden)]
#[derive(Debug)]
pub struct Registered(pub &'static Site);

inventory::collect!(Registered);

/// What a site has seen in this process so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What it claims.
    pub kind: Kind,
    /// What it is called; sites of one name count as one.
    pub name: String,
    /// Where it stands.
    pub place: String,
    /// The module it stands in.
    pub module: String,
    /// How often the condition held.
    pub hits: u64,
    /// How often it did not.
    pub misses: u64,
}

impl Seen {
    fn of(site: &Site) -> Self {
        Self {
            kind: site.kind().into(),
            name: site.name().to_owned(),
            place: site.place(),
            module: site.module().to_owned(),
            hits: site.hits(),
            misses: site.misses(),
        }
    }

    /// Whether it is one of the fabric's own, and not of who tests with it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        let ours = ["cluster_testkit", "cluster_pool", "cluster_gossip", "cluster_manager"];
        self.module.split("::").next().is_some_and(|root| ours.contains(&root))
    }

    /// Whether it stands in the worlds, and not in what they run.
    #[must_use]
    pub fn is_of_worlds(&self) -> bool {
        self.module.split("::").next() == Some("cluster_testkit")
    }

    /// Whether a run of this process breaks the claim. Only `always!` can be broken by one run.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        matches!(self.kind, Kind::Always) && self.misses > 0
    }
}

/// Sites in the product: each crate has a table of its own.
const OF_THE_PRODUCT: [&[&Site]; 3] =
    [cluster_gossip::sites::ALL, cluster_pool::sites::ALL, cluster_manager::sites::ALL];

/// Every site of the program, by name, and what it has seen.
#[must_use]
pub fn catalogue() -> Vec<Seen> {
    let here = inventory::iter::<Registered>.into_iter().map(|Registered(site)| *site);
    let product = OF_THE_PRODUCT.iter().flat_map(|table| table.iter().copied());
    let mut all: Vec<Seen> = here.chain(product).map(Seen::of).collect();
    all.sort_by(|a, b| (&a.name, &a.place).cmp(&(&b.name, &b.place)));
    all
}

#[doc(hidden)]
#[macro_export]
macro_rules! __site {
    ($kind:ident, $held:expr, $name:literal) => {{
        static SITE: $crate::__sites::Site =
            $crate::__sites::Site::new($crate::__sites::Kind::$kind, $name, (file!(), line!()), module_path!());
        $crate::__inventory::submit! { $crate::assertions::Registered(&SITE) }
        SITE.note($held);
    }};
}

/// The condition must hold each time this place is reached, and the place must be reached by some seed. A run in which it does
/// not hold fails, but goes on: what follows is often worth seeing.
#[macro_export]
macro_rules! always {
    ($condition:expr, $name:literal) => {
        $crate::__site!(Always, $condition, $name)
    };
}

/// The condition must hold here in at least one of many runs.
#[macro_export]
macro_rules! sometimes {
    ($condition:expr, $name:literal) => {
        $crate::__site!(Sometimes, $condition, $name)
    };
}

/// This place must be reached in at least one of many runs.
#[macro_export]
macro_rules! reachable {
    ($name:literal) => {
        $crate::__site!(Reachable, true, $name)
    };
}

/// How many seeds are needed to hit a site with this confidence, if `hit` of `seeds` hit it: each seed is a trial for itself.
/// `None` when none did.
#[must_use]
pub fn seeds_needed(hit: u64, seeds: u64, confidence: f64) -> Option<u64> {
    if hit == 0 || seeds == 0 {
        return None;
    }
    if hit >= seeds {
        return Some(1);
    }
    let miss = 1.0 - hit as f64 / seeds as f64;
    Some(((1.0 - confidence).ln() / miss.ln()).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str) -> Seen {
        catalogue().into_iter().find(|seen| seen.name == name).unwrap()
    }

    fn never_called() {
        reachable!("a test's place that nobody reaches");
    }

    #[test]
    fn a_site_that_was_never_executed_is_known_and_missed() {
        let _: fn() = never_called;
        assert_eq!(seen("a test's place that nobody reaches").hits, 0);
    }

    #[test]
    fn sites_count_what_they_see_and_only_always_can_be_broken() {
        for n in 0..5 {
            always!(n < 4, "a test's condition that breaks");
            sometimes!(n == 3, "a test's condition that holds once");
        }
        let always = seen("a test's condition that breaks");
        assert_eq!((always.hits, always.misses, always.is_broken()), (4, 1, true));
        let sometimes = seen("a test's condition that holds once");
        assert_eq!((sometimes.hits, sometimes.misses, sometimes.is_broken()), (1, 4, false));
        assert!(sometimes.place.contains("assertions.rs"));
    }

    #[test]
    fn the_number_of_seeds_follows_from_how_many_hit() {
        assert_eq!(seeds_needed(0, 10, 0.95), None);
        assert_eq!(seeds_needed(10, 10, 0.95), Some(1));
        // Missing a coin 4 times in a row has a chance of 6 %, 5 times of 3 %.
        assert_eq!(seeds_needed(5, 10, 0.95), Some(5));
        assert_eq!(seeds_needed(1, 100, 0.99), Some(459));
    }
}
