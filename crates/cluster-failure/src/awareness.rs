//! Local health: how far to trust one's own judgement.
//!
//! A judge that is short of CPU sees everybody else as slow. Lifeguard (Dadgar, Phillips, Currey: "Lifeguard: Local Health
//! Awareness for More Accurate Failure Detection", 2018) keeps a score that rises with signs of own trouble and stretches
//! the own time-outs by `score + 1`.

use std::time::Duration;

/// The worst score. The Lifeguard paper's S = 8: time-outs grow ninefold at most.
pub const SCORE_MAX: u8 = 8;

/// The local health score, 0 (well) to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalHealth(u8);

impl LocalHealth {
    /// The score, 0 (well) to 8.
    #[must_use]
    pub const fn score(self) -> u8 {
        self.0
    }

    /// A probe was answered in time: one better.
    pub const fn note_success(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    /// A probe failed and `missing` of the helpers asked did not even say that they failed too: that many worse. A probe
    /// that failed while all helpers answered says nothing about this node: 0.
    pub fn note_missed_nacks(&mut self, missing: usize) {
        let missing = u8::try_from(missing).unwrap_or(SCORE_MAX);
        self.0 = self.0.saturating_add(missing).min(SCORE_MAX);
    }

    /// Had to refute a suspicion about itself: one worse.
    pub const fn note_refuted_self(&mut self) {
        self.note_late();
    }

    /// Its own loop was held up, or a timer fired late: one worse.
    pub const fn note_late(&mut self) {
        if self.0 < SCORE_MAX {
            self.0 += 1;
        }
    }

    /// A measured lag of its own scheduler: worse by one for each whole `tolerated` of it, none below.
    pub fn note_lag(&mut self, lag: Duration, tolerated: Duration) {
        let steps = lag.as_nanos().checked_div(tolerated.as_nanos()).unwrap_or(0);
        self.note_missed_nacks(usize::try_from(steps).unwrap_or(usize::MAX));
    }

    /// A time-out stretched by `score + 1`.
    #[must_use]
    pub fn stretch(self, timeout: Duration) -> Duration {
        timeout.saturating_mul(u32::from(self.0) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stays_between_0_and_8() {
        let mut health = LocalHealth::default();
        health.note_success();
        assert_eq!(health.score(), 0);
        health.note_missed_nacks(3);
        health.note_refuted_self();
        health.note_late();
        assert_eq!(health.score(), 5);
        health.note_missed_nacks(usize::MAX);
        assert_eq!(health.score(), 8);
        health.note_late();
        assert_eq!(health.score(), 8);
        health.note_success();
        assert_eq!(health.score(), 7);
        health.note_missed_nacks(0);
        assert_eq!(health.score(), 7, "a failure that all helpers confirm is not ours");
    }

    #[test]
    fn lag_counts_in_whole_steps_of_what_is_tolerated() {
        let ms = Duration::from_millis;
        let score_after = |lag, tolerated| {
            let mut health = LocalHealth::default();
            health.note_lag(lag, tolerated);
            health.score()
        };
        assert_eq!(score_after(ms(99), ms(100)), 0);
        assert_eq!(score_after(ms(100), ms(100)), 1);
        assert_eq!(score_after(ms(350), ms(100)), 3);
        assert_eq!(score_after(Duration::MAX, ms(1)), SCORE_MAX);
        assert_eq!(score_after(ms(350), Duration::ZERO), 0, "nothing is tolerated means nothing is measured");
    }

    #[test]
    fn time_outs_stretch_by_score_plus_one() {
        let mut health = LocalHealth::default();
        let base = Duration::from_millis(500);
        assert_eq!(health.stretch(base), base);
        health.note_missed_nacks(8);
        assert_eq!(health.stretch(base), Duration::from_millis(4_500));
        assert_eq!(health.stretch(Duration::MAX), Duration::MAX);
    }
}
