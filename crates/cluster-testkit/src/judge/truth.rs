//! What really was the case, read off the schedule: who ran, who was stopped, who could reach whom. The checks hold what the
//! nodes reported against it.

use std::time::Duration;

use super::locks::{Lock, Locks};
use crate::net::LinkModel;
use crate::scenario::{Act, PathFault, Scenario};

/// From when to when, in milliseconds; the end is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

const NEVER: u64 = u64::MAX;

impl Span {
    pub(super) const fn contains(&self, at: u64) -> bool {
        self.from <= at && at < self.to
    }

    /// How long it lasts, up to `at` at most.
    pub(super) const fn length_until(&self, at: u64) -> u64 {
        let to = if self.to < at { self.to } else { at };
        to.saturating_sub(self.from)
    }

    const fn overlaps(&self, from: u64, to: u64) -> bool {
        self.from < to && from < self.to
    }
}

/// One process of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) ran: Span,
    /// It was told to leave, at the end of `ran`.
    pub(super) left: bool,
}

/// Nothing from these to those, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) span: Span,
    /// What mends it alone, if anything does.
    id: Option<u32>,
    /// Whose new links it stops, where it is a lock and no cut: links that are there go on, and nobody else is touched.
    pub(super) locked: Option<usize>,
    from: Vec<bool>,
    to: Vec<bool>,
}

impl Cut {
    pub(super) fn stops(&self, from: usize, to: usize) -> bool {
        self.from[from] && self.to[to]
    }

    fn touches(&self, node: usize) -> bool {
        self.locked.map_or(self.from[node] || self.to[node], |locked| locked == node)
    }
}

/// How rough some paths are, for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rough {
    span: Span,
    id: Option<u32>,
    slowest: Duration,
    loss: f64,
}

/// The truth of one scenario.
#[derive(Debug)]
pub(super) struct Truth {
    processes: Vec<Vec<Process>>,
    pauses: Vec<Vec<Span>>,
    pub(super) cuts: Vec<Cut>,
    rough: Vec<Rough>,
    pub(super) until: u64,
}

