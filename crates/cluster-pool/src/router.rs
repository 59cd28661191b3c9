//! The router: what peers send to a node goes to the handler of its channel, or, where there is none, into the inbox of the
//! [`Peer`](crate::Peer) it came from.
//!
//! It serves the streams of a pool. A handler that is slow holds up the senders of its own messages; one that panics is
//! reported to the sender and counted, and nobody else notices.

mod ahead;
mod elsewhere;
mod guarded;
mod handlers;
mod lanes;
mod turns;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster_types::NodeId;
use dashmap::DashMap;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use ahead::Ahead;
use elsewhere::Elsewhere;
pub use handlers::{Handled, MessageHandler, RequestHandler, Turned, message_fn, request_fn};
#[cfg(feature = "mock")]
pub use handlers::{MockMessageHandler, MockRequestHandler};

use crate::complaints::Complaints;
use crate::frame::{FrameBuffer, FrameError, note_end};
use crate::link::{Link, LinkStream};
use crate::peer::{Channel, Inbox, MESSAGE_LEN_MAX, wire};
use crate::pool::StreamHandler;
use crate::spawn::Spawner;
use crate::transport::CloseCode;

/// A peer that opens a stream says within this what it is for.
const FIRST_FRAME_PATIENCE: Duration = Duration::from_secs(3);

/// Longest frame that begins a stream: a request's is the longest.
const FRAME_LEN_MAX: usize = MESSAGE_LEN_MAX + wire::HEAD_LEN_MAX;

/// Requests of one channel that are handled at once, unless another number is given.
const CONCURRENCY: usize = 64;

/// A reply that is longer than this is waited for until the requester has it all: a drain must not cut it off.
const REPLY_WATCHED: usize = 16 * 1024;

/// Two handlers for one channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{channel} has a handler already: each channel has one for messages, one for requests and one for streams")]
pub struct ChannelTaken {
    /// Which channel.
    pub channel: Channel,
}

#[derive(Debug)]
struct Requests {
    handler: Arc<dyn RequestHandler>,
    /// As many as may be handled at once; more wait, and their requesters with them.
    turns: Semaphore,
}

#[derive(Debug, Default)]
struct Table {
    messages: BTreeMap<Channel, Arc<dyn MessageHandler>>,
    requests: BTreeMap<Channel, Requests>,
    streams: BTreeMap<Channel, Arc<dyn StreamHandler>>,
    inboxes: DashMap<NodeId, Arc<Inbox>>,
    turns: turns::Turns,
    violations_told: Complaints,
    counters: Counters,
}

