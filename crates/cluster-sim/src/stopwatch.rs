//! Time that this program had a core: what a figure should be of, on a machine that does other things as well.

use std::time::{Duration, Instant};

/// Counts from its start.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    /// Core time of this thread until then, if the system tells it.
    on_core: Option<Duration>,
    /// Core time of the processes that this one has waited for, where they count.
    children: Option<Duration>,
}

impl Stopwatch {
    /// Of this thread alone.
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), on_core: thread_time(), children: None }
    }

    /// Of this thread and of every process that it starts and waits for.
    pub(crate) fn start_with_children() -> Self {
        Self { children: children_time(), ..Self::start() }
    }

    /// Seconds on a core since then; since then altogether, where the system does not say.
    pub(crate) fn seconds(&self) -> f64 {
        let since = |then: Option<Duration>, now: fn() -> Option<Duration>| Some(now()?.saturating_sub(then?));
        let own = since(self.on_core, thread_time).unwrap_or_else(|| self.began.elapsed());
        (own + since(self.children, children_time).unwrap_or_default()).as_secs_f64()
    }
}

/// `/proc/thread-self/schedstat` begins with the nanoseconds for which this thread had a core.
fn thread_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Fields 16 and 17 of `/proc/self/stat` count the ticks of the processes that were waited for: hundredths of a second.
fn children_time() -> Option<Duration> {
    const TICK_MS: u64 = 10;
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in brackets, which may have spaces; the third follows it.
    let (_, rest) = text.rsplit_once(')')?;
    let field = |n: usize| rest.split_whitespace().nth(n - 3)?.parse::<u64>().ok();
    Some(Duration::from_millis((field(16)? + field(17)?) * TICK_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work costs time, and waiting costs none.
    #[test]
    #[cfg(target_os = "linux")]
    fn only_work_counts() {
        let watch = Stopwatch::start();
        let (began, mut n) = (Instant::now(), 0_u64);
        while watch.seconds() < 0.02 && began.elapsed() < Duration::from_secs(60) {
            n = std::hint::black_box(n + 1);
        }
        assert!(watch.seconds() >= 0.02 && began.elapsed().as_secs_f64() >= 0.02);
        assert!(children_time().is_some());
    }
}