impl Truth {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let nodes = scenario.nodes();
        let mut truth = Self {
            processes: vec![Vec::new(); nodes],
            pauses: vec![Vec::new(); nodes],
            cuts: Vec::new(),
            rough: Vec::new(),
            until: scenario.until_ms,
        };
        truth.roughen(0, None, &scenario.links);
        for step in &scenario.steps {
            truth.note(step.at_ms, &step.act);
        }
        let all: Vec<usize> = (0..nodes).collect();
        for Lock { node, span } in Locks::of(scenario).excused {
            for (from, to) in [(&[node][..], &all[..]), (&all, &[node])] {
                truth.cuts.push(Cut { span, locked: Some(node), ..truth.cut_of(span.from, None, from, to) });
            }
        }
        truth
    }

    fn note(&mut self, at: u64, act: &Act) {
        match act {
            Act::Start { node, .. } | Act::StartAt { node, .. } => {
                self.end_pause(*node, at);
                self.processes[*node].push(Process { ran: Span { from: at, to: NEVER }, left: false });
            }
            Act::Crash(node) | Act::Leave(node) => {
                if let Some(process) = self.processes[*node].last_mut() {
                    process.ran.to = process.ran.to.min(at);
                    process.left |= matches!(act, Act::Leave(_));
                }
                self.end_pause(*node, at);
            }
            Act::Pause(node) | Act::HalfStop(node) if self.runs(*node, at) => {
                self.pauses[*node].push(Span { from: at, to: NEVER })
            }
            Act::Pause(_) | Act::HalfStop(_) => {}
            Act::Resume(node) => self.end_pause(*node, at),
            Act::Cut { from, to } => self.cut(at, None, from, to),
            Act::Split(left, right) => {
                self.cut(at, None, left, right);
                self.cut(at, None, right, left);
            }
            Act::Fault { id, from, to, fault } => match fault {
                PathFault::Cut | PathFault::Hold => self.cut(at, Some(*id), from, to),
                PathFault::Like(model) => self.roughen(at, Some(*id), model),
            },
            Act::Mend(id) => self.mend(at, Some(*id)),
            Act::Heal => self.mend(at, None),
            Act::Links(model) => {
                let base = self.rough.iter_mut().filter(|rough| rough.id.is_none());
                base.for_each(|rough| rough.span.to = rough.span.to.min(at));
                self.roughen(at, None, model);
            }
            Act::BlockApplication(_)
            | Act::StepWallClock { .. }
            | Act::CloseLinks { .. }
            | Act::Wipe(_)
            | Act::Disk { .. }
            | Act::DiskFault { .. }
            | Act::Drift { .. }
            | Act::Echo(_)
            // Who is reached over another address is reached all the time.
            | Act::Rebind(_)
            // What becomes of these is in the locks.
            | Act::Rotate { .. }
            | Act::Names(_)
            | Act::Metadata { .. }
            | Act::Broadcast { .. }
            | Act::Transfer { .. }
            | Act::Burst { .. }
            | Act::PingPong { .. } => {}
        }
    }

    fn end_pause(&mut self, node: usize, at: u64) {
        self.pauses[node].iter_mut().for_each(|pause| pause.to = pause.to.min(at));
    }

    fn cut(&mut self, at: u64, id: Option<u32>, from: &[usize], to: &[usize]) {
        self.cuts.push(self.cut_of(at, id, from, to));
    }

    fn cut_of(&self, at: u64, id: Option<u32>, from: &[usize], to: &[usize]) -> Cut {
        let mask = |these: &[usize]| (0..self.nodes()).map(|node| these.contains(&node)).collect();
        let span = Span { from: at, to: NEVER };
        Cut { span, id, locked: None, from: mask(from), to: mask(to) }
    }

    fn roughen(&mut self, at: u64, id: Option<u32>, model: &LinkModel) {
        let span = Span { from: at, to: NEVER };
        let queue = model
            .bandwidth
            .map_or(Duration::ZERO, |b| Duration::from_secs_f64(b.queue_bytes as f64 / b.bytes_per_s.max(1) as f64));
        let loss =
            model.loss.max(model.burst.map_or(0.0, |burst| burst.loss * burst.begin / (burst.begin + burst.end)));
        self.rough.push(Rough { span, id, slowest: model.latency.highest() + queue, loss });
    }

    /// Ends one fault of paths, or all of them.
    fn mend(&mut self, at: u64, id: Option<u32>) {
        let ends = |of: Option<u32>| id.is_none() || of == id;
        self.cuts.iter_mut().filter(|cut| ends(cut.id)).for_each(|cut| cut.span.to = cut.span.to.min(at));
        let faults = self.rough.iter_mut().filter(|rough| rough.id.is_some() && ends(rough.id));
        faults.for_each(|rough| rough.span.to = rough.span.to.min(at));
    }

    /// How much longer than on a perfect network things may take that happen up to a time, from some time on: eight of the longest
    /// ways, and what it takes to repeat what is lost.
    pub(super) fn allowance(&self, from: u64, to: u64) -> u64 {
        let rough = self.rough.iter().filter(|rough| rough.span.overlaps(from, to.max(from + 1)));
        let of = |rough: &Rough| {
            let repeats = if rough.loss > 0.2 {
                3_000
            } else if rough.loss > 0.02 {
                1_000
            } else {
                0
            };
            8 * u64::try_from(rough.slowest.as_millis()).unwrap_or(u64::MAX / 16) + repeats
        };
        rough.map(of).max().unwrap_or(0)
    }

    /// Every moment at which something changed, in order.
    pub(super) fn changes(&self) -> Vec<u64> {
        let processes = self.processes.iter().flatten().flat_map(|process| [process.ran.from, process.ran.to]);
        let pauses = self.pauses.iter().flatten().flat_map(|span| [span.from, span.to]);
        let cuts = self.cuts.iter().flat_map(|cut| [cut.span.from, cut.span.to]);
        let mut all: Vec<u64> = processes.chain(pauses).chain(cuts).filter(|at| *at <= self.until).collect();
        all.push(0);
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether a node ran all the time and was not stopped.
    pub(super) fn is_up_between(&self, node: usize, from: u64, to: u64) -> bool {
        self.up_spans(node).iter().any(|span| span.from <= from && to < span.to)
    }

    /// Whether no new link between two need have come up by a time.
    pub(super) fn is_locked(&self, a: usize, b: usize, at: u64) -> bool {
        self.cuts.iter().any(|cut| cut.locked.is_some() && cut.span.contains(at) && cut.stops(a, b))
    }

    /// Whether a node ran and was not stopped at a time.
    pub(super) fn is_up(&self, node: usize, at: u64) -> bool {
        self.runs(node, at) && !self.pauses[node].iter().any(|pause| pause.contains(at))
    }

    /// Spans in which a node ran and was not stopped, in order.
    pub(super) fn up_spans(&self, node: usize) -> Vec<Span> {
        let mut spans = Vec::new();
        for process in &self.processes[node] {
            let mut from = process.ran.from;
            for pause in self.pauses[node].iter().filter(|pause| pause.overlaps(process.ran.from, process.ran.to)) {
                spans.push(Span { from, to: pause.from });
                from = pause.to;
            }
            spans.push(Span { from, to: process.ran.to });
        }
        spans.retain(|span| span.from < span.to);
        spans
    }

    pub(super) fn nodes(&self) -> usize {
        self.processes.len()
    }

    /// The processes of a node, in order.
    pub(super) fn processes(&self, node: usize) -> &[Process] {
        &self.processes[node]
    }

    /// Whether a node ran at a time.
    pub(super) fn runs(&self, node: usize, at: u64) -> bool {
        self.processes[node].iter().any(|process| process.ran.contains(at))
    }

    /// Whether a node ran all the time, was not stopped, and no path of it was cut.
    pub(super) fn is_well_between(&self, node: usize, from: u64, to: u64) -> bool {
        let runs = self.processes[node].iter().any(|p| p.ran.from <= from && to <= p.ran.to);
        runs && self.troubles(node).iter().all(|span| !span.overlaps(from, to))
    }

    /// Spans in which a node was down or stopped.
    pub(super) fn absences(&self, node: usize) -> Vec<Span> {
        let processes = &self.processes[node];
        let ends = processes.iter().map(|process| process.ran.to).filter(|end| *end != NEVER);
        let mut spans: Vec<Span> = ends
            .map(|from| Span { from, to: processes.iter().map(|p| p.ran.from).find(|at| *at >= from).unwrap_or(NEVER) })
            .collect();
        spans.extend(&self.pauses[node]);
        joined(spans)
    }

    /// Spans in which a node was down, stopped, or cut off from somebody in either direction.
    pub(super) fn troubles(&self, node: usize) -> Vec<Span> {
        let mut spans = self.absences(node);
        let touching = self.cuts.iter().filter(|cut| cut.touches(node));
        spans.extend(touching.map(|cut| cut.span));
        joined(spans)
    }
}

