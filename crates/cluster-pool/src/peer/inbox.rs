//! Messages that came from one peer and wait to be taken. Bounded: when it is full, the lanes wait, and then the senders.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cluster_types::Life;
use tokio::sync::Notify;

use super::message::{Channel, Priority};
use super::queue::Turns;
use crate::transport::CloseCode;

/// Messages that wait at most; beyond it their senders do. As many as a sender's own queue holds.
const INBOX_LEN_MAX: usize = 100;

/// A message that a peer has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// What it is for.
    pub channel: Channel,
    /// What it says.
    pub body: Bytes,
    /// When it went.
    pub priority: Priority,
    /// Which life of the peer sent it.
    pub life: Life,
}

/// What is to be told to the senders on one lane.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    /// Held for a push or a take.
    settled: Mutex<Vec<(u64, CloseCode)>>,
    some: Notify,
}

impl Settling {
    pub(crate) fn settle(&self, number: u64, code: CloseCode) {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).push((number, code));
        self.some.notify_one();
    }

    /// Waits until there is something to be told.
    pub(crate) async fn some(&self) {
        loop {
            if !self.settled.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return;
            }
            self.some.notified().await;
        }
    }

    /// Everything to be told, `max` at most.
    pub(crate) fn take(&self, max: usize) -> Vec<(u64, CloseCode)> {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = settled.len().min(max);
        let rest = settled.split_off(taken);
        std::mem::replace(&mut settled, rest)
    }
}

/// A message, and whom to tell that it was taken.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) received: Received,
    pub(crate) number: u64,
    pub(crate) settling: Arc<Settling>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By place of the priority.
    lanes: [VecDeque<Arrived>; 3],
    turns: Turns,
    closed: bool,
}

impl Waiting {
    fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    fn next(&mut self) -> Option<Arrived> {
        let waits = [0, 1, 2].map(|lane| !self.lanes[lane].is_empty());
        let lane = self.turns.next(waits)?;
        self.lanes[lane].pop_front()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Held for a push or a pop.
    waiting: Mutex<Waiting>,
    came: Notify,
    room: Notify,
}

impl Inbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in, when there is room. Handed back when nobody takes any more.
    pub(crate) async fn put(&self, arrived: Arrived) -> Result<(), Arrived> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            {
                let mut waiting = self.waiting();
                if waiting.closed {
                    return Err(arrived);
                }
                if waiting.len() < INBOX_LEN_MAX {
                    waiting.lanes[arrived.received.priority.index()].push_back(arrived);
                    drop(waiting);
                    self.came.notify_one();
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// The next message: higher priorities more often, as in a sender's queue.
    pub(crate) async fn receive(&self) -> Option<Received> {
        loop {
            let mut came = std::pin::pin!(self.came.notified());
            came.as_mut().enable();
            {
                let mut waiting = self.waiting();
                if let Some(arrived) = waiting.next() {
                    let more = waiting.len() > 0;
                    drop(waiting);
                    self.room.notify_one();
                    // Whoever else waits for a message is told of what is left.
                    if more {
                        self.came.notify_one();
                    }
                    arrived.settling.settle(arrived.number, CloseCode::DONE);
                    return Some(arrived.received);
                }
                if waiting.closed {
                    self.came.notify_one();
                    return None;
                }
            }
            came.await;
        }
    }

    /// Nobody takes any more: what waits is turned away.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let left: Vec<Arrived> = waiting.lanes.iter_mut().flat_map(std::mem::take).collect();
        drop(waiting);
        for arrived in left {
            arrived.settling.settle(arrived.number, CloseCode::UNSUPPORTED);
        }
        self.came.notify_one();
        self.room.notify_waiters();
    }
}
