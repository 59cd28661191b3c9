//! What really was the case, read off the schedule: who ran, who was stopped, who could reach whom. The checks hold what the
//! nodes reported against it.

use std::collections::BTreeSet;

use crate::scenario::{Act, Scenario};

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

#[derive(Debug, Clone, PartialEq, Eq)]
struct CutSpan {
    span: Span,
    from: BTreeSet<usize>,
    to: BTreeSet<usize>,
}

/// The truth of one scenario.
#[derive(Debug)]
pub(super) struct Truth {
    processes: Vec<Vec<Process>>,
    pauses: Vec<Vec<Span>>,
    cuts: Vec<CutSpan>,
    pub(super) until: u64,
}

impl Truth {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let nodes = scenario.nodes();
        let mut truth = Self {
            processes: vec![Vec::new(); nodes],
            pauses: vec![Vec::new(); nodes],
            cuts: Vec::new(),
            until: scenario.until_ms,
        };
        for step in &scenario.steps {
            truth.note(step.at_ms, &step.act);
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
            Act::Pause(node) if self.runs(*node, at) => self.pauses[*node].push(Span { from: at, to: NEVER }),
            Act::Pause(_) => {}
            Act::Resume(node) => self.end_pause(*node, at),
            Act::Cut { from, to } => self.cut(at, from, to),
            Act::Split(left, right) => {
                self.cut(at, left, right);
                self.cut(at, right, left);
            }
            Act::Heal => self.cuts.iter_mut().for_each(|cut| cut.span.to = cut.span.to.min(at)),
            Act::BlockApplication(_)
            | Act::Links(_)
            | Act::StepWallClock { .. }
            | Act::CloseLinks { .. }
            | Act::Wipe(_)
            | Act::Disk { .. }
            | Act::Transfer { .. }
            | Act::PingPong { .. } => {}
        }
    }

    fn end_pause(&mut self, node: usize, at: u64) {
        self.pauses[node].iter_mut().for_each(|pause| pause.to = pause.to.min(at));
    }

    fn cut(&mut self, at: u64, from: &[usize], to: &[usize]) {
        let span = Span { from: at, to: NEVER };
        self.cuts.push(CutSpan { span, from: from.iter().copied().collect(), to: to.iter().copied().collect() });
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

    /// Spans in which nothing, or only one direction, passed between two nodes.
    pub(super) fn cuts_between(&self, a: usize, b: usize) -> Vec<Span> {
        let parts = |cut: &&CutSpan| {
            (cut.from.contains(&a) && cut.to.contains(&b)) || (cut.from.contains(&b) && cut.to.contains(&a))
        };
        joined(self.cuts.iter().filter(parts).map(|cut| cut.span).collect())
    }

    /// Whether what one node says reaches another.
    pub(super) fn reaches(&self, from: usize, to: usize, at: u64) -> bool {
        let stops = |cut: &CutSpan| cut.span.contains(at) && cut.from.contains(&from) && cut.to.contains(&to);
        from == to || !self.cuts.iter().any(stops)
    }

    /// Spans in which a node was down, stopped, or cut off from somebody in either direction.
    pub(super) fn troubles(&self, node: usize) -> Vec<Span> {
        let mut spans = self.absences(node);
        let touching = self.cuts.iter().filter(|cut| cut.from.contains(&node) || cut.to.contains(&node));
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
        assert_eq!(truth.cuts_between(0, 3), [Span { from: 30_000, to: 40_000 }]);
        assert!(truth.cuts_between(0, 1).is_empty());
        assert!(!truth.reaches(3, 0, 31_000) && truth.reaches(0, 3, 31_000) && truth.reaches(3, 0, 40_000));
        assert!(!truth.is_well_between(0, 35_000, 36_000), "deaf to one is not well");
        assert!(truth.is_well_between(0, 40_000, 60_000));
        assert!(truth.processes(3)[0].left && !truth.processes(1)[0].left);
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
    }
}