/// Spans that overlap or follow each other at once are one.
fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| span.from);
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
            _ => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Latency;
    use std::time::Duration;

    const fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn the_schedule_says_who_was_well_and_when() {
        let scenario = Scenario::new("x")
            .cluster(4)
            .at(s(10), Act::Crash(1))
            .at(s(12), Act::Start { node: 1, seeds: vec![0] })
            .at(s(20), Act::Pause(2))
            .at(s(25), Act::Resume(2))
            .at(s(30), Act::Cut { from: vec![3], to: vec![0] })
            .at(s(40), Act::Heal)
            .at(s(50), Act::Leave(3))
            .then_quiet(s(10));
        let truth = Truth::of(&scenario);
        assert!(truth.runs(1, 9_999) && !truth.runs(1, 11_000) && truth.runs(1, 12_000));
        assert!(truth.is_well_between(1, 0, 10_000) && !truth.is_well_between(1, 9_000, 13_000));
        assert_eq!(truth.troubles(2), [Span { from: 20_000, to: 25_000 }]);
        assert_eq!(truth.cuts.len(), 1);
        assert_eq!(truth.cuts[0].span, Span { from: 30_000, to: 40_000 });
        assert!(truth.cuts[0].stops(3, 0) && !truth.cuts[0].stops(0, 3) && !truth.cuts[0].stops(3, 1));
        assert_eq!(truth.changes(), [0, 10_000, 12_000, 20_000, 25_000, 30_000, 40_000, 50_000]);
        assert!(!truth.is_well_between(0, 35_000, 36_000), "deaf to one is not well");
        assert!(truth.is_well_between(0, 40_000, 60_000));
        assert!(truth.processes(3)[0].left && !truth.processes(1)[0].left);
    }

    #[test]
    fn a_fault_is_mended_alone_and_rough_paths_take_longer() {
        let cut = |id, from, to| Act::Fault { id, from: vec![from], to: vec![to], fault: PathFault::Cut };
        let slow = LinkModel::lan().with_latency(Latency::Constant(Duration::from_millis(100))).with_loss(0.3);
        let scenario = Scenario::new("x")
            .cluster(3)
            .at(s(10), cut(1, 0, 1))
            .at(s(11), cut(2, 1, 2))
            .at(s(20), Act::Mend(1))
            .at(s(30), Act::Fault { id: 3, from: vec![0], to: vec![1], fault: PathFault::Like(slow) })
            .at(s(40), Act::Heal)
            .then_quiet(s(10));
        let truth = Truth::of(&scenario);
        let spans: Vec<Span> = truth.cuts.iter().map(|cut| cut.span).collect();
        assert_eq!(spans, [Span { from: 10_000, to: 20_000 }, Span { from: 11_000, to: 40_000 }]);
        // Eight ways of 2 ms; then of 100 ms, and three seconds for a loss of 30 %.
        let allowed =
            [(0, 29_000), (0, 30_001), (35_000, 36_000), (40_000, 41_000)].map(|(a, b)| truth.allowance(a, b));
        assert_eq!(allowed, [16, 3_800, 3_800, 16]);
    }

    #[test]
    fn a_stop_within_a_stop_ends_with_it_and_the_dead_are_not_stopped() {
        let scenario = Scenario::new("x")
            .cluster(2)
            .at(s(10), Act::Pause(1))
            .at(s(15), Act::Pause(1))
            .at(s(18), Act::Resume(1))
            .at(s(30), Act::Crash(1))
            .at(s(31), Act::Pause(1))
            .at(s(32), Act::Start { node: 1, seeds: vec![0] })
            .then_quiet(s(60));
        let truth = Truth::of(&scenario);
        let spans = [Span { from: 10_000, to: 18_000 }, Span { from: 30_000, to: 32_000 }];
        assert_eq!(truth.absences(1), spans);
        let up = [(0, 10_000), (18_000, 30_000), (32_000, NEVER)].map(|(from, to)| Span { from, to });
        assert_eq!(truth.up_spans(1), up);
    }
}
