//! The event bus: a snapshot, then numbered deltas, to any number of subscribers, none of which can slow the publisher.
//!
//! The bus owns the state that events are deltas of, so a snapshot and the number of the first delta after it always fit.
//! Events stand once in a bounded ring; a subscriber is a cursor. One that falls behind the ring is told how many events it
//! missed and gets a fresh snapshot. Publishing pushes to the ring and wakes the parked: it never waits and never fails.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What a subscriber receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery<S, E> {
    /// The state after all events up to and including number `seq` (0: before the first).
    Snapshot {
        /// Number of the last event in the state.
        seq: u64,
        /// The state.
        state: S,
    },
    /// One event.
    Event {
        /// Its number: from 1, no gaps.
        seq: u64,
        /// The event.
        event: Arc<E>,
    },
    /// The subscriber was too slow; a snapshot follows.
    Lagged {
        /// How many events it missed.
        missed: u64,
    },
}

#[derive(Debug)]
struct Inner<S, E> {
    state: S,
    ring: VecDeque<Arc<E>>,
    capacity: usize,
    /// Number of the newest event, 0 before the first.
    last_seq: u64,
    dropped: u64,
    closed: bool,
}

#[derive(Debug)]
struct Shared<S, E> {
    /// Held for a push or a clone only, never across a wait.
    inner: Mutex<Inner<S, E>>,
    changed: Notify,
}

impl<S, E> Shared<S, E> {
    fn lock(&self) -> MutexGuard<'_, Inner<S, E>> {
        // A panic inside a change leaves a state that is still a state: go on.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The publisher's side, and the one owner of the state. Cheap to clone; clones share everything.
#[derive(Debug)]
pub struct EventBus<S, E>(Arc<Shared<S, E>>);

impl<S, E> Clone for EventBus<S, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Clone, E> EventBus<S, E> {
    /// A bus that keeps the last `capacity` events (at least 1).
    #[must_use]
    pub fn new(state: S, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let ring = VecDeque::with_capacity(capacity);
        let inner = Inner { state, ring, capacity, last_seq: 0, dropped: 0, closed: false };
        Self(Arc::new(Shared { inner: Mutex::new(inner), changed: Notify::new() }))
    }

    /// Changes the state and publishes what the change yields: nothing, one or several events. Never blocks on readers.
    ///
    /// After [`close`](Self::close) the state still changes, but events go nowhere.
    pub fn publish<I: IntoIterator<Item = E>>(&self, change: impl FnOnce(&mut S) -> I) {
        let mut inner = self.0.lock();
        let events = change(&mut inner.state);
        let before = inner.last_seq;
        for event in events {
            if !inner.closed {
                inner.push(Arc::new(event));
            }
        }
        let published = inner.last_seq != before;
        drop(inner);
        if published {
            self.0.changed.notify_waiters();
        }
    }

    /// Reads the state. Keep it short: writers wait meanwhile. Clone what is cheap to clone and leave.
    pub fn read<T>(&self, read: impl FnOnce(&S) -> T) -> T {
        read(&self.0.lock().state)
    }

    /// A subscriber that first gets a snapshot of this moment, then every event after it.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<S, E> {
        let inner = self.0.lock();
        let next = Next::First { seq: inner.last_seq, state: inner.state.clone() };
        drop(inner);
        Subscription { shared: Arc::clone(&self.0), next }
    }

    /// The kept events for which `wanted` holds, oldest first. Keep it short, as in [`read`](Self::read).
    pub fn recent(&self, wanted: impl Fn(&E) -> bool) -> Vec<Arc<E>> {
        self.0.lock().ring.iter().filter(|event| wanted(event)).cloned().collect()
    }

    /// Ends the stream: subscribers read what is left, then `None`.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.changed.notify_waiters();
    }

    /// Events that subscribers missed because they were too slow, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }
}

impl<S, E> Inner<S, E> {
    fn push(&mut self, event: Arc<E>) {
        if self.ring.len() == self.capacity {
            self.ring.pop_front();
        }
        self.ring.push_back(event);
        self.last_seq += 1;
    }

    /// Number of the oldest event still in the ring.
    fn first_seq(&self) -> u64 {
        self.last_seq + 1 - self.ring.len() as u64
    }
}

#[derive(Debug)]
enum Next<S> {
    /// The snapshot taken when it subscribed.
    First { seq: u64, state: S },
    /// A snapshot of the moment it asks: it lagged.
    Resync,
    /// The event of this number.
    Event(u64),
}

