//! What serves a channel.

use std::fmt;
use std::future::Future;

use async_trait::async_trait;
use bytes::Bytes;

use crate::link::Link;
use crate::peer::{Channel, Received};
use crate::transport::CloseCode;

/// Why a handler turned something away.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turned {
    /// Nothing was done: safe to repeat, later or elsewhere.
    Away(String),
    /// Something may have been done.
    Failed(String),
}

impl Turned {
    /// In words, where nothing was done.
    pub fn away(words: impl Into<String>) -> Self {
        Self::Away(words.into())
    }

    /// In words, where something may have been done.
    pub fn failed(words: impl Into<String>) -> Self {
        Self::Failed(words.into())
    }

    pub(super) const fn code(&self) -> CloseCode {
        match self {
            Self::Away(_) => CloseCode::REFUSED,
            Self::Failed(_) => CloseCode::FAILED,
        }
    }

    pub(super) fn words(&self) -> &str {
        match self {
            Self::Away(words) | Self::Failed(words) => words,
        }
    }
}

/// What a handler of requests says.
pub type Handled = Result<Bytes, Turned>;

/// Handles the messages of a channel.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait MessageHandler: Send + Sync + fmt::Debug {
    /// Handles one. When it returns, the sender learns that the message was delivered; the next message of the same sender and priority
    /// comes after that.
    async fn handle_message(&self, from: &Link, message: Received) -> Result<(), Turned>;
}

/// Handles the requests of a channel.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RequestHandler: Send + Sync + fmt::Debug {
    /// Handles one. The future is dropped when the requester gives up or its deadline passes.
    async fn handle_request(&self, from: &Link, channel: Channel, body: Bytes) -> Handled;
}

/// A function as a handler.
struct Function<F>(F);

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

#[async_trait]
impl<F, R> MessageHandler for Function<F>
where
    F: Fn(Link, Received) -> R + Send + Sync,
    R: Future<Output = Result<(), Turned>> + Send,
{
    async fn handle_message(&self, from: &Link, message: Received) -> Result<(), Turned> {
        (self.0)(from.clone(), message).await
    }
}

#[async_trait]
impl<F, R> RequestHandler for Function<F>
where
    F: Fn(Link, Bytes) -> R + Send + Sync,
    R: Future<Output = Handled> + Send,
{
    async fn handle_request(&self, from: &Link, _channel: Channel, body: Bytes) -> Handled {
        (self.0)(from.clone(), body).await
    }
}

/// A function that handles messages.
pub fn message_fn<F, R>(handle: F) -> std::sync::Arc<dyn MessageHandler>
where
    F: Fn(Link, Received) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Turned>> + Send + 'static,
{
    std::sync::Arc::new(Function(handle))
}

/// A function that handles requests.
pub fn request_fn<F, R>(handle: F) -> std::sync::Arc<dyn RequestHandler>
where
    F: Fn(Link, Bytes) -> R + Send + Sync + 'static,
    R: Future<Output = Handled> + Send + 'static,
{
    std::sync::Arc::new(Function(handle))
}
