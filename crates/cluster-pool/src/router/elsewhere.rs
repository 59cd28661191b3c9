//! Handlers that run somewhere else than the links: what an application does in them, blocking included, stops no packet.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::guarded::guarded;
use super::handlers::{Handled, MessageHandler, RequestHandler, Turned};
use crate::link::{Link, LinkStream};
use crate::peer::{Channel, Received};
use crate::pool::StreamHandler;
use crate::spawn::Spawner;

/// A handler whose work runs on a spawner. Given up here, it is given up there.
pub(super) struct Elsewhere<H: ?Sized> {
    handler: Arc<H>,
    spawner: Arc<dyn Spawner>,
}

impl<H: ?Sized> Elsewhere<H> {
    pub(super) const fn new(handler: Arc<H>, spawner: Arc<dyn Spawner>) -> Self {
        Self { handler, spawner }
    }

    /// `None` when the place where it runs is gone. A panic over there is one here, with its words.
    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, outcome) = oneshot::channel();
        let given_up = CancellationToken::new();
        let _guard = given_up.clone().drop_guard();
        self.spawner.spawn(Box::pin(async move {
            tokio::select! {
                biased;
                () = given_up.cancelled() => {}
                // Whoever waited has just gone, then.
                result = guarded(work) => drop(done.send(result)),
            }
        }));
        match outcome.await.ok()? {
            Ok(result) => Some(result),
            Err(words) => std::panic::resume_unwind(Box::new(words)),
        }
    }
}

impl<H: fmt::Debug + ?Sized> fmt::Debug for Elsewhere<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Elsewhere").field(&&*self.handler).finish()
    }
}

fn gone() -> Turned {
    Turned::failed("the application has ended")
}

#[async_trait]
impl MessageHandler for Elsewhere<dyn MessageHandler> {
    async fn handle_message(&self, from: &Link, message: Received) -> Result<(), Turned> {
        let (handler, from) = (Arc::clone(&self.handler), from.clone());
        self.run(async move { handler.handle_message(&from, message).await }).await.unwrap_or(Err(gone()))
    }
}

#[async_trait]
impl RequestHandler for Elsewhere<dyn RequestHandler> {
    async fn handle_request(&self, from: &Link, channel: Channel, body: Bytes) -> Handled {
        let (handler, from) = (Arc::clone(&self.handler), from.clone());
        self.run(async move { handler.handle_request(&from, channel, body).await }).await.unwrap_or(Err(gone()))
    }
}

#[async_trait]
impl StreamHandler for Elsewhere<dyn StreamHandler> {
    async fn handle(&self, link: &Link, stream: LinkStream) {
        let (handler, link) = (Arc::clone(&self.handler), link.clone());
        // Where it is gone, the stream is dropped with the task, which resets it.
        let _ended = self.run(async move { handler.handle(&link, stream).await }).await;
    }
}