impl Table {
    /// The same, with every handler run on a spawner.
    fn elsewhere(self, spawner: &Arc<dyn Spawner>) -> Self {
        let there = || Arc::clone(spawner);
        let messages = self
            .messages
            .into_iter()
            .map(|(channel, handler)| (channel, Arc::new(Elsewhere::new(handler, there())) as Arc<dyn MessageHandler>));
        let requests = self.requests.into_iter().map(|(channel, Requests { handler, turns })| {
            (channel, Requests { handler: Arc::new(Elsewhere::new(handler, there())), turns })
        });
        let streams = self
            .streams
            .into_iter()
            .map(|(channel, handler)| (channel, Arc::new(Elsewhere::new(handler, there())) as Arc<dyn StreamHandler>));
        Self {
            messages: messages.collect(),
            requests: requests.collect(),
            streams: streams.collect(),
            ..Self::default()
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    messages: AtomicU64,
    requests: AtomicU64,
    cancelled: AtomicU64,
    refused: AtomicU64,
    failures: AtomicU64,
    panics: AtomicU64,
    violations: AtomicU64,
    replies_too_long: AtomicU64,
    unknown: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What a router has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouterStats {
    /// Messages that a handler or an inbox has taken.
    pub messages: u64,
    /// Requests that were begun.
    pub requests: u64,
    /// Of these, the ones whose requester went away before the reply.
    pub cancelled: u64,
    /// Messages and requests that nobody here serves, or that a handler turned away.
    pub refused: u64,
    /// Messages and requests whose handler said that it failed.
    pub failures: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Streams on which something came that is against the protocol.
    pub violations: u64,
    /// Replies of handlers that were longer than may be sent: their requesters were told that the handler failed.
    pub replies_too_long: u64,
    /// Frames and streams of a kind that this version does not know: skipped or refused, and nobody's mistake.
    pub unknown: u64,
}

/// Puts a [`Router`] together.
#[derive(Debug, Default)]
pub struct RouterBuilder {
    table: Table,
    taken: Option<ChannelTaken>,
    elsewhere: Option<Arc<dyn Spawner>>,
}

impl RouterBuilder {
    /// Runs the handlers there, and not among the links' own tasks: a handler that blocks its thread stops no packet.
    #[must_use]
    pub fn run_on(mut self, spawner: Arc<dyn Spawner>) -> Self {
        self.elsewhere = Some(spawner);
        self
    }

    fn note_taken(&mut self, channel: Channel, taken: bool) {
        if taken {
            self.taken.get_or_insert(ChannelTaken { channel });
        }
    }

    /// Handles the messages of a channel: of one sender and priority one after the other, in order.
    #[must_use]
    pub fn on_message(mut self, channel: Channel, handler: Arc<dyn MessageHandler>) -> Self {
        let taken = self.table.messages.insert(channel, handler).is_some();
        self.note_taken(channel, taken);
        self
    }

    /// Handles the requests of a channel, 64 at once.
    #[must_use]
    pub fn on_request(self, channel: Channel, handler: Arc<dyn RequestHandler>) -> Self {
        self.on_request_limited(channel, handler, CONCURRENCY)
    }

    /// Handles the requests of a channel, so many at once; more wait, and with them whoever asks.
    #[must_use]
    pub fn on_request_limited(mut self, channel: Channel, handler: Arc<dyn RequestHandler>, at_once: usize) -> Self {
        let requests = Requests { handler, turns: Semaphore::new(at_once.max(1)) };
        let taken = self.table.requests.insert(channel, requests).is_some();
        self.note_taken(channel, taken);
        self
    }

    /// Handles the streams of a channel.
    #[must_use]
    pub fn on_stream(mut self, channel: Channel, handler: Arc<dyn StreamHandler>) -> Self {
        let taken = self.table.streams.insert(channel, handler).is_some();
        self.note_taken(channel, taken);
        self
    }

    /// The router.
    ///
    /// # Errors
    /// A channel was given two handlers of one kind.
    pub fn build(self) -> Result<Router, ChannelTaken> {
        match self.taken {
            Some(taken) => Err(taken),
            None => Ok(Router(Arc::new(match self.elsewhere {
                Some(spawner) => self.table.elsewhere(&spawner),
                None => self.table,
            }))),
        }
    }
}

/// Serves what peers send. Cheap to clone; clones are the same router.
#[derive(Debug, Clone, Default)]
pub struct Router(Arc<Table>);

impl Router {
    /// One without handlers: everything goes into the inboxes of peers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One with handlers.
    #[must_use]
    pub fn builder() -> RouterBuilder {
        RouterBuilder::default()
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> RouterStats {
        let counters = &self.0.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RouterStats {
            messages: read(&counters.messages),
            requests: read(&counters.requests),
            cancelled: read(&counters.cancelled),
            refused: read(&counters.refused),
            failures: read(&counters.failures),
            panics: read(&counters.panics),
            violations: read(&counters.violations),
            replies_too_long: read(&counters.replies_too_long),
            unknown: read(&counters.unknown),
        }
    }

    pub(crate) fn add_inbox(&self, node: &NodeId, inbox: &Arc<Inbox>) {
        self.0.inboxes.insert(node.clone(), Arc::clone(inbox));
    }

    /// Takes an inbox out, unless another peer of that name has taken its place.
    pub(crate) fn remove_inbox(&self, node: &NodeId, inbox: &Arc<Inbox>) {
        self.0.inboxes.remove_if(node, |_, current| Arc::ptr_eq(current, inbox));
    }

    /// The inbox for what comes on a link: members have one, clients do not.
    fn inbox(&self, link: &Link) -> Option<Arc<Inbox>> {
        if link.remote().client {
            return None;
        }
        self.0.inboxes.get(link.node()).map(|inbox| Arc::clone(&inbox))
    }

    async fn serve_request(
        &self,
        link: &Link,
        mut stream: LinkStream,
        channel: Channel,
        deadline_ms: u32,
        body: Bytes,
    ) {
        let counters = &self.0.counters;
        let Some(requests) = self.0.requests.get(&channel) else {
            add(&counters.refused);
            return end(stream, CloseCode::UNSUPPORTED);
        };
        add(&counters.requests);
        let patience = Duration::from_millis(u64::from(deadline_ms));
        let work = async {
            let _turn = match requests.turns.try_acquire() {
                Ok(turn) => Ok(turn),
                Err(_all_taken) => requests.turns.acquire().await,
            };
            guarded::guarded(requests.handler.handle_request(link, channel, body)).await
        };
        note_end(&mut *stream.recv).await;
        let handled = tokio::select! {
            biased;
            // First: what is answered at once need not watch for anything.
            handled = tokio::time::timeout(patience, work) => handled,
            _gone = std::future::poll_fn(|cx| stream.send.poll_stopped(cx)) => {
                add(&counters.cancelled);
                return;
            }
        };
        let answer = match handled {
            Ok(Ok(Ok(reply))) if reply.len() > MESSAGE_LEN_MAX => {
                add(&counters.replies_too_long);
                let words = format!("a reply of {} bytes: at most {MESSAGE_LEN_MAX} are sent", reply.len());
                tracing::warn!(peer = %link.node(), %channel, "{words}");
                wire::refusal(CloseCode::FAILED, &words)
            }
            Ok(Ok(Ok(reply))) => wire::reply(&reply),
            Ok(Ok(Err(turned))) => {
                self.note_turned(&turned);
                wire::refusal(turned.code(), turned.words())
            }
            Ok(Err(panicked)) => {
                add(&counters.panics);
                tracing::error!(peer = %link.node(), %channel, %panicked, "a handler panicked");
                wire::refusal(CloseCode::FAILED, "the handler panicked")
            }
            Err(_elapsed) => {
                add(&counters.cancelled);
                return end(stream, CloseCode::DEADLINE);
            }
        };
        if stream.send.write_all(&answer).await.is_ok() {
            stream.send.finish();
            if answer.len() > REPLY_WATCHED || link.is_winding_down() {
                // Ends with the link at the latest.
                std::future::poll_fn(|cx| stream.send.poll_stopped(cx)).await;
            }
        }
    }

    fn note_turned(&self, turned: &Turned) {
        let counters = &self.0.counters;
        add(if matches!(turned, Turned::Away(_)) { &counters.refused } else { &counters.failures });
    }

    async fn serve_stream(&self, link: &Link, mut stream: LinkStream, channel: Channel, read: &FrameBuffer) {
        match self.0.streams.get(&channel) {
            Some(handler) => {
                // What came with the first frame is the handler's.
                stream.recv = Box::new(Ahead::new(read.rest(), stream.recv));
                if let Err(panicked) = guarded::guarded(handler.handle(link, stream)).await {
                    add(&self.0.counters.panics);
                    tracing::error!(peer = %link.node(), %channel, %panicked, "a handler panicked");
                }
            }
            None => {
                add(&self.0.counters.refused);
                end(stream, CloseCode::UNSUPPORTED);
            }
        }
    }

    /// What the stream is for, only later versions know.
    fn refuse_unknown(&self, stream: LinkStream) {
        add(&self.0.counters.unknown);
        end(stream, CloseCode::UNSUPPORTED);
    }

    fn note_violation(&self, link: &Link, what: &dyn fmt::Display) {
        add(&self.0.counters.violations);
        let complain =
            |more| tracing::warn!(peer = %link.node(), %what, more, "a peer sent something that is not understood");
        self.0.violations_told.say(complain);
    }
}

fn end(mut stream: LinkStream, code: CloseCode) {
    stream.recv.stop(code);
    stream.send.reset(code);
}

#[async_trait]
impl StreamHandler for Router {
    async fn handle(&self, link: &Link, mut stream: LinkStream) {
        let mut reader = FrameBuffer::default();
        let first = reader.next(&mut *stream.recv, FRAME_LEN_MAX);
        let (kind, body) = match tokio::time::timeout(FIRST_FRAME_PATIENCE, first).await {
            Ok(Ok(Some(frame))) => frame,
            // Opened and given up again.
            Ok(Ok(None)) => return,
            // Given up before it was whole, or the link is over.
            Ok(Err(FrameError::Io(_))) => return,
            Ok(Err(error)) => {
                self.note_violation(link, &error);
                return end(stream, CloseCode::PROTOCOL);
            }
            Err(_elapsed) => {
                self.note_violation(link, &"a stream was opened and nothing said on it");
                return end(stream, CloseCode::PROTOCOL);
            }
        };
        let problem = match kind {
            wire::KIND_REQUEST => match wire::read_request(body) {
                Ok((channel, deadline_ms, body)) => {
                    return self.serve_request(link, stream, channel, deadline_ms, body).await;
                }
                Err(error) => error.to_string(),
            },
            wire::KIND_LANE => match wire::read_lane(body) {
                Ok(Some(priority)) => return lanes::serve(self, link, stream, reader, priority).await,
                Ok(None) => return self.refuse_unknown(stream),
                Err(error) => error.to_string(),
            },
            wire::KIND_STREAM => match wire::read_channel("a stream", body) {
                Ok((channel, _)) => return self.serve_stream(link, stream, channel, &reader).await,
                Err(error) => error.to_string(),
            },
            kind if wire::is_known(kind) => format!("a stream that begins with kind {kind}"),
            _ => return self.refuse_unknown(stream),
        };
        self.note_violation(link, &problem);
        end(stream, CloseCode::PROTOCOL);
    }
}
