//! The latest value of something, and a way to wait for the next one.
//!
//! What tokio's `watch` does, but that those who wait are woken in the order in which they came. `watch` draws the order, from randomness that no
//! caller can set, and a simulated run with two who wait would not repeat.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Debug)]
struct State<T> {
    value: T,
    /// Counts changes.
    version: u64,
    /// Nobody is left to change it.
    ended: bool,
}

#[derive(Debug)]
struct Inner<T> {
    /// Held to look or to replace, never across an await.
    state: Mutex<State<T>>,
    changed: Notify,
}

impl<T> Inner<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value that changes. Dropped, it ends the waiting of all.
#[derive(Debug)]
pub(crate) struct Latest<T>(Arc<Inner<T>>);

impl<T> Latest<T> {
    pub(crate) fn new(value: T) -> Self {
        let state = Mutex::new(State { value, version: 0, ended: false });
        Self(Arc::new(Inner { state, changed: Notify::new() }))
    }

    /// Puts another value in its place.
    pub(crate) fn replace(&self, value: T) {
        self.change(|held| {
            *held = value;
            true
        });
    }

    /// Changes the value; those who wait are woken when it says that it did.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut state = self.0.lock();
        if change(&mut state.value) {
            state.version += 1;
            drop(state);
            self.0.changed.notify_waiters();
        }
    }

    /// Somebody who looks, and may wait.
    pub(crate) fn reader(&self) -> Reader<T> {
        Reader { seen: self.0.lock().version, inner: Arc::clone(&self.0) }
    }
}

impl<T> Drop for Latest<T> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_waiters();
    }
}

/// Sees the latest value.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    inner: Arc<Inner<T>>,
    seen: u64,
}

impl<T: Clone> Reader<T> {
    /// The value now; from here on it has been seen.
    pub(crate) fn latest(&mut self) -> T {
        let state = self.inner.lock();
        self.seen = state.version;
        state.value.clone()
    }

    /// Waits until there is a value that was not seen; `false` when there will be none.
    ///
    /// # Cancel safety
    /// Safe: what was not seen is still there.
    pub(crate) async fn changed(&self) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            {
                let state = self.inner.lock();
                if state.version != self.seen {
                    return true;
                }
                if state.ended {
                    return false;
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_in_the_order_in_which_he_came() {
        let latest = Latest::new(0);
        let order: Arc<Mutex<Vec<usize>>> = Arc::default();
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..20 {
            let (mut reader, order) = (latest.reader(), Arc::clone(&order));
            waiting.spawn(async move {
                assert!(reader.changed().await);
                assert_eq!(reader.latest(), 7);
                order.lock().unwrap().push(n);
            });
        }
        // One turn of the runtime, in which each begins to wait.
        tokio::task::yield_now().await;
        latest.replace(7);
        while waiting.join_next().await.is_some() {}
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_before_the_wait_is_not_missed_and_the_end_is_told() {
        let latest = Latest::new(1);
        let mut reader = latest.reader();
        latest.change(|_| false);
        latest.change(|value| std::mem::replace(value, 2) != 2);
        assert!(reader.changed().await);
        assert_eq!(reader.latest(), 2);
        drop(latest);
        assert!(!reader.changed().await);
    }
}
