//! Several values of one thing: the one in the middle, the least and the most.

use std::time::Duration;

/// Values in order; infinite ones are of what never happened.
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Of spans, in seconds.
    pub(crate) fn of_spans(spans: impl IntoIterator<Item = Option<Duration>>) -> Self {
        Self::new(spans.into_iter().map(|span| span.map_or(f64::INFINITY, |span| span.as_secs_f64())))
    }

    /// As a cell of a table: median, then the range where there is one.
    pub(crate) fn cell(&self, digits: usize) -> String {
        let show = |value: f64| if value.is_finite() { format!("{value:.digits$}") } else { "never".to_owned() };
        let [Some(median), Some(low), Some(high)] = [self.0.get(self.0.len() / 2), self.0.first(), self.0.last()]
        else {
            return "-".to_owned();
        };
        let [median, low, high] = [*median, *low, *high].map(show);
        if low == high { median } else { format!("{median} ({low} to {high})") }
    }
}
