//! Background traffic of a stack world: every node talks with three others all the while, by messages of three priorities, requests,
//! and streams that are finished or given up; and two callers want the same link, of whom one goes away. Each of these has a number, and the
//! ledger says how it ended on both sides.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster_manager::{Channel, Cluster, Message, MessageError, NodeId};
use cluster_pool::link::LinkStream;
use cluster_pool::router::RouterBuilder;
use cluster_pool::{DialError, Fate, Link, PoolError, Priority, Received, StreamHandler, message_fn, request_fn};
use cluster_types::seed::Draws;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::ledger::{End, Kind, Ledger, Run};
use crate::host::gate::Gate;
use crate::{reachable, sometimes};

const TALK: Channel = Channel(11);
const ASK: Channel = Channel(12);
const LOAD: Channel = Channel(13);

/// Between two things that a node sends, at least and beyond that.
const PAUSE_MS: (u64, u64) = (500, 3_000);

/// What waits for longer is not sent any more.
const TIME_TO_LIVE: Duration = Duration::from_secs(8);

/// A request or a stream that has no end after this has none.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A stream is so long at most.
const STREAM_MAX: u64 = 20_000;

fn number_of(body: &[u8]) -> Option<u64> {
    body.first_chunk().map(|number| u64::from_le_bytes(*number))
}

/// Adds what receives the traffic to what a node serves, each message and each request within a time.
pub(super) fn serve(builder: RouterBuilder, ledger: &Ledger, by: Run, handling: Duration) -> RouterBuilder {
    let talk = ledger.clone();
    let ask = ledger.clone();
    builder
        .on_message(
            TALK,
            message_fn(move |_from: Link, message: Received| {
                talk.counts.taken(by);
                number_of(&message.body).into_iter().for_each(|number| talk.take(number, by));
                async move {
                    take_time(handling).await;
                    Ok(())
                }
            }),
        )
        .on_request(
            ASK,
            request_fn(move |_from: Link, body: Bytes| {
                ask.counts.asked(by);
                number_of(&body).into_iter().for_each(|number| ask.take(number, by));
                async move {
                    take_time(handling).await;
                    Ok(body)
                }
            }),
        )
        .on_stream(LOAD, Arc::new(Load(ledger.clone(), by)))
}

/// Not even a yield where none is asked for.
async fn take_time(span: Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}

/// Reads a stream to its end, and answers with its number when it was whole.
#[derive(Debug)]
struct Load(Ledger, Run);

#[async_trait]
impl StreamHandler for Load {
    async fn handle(&self, _link: &Link, mut stream: LinkStream) {
        let mut bytes = Vec::new();
        let whole = stream.recv.read_to_end(&mut bytes).await.is_ok();
        let Some(number) = number_of(&bytes).filter(|_| whole) else { return };
        self.0.take(number, self.1);
        if stream.send.write_all(&number.to_le_bytes()).await.is_ok() {
            stream.send.finish();
        }
    }
}

/// One node's part of the traffic.
#[derive(Debug)]
pub(super) struct Talker {
    pub(super) cluster: Cluster,
    pub(super) ledger: Ledger,
    pub(super) run: Run,
    pub(super) draws: Draws,
    /// Where what waits for its end waits.
    pub(super) tasks: Gate,
    /// Nothing new is sent after this.
    pub(super) until: Instant,
}

impl Talker {
    /// Talks until it is time to stop.
    pub(super) async fn talk(mut self) {
        while Instant::now() < self.until {
            tokio::time::sleep(Duration::from_millis(PAUSE_MS.0 + self.draws.below(PAUSE_MS.1))).await;
            let Some(to) = self.somebody() else { continue };
            match self.draws.below(10) {
                0..=4 => self.send(to).await,
                5 | 6 => self.ask(to),
                7 => self.want_link(to),
                _ => self.load(to),
            }
        }
    }

    /// One of three others: connections to all would be more than any database has.
    fn somebody(&mut self) -> Option<NodeId> {
        let own = self.cluster.node().clone();
        let members = self.cluster.members().into_iter().filter(|member| member.state.is_live());
        let names: Vec<NodeId> = members.map(|member| member.node).collect();
        let at = names.iter().position(|name| *name == own)?;
        let away = [1, 2, names.len() / 2][self.draws.below(3) as usize];
        names.get((at + away) % names.len()).filter(|name| **name != own).cloned()
    }

    async fn send(&mut self, to: NodeId) {
        let priority = [Priority::High, Priority::Normal, Priority::Low][self.draws.below(3) as usize];
        let number = self.ledger.begin(Kind::Message(priority), self.run);
        let message = Message::new(TALK, number.to_le_bytes().to_vec());
        let message = message.with_priority(priority).with_time_to_live(TIME_TO_LIVE);
        let (ledger, run) = (self.ledger.clone(), self.run);
        match self.cluster.send(&to, message).await {
            Ok(ticket) => {
                ledger.counts.queued(run);
                self.tasks.spawn_here(async move {
                    let outcome = ticket.await;
                    ledger.counts.ended(run, &outcome);
                    let end = End::from(&outcome);
                    sometimes!(end == End::Maybe, "nobody knows whether a message of the traffic was delivered");
                    ledger.end(number, end);
                });
            }
            Err(error) => {
                if matches!(error, MessageError::Rejected(_)) {
                    ledger.counts.rejected(run);
                }
                ledger.end(number, of(error.fate()));
            }
        }
    }

