//! Outcomes as tables that read well as text and as markdown.

use super::spread::Spread;
use super::{Conditions, Crash, Outcome};

/// One row for each cell.
#[must_use]
pub(crate) fn markdown(rows: &[(Conditions, Outcome)]) -> String {
    let mut table = String::from(
        "| nodes | loss | pauses | B/s | msg/s | crash: first, s | half, s | all, s | apart, s | leave known, s | failed wrongly | suspected wrongly |\n\
         |---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (conditions, outcome) in rows {
        let pauses = if conditions.pauses { "5 s" } else { "-" };
        let cells = [
            outcome.of_worlds(|world| world.bytes).cell(0),
            outcome.of_worlds(|world| world.datagrams).cell(2),
            outcome.of_crashes(|crash| crash.first).cell(2),
            outcome.of_crashes(|crash| crash.half).cell(2),
            outcome.of_crashes(|crash| crash.all).cell(2),
            outcome.of_crashes(Crash::apart).cell(2),
            outcome.leave().cell(2),
            outcome.of_worlds(|world| world.false_failed as f64).cell(0),
            outcome.of_worlds(|world| world.false_suspected as f64).cell(0),
        ];
        let (nodes, loss) = (conditions.nodes, conditions.loss * 100.0);
        table += &format!("| {nodes} | {loss:.0} % | {pauses} | {} |\n", cells.join(" | "));
    }
    table
}

/// One row for each phase of the probe period at which nodes were crashed.
#[must_use]
pub(crate) fn phases(rows: &[(f64, Vec<Crash>)]) -> String {
    let mut table =
        String::from("| after this part of a period | first, s | half, s | all, s |\n|---:|---:|---:|---:|\n");
    for (phase, crashes) in rows {
        let over =
            |value: &dyn Fn(&Crash) -> Option<std::time::Duration>| Spread::of_spans(crashes.iter().map(value)).cell(2);
        let (first, half, all) = (over(&|crash| crash.first), over(&|crash| crash.half), over(&|crash| crash.all));
        table += &format!("| {phase:.1} | {first} | {half} | {all} |\n");
    }
    table
}
