//! One place in the code that claims something, and what it has seen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a site claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The condition holds each time.
    Always,
    /// The condition holds at least once in some run.
    Sometimes,
    /// The place is reached in some run.
    Reachable,
    /// The unusual turn is taken in some run.
    Buggify,
}

/// One place in the code that claims something. Made by the macros.
#[derive(Debug)]
pub struct Site {
    kind: Kind,
    name: &'static str,
    file: &'static str,
    line: u32,
    module: &'static str,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Site {
    /// A site that has seen nothing yet.
    #[must_use]
    pub const fn new(kind: Kind, name: &'static str, (file, line): (&'static str, u32), module: &'static str) -> Self {
        Self { kind, name, file, line, module, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Counts that the condition held, or did not.
    pub fn note(&self, held: bool) {
        let counter = if held { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        if !held && self.kind == Kind::Always {
            let place = (self.name, self.file, self.line);
            BROKEN_HERE.with_borrow_mut(|broken| *broken.entry(place).or_default() += 1);
        }
    }

    /// What it claims.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What it is about, in words. Sites of one name count as one.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where it stands, as `file:line`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// The module it stands in.
    #[must_use]
    pub const fn module(&self) -> &'static str {
        self.module
    }

    /// How often the condition held in this process.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// How often it did not.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }
}

thread_local! {
    /// Broken `always!` of this thread: a simulated world runs on one, and others beside it are no business of its.
    static BROKEN_HERE: RefCell<BTreeMap<(&'static str, &'static str, u32), u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// The `always!` that broke on this thread since the last call: name, place, how often.
#[must_use]
pub fn take_broken_here() -> Vec<(&'static str, String, u64)> {
    let broken = BROKEN_HERE.take();
    broken.into_iter().map(|((name, file, line), times)| (name, format!("{file}:{line}"), times)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_counts_and_only_always_can_break() {
        static SOMETIMES: Site = Site::new(Kind::Sometimes, "it rains", ("a.rs", 7), "a");
        static ALWAYS: Site = Site::new(Kind::Always, "it is wet", ("b.rs", 8), "b");
        [true, false, false].into_iter().for_each(|held| SOMETIMES.note(held));
        assert_eq!((SOMETIMES.hits(), SOMETIMES.misses(), SOMETIMES.place()), (1, 2, "a.rs:7".to_owned()));
        assert_eq!(take_broken_here(), []);
        [true, false, false].into_iter().for_each(|held| ALWAYS.note(held));
        assert_eq!(take_broken_here(), [("it is wet", "b.rs:8".to_owned(), 2)]);
        assert_eq!(take_broken_here(), [], "taken is taken");
    }
}
