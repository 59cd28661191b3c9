//! What a beat and a question cost in windows of three sizes, as ratios to the smallest: 1 and 1 where the cost does not depend on
//! the window. Blocks of the three alternate, and the fastest of each counts, so that a busy machine disturbs all alike.

use std::time::Duration;

use cluster_failure::{FailureDetector, PhiAccrualDetector};
use cluster_types::Instant;
use divan::black_box;

const WINDOWS: [usize; 3] = [10, 100, 1_000];
const BLOCKS: usize = 200;
const CALLS: u64 = 2_000;

/// A detector whose window is full, and the second of its next beat.
struct Full {
    detector: PhiAccrualDetector,
    next: u64,
}

impl Full {
    fn new(window: usize) -> Self {
        let detector = PhiAccrualDetector::new(8.0, window, 5).expect("valid");
        let mut full = Self { detector, next: 0 };
        (0..2 * window).for_each(|_| full.beat());
        full
    }

    fn beat(&mut self) {
        let late = self.next * 37 % 90;
        self.detector.handle_beat(Instant::after_origin(Duration::from_millis(1_000 * self.next + late)));
        self.next += 1;
    }

    fn phi(&mut self) {
        let now = Instant::after_origin(Duration::from_millis(1_000 * self.next + 400));
        black_box(self.detector.phi(black_box(now)));
    }
}

/// How long a block takes.
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark measures the time that is")]
fn time(detector: &mut Full, call: fn(&mut Full)) -> Duration {
    let began = std::time::Instant::now();
    (0..CALLS).for_each(|_| call(detector));
    began.elapsed()
}

/// Prints a line for beats and one for questions.
#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
pub(crate) fn compare() {
    for (name, call) in [("heartbeat", Full::beat as fn(&mut Full)), ("phi", Full::phi)] {
        let mut detectors = WINDOWS.map(Full::new);
        let mut fastest = [Duration::MAX; WINDOWS.len()];
        for _ in 0..BLOCKS {
            for (detector, fastest) in detectors.iter_mut().zip(&mut fastest) {
                *fastest = (*fastest).min(time(detector, call));
            }
        }
        let ratios = fastest.map(|took| took.as_secs_f64() / fastest[0].as_secs_f64());
        println!(
            "{name}: a window of {} takes {:.2}, and one of {} {:.2} times what one of {} takes",
            WINDOWS[1], ratios[1], WINDOWS[2], ratios[2], WINDOWS[0],
        );
    }
}
