//! Background traffic of a stack world: every node talks with three others all the while, by messages of three priorities, requests and
//! streams. Each thing that is sent has a number, and the ledger says how it ended on both sides.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster_manager::{Channel, Cluster, Message, NodeId};
use cluster_pool::link::LinkStream;
use cluster_pool::router::RouterBuilder;
use cluster_pool::{Fate, Link, Priority, Received, StreamHandler, message_fn, request_fn};
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
                5..=7 => self.ask(to),
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
        let ledger = self.ledger.clone();
        match self.cluster.send(&to, message).await {
            Ok(ticket) => self.tasks.spawn_here(async move {
                let end = End::from(&ticket.await);
                sometimes!(end == End::Maybe, "nobody knows whether a message of the traffic was delivered");
                ledger.end(number, end);
            }),
            Err(error) => ledger.end(number, of(error.fate())),
        }
    }

    fn ask(&self, to: NodeId) {
        let number = self.ledger.begin(Kind::Request, self.run);
        let (cluster, ledger) = (self.cluster.clone(), self.ledger.clone());
        self.tasks.spawn_here(async move {
            let end = match cluster.request(&to, ASK, number.to_le_bytes().to_vec(), TIMEOUT).await {
                Ok(_) => End::Done,
                Err(error) => of(error.fate()),
            };
            sometimes!(end == End::NotSent, "a request was certainly not handled");
            ledger.end(number, end);
        });
    }

    fn load(&mut self, to: NodeId) {
        let (number, len) = (self.ledger.begin(Kind::Stream, self.run), 8 + self.draws.below(STREAM_MAX));
        let (cluster, ledger) = (self.cluster.clone(), self.ledger.clone());
        self.tasks.spawn_here(async move {
            let whole = tokio::time::timeout(TIMEOUT, stream(&cluster, &to, number, len)).await;
            let done = matches!(whole, Ok(Some(())));
            if done {
                reachable!("a stream of the traffic is acknowledged");
            }
            ledger.end(number, if done { End::Done } else { End::Maybe });
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
        body.resize(BURST_LEN, 7);
        match peer.try_send(Message::new(TALK, body).with_priority(priority).with_time_to_live(TIME_TO_LIVE)) {
            Ok(ticket) => waiting.push((number, ticket)),
            Err(_rejected) => ledger.end(number, End::NotSent),
        }
    }
    for (number, ticket) in waiting {
        ledger.end(number, End::from(&ticket.await));
    }
}

/// So many that a lane is full after a few dozen.
const BURST_LEN: usize = 2_000;

const fn of(fate: Fate) -> End {
    match fate {
        Fate::NotSent => End::NotSent,
        Fate::MaybeDelivered => End::Maybe,
    }
}

async fn stream(cluster: &Cluster, to: &NodeId, number: u64, len: u64) -> Option<()> {
    let mut stream = cluster.open_stream(to, LOAD, TIMEOUT).await.ok()?;
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(usize::try_from(len).unwrap_or(8), 7);
    stream.send.write_all(&bytes).await.ok()?;
    stream.send.finish();
    let mut answer = [0; 8];
    stream.recv.read_exact(&mut answer).await.ok()?;
    (u64::from_le_bytes(answer) == number).then_some(())
}
