//! What the judge finds: a broken promise, in words, and where in the run it shows.

use std::fmt;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which check found it.
    pub check: &'static str,
    /// What it saw.
    pub what: String,
    /// When it shows, in milliseconds since the beginning, where there is one moment.
    pub at_ms: Option<u64>,
    /// At which node it shows.
    pub by: Option<usize>,
    /// About which node it is.
    pub about: Option<usize>,
}

impl Finding {
    /// A finding without a place.
    #[must_use]
    pub const fn new(check: &'static str, what: String) -> Self {
        Self { check, what, at_ms: None, by: None, about: None }
    }

    /// The same, at this moment.
    #[must_use]
    pub const fn at(mut self, ms: u64) -> Self {
        self.at_ms = Some(ms);
        self
    }

    /// The same, at this node.
    #[must_use]
    pub const fn by(mut self, node: usize) -> Self {
        self.by = Some(node);
        self
    }

    /// The same, about this node.
    #[must_use]
    pub const fn about(mut self, node: usize) -> Self {
        self.about = Some(node);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// Enough of a kind to see what it is about.
pub(super) const FINDINGS_A_CHECK_MAX: usize = 5;

/// What was found so far, at most a few a check.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        if self.0.iter().filter(|known| known.check == finding.check).count() < FINDINGS_A_CHECK_MAX {
            self.0.push(finding);
        }
    }
}
