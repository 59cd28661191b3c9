//! The gap rule: a loop that did not turn for a while must not blame the others for its own absence.
//!
//! A process that was stopped, starved of CPU or frozen with its machine wakes to find every timer overdue. The span it was
//! away is charged to nobody: open probe rounds are void and deadlines move by the gap.

use std::time::Duration;

use cluster_types::Instant;

/// Longest span between two turns of the loop that is still ordinary scheduling. The loop turns at least every 100 ms, so
/// this is one and a half turns lost.
pub const GAP_MIN: Duration = Duration::from_millis(250);

/// Watches the turns of one loop.
#[derive(Debug, Clone, Copy)]
pub struct GapRule {
    last_turn: Instant,
}

impl GapRule {
    /// Starts watching at `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { last_turn: now }
    }

    /// Nothing was due until `now`, and it is known otherwise that the loop would have turned: for a simulation that does not
    /// turn idle loops.
    pub fn note_idle(&mut self, now: Instant) {
        self.last_turn = self.last_turn.max(now);
    }

    /// A turn begins: the gap since the last one, if it is more than [`GAP_MIN`].
    pub fn note_turn(&mut self, now: Instant) -> Option<Duration> {
        let gap = now.since(self.last_turn);
        self.last_turn = self.last_turn.max(now);
        (gap > GAP_MIN).then_some(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::after_origin(Duration::from_millis(ms))
    }

    #[test]
    fn only_a_span_above_the_limit_is_a_gap() {
        let mut rule = GapRule::new(at(0));
        assert_eq!(rule.note_turn(at(250)), None);
        assert_eq!(rule.note_turn(at(501)), Some(Duration::from_millis(251)));
        assert_eq!(rule.note_turn(at(502)), None);
    }

    #[test]
    fn time_that_goes_backwards_changes_nothing() {
        let mut rule = GapRule::new(at(1_000));
        assert_eq!(rule.note_turn(at(0)), None);
        assert_eq!(rule.note_turn(at(1_100)), None);
    }

    #[test]
    fn a_loop_that_had_nothing_to_do_has_no_gap() {
        let mut rule = GapRule::new(at(0));
        rule.note_idle(at(5_000));
        assert_eq!(rule.note_turn(at(5_200)), None);
        rule.note_idle(at(1_000));
        assert_eq!(rule.note_turn(at(5_460)), Some(Duration::from_millis(260)), "idle time only moves forward");
    }
}
