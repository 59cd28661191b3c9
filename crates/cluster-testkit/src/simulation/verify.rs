//! The same seed twice: where the traces differ, something in the system is not drawn from the seed. The first event that differs says what.

use super::Simulation;
use super::run::Plan;
use super::seed_run::Ran;
use crate::judge::Finding;
use crate::trace::{CHECKPOINT_EVERY, Trace};

/// Runs a plan twice, on two threads after each other; a difference is a finding.
pub(super) fn run_twice(simulation: &Simulation, plan: &Plan) -> Ran {
    let traces = [Trace::default(), Trace::default()];
    let [mut ran, again] = traces.clone().map(|trace| simulation.run_apart(plan, trace));
    if ran.outcome.hash != again.outcome.hash {
        let what = first_difference(simulation, plan, &traces);
        ran.outcome.findings.push(Finding::new("the same seed gives the same run", what));
    }
    ran
}

fn first_difference(simulation: &Simulation, plan: &Plan, traces: &[Trace; 2]) -> String {
    let [first, second] = traces.each_ref().map(Trace::checkpoints);
    let equal = first.iter().zip(&second).take_while(|(a, b)| a == b).count() as u64;
    let from = equal * CHECKPOINT_EVERY;
    let [a, b] = [(); 2].map(|()| {
        let trace = Trace::with_lines(from..from + CHECKPOINT_EVERY);
        simulation.run_apart(plan, trace.clone());
        trace.lines()
    });
    let end = String::from("(the trace ends)");
    match (0..a.len().max(b.len())).find(|&n| a.get(n) != b.get(n)) {
        Some(n) => format!(
            "two runs differ, first here:\n    {}\n    {}\n  look for what a hash map iterates, real time, or threads",
            a.get(n).unwrap_or(&end),
            b.get(n).unwrap_or(&end)
        ),
        None => format!("two runs differ after event {from}, and two more did not"),
    }
}
