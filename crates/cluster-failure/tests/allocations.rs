//! What a beat and a question allocate: nothing, whatever the window holds. A binary of its own, whose allocator counts.

use std::time::Duration;

use allocation_counter::measure;
use cluster_failure::{FailureDetector, PhiAccrualDetector};
use cluster_types::Instant;

const WINDOWS: [usize; 3] = [10, 100, 1_000];

fn at(ms: u64) -> Instant {
    Instant::after_origin(Duration::from_millis(ms))
}

#[test]
fn no_beat_and_no_question_allocates_whatever_the_window_holds() {
    for window in WINDOWS {
        let mut made = None;
        let at_birth = measure(|| made = PhiAccrualDetector::new(8.0, window, 5).ok());
        assert_eq!(at_birth.count_total, 1, "the window of {window}, once for all");
        let mut detector = made.expect("valid");
        // While it fills, and when it is full: three times over.
        let beats = 3 * window as u64;
        let (mut worst, mut overdue) = (0.0_f64, 0);
        let spent = measure(|| {
            for beat in 0..beats {
                let now = at(1_000 * beat + beat * 37 % 90);
                detector.handle_beat(now);
                detector.handle_sign(now + Duration::from_millis(200));
                worst = worst.max(detector.phi(now + Duration::from_millis(900)));
                overdue += u32::from(detector.is_overdue(now + Duration::from_secs(10)));
            }
        });
        assert_eq!((spent.count_total, spent.bytes_total), (0, 0), "a window of {window}");
        // It did work meanwhile.
        assert!(worst > 0.0 && worst < 8.0, "{worst}");
        assert_eq!(u64::from(overdue), beats);
    }
}
