//! How much reason a node has to doubt itself: Lifeguard's local health.

use std::time::Duration;

/// Scores are below this.
const MAX: i32 = 8;

/// 0 where all is well.
#[derive(Debug, Default)]
pub(super) struct Awareness {
    score: i32,
}

impl Awareness {
    pub(super) fn apply(&mut self, delta: i32) {
        self.score = (self.score + delta).clamp(0, MAX - 1);
    }

    /// The longer, the more reason for doubt: up to eight times.
    pub(super) fn scale(&self, timeout: Duration) -> Duration {
        timeout * (self.score as u32 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of its own test.
    #[test]
    fn the_score_stays_between_its_ends() {
        let mut awareness = Awareness::default();
        let steps = [0, -1, -10, 1, -1, 10, -1, -1, -1, -1, -1, -1, -1, -1];
        let scores = [0, 0, 0, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0, 0];
        for (delta, score) in steps.into_iter().zip(scores) {
            awareness.apply(delta);
            assert_eq!(awareness.score, score);
            assert_eq!(awareness.scale(Duration::from_secs(1)), Duration::from_secs(score as u64 + 1));
        }
    }
}
