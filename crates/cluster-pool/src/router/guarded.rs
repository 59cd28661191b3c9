//! A handler's panic ends the handler and nothing else.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

/// Runs a handler; `Err` is what its panic said. Whatever the handler shares with others is its own to keep whole: a lock that it
/// held is poisoned, as everywhere.
pub(super) async fn guarded<T>(handler: impl Future<Output = T>) -> Result<T, String> {
    let mut handler = std::pin::pin!(handler);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(panic) => Poll::Ready(Err(words_of(&*panic))),
    })
    .await
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it did not say why".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_words_and_a_result_is_itself() {
        assert_eq!(guarded(async { 7 }).await, Ok(7));
        let number = 3;
        let panicked = guarded(async move {
            tokio::task::yield_now().await;
            assert!(number < 3, "{number} is too many");
        });
        assert_eq!(panicked.await, Err("3 is too many".into()));
    }
}
