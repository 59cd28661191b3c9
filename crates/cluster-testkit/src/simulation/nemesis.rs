//! The nemesis: a program that looks at the nodes while they run, and does to them what hurts most.
//!
//! What it did is kept as a schedule, with its times: a seed that fails is played again, and made smaller, without it.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use cluster_types::Seed;
use cluster_types::seed::Draws;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::SimNode;
use super::node::{Live, shared};
use super::system::Ending;
use crate::Trace;
use crate::host::Values;
use crate::scenario::Act;
use crate::world::stack::StackWorld;

/// What a nemesis wants done, and who waits for it.
pub(super) struct Request {
    pub(super) act: Act,
    pub(super) answer: oneshot::Sender<Result<(), String>>,
}

/// The hands of a nemesis. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Nemesis {
    requests: Arc<Mutex<VecDeque<Request>>>,
    live: Live,
    shared: Values,
    trace: Trace,
    seed: Seed,
    origin: Instant,
    size: usize,
}

impl fmt::Debug for Nemesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nemesis").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Nemesis {
    pub(super) fn new(world: &StackWorld, seed: Seed, size: usize) -> Self {
        let (live, shared, trace) = (world.live().clone(), world.shared().clone(), world.trace().clone());
        Self { requests: Arc::default(), live, shared, trace, seed, origin: world.origin(), size }
    }

    fn requests(&self) -> MutexGuard<'_, VecDeque<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes that run, as they are now, with what their systems [expose](SimNode::expose).
    #[must_use]
    pub fn nodes(&self) -> Vec<SimNode> {
        self.live.nodes()
    }

    /// How many machines the schedule starts, whether they run or not.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Draws that repeat with the seed, others for each purpose.
    #[must_use]
    pub fn rng(&self, purpose: &str) -> Draws {
        self.seed.derive(purpose, 0).stream()
    }

    /// What this world shares, as [`Simulation::sharing`](super::Simulation::sharing) makes it.
    ///
    /// # Panics
    /// Nothing of this type is shared.
    #[must_use]
    pub fn shared<T: Any + Send + Sync>(&self) -> Arc<T> {
        shared(&self.shared)
    }

    /// Writes a line into the trace.
    pub fn note(&self, text: &str) {
        self.trace.note_text(self.now(), &format!("the nemesis: {text}"));
    }

    /// Time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Waits in virtual time.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Does something to the world, and returns when it is done. No virtual time passes.
    ///
    /// # Errors
    /// In words, and nothing is done: it starts what runs, crashes, stops or parts from what does not, or names a node that never started.
    ///
    /// # Cancel safety
    /// Once polled it is done.
    pub async fn act(&self, act: Act) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        self.requests().push_back(Request { act, answer });
        answered.await.unwrap_or_else(|_gone| Err("the world has ended".to_owned()))
    }

    /// Cuts one node off from all others, both ways.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn isolate(&self, node: usize) -> Result<(), String> {
        let others = (0..self.size).filter(|other| *other != node).collect();
        self.act(Act::Split(vec![node], others)).await
    }

    /// Cuts two groups off from each other.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn split(&self, left: &[usize], right: &[usize]) -> Result<(), String> {
        self.act(Act::Split(left.to_vec(), right.to_vec())).await
    }

    /// Opens every path.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn heal(&self) -> Result<(), String> {
        self.act(Act::Heal).await
    }

    /// The machine of a node goes down: what its disk had not synced may be lost.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn crash(&self, node: usize) -> Result<(), String> {
        self.act(Act::Crash(node)).await
    }

    /// A machine boots again; its node joins through the one after it.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn start(&self, node: usize) -> Result<(), String> {
        self.act(start_again(node, self.size)).await
    }

    /// Stops a process as SIGSTOP does.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn pause(&self, node: usize) -> Result<(), String> {
        self.act(Act::Pause(node)).await
    }

    /// Lets a stopped process go on.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn resume(&self, node: usize) -> Result<(), String> {
        self.act(Act::Resume(node)).await
    }
}

/// A machine boots again, and joins through the one after it.
pub(super) fn start_again(node: usize, size: usize) -> Act {
    // Alone, it has nobody to join through.
    Act::Start { node, seeds: if size > 1 { vec![(node + 1) % size] } else { Vec::new() } }
}

/// A nemesis at work.
pub(super) struct AtWork {
    hands: Nemesis,
    /// `None` when it has ended.
    run: Option<Ending>,
    error: Option<String>,
}

impl AtWork {
    pub(super) const fn new(hands: Nemesis, run: Ending) -> Self {
        Self { hands, run: Some(run), error: None }
    }

    /// What went wrong with it.
    pub(super) fn take_error(&mut self) -> Option<String> {
        self.error.take()
    }

    /// Lets time pass until then, or until it wants something done.
    pub(super) async fn until(&mut self, then: Instant) -> Option<Request> {
        let mut over = pin!(tokio::time::sleep_until(then));
        poll_fn(|cx| {
            if let Some(run) = &mut self.run
                && let Poll::Ready(error) = run.as_mut().poll(cx)
            {
                self.error = error;
                self.run = None;
            }
            match self.hands.requests().pop_front() {
                Some(request) => Poll::Ready(Some(request)),
                None => over.as_mut().poll(cx).map(|()| None),
            }
        })
        .await
    }
}
