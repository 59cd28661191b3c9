//! Several values of one thing: the one in the middle, the least and the most.

use std::time::Duration;

/// Values in order; infinite ones are of what never happened.
#[derive(Debug, Clone, PartialEq)]
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

    /// The one in the middle, the greater of two; `None` of nothing.
    pub(crate) fn median(&self) -> Option<f64> {
        self.0.get(self.0.len() / 2).copied()
    }

    /// As a cell of a table: median, then the range where there is one.
    pub(crate) fn cell(&self, digits: usize) -> String {
        let show = |value: f64| if value.is_finite() { format!("{value:.digits$}") } else { "never".to_owned() };
        let (Some(median), Some(low), Some(high)) = (self.median(), self.0.first(), self.0.last()) else {
            return "-".to_owned();
        };
        let (median, low, high) = (show(median), show(*low), show(*high));
        if low == high { median } else { format!("{median} ({low} to {high})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends_are_shown() {
        assert_eq!(Spread::new([3.0, 1.0, 2.0]).cell(0), "2 (1 to 3)");
        assert_eq!(Spread::new([2.001, 2.0]).cell(2), "2.00");
        assert_eq!(Spread::new([]).cell(2), "-");
    }

    #[test]
    fn what_never_happened_counts_as_the_latest() {
        let spans = [Some(Duration::from_secs(6)), None, Some(Duration::from_secs(5))];
        assert_eq!(Spread::of_spans(spans).cell(1), "6.0 (5.0 to never)");
    }
}
