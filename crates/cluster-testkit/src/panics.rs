//! Panics that become findings: tokio catches one in a task and tells whoever awaits it, which for most tasks is nobody.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

const NO_SOCKETS: &str =
    " (a simulated world has no real sockets: members speak by their cluster, programs by `SimClient::connect`)";

/// Polls; a panic is its words.
pub(crate) fn poll_catching<T>(
    future: Pin<&mut (dyn Future<Output = T> + Send)>,
    cx: &mut Context<'_>,
) -> Result<Poll<T>, String> {
    catching(|| future.poll(cx))
}

/// Calls; a panic is its words.
pub(crate) fn catching<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| words(&*panic))
}

pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("without words");
    // tokio's own words where a runtime has no I/O.
    let hint = if text.contains("IO is disabled") { NO_SOCKETS } else { "" };
    format!("it panicked: {text}{hint}")
}

/// What went wrong in a world, in words, in the order in which it was noticed. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles(Arc<Mutex<Vec<String>>>);

impl Troubles {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, what: String) {
        self.lock().push(what);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().clone()
    }
}