    fn ask(&self, to: NodeId) {
        let number = self.ledger.begin(Kind::Request, self.run);
        let (cluster, ledger, run) = (self.cluster.clone(), self.ledger.clone(), self.run);
        self.tasks.spawn_here(async move {
            let end = match cluster.peer(&to) {
                Ok(peer) => {
                    ledger.counts.requested(run);
                    let reply = peer.request(ASK, number.to_le_bytes().to_vec(), TIMEOUT).await;
                    ledger.counts.answered(run, reply.is_ok());
                    reply.map_or_else(|error| of(error.fate()), |_reply| End::Done)
                }
                Err(error) => of(error.fate()),
            };
            sometimes!(end == End::NotSent, "a request was certainly not handled");
            ledger.end(number, end);
        });
    }

    /// A stream that is finished, or given up half way.
    fn load(&mut self, to: NodeId) {
        let (number, len) = (self.ledger.begin(Kind::Stream, self.run), 8 + self.draws.below(STREAM_MAX));
        let whole = self.draws.below(4) > 0;
        let (cluster, ledger) = (self.cluster.clone(), self.ledger.clone());
        self.tasks.spawn_here(async move {
            let sent = tokio::time::timeout(TIMEOUT, stream(&cluster, &to, number, len, whole)).await;
            let end = match sent {
                Ok(Some(end)) => end,
                // It was never finished: no handler may take it for whole.
                Ok(None) | Err(_) if !whole => End::NotSent,
                Ok(None) | Err(_) => End::Maybe,
            };
            if end == End::Done {
                reachable!("a stream of the traffic is acknowledged");
            }
            ledger.end(number, end);
        });
    }

    /// Two callers want the same link, and one of them goes away.
    fn want_link(&mut self, to: NodeId) {
        let given_up = Duration::from_micros(self.draws.below(3_000));
        let (impatient, wanted) = (self.cluster.clone(), to.clone());
        self.tasks.spawn_here(async move {
            // Whether it is there by then is nothing to anybody.
            let _ = tokio::time::timeout(given_up, impatient.link(&wanted)).await;
        });
        let (cluster, ledger, run) = (self.cluster.clone(), self.ledger.clone(), self.run);
        let number = ledger.begin(Kind::Link, run);
        self.tasks.spawn_here(async move {
            let link = cluster.link(&to).await;
            let cancelled =
                matches!(&link, Err(PoolError::Dial { source, .. }) if matches!(**source, DialError::Closing));
            // While the node is told to stop, all dials are cancelled.
            if cancelled && cluster.member(cluster.node().as_str()).is_some_and(|own| own.state.is_live()) {
                ledger.complain(format!(
                    "a caller on {run:?} who wants a link to {to} is told of another's cancellation"
                ));
            }
            ledger.end(number, End::Maybe);
        });
    }
}

/// Sends so many messages at once, and waits for their ends.
pub(super) async fn burst(cluster: Cluster, to: NodeId, ledger: Ledger, run: Run, messages: u64) {
    let Ok(peer) = cluster.peer(&to) else { return };
    let mut waiting = Vec::new();
    for n in 0..messages {
        let priority = [Priority::Low, Priority::Normal, Priority::High][(n % 3) as usize];
        let number = ledger.begin(Kind::Message(priority), run);
        let mut body = number.to_le_bytes().to_vec();
        body.resize(if n % LONG_EVERY == LONG_EVERY / 3 { LONG_LEN } else { BURST_LEN }, 7);
        match peer.try_send(Message::new(TALK, body).with_priority(priority).with_time_to_live(TIME_TO_LIVE)) {
            Ok(ticket) => {
                ledger.counts.queued(run);
                waiting.push((number, ticket));
            }
            Err(_rejected) => {
                ledger.counts.rejected(run);
                ledger.end(number, End::NotSent);
            }
        }
    }
    for (number, ticket) in waiting {
        let outcome = ticket.await;
        ledger.counts.ended(run, &outcome);
        ledger.end(number, End::from(&outcome));
    }
}

/// So many that a lane is full after a few dozen.
const BURST_LEN: usize = 2_000;

/// One in so many is longer than a stream takes at once: its link may end while it is being written.
const LONG_EVERY: u64 = 96;
const LONG_LEN: usize = 1 << 20;

const fn of(fate: Fate) -> End {
    match fate {
        Fate::NotSent => End::NotSent,
        Fate::MaybeDelivered => End::Maybe,
    }
}

/// Sends a stream and waits for the answer, or gives it up half way; `None` when it did not come to that.
async fn stream(cluster: &Cluster, to: &NodeId, number: u64, len: u64, whole: bool) -> Option<End> {
    let mut stream = cluster.open_stream(to, LOAD, TIMEOUT).await.ok()?;
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(usize::try_from(len).unwrap_or(8), 7);
    stream.send.write_all(&bytes).await.ok()?;
    if !whole {
        return Some(End::NotSent);
    }
    stream.send.finish();
    let mut answer = [0; 8];
    stream.recv.read_exact(&mut answer).await.ok()?;
    (u64::from_le_bytes(answer) == number).then_some(End::Done)
}