/// A reader's cursor. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription<S, E> {
    shared: Arc<Shared<S, E>>,
    next: Next<S>,
}

impl<S: Clone, E> Subscription<S, E> {
    /// The next delivery, or `None` when the bus was closed and everything has been read.
    ///
    /// # Cancel safety
    /// Safe: a delivery is taken only when it is returned.
    pub async fn recv(&mut self) -> Option<Delivery<S, E>> {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut changed = std::pin::pin!(shared.changed.notified());
            // Registered before looking, or a publish in between would be slept through.
            changed.as_mut().enable();
            match self.try_recv() {
                Ok(delivery) => return Some(delivery),
                Err(Empty::Closed) => return None,
                Err(Empty::Pending) => changed.await,
            }
        }
    }

    /// The next delivery if there is one now.
    ///
    /// # Errors
    /// [`Empty::Pending`] when nothing is new, [`Empty::Closed`] when nothing will be.
    pub fn try_recv(&mut self) -> Result<Delivery<S, E>, Empty> {
        let mut inner = self.shared.lock();
        let seq = match std::mem::replace(&mut self.next, Next::Resync) {
            Next::Event(seq) => seq,
            Next::First { seq, state } => {
                self.next = Next::Event(seq + 1);
                return Ok(Delivery::Snapshot { seq, state });
            }
            Next::Resync => {
                self.next = Next::Event(inner.last_seq + 1);
                return Ok(Delivery::Snapshot { seq: inner.last_seq, state: inner.state.clone() });
            }
        };
        self.next = Next::Event(seq);
        if seq > inner.last_seq {
            return Err(if inner.closed { Empty::Closed } else { Empty::Pending });
        }
        if seq < inner.first_seq() {
            let missed = inner.last_seq + 1 - seq;
            inner.dropped += missed;
            self.next = Next::Resync;
            return Ok(Delivery::Lagged { missed });
        }
        let event = Arc::clone(&inner.ring[(seq - inner.first_seq()) as usize]);
        self.next = Next::Event(seq + 1);
        Ok(Delivery::Event { seq, event })
    }
}

