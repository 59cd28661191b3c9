//! Layer 1 against the obvious way to write it, in the same run: `cargo xtask bench layer1`.
//!
//! The naive detector keeps its intervals in a vector, drops the first when it is full, and computes mean and deviation
//! anew at every question. The naive merge compares formatted texts. The naive bus has a queue for each subscriber.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_failure::{FailureDetector, PhiAccrualDetector};
use cluster_types::{Claim, EventBus, Incarnation, Instant, Life, State};
use divan::{Bencher, black_box};

mod windows;

fn main() {
    divan::main();
    windows::compare();
}

const WINDOW: usize = 100;

fn beats() -> impl Iterator<Item = Instant> {
    (0u64..).map(|i| Instant::after_origin(Duration::from_millis(1_000 * i + (i * 37) % 90)))
}

fn warm<D>(mut detector: D, beat: impl Fn(&mut D, Instant)) -> (D, impl Iterator<Item = Instant>) {
    let mut moments = beats();
    for moment in moments.by_ref().take(3 * WINDOW) {
        beat(&mut detector, moment);
    }
    (detector, moments)
}

/// Intervals in seconds, the oldest first.
#[derive(Default)]
struct NaivePhi {
    intervals: Vec<f64>,
    last: Option<Instant>,
}

impl NaivePhi {
    fn beat(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            if self.intervals.len() == WINDOW {
                self.intervals.remove(0);
            }
            self.intervals.push(now.since(last).as_secs_f64());
        }
    }

    fn phi(&self, now: Instant) -> f64 {
        let n = self.intervals.len() as f64;
        let mean = self.intervals.iter().sum::<f64>() / n;
        let variance = self.intervals.iter().map(|i| (i - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let silence = self.last.map_or(0.0, |last| now.since(last).as_secs_f64());
        let deviation = variance.sqrt().max(0.1).max(mean / 4.0);
        -(0.5 * libm::erfc((silence - mean) / deviation * std::f64::consts::FRAC_1_SQRT_2)).log10()
    }
}

fn detector() -> PhiAccrualDetector {
    PhiAccrualDetector::new(8.0, WINDOW, 5).expect("valid")
}

#[divan::bench(sample_size = 1_000)]
fn heartbeat(bencher: Bencher<'_, '_>) {
    let (mut detector, mut moments) = warm(detector(), |d, at| d.handle_beat(at));
    bencher.bench_local(|| detector.handle_beat(black_box(moments.next().expect("endless"))));
}

#[divan::bench(sample_size = 1_000)]
fn heartbeat_naive(bencher: Bencher<'_, '_>) {
    let (mut detector, mut moments) = warm(NaivePhi::default(), NaivePhi::beat);
    bencher.bench_local(|| detector.beat(black_box(moments.next().expect("endless"))));
}

#[divan::bench(sample_size = 1_000)]
fn phi(bencher: Bencher<'_, '_>) {
    let (detector, mut moments) = warm(detector(), |d, at| d.handle_beat(at));
    let now = moments.next().expect("endless") + Duration::from_millis(400);
    bencher.bench_local(|| detector.phi(black_box(now)));
}

#[divan::bench(sample_size = 1_000)]
fn phi_naive(bencher: Bencher<'_, '_>) {
    let (detector, mut moments) = warm(NaivePhi::default(), NaivePhi::beat);
    let now = moments.next().expect("endless") + Duration::from_millis(400);
    bencher.bench_local(|| detector.phi(black_box(now)));
}

fn claims() -> [Claim; 2] {
    let claim = |life, state| Claim {
        state,
        ..Claim::alive(
            "node-1".parse().expect("a name"),
            Life::new(1, life),
            Incarnation::from_unix_ms(1_795_000_000_000),
            "10.0.0.1:7000".parse().expect("an address"),
        )
    };
    // Equal down to the last field: the longest way through the rule.
    [claim(1, State::Suspect), claim(2, State::Suspect)]
}

#[divan::bench(sample_size = 1_000)]
fn merge_rule(bencher: Bencher<'_, '_>) {
    let [known, heard] = claims();
    bencher.bench_local(|| black_box(&heard).supersedes(black_box(&known)));
}

#[divan::bench(sample_size = 1_000)]
fn merge_rule_naive(bencher: Bencher<'_, '_>) {
    let [known, heard] = claims();
    let key =
        |c: &Claim| format!("{:020}{}{:010}{:?}{}", c.incarnation.get(), c.state as u8, c.meta_version, c.addr, c.life);
    bencher.bench_local(|| key(black_box(&heard)) > key(black_box(&known)));
}

const SUBSCRIBERS: usize = 8;

#[divan::bench(sample_size = 1_000)]
fn publish_to_8(bencher: Bencher<'_, '_>) {
    let bus: EventBus<u64, u64> = EventBus::new(0, 1_024);
    let _subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| bus.subscribe()).collect();
    bencher.bench_local(|| {
        bus.publish(|sum| {
            *sum += 1;
            Some(*sum)
        });
    });
}

#[divan::bench(sample_size = 1_000)]
fn publish_to_8_naive(bencher: Bencher<'_, '_>) {
    let queues: Vec<_> = (0..SUBSCRIBERS).map(|_| Arc::new(Mutex::new(VecDeque::with_capacity(1_024)))).collect();
    let mut sum = 0u64;
    bencher.bench_local(|| {
        sum += 1;
        for queue in &queues {
            let mut queue = queue.lock().expect("never poisoned");
            if queue.len() == 1_024 {
                queue.pop_front();
            }
            queue.push_back(Arc::new(sum));
        }
    });
}
