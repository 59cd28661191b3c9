//! What came of the worlds of one cell.

use std::time::Duration;

use super::spread::Spread;
use super::{Crash, Sample};

/// The samples of one cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome(Vec<Sample>);

impl Outcome {
    pub(crate) const fn new(samples: Vec<Sample>) -> Self {
        Self(samples)
    }

    /// Over worlds.
    pub(super) fn of_worlds(&self, value: impl Fn(&Sample) -> f64) -> Spread {
        Spread::new(self.0.iter().map(value))
    }

    /// From a farewell until all others knew, over worlds.
    pub(super) fn leave(&self) -> Spread {
        Spread::of_spans(self.0.iter().map(|sample| sample.leave))
    }

    /// Over the crashes of all worlds.
    pub(super) fn of_crashes(&self, value: impl Fn(&Crash) -> Option<Duration>) -> Spread {
        Spread::of_spans(self.0.iter().flat_map(|sample| &sample.crashes).map(value))
    }

    /// Healthy nodes declared failed, in all worlds together.
    pub(crate) fn failed_wrongly(&self) -> usize {
        self.0.iter().map(|sample| sample.false_failed).sum()
    }

    /// Healthy nodes suspected, in all worlds together.
    pub(crate) fn suspected_wrongly(&self) -> usize {
        self.0.iter().map(|sample| sample.false_suspected).sum()
    }

    /// Virtual time in all worlds together.
    pub(crate) fn watched(&self) -> Duration {
        self.0.iter().map(|sample| sample.watched).sum()
    }
}
