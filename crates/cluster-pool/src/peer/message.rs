//! A message, and how it ends: exactly once, in one of three ways, and never better than is known.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cluster_types::Life;
use tokio::sync::oneshot;

use crate::transport::CloseCode;

/// Which of the receiver's handlers a message is for: a number that both sides agree on, 16 bits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(pub u16);

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel {}", self.0)
    }
}

/// Which messages go first. Within one priority they go in the order in which they were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// When nothing else waits; of ten messages one, when everything waits.
    Low,
    /// The usual one; three of ten.
    #[default]
    Normal,
    /// Before the others; six of ten.
    High,
}

impl Priority {
    /// All of them, the highest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Its place among [`ALL`](Self::ALL), which is its number on the wire.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Whom it is for over there.
    pub channel: Channel,
    /// What it says. At most as long as [`PeerConfig`](super::PeerConfig) allows.
    pub body: Bytes,
    /// When it goes.
    pub priority: Priority,
    /// Not sent any more when it has waited for this long. `None`: as long as the peer keeps messages at most.
    pub time_to_live: Option<Duration>,
}

impl Message {
    /// Of normal priority.
    pub fn new(channel: Channel, body: impl Into<Bytes>) -> Self {
        Self { channel, body: body.into(), priority: Priority::Normal, time_to_live: None }
    }

    /// Goes before or after others.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Is not sent any more after this.
    #[must_use]
    pub const fn with_time_to_live(mut self, span: Duration) -> Self {
        self.time_to_live = Some(span);
        self
    }
}

/// Why a message was certainly not handled over there. Sending it again does nothing twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSent {
    /// Its time to live was over before it could go.
    Expired,
    /// It made room for a newer one.
    Dropped,
    /// The peer was closed by its owner.
    Closed,
    /// The receiver turned it away: nobody serves the channel there, or it is about to go.
    Refused(CloseCode),
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("its time to live was over"),
            Self::Dropped => f.write_str("it made room for a newer one"),
            Self::Closed => f.write_str("the peer was closed"),
            Self::Refused(code) => write!(f, "the receiver refused it: {code}"),
        }
    }
}

/// Why nobody here knows whether a message was handled over there. Sending it again may do it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unknown {
    /// The link ended before the receiver had answered for it.
    LinkLost,
    /// The receiver's handler failed half way.
    HandlerFailed,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkLost => "the link ended before the receiver had answered for it",
            Self::HandlerFailed => "the receiver's handler failed",
        })
    }
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was certainly not handled over there.
    NotSent(NotSent),
    /// It left, and what became of it is not known.
    MaybeDelivered(Unknown),
    /// The receiving application has taken it.
    Delivered {
        /// Which life of the peer did.
        life: Life,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) => write!(f, "not sent: {why}"),
            Self::MaybeDelivered(why) => write!(f, "maybe delivered: {why}"),
            Self::Delivered { .. } => f.write_str("delivered"),
        }
    }
}

/// The place where the outcome of one message arrives. Dropping it changes nothing for the message.
#[derive(Debug)]
#[must_use = "await it to learn how the message ended, or drop it on purpose"]
pub struct Ticket(oneshot::Receiver<Outcome>);

impl Ticket {
    pub(super) fn new() -> (Sender, Self) {
        let (sender, receiver) = oneshot::channel();
        (Sender(Some(sender)), Self(receiver))
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let told = std::task::ready!(Pin::new(&mut self.0).poll(cx));
        // Its sender tells before it goes, whatever happens.
        Poll::Ready(told.unwrap_or(Outcome::MaybeDelivered(Unknown::LinkLost)))
    }
}

/// The other end of a [`Ticket`].
#[derive(Debug)]
pub(super) struct Sender(Option<oneshot::Sender<Outcome>>);

impl Drop for Sender {
    /// Nobody told: so nothing is known.
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            // As below.
            let _ = sender.send(Outcome::MaybeDelivered(Unknown::LinkLost));
        }
    }
}

impl Sender {
    pub(super) fn tell(mut self, outcome: Outcome) {
        if let Some(sender) = self.0.take() {
            // Whoever sent it may not want to know.
            let _ = sender.send(outcome);
        }
    }
}
