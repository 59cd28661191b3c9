//! Outcomes as a table that reads well as text and as markdown.

use std::time::Duration;

use super::{Conditions, Outcome};

/// One row for each measurement.
#[must_use]
pub(crate) fn markdown(rows: &[(Conditions, Outcome)]) -> String {
    let mut table = String::from(
        "| nodes | loss | pauses | B/s | msg/s | crash: first | half | all | apart | leave known | failed wrongly | suspected wrongly |\n\
         |---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (conditions, outcome) in rows {
        let pauses = if conditions.pauses { "5 s" } else { "-" };
        table += &format!(
            "| {} | {:.0} % | {pauses} | {:.0} | {:.2} | {} | {} | {} | {} | {} | {} | {} |\n",
            conditions.nodes,
            conditions.loss * 100.0,
            outcome.bytes,
            outcome.datagrams,
            seconds(outcome.first),
            seconds(outcome.median),
            seconds(outcome.last),
            seconds(outcome.apart),
            seconds(outcome.leave),
            outcome.false_failed,
            outcome.false_suspected,
        );
    }
    table
}

pub(super) fn seconds(span: Option<Duration>) -> String {
    span.map_or_else(|| "never".into(), |span| format!("{:.2} s", span.as_secs_f64()))
}
