//! What runs on each machine of a simulation, and how it may end.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::SimNode;
use crate::panics::poll_catching;

/// How a system, a workload or a client may end.
pub trait WorkloadEnd {
    /// What went wrong, in words.
    fn error(self) -> Option<String>;
}

impl WorkloadEnd for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<T: WorkloadEnd, E: Display> WorkloadEnd for Result<T, E> {
    fn error(self) -> Option<String> {
        match self {
            Ok(end) => end.error(),
            Err(error) => Some(error.to_string()),
        }
    }
}

impl<T: WorkloadEnd> WorkloadEnd for Option<T> {
    fn error(self) -> Option<String> {
        self.and_then(WorkloadEnd::error)
    }
}

impl WorkloadEnd for std::convert::Infallible {
    fn error(self) -> Option<String> {
        match self {}
    }
}

/// What came of it: an error in words, or none.
pub(crate) type Ending = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Run at each boot of each machine.
pub(crate) type System = Arc<dyn Fn(SimNode) -> Ending + Send + Sync>;

/// A future whose end, good, bad or a panic, is an error or none.
pub(crate) fn ending<F, E>(make: impl FnOnce() -> F + Send + 'static) -> Ending
where
    F: Future<Output = E> + Send + 'static,
    E: WorkloadEnd,
{
    // Called within, so that a panic before its first await is caught as well.
    Box::pin(Caught(Box::pin(async move { make().await.error() })))
}

/// A system; one that returns without having started its node has failed.
pub(crate) fn system<F, E>(system: impl Fn(SimNode) -> F + Send + Sync + 'static) -> System
where
    F: Future<Output = E> + Send + 'static,
    E: WorkloadEnd,
{
    let system = Arc::new(system);
    Arc::new(move |node| {
        let (system, machine) = (Arc::clone(&system), node.machine.clone());
        let run = ending(move || system(node));
        Box::pin(async move {
            let unstarted = || "it returned without having started its node: `node.start(node.builder())` does";
            run.await.or_else(|| machine.cluster().is_none().then(unstarted).map(str::to_owned))
        })
    })
}

struct Caught(Ending);

impl Future for Caught {
    type Output = Option<String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<String>> {
        poll_catching(self.0.as_mut(), cx).unwrap_or_else(|words| Poll::Ready(Some(words)))
    }
}
