//! Complaints about strangers, at most one a second: whoever can make this node write a line must not be able to fill its disk.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(1);

/// Lets one complaint through a second and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    /// When the last one went through, and how many did not since. Held for a comparison only.
    last: Mutex<(Option<Instant>, u64)>,
}

impl Complaints {
    /// Complains, unless one has just been made; `complain` is told how many were held back before it.
    pub(crate) fn say(&self, complain: impl FnOnce(u64)) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, held_back) = &mut *last;
        if at.is_some_and(|at| at.elapsed() < INTERVAL) {
            *held_back += 1;
            return;
        }
        *at = Some(Instant::now());
        let more = std::mem::take(held_back);
        drop(last);
        complain(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_a_second_goes_through_and_the_others_are_counted() {
        let complaints = Complaints::default();
        let mut said = Vec::new();
        for _ in 0..5 {
            complaints.say(|more| said.push(more));
        }
        tokio::time::advance(INTERVAL).await;
        complaints.say(|more| said.push(more));
        assert_eq!(said, [0, 4]);
    }
}
