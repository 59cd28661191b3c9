//! What the agent says on standard output, from a thread of its own: a reader that stalls holds up nothing but this thread.
//!
//! The bus keeps a bounded number of events; when the thread falls behind, it is told how many it missed, says so
//! (`lagged`), and goes on from a snapshot. A closed pipe ends the output and nothing else.

mod json;
mod text;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use cluster_manager::{Delivery, Event, MemberTable, NodeId, ShutdownReport, Subscription};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::cli::EventFormat;
use crate::texts::Heard;

pub(crate) use json::{body, evidence, streamed, streamed_lag, streamed_text};

/// The first line.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) node: NodeId,
    pub(crate) bind: std::net::SocketAddr,
    pub(crate) admin: Option<std::net::SocketAddr>,
}

/// One thing to say.
#[derive(Debug)]
enum Say<'a> {
    Ready(&'a Ready),
    Event { seq: u64, event: &'a Event },
    Lagged { at: Duration, seq: u64, of: &'static str, missed: u64 },
    Snapshot { at: Duration, seq: u64, members: &'a MemberTable, own: &'a NodeId },
    Message { at: Duration, seq: u64, heard: &'a Heard },
    Shutdown(&'a ShutdownReport),
}

/// The writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    thread: JoinHandle<()>,
    last: SyncSender<ShutdownReport>,
}

impl Writer {
    /// Says `ready`, then everything that comes on the subscription.
    pub(crate) fn start(
        format: EventFormat,
        ready: Ready,
        events: Subscription<MemberTable, Event>,
        heard: broadcast::Receiver<Arc<Heard>>,
    ) -> io::Result<Self> {
        // One report, given once.
        let (last, report) = sync_channel(1);
        let thread = std::thread::Builder::new().name("events".into()).spawn(move || {
            if format != EventFormat::None {
                // An error is a closed pipe: nobody reads any more.
                let _ = write_all(format, &ready, (events, heard), &report);
            }
        })?;
        Ok(Self { thread, last })
    }

    /// Says how the shutdown went, and waits a moment for the reader.
    pub(crate) async fn finish(self, report: ShutdownReport) {
        const PATIENCE: Duration = Duration::from_millis(500);
        // Fails only when the thread has ended, with a closed pipe.
        let _ = self.last.try_send(report);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join());
        // A reader that stalls to the end is left behind.
        let _ = tokio::time::timeout(PATIENCE, joined).await;
    }
}

enum Next {
    Delivery(Delivery<MemberTable, Event>),
    Heard(Arc<Heard>),
    TextsMissed(u64),
}

/// What comes next; `None` at the end of the events.
async fn next(
    events: &mut Subscription<MemberTable, Event>,
    heard: &mut broadcast::Receiver<Arc<Heard>>,
) -> Option<Next> {
    tokio::select! {
        biased;
        delivery = events.recv() => delivery.map(Next::Delivery),
        heard = heard.recv() => match heard {
            Ok(heard) => Some(Next::Heard(heard)),
            Err(RecvError::Lagged(missed)) => Some(Next::TextsMissed(missed)),
            // Only with the agent itself.
            Err(RecvError::Closed) => events.recv().await.map(Next::Delivery),
        },
    }
}

fn write_all(
    format: EventFormat,
    ready: &Ready,
    (mut events, mut heard): (Subscription<MemberTable, Event>, broadcast::Receiver<Arc<Heard>>),
    report: &Receiver<ShutdownReport>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let say = |say: Say<'_>| {
        let line = match format {
            EventFormat::Json => json::line(&say),
            EventFormat::Text => text::line(&say),
            EventFormat::None => return Ok(()),
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(line.as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    };
    say(Say::Ready(ready))?;
    let started = tokio::time::Instant::now();
    let mut seq = 0;
    let mut lagged = false;
    while let Some(next) = runtime.block_on(next(&mut events, &mut heard)) {
        let delivery = match next {
            Next::Delivery(delivery) => delivery,
            Next::TextsMissed(missed) => {
                seq += 1;
                say(Say::Lagged { at: started.elapsed(), seq, of: "messages", missed })?;
                continue;
            }
            Next::Heard(heard) => {
                seq += 1;
                say(Say::Message { at: started.elapsed(), seq, heard: &heard })?;
                continue;
            }
        };
        let members;
        let event;
        let line = match delivery {
            // The first snapshot holds nobody but this node.
            Delivery::Snapshot { .. } if !lagged => continue,
            Delivery::Snapshot { state, .. } => {
                members = state;
                Say::Snapshot { at: started.elapsed(), seq: seq + 1, members: &members, own: &ready.node }
            }
            Delivery::Event { event: shared, .. } => {
                event = shared;
                Say::Event { seq: seq + 1, event: &event }
            }
            Delivery::Lagged { missed } => {
                lagged = true;
                Say::Lagged { at: started.elapsed(), seq: seq + 1, of: "events", missed }
            }
        };
        seq += 1;
        say(line)?;
    }
    // The bus is closed by a shutdown, which is over in a moment; an agent that just ends drops the other side.
    match report.recv() {
        Ok(report) => say(Say::Shutdown(&report)),
        Err(_dropped) => Ok(()),
    }
}