/// Why there is nothing to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Empty {
    /// Nothing new yet.
    #[error("nothing is new yet")]
    Pending,
    /// The bus was closed.
    #[error("nothing more comes")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(capacity: usize) -> EventBus<u64, u64> {
        EventBus::new(0, capacity)
    }

    fn add(bus: &EventBus<u64, u64>, n: u64) {
        bus.publish(|sum| {
            *sum += n;
            Some(n)
        });
    }

    /// Everything a subscriber has to read now, one line a delivery.
    fn drain(sub: &mut Subscription<u64, u64>) -> String {
        let mut lines = Vec::new();
        while let Ok(delivery) = sub.try_recv() {
            lines.push(match delivery {
                Delivery::Snapshot { seq, state } => format!("snapshot {state} at {seq}"),
                Delivery::Event { seq, event } => format!("+{event} as {seq}"),
                Delivery::Lagged { missed } => format!("lagged by {missed}"),
            });
        }
        lines.join(", ")
    }

    #[test]
    fn the_kept_events_can_be_looked_through() {
        let bus = counter(3);
        (1..=5).for_each(|n| add(&bus, n));
        let odd: Vec<u64> = bus.recent(|n| n % 2 == 1).iter().map(|n| **n).collect();
        assert_eq!(odd, [3, 5], "the first two have left the ring");
    }

    #[test]
    fn a_snapshot_comes_first_and_the_deltas_continue_it() {
        let bus = counter(8);
        add(&bus, 5);
        let mut sub = bus.subscribe();
        add(&bus, 2);
        assert_eq!(drain(&mut sub), "snapshot 5 at 1, +2 as 2", "the snapshot is of the moment of subscribing");
        add(&bus, 3);
        assert_eq!(drain(&mut sub), "+3 as 3");
        assert_eq!(bus.read(|sum| *sum), 10);
    }

    #[test]
    fn a_slow_subscriber_learns_how_much_it_missed_and_resyncs() {
        let bus = counter(2);
        let (mut slow, mut fast) = (bus.subscribe(), bus.subscribe());
        drain(&mut slow);
        drain(&mut fast);
        for n in 1..=3 {
            add(&bus, n);
            assert_eq!(drain(&mut fast), format!("+{n} as {n}"));
        }
        assert_eq!(drain(&mut slow), "lagged by 3, snapshot 6 at 3");
        assert_eq!(bus.dropped(), 3);
        add(&bus, 4);
        assert_eq!(drain(&mut slow), "+4 as 4");
    }

    #[test]
    fn a_full_ring_is_read_to_its_last_event_without_loss() {
        let bus = counter(2);
        let mut sub = bus.subscribe();
        drain(&mut sub);
        add(&bus, 1);
        add(&bus, 2);
        assert_eq!(drain(&mut sub), "+1 as 1, +2 as 2");
        assert_eq!(bus.dropped(), 0);
    }

    #[test]
    fn a_change_without_events_is_not_a_delivery() {
        let bus = counter(2);
        let mut sub = bus.subscribe();
        drain(&mut sub);
        bus.publish(|sum| {
            *sum = 9;
            None
        });
        assert_eq!(sub.try_recv(), Err(Empty::Pending));
        assert_eq!(drain(&mut bus.subscribe()), "snapshot 9 at 0");
    }

    /// A publisher at full speed against readers of every kind: each reader sees numbers without gaps but where it was told
    /// of one, and ends with the publisher's own sum.
    #[test]
    fn readers_on_other_threads_never_slow_or_confuse_the_publisher() {
        const EVENTS: u64 = 20_000;
        let bus = counter(64);
        let never_read = bus.subscribe();
        let sums: Vec<u64> = std::thread::scope(|scope| {
            let follow = |mut sub: Subscription<u64, u64>| {
                let (mut sum, mut last) = (0, None);
                loop {
                    match sub.try_recv() {
                        Ok(Delivery::Snapshot { seq, state }) => (sum, last) = (state, Some(seq)),
                        Ok(Delivery::Event { seq, event }) => {
                            assert_eq!(Some(seq), last.map(|l| l + 1));
                            (sum, last) = (sum + *event, Some(seq));
                        }
                        Ok(Delivery::Lagged { missed }) => assert!(missed > 0),
                        Err(Empty::Pending) => std::thread::yield_now(),
                        Err(Empty::Closed) => return sum,
                    }
                }
            };
            let readers: Vec<_> = (0..3).map(|_| bus.subscribe()).map(|sub| scope.spawn(move || follow(sub))).collect();
            (1..=EVENTS).for_each(|n| add(&bus, n));
            bus.close();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        assert_eq!(sums, [EVENTS * (EVENTS + 1) / 2; 3]);
        drop(never_read);
    }

    /// Waking is what makes publishing cost something: it happens for an event, and not for a change without one.
    #[test]
    fn only_an_event_wakes_the_parked() {
        let bus = counter(2);
        let mut sub = bus.subscribe();
        drain(&mut sub);
        let mut recv = parked(&mut sub);
        assert!(!recv.is_woken_by(|| bus.publish(|sum| {
            *sum += 1;
            None
        })));
        assert!(recv.is_woken_by(|| add(&bus, 1)));
    }

    type Receiving<'a> = dyn Future<Output = Option<Delivery<u64, u64>>> + 'a;

    /// A `recv` that has been polled once, with a waker that counts.
    struct Parked<'a> {
        recv: std::pin::Pin<Box<Receiving<'a>>>,
        woken: Arc<Flag>,
    }

    #[derive(Default)]
    struct Flag(std::sync::atomic::AtomicBool);

    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn parked(sub: &mut Subscription<u64, u64>) -> Parked<'_> {
        Parked { recv: Box::pin(sub.recv()), woken: Arc::default() }
    }

    impl Parked<'_> {
        fn is_woken_by(&mut self, act: impl FnOnce()) -> bool {
            let waker = std::task::Waker::from(Arc::clone(&self.woken));
            let poll = self.recv.as_mut().poll(&mut std::task::Context::from_waker(&waker));
            assert!(poll.is_pending());
            act();
            self.woken.0.swap(false, std::sync::atomic::Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn a_parked_subscriber_is_woken_by_events_and_by_the_end() {
        let bus = counter(2);
        let mut sub = bus.subscribe();
        let reader = async {
            let mut seen = 0;
            while sub.recv().await.is_some() {
                seen += 1;
            }
            seen
        };
        let writer = async {
            tokio::task::yield_now().await;
            add(&bus, 1);
            tokio::task::yield_now().await;
            bus.close();
            add(&bus, 2);
        };
        let (seen, ()) = tokio::join!(reader, writer);
        assert_eq!(seen, 2, "the snapshot and one event; nothing after the end");
    }
}
