//! The same seed twice, in two processes with other hash keys and another log level: the traces must be equal. Where they are
//! not, the first event that differs is found and both are shown.

use cluster_testkit::trace::CHECKPOINT_EVERY;

use super::campaign::{run_one, run_one_with};
use super::worker::{Job, Told};

/// Runs a job twice; a difference is a finding.
pub(crate) fn run_twice(job: &Job) -> Told {
    let (first, second) = (run_one(job), run_one_with(job, "trace"));
    if first.hash == second.hash {
        return first;
    }
    let what = first_difference(job, &first, &second);
    let mut told = first;
    told.findings.extend(second.findings);
    told.findings.push(what);
    told
}

fn first_difference(job: &Job, first: &Told, second: &Told) -> String {
    let pairs = first.checkpoints.iter().zip(&second.checkpoints);
    let equal = pairs.take_while(|(a, b)| a == b).count() as u64;
    let from = equal * CHECKPOINT_EVERY;
    let window = job.clone().window(from..from + CHECKPOINT_EVERY);
    let (a, b) = (run_one(&window).lines, run_one_with(&window, "trace").lines);
    let nothing = String::from("(the trace ends)");
    let place = (0..a.len().max(b.len())).find(|&i| a.get(i) != b.get(i));
    match place {
        Some(i) => format!(
            "two runs of one seed differ, first here:\n    {}\n    {}",
            a.get(i).unwrap_or(&nothing),
            b.get(i).unwrap_or(&nothing)
        ),
        None => format!(
            "two runs of one seed differ after event {from}, and two more did not: {} and {}",
            first.hash, second.hash
        ),
    }
}
