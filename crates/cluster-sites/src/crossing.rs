//! Places between two steps where another thread may come between. A test that schedules threads itself (shuttle, say) lets them: at a
//! crossing it runs somebody else first. Nobody holds a lock there.

use std::cell::Cell;

thread_local! {
    static COMES_BETWEEN: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Ends its scheduling when it is dropped.
#[derive(Debug)]
#[must_use = "nobody comes between any more when this is dropped"]
pub struct Crossings(());

/// Calls `come_between` at each crossing of this thread until the guard is dropped. A second call replaces the first.
pub fn at_crossings(come_between: fn()) -> Crossings {
    COMES_BETWEEN.set(Some(come_between));
    Crossings(())
}

impl Drop for Crossings {
    fn drop(&mut self) {
        COMES_BETWEEN.set(None);
    }
}

/// What a [`crossing!`](crate::crossing) does where it is compiled in.
pub fn cross() {
    // Threads pass crossings at their very end, too.
    if let Ok(Some(come_between)) = COMES_BETWEEN.try_with(Cell::get) {
        come_between();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static CAME: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn somebody_comes_between_while_it_is_asked_for_and_on_this_thread_only() {
        cross();
        let crossings = at_crossings(|| CAME.set(CAME.get() + 1));
        cross();
        cross();
        std::thread::spawn(cross).join().unwrap();
        drop(crossings);
        cross();
        assert_eq!(CAME.get(), 2);
    }
}
