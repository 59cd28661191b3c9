//! The receiving end of a lane: message after message, in order, and a word for each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::guarded::guarded;
use super::{FRAME_LEN_MAX, Router, add, end};
use crate::frame::{FrameBuffer, FrameError};
use crate::link::{Link, LinkStream};
use crate::peer::{Arrived, Priority, Received, Settling, wire};
use crate::transport::{CloseCode, stream_code};

/// Messages in a row that are handled before their senders are told, if they are there already: one packet tells of all.
const TOLD_TOGETHER: usize = 32;
/// But none waits for that longer than this.
const TOLD_WITHIN: Duration = Duration::from_millis(1);

pub(super) async fn serve(router: &Router, link: &Link, stream: LinkStream, reader: FrameBuffer, priority: Priority) {
    let _turn = tokio::select! {
        biased;
        _over = link.closed() => return,
        turn = router.0.turns.take(link, priority) => turn,
    };
    let settling = Arc::default();
    let lane = Serving { router, link, stream, reader, priority, settling, taken: 0, untold: 0 };
    lane.run().await;
}

struct Serving<'a> {
    router: &'a Router,
    link: &'a Link,
    stream: LinkStream,
    reader: FrameBuffer,
    priority: Priority,
    settling: Arc<Settling>,
    /// Messages that have come.
    taken: u64,
    /// Of these, the ones whose sender was not told yet.
    untold: u64,
}

impl Serving<'_> {
    async fn run(mut self) {
        let (mut ended, mut told_to_go) = (false, false);
        let settling = Arc::clone(&self.settling);
        loop {
            if ended && self.untold == 0 {
                return self.stream.send.finish();
            }
            tokio::select! {
                biased;
                () = settling.some() => {
                    if self.tell().await.is_err() {
                        return;
                    }
                }
                () = self.link.winding_down(), if !told_to_go => {
                    told_to_go = true;
                    if self.stream.send.write_all(&wire::go_away()).await.is_err() {
                        return;
                    }
                }
                frame = self.reader.next(&mut *self.stream.recv, FRAME_LEN_MAX), if !ended => match frame {
                    Ok(Some((kind, body))) => match self.take_all(kind, body).await {
                        Ok(()) => {}
                        Err(FrameError::Io(_)) => return,
                        Err(error) => {
                            self.router.note_violation(self.link, &error);
                            return end(self.stream, CloseCode::PROTOCOL);
                        }
                    },
                    Ok(None) => ended = true,
                    // Given up by the sender, or the link is over.
                    Err(FrameError::Io(error)) => {
                        tracing::debug!(peer = %self.link.node(), code = ?stream_code(&error), %error, "a lane ended");
                        return;
                    }
                    Err(error) => {
                        self.router.note_violation(self.link, &error);
                        return end(self.stream, CloseCode::PROTOCOL);
                    }
                },
            }
        }
    }

    /// Takes one message, and those that have come with it.
    async fn take_all(&mut self, kind: u16, body: Bytes) -> Result<(), FrameError> {
        let began = Instant::now();
        let (mut next, mut taken) = (Some((kind, body)), 0);
        while let Some((kind, body)) = next {
            if self.link.is_dead() {
                // Its sender has given up what it sent here, and may be sending elsewhere.
                return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into());
            }
            self.take_one(kind, body).await?;
            taken += 1;
            if taken >= TOLD_TOGETHER || began.elapsed() >= TOLD_WITHIN {
                break;
            }
            next = self.reader.take(FRAME_LEN_MAX)?;
        }
        Ok(())
    }

    async fn take_one(&mut self, kind: u16, body: Bytes) -> Result<(), FrameError> {
        if kind != wire::KIND_MESSAGE {
            if wire::is_known(kind) {
                return Err(FrameError::Unexpected { found: kind, wanted: "a message" });
            }
            // Something of a later version that has no number.
            add(&self.router.0.counters.unknown);
            return Ok(());
        }
        let (channel, body) = wire::read_channel("a message", body)?;
        self.taken += 1;
        self.untold += 1;
        let number = self.taken;
        let received = Received { channel, body, priority: self.priority, life: self.link.life() };
        let counters = &self.router.0.counters;
        if let Some(handler) = self.router.0.messages.get(&channel) {
            add(&counters.messages);
            let code = match guarded(handler.handle_message(self.link, received)).await {
                Ok(Ok(())) => CloseCode::DONE,
                Ok(Err(turned)) => {
                    self.router.note_turned(&turned);
                    turned.code()
                }
                Err(panicked) => {
                    add(&counters.panics);
                    tracing::error!(peer = %self.link.node(), %channel, %panicked, "a handler panicked");
                    CloseCode::FAILED
                }
            };
            self.settling.settle(number, code);
            return Ok(());
        }
        let arrived = Arrived { received, number, settling: Arc::clone(&self.settling) };
        match self.router.inbox(self.link) {
            Some(inbox) => {
                let put = tokio::select! {
                    biased;
                    put = inbox.put(arrived) => put,
                    // Its sender has given it up.
                    _over = self.link.closed() => return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into()),
                };
                match put {
                    Ok(()) => add(&counters.messages),
                    Err(back) => self.turn_away(&back),
                }
            }
            None => self.turn_away(&arrived),
        }
        Ok(())
    }

    fn turn_away(&self, arrived: &Arrived) {
        add(&self.router.0.counters.refused);
        self.settling.settle(arrived.number, CloseCode::UNSUPPORTED);
    }

    async fn tell(&mut self) -> std::io::Result<()> {
        let settled = self.settling.take(TOLD_TOGETHER);
        self.untold -= settled.len() as u64;
        self.stream.send.write_all(&wire::settled(&settled)).await
    }
}
