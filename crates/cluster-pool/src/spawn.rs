//! Where a node's tasks run. The links' tasks have an owner who joins them; this is the place he puts them, which in a
//! simulated world is one that can be stopped, slowed and killed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tracing::Instrument;

/// A task as it is handed over.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the tasks of one node.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Spawner: Send + Sync + fmt::Debug {
    /// Runs a task to its end, unless the node ends before it.
    fn spawn(&self, task: Task);
}

/// Runs tasks within a span, so that whatever they log says whose it is: several nodes may live in one process.
#[derive(Debug)]
pub struct SpannedSpawner {
    inner: Arc<dyn Spawner>,
    span: tracing::Span,
}

impl SpannedSpawner {
    /// Where `inner` runs them, within `span`.
    pub fn new(inner: Arc<dyn Spawner>, span: tracing::Span) -> Self {
        Self { inner, span }
    }
}

impl Spawner for SpannedSpawner {
    fn spawn(&self, task: Task) {
        self.inner.spawn(Box::pin(task.instrument(self.span.clone())));
    }
}

/// Runs tasks on a tokio runtime.
#[derive(Debug, Clone)]
pub struct RuntimeSpawner(Handle);

impl RuntimeSpawner {
    /// On the runtime this is called in.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self(Handle::current())
    }
}

impl Spawner for RuntimeSpawner {
    fn spawn(&self, task: Task) {
        // Not detached: whoever hands a task over tracks it.
        drop(self.0.spawn(task));
    }
}
