//! One lane: a stream for the messages of one priority. At most one message is being written, and so many wait for the
//! receiver's word.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use super::config::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_LEN_MAX};
use super::message::Priority;
use super::queue::Waiting;
use super::wire;
use crate::frame::{FrameBuffer, FrameError};
use crate::link::LinkStream;
use crate::transport::CloseCode;

/// Longest frame on the way back: what is settled of a few hundred messages.
const WORD_LEN_MAX: usize = 8 * 1024;

/// What a lane has to say.
#[derive(Debug)]
pub(super) enum Step {
    /// A message is written: there may be room for the next.
    Written,
    /// The receiver's word for some messages.
    Settled(Vec<(Waiting, CloseCode)>),
    /// The receiver takes nothing new.
    GoAway,
    /// It is over.
    Failed(FrameError),
}

pub(super) struct Lane {
    stream: LinkStream,
    reader: FrameBuffer,
    /// What is to be written next.
    pieces: VecDeque<Bytes>,
    /// The message that is being written.
    writing: Option<Waiting>,
    in_flight: BTreeMap<u64, Waiting>,
    in_flight_bytes: usize,
    next_number: u64,
}

impl Lane {
    pub(super) fn new(priority: Priority, stream: LinkStream) -> Self {
        Self {
            stream,
            reader: FrameBuffer::default(),
            pieces: VecDeque::from([wire::lane(priority)]),
            writing: None,
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            next_number: 1,
        }
    }

    /// Whether a message of that length may be written now. One that is longer than all that may be under way goes alone.
    pub(super) fn is_ready_for(&self, len: usize) -> bool {
        let room = self.in_flight.len() < IN_FLIGHT_LEN_MAX && self.in_flight_bytes + len <= IN_FLIGHT_BYTES_MAX;
        // Each message that is settled has the next one looked at, so a smaller window holds nothing up for good.
        let full = !self.in_flight.is_empty() && cluster_sites::buggify!(crate::sites::WINDOW_OF_ONE);
        self.writing.is_none() && !full && (room || self.in_flight.is_empty())
    }

    /// Begins to write a message.
    pub(super) fn write(&mut self, waiting: Waiting) {
        let (channel, body) = (waiting.message.channel, &waiting.message.body);
        self.pieces.push_back(wire::message(channel, body));
        self.writing = Some(waiting);
    }

    /// Messages under way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether nothing is being written and nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.writing.is_none() && self.in_flight.is_empty()
    }

    /// Says that nothing more comes.
    pub(super) fn finish(mut self) {
        self.stream.send.finish();
    }

    /// Ends it: what was being written, and certainly did not arrive as a whole; and what was under way.
    pub(super) fn give_up(self) -> (Option<Waiting>, Vec<Waiting>) {
        (self.writing, self.in_flight.into_values().collect())
    }

    /// Writes what is to be written, and reads what the receiver says.
    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Poll::Ready(step) = self.poll_read(cx) {
            return Poll::Ready(step);
        }
        match ready!(self.poll_write(cx)) {
            Ok(()) => {
                if let Some(written) = self.writing.take() {
                    self.in_flight_bytes += written.message.body.len();
                    self.in_flight.insert(self.next_number, written);
                    self.next_number += 1;
                    return Poll::Ready(Step::Written);
                }
                Poll::Pending
            }
            Err(error) => Poll::Ready(Step::Failed(error.into())),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(piece) = self.pieces.front_mut() {
            let written = ready!(std::pin::Pin::new(&mut *self.stream.send).poll_write(cx, piece))?;
            piece.advance(written);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            match self.reader.take(WORD_LEN_MAX) {
                Ok(Some((kind, body))) => match self.word(kind, body) {
                    Some(step) => return Poll::Ready(step),
                    // A word of a later version.
                    None => continue,
                },
                Ok(None) => {}
                Err(error) => return Poll::Ready(Step::Failed(error.into())),
            }
            match ready!(self.reader.poll_fill(cx, &mut *self.stream.recv)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Step::Failed(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
                Err(error) => return Poll::Ready(Step::Failed(error.into())),
            }
        }
    }

    /// What the receiver says; nothing where it is not known here.
    fn word(&mut self, kind: u16, body: Bytes) -> Option<Step> {
        match kind {
            wire::KIND_SETTLED => Some(match wire::read_settled(body) {
                // A number that is not under way is a receiver's mistake that harms nobody.
                Ok(numbers) => {
                    Step::Settled(numbers.into_iter().filter_map(|(n, code)| self.settle(n, code)).collect())
                }
                Err(error) => Step::Failed(error),
            }),
            wire::KIND_GOAWAY => Some(Step::GoAway),
            found if wire::is_known(found) => {
                Some(Step::Failed(FrameError::Unexpected { found, wanted: "the receiver's word" }))
            }
            _ => None,
        }
    }

    fn settle(&mut self, number: u64, code: CloseCode) -> Option<(Waiting, CloseCode)> {
        let waiting = self.in_flight.remove(&number)?;
        self.in_flight_bytes -= waiting.message.body.len();
        Some((waiting, code))
    }
}
