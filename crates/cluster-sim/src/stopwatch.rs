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

fn thread_time() -> Option<Duration> {
    on_core(&std::fs::read_to_string("/proc/thread-self/schedstat").ok()?)
}

/// `/proc/thread-self/schedstat` begins with the nanoseconds for which this thread had a core.
fn on_core(schedstat: &str) -> Option<Duration> {
    schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn children_time() -> Option<Duration> {
    waited_for(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Fields 16 and 17 of `/proc/self/stat` count the ticks of the processes that were waited for: hundredths of a second.
fn waited_for(stat: &str) -> Option<Duration> {
    const TICK_MS: u64 = 10;
    // The second field is a name in brackets, which may have spaces; the third follows it.
    let (_, rest) = stat.rsplit_once(')')?;
    let field = |n: usize| rest.split_whitespace().nth(n - 3)?.parse::<u64>().ok();
    Some(Duration::from_millis((field(16)? + field(17)?) * TICK_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_on_a_core_is_the_first_number() {
        assert_eq!(on_core("26374251 1043 17\n"), Some(Duration::from_nanos(26_374_251)));
        assert_eq!(on_core(""), None);
    }

    /// The name of a program may hold a bracket and spaces.
    #[test]
    fn the_time_of_children_is_of_both_kinds() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 2000 0 0 7 5 300 21 20 0 1 0";
        assert_eq!(waited_for(stat), Some(Duration::from_millis(3_210)));
        assert_eq!(waited_for("42 (a) S 1"), None);
    }

    /// Whatever is worked is counted sooner or later (the system counts in steps, so how much is not asked here): this
    /// would not end otherwise.
    #[test]
    fn work_counts() {
        let watch = Stopwatch::start_with_children();
        let mut n = 0_u64;
        while watch.seconds() == 0.0 {
            n = std::hint::black_box(n + 1);
        }
        assert!(n > 0);
    }
}
