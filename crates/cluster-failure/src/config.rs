//! The one error of every checked configuration in this crate: which field, what was given, what is allowed and why.

use cluster_types::{Blame, Blamed};

/// A parameter that cannot mean anything sensible. Nothing was constructed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {given} is not allowed: {rule}")]
pub struct ConfigError {
    /// Name of the field or argument.
    pub field: &'static str,
    /// The value as given.
    pub given: String,
    /// What is allowed, and why.
    pub rule: &'static str,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, given: impl std::fmt::Debug, rule: &'static str) -> Self {
        Self { field, given: format!("{given:?}"), rule }
    }
}

impl Blamed for ConfigError {
    fn blame(&self) -> Blame {
        Blame::CallerMisused
    }
}
