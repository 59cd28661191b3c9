//! What happened in a world, in order: a rolling hash of all of it, a checkpoint of the hash now and then, and, where asked
//! for, the events themselves as lines.
//!
//! Two runs of a seed are equal when their hashes are. Where they differ, the checkpoints say within which thousand events,
//! and the lines of that thousand say where.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_types::EventKind;

/// A checkpoint after so many events.
pub const CHECKPOINT_EVERY: u64 = 1_000;

/// FNV-1a of 128 bits, over 64-bit words instead of bytes: it must tell traces apart, and resist nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rolling(u128);

impl Rolling {
    const BASIS: Self = Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    const fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word as u128).wrapping_mul(Self::PRIME);
        // Multiplication carries upwards only; this brings the top down again.
        self.0 ^= self.0 >> 71;
    }

    fn add_text(&mut self, text: &str) {
        self.add(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
    }
}

#[derive(Debug)]
struct Inner {
    hash: Rolling,
    events: u64,
    checkpoints: Vec<u128>,
    window: Range<u64>,
    lines: Vec<String>,
    last_at: Duration,
    /// Packets by pair, time and fate, where a picture is to be drawn.
    flows: Option<BTreeMap<FlowKey, Flow>>,
}

/// Sender, receiver, which tenth of a second, whether it was lost.
type FlowKey = (usize, usize, u64, bool);

/// What went from one node to another within a tenth of a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Flow {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// When the first of them was sent.
    pub(crate) sent: Duration,
    /// When it arrived; `None` when they were lost.
    pub(crate) arrived: Option<Duration>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

const FLOW_MS: u128 = 100;

/// The trace of one world. Cheap to clone; clones are the same trace.
#[derive(Debug, Clone)]
pub struct Trace(Arc<Mutex<Inner>>);

impl Default for Trace {
    fn default() -> Self {
        Self::with_lines(0..0)
    }
}

impl Trace {
    /// A trace that keeps the lines of these events, counted from 0. `0..u64::MAX` keeps all: a hundred bytes an event.
    #[must_use]
    pub fn with_lines(window: Range<u64>) -> Self {
        Self::new(window, None)
    }

    /// A trace that keeps every line, and what a picture of the packets needs.
    #[must_use]
    pub fn with_everything() -> Self {
        Self::new(0..u64::MAX, Some(BTreeMap::new()))
    }

    fn new(window: Range<u64>, flows: Option<BTreeMap<FlowKey, Flow>>) -> Self {
        let inner = Inner {
            hash: Rolling::BASIS,
            events: 0,
            checkpoints: Vec::new(),
            window,
            lines: Vec::new(),
            last_at: Duration::ZERO,
            flows,
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet was given to the network; it arrives at `arrival`, or never.
    pub(crate) fn note_packet(&self, at: Duration, from: usize, to: usize, len: usize, arrival: Option<Duration>) {
        let mut inner = self.lock();
        inner.last_at = at;
        inner.hash.add(nanos(at));
        inner.hash.add(((from as u64) << 32) ^ to as u64);
        inner.hash.add(len as u64);
        inner.hash.add(arrival.map_or(u64::MAX, nanos));
        if let Some(flows) = &mut inner.flows {
            let tenth = u64::try_from(at.as_millis() / FLOW_MS).unwrap_or(u64::MAX);
            let fresh = Flow { from, to, sent: at, arrived: arrival, packets: 0, bytes: 0 };
            let flow = flows.entry((from, to, tenth, arrival.is_none())).or_insert(fresh);
            flow.packets += 1;
            flow.bytes += len as u64;
        }
        inner.end_event(|| match arrival {
            Some(arrival) => format!("{at:?} packet {from} -> {to}, {len} B, there at {arrival:?}"),
            None => format!("{at:?} packet {from} -> {to}, {len} B, lost"),
        });
    }

    /// A node reported something.
    pub(crate) fn note_report(&self, at: Duration, by: usize, kind: &EventKind) {
        self.note_text(at, &format!("node {by} reports {kind:?}"));
    }

    /// Something was done to the world.
    pub(crate) fn note_text(&self, at: Duration, text: &str) {
        let mut inner = self.lock();
        inner.last_at = at;
        inner.hash.add(nanos(at));
        inner.hash.add_text(text);
        inner.end_event(|| format!("{at:?} {text}"));
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> u128 {
        self.lock().hash.0
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.lock().events
    }

    /// When the last one was, since the world's origin.
    #[must_use]
    pub fn last_at(&self) -> Duration {
        self.lock().last_at
    }

    /// The hash after each thousand events.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<u128> {
        self.lock().checkpoints.clone()
    }

    /// What went from whom to whom and when, in order of time.
    pub(crate) fn flows(&self) -> Vec<Flow> {
        let mut flows: Vec<Flow> = self.lock().flows.iter().flatten().map(|(_, flow)| *flow).collect();
        flows.sort_by_key(|flow| (flow.sent, flow.from, flow.to));
        flows
    }

    /// The lines that were kept.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }
}

impl Inner {
    fn end_event(&mut self, line: impl FnOnce() -> String) {
        if self.window.contains(&self.events) {
            let mut text = format!("{} ", self.events);
            // Writing to a String does not fail.
            let _ = text.write_str(&line());
            self.lines.push(text);
        }
        self.events += 1;
        if self.events.is_multiple_of(CHECKPOINT_EVERY) {
            self.checkpoints.push(self.hash.0);
        }
    }
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_hash_tells_every_part_of_an_event_apart() {
        let one = |at, from, to, len, arrival| {
            let trace = Trace::default();
            trace.note_packet(ms(at), from, to, len, arrival);
            trace.hash()
        };
        let base = one(1, 0, 1, 100, Some(ms(2)));
        assert_eq!(base, one(1, 0, 1, 100, Some(ms(2))));
        let others = [
            one(2, 0, 1, 100, Some(ms(2))),
            one(1, 1, 0, 100, Some(ms(2))),
            one(1, 0, 1, 101, Some(ms(2))),
            one(1, 0, 1, 100, None),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn order_counts_and_checkpoints_are_of_the_way() {
        let run = |swapped: bool| {
            let trace = Trace::default();
            for i in 0..2_500u64 {
                let i = if swapped && (1_500..1_502).contains(&i) { 3_001 - i } else { i };
                trace.note_text(ms(0), &format!("event {i}"));
            }
            trace
        };
        let (a, b) = (run(false), run(true));
        assert_ne!(a.hash(), b.hash());
        assert_eq!((a.events(), a.checkpoints().len()), (2_500, 2));
        assert_eq!(a.checkpoints()[0], b.checkpoints()[0]);
        assert_ne!(a.checkpoints()[1], b.checkpoints()[1]);
    }

    #[test]
    fn only_the_lines_asked_for_are_kept() {
        let trace = Trace::with_lines(1..3);
        (0..5).for_each(|i| trace.note_text(ms(i), "x"));
        assert_eq!(trace.lines(), ["1 1ms x", "2 2ms x"]);
    }
}
