//! Many worlds, several at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::measure::{Conditions, Outcome, measure};

/// From here on a world runs alone.
pub(super) const LARGE: usize = 5_000;

/// Runs `work` for each of `count` tasks, `jobs` at once, the first ones first; what came of each, in order.
pub(super) fn run<T: Send>(jobs: usize, count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<Option<T>> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<T>>> = Mutex::new((0..count).map(|_| None).collect());
    let take = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                return;
            }
            let outcome = work(i);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner)[i] = Some(outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(take);
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs every cell, the large ones first and alone; in the order given, those with all their worlds.
pub(super) fn run_all(jobs: usize, all: &[Conditions]) -> Vec<(Conditions, Outcome)> {
    let mut worlds: Vec<(usize, u64)> = all
        .iter()
        .enumerate()
        .flat_map(|(cell, conditions)| (0..conditions.worlds).map(move |world| (cell, world)))
        .collect();
    worlds.sort_by_key(|(cell, _)| std::cmp::Reverse(all[*cell].nodes));
    let (done, alone) = (AtomicUsize::new(0), Mutex::new(()));
    let samples = run(jobs, worlds.len(), |i| {
        let (cell, world) = worlds[i];
        let conditions = &all[cell];
        // Whoever panicked while alone has been reported; the others go on.
        let guard = (conditions.nodes >= LARGE).then(|| alone.lock().unwrap_or_else(PoisonError::into_inner));
        let began = Instant::now();
        let sample = measure(conditions, world);
        drop(guard);
        let count = done.fetch_add(1, Ordering::Relaxed) + 1;
        let (nodes, loss, took) = (conditions.nodes, conditions.loss * 100.0, began.elapsed().as_secs_f64());
        eprintln!("{count} of {}: {nodes} nodes, {}, {loss:.0} % loss, in {took:.1} s", worlds.len(), conditions.path);
        sample
    });
    let mut cells: Vec<Vec<_>> = all.iter().map(|_| Vec::new()).collect();
    for ((cell, _), sample) in worlds.iter().zip(samples) {
        cells[*cell].extend(sample);
    }
    let complete = all.iter().zip(cells).filter(|(conditions, samples)| samples.len() as u64 == conditions.worlds);
    complete.map(|(conditions, samples)| (conditions.clone(), Outcome::new(samples))).collect()
}
