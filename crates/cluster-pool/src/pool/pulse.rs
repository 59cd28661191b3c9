//! Is anybody there? On a users' link that is in use both sides ask once a second, by datagram, and answer at once.
//!
//! QUIC's idle time finds a path on which nothing is heard. A path that is dead one way only it does not: the other side repeats
//! what it believes to be lost, and is heard. Here an answer must come within seven seconds, which forgives a stop of five; or at
//! least so many bytes that whoever sends them is busy and not gone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::link::Link;
use crate::transport::{CloseCode, ConnectionError};

/// How often an answer is asked for.
const EVERY: Duration = Duration::from_secs(1);
/// A path on which none comes for so long is replaced. With one second until the first question and one until it is noticed: 9 s.
const PATIENCE: Duration = Duration::from_secs(7);
/// This side itself was late by so much: nobody is to blame for the time before.
const OWN_GAP: Duration = Duration::from_secs(2);
/// Bytes within the patience that only somebody sends who is there: repeats of lost packets are fewer.
const BUSY: u64 = 64 * 1024;

const QUESTION: u8 = 1;
const ANSWER: u8 = 2;

/// The answers of one link.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// The highest number that was answered.
    answered: AtomicU64,
}

fn datagram(kind: u8, number: u64) -> Bytes {
    let mut bytes = [kind; 9];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    Bytes::copy_from_slice(&bytes)
}

impl Pulse {
    /// A datagram of the peer's: a question is answered, an answer noted, and anything else is nothing.
    pub(super) fn handle(&self, link: &Link, bytes: &[u8]) {
        let Some((kind, Some(number))) = bytes.split_first().map(|(kind, rest)| (*kind, rest.first_chunk())) else {
            return;
        };
        let number = u64::from_le_bytes(*number);
        match kind {
            // A link that is over needs no answer.
            QUESTION => drop(link.send_datagram(datagram(ANSWER, number))),
            ANSWER => drop(self.answered.fetch_max(number, Ordering::AcqRel)),
            _ => {}
        }
    }

    /// Asks while the link is in use; ends when nobody answers, and closes it then.
    pub(super) async fn watch(&self, link: &Link) -> ConnectionError {
        let mut number = 0;
        // The first question without an answer: its number, when it was asked, and the bytes received by then.
        let mut unanswered: Option<(u64, Instant, u64)> = None;
        let mut looked_at = Instant::now();
        loop {
            // Where an answer is missing, more often: questions and answers are lost like any packet.
            let pause = if unanswered.is_some() { EVERY / 2 } else { EVERY };
            tokio::time::sleep(pause).await;
            let late = looked_at.elapsed() >= pause + OWN_GAP;
            looked_at = Instant::now();
            let answered = self.answered.load(Ordering::Acquire);
            if late || unanswered.is_some_and(|(first, ..)| answered >= first) {
                unanswered = None;
            }
            // A question that was asked is followed up, whether or not anybody uses the link at this very moment.
            if link.is_idle() && unanswered.is_none() {
                continue;
            }
            if let Some((_, asked_at, received)) = &mut unanswered
                && asked_at.elapsed() >= PATIENCE
            {
                let now = link.bytes().1;
                if now.saturating_sub(*received) < BUSY {
                    cluster_sites::reachable!(crate::sites::SILENT_LINK);
                    link.close(CloseCode::SILENT);
                    return ConnectionError::TimedOut;
                }
                (*asked_at, *received) = (Instant::now(), now);
            }
            number += 1;
            if let Err(error) = link.send_datagram(datagram(QUESTION, number)) {
                return error;
            }
            unanswered.get_or_insert((number, looked_at, link.bytes().1));
        }
    }
}
