//! Blocks that alternate.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

/// Time an operation took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

fn sample(operations: usize, run: impl FnOnce()) -> Sample {
    let (cpu, wall) = (ProcessTime::now(), Instant::now());
    run();
    let count = operations as u32;
    Sample { cpu: cpu.elapsed() / count, wall: wall.elapsed() / count }
}

const ROUNDS: usize = 15;

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort();
    spans[spans.len() / 2]
}

/// Medians of blocks in the order A B B A, after one of each that is not counted.
pub(crate) fn alternate(operations: usize, mut a: impl FnMut(), mut b: impl FnMut()) -> [Sample; 2] {
    a();
    b();
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for which in [0, 1, 1, 0] {
            let run: &mut dyn FnMut() = if which == 0 { &mut a } else { &mut b };
            samples[which].push(sample(operations, run));
        }
    }
    samples.map(|samples| Sample {
        cpu: median(samples.iter().map(|s| s.cpu).collect()),
        wall: median(samples.iter().map(|s| s.wall).collect()),
    })
}
