//! Who could hear whom, and when. The schedule is cut at every moment at which something changed; between two of these the paths are
//! what they are, and news goes from node to node at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::truth::{Cut, Span, Truth};

/// A contact that is shorter than this need not bring a packet across.
const CONTACT_MS: u64 = 200;

/// What is known of one stretch in which nothing changed.
#[derive(Debug)]
struct Stretch {
    from: u64,
    up: Vec<bool>,
    cuts: Vec<usize>,
}

/// Which nodes are reached from one, in one stretch.
type Reached = Rc<[bool]>;

/// When news of one node, told from some stretch on, is at each.
type Arrivals = Rc<[Option<u64>]>;

/// Spans in order.
type Spans = Rc<[Span]>;

/// Who could hear whom.
#[derive(Debug)]
pub(super) struct Reach<'a> {
    truth: &'a Truth,
    stretches: Vec<Stretch>,
    reached: RefCell<HashMap<(usize, usize), Reached>>,
    arrivals: RefCell<HashMap<(usize, usize), Arrivals>>,
    contacts: RefCell<HashMap<(usize, usize, u64), Spans>>,
}

impl<'a> Reach<'a> {
    /// Over paths that are open, and for which links can be made.
    pub(super) fn of(truth: &'a Truth) -> Self {
        Self::without(truth, |_| true)
    }

    /// Over links that there are: a path that is open is enough.
    pub(super) fn of_links(truth: &'a Truth) -> Self {
        Self::without(truth, |cut| cut.locked.is_none())
    }

    /// Through what these cuts leave.
    fn without(truth: &'a Truth, counts: impl Fn(&Cut) -> bool) -> Self {
        let stretch = |from: u64| Stretch {
            from,
            up: (0..truth.nodes()).map(|node| truth.is_up(node, from)).collect(),
            cuts: (0..truth.cuts.len())
                .filter(|&cut| truth.cuts[cut].span.contains(from) && counts(&truth.cuts[cut]))
                .collect(),
        };
        let stretches = truth.changes().into_iter().map(stretch).collect();
        let (reached, arrivals, contacts) = Default::default();
        Self { truth, stretches, reached, arrivals, contacts }
    }

    fn stretch_at(&self, at: u64) -> usize {
        self.stretches.partition_point(|stretch| stretch.from <= at).saturating_sub(1)
    }

    fn begins(&self, stretch: usize) -> u64 {
        self.stretches.get(stretch).map_or(u64::MAX, |stretch| stretch.from)
    }

    /// Whether a packet gets from one to the other in a stretch.
    fn is_open(&self, stretch: usize, from: usize, to: usize) -> bool {
        let Stretch { up, cuts, .. } = &self.stretches[stretch];
        let stops = |cut: &usize| Cut::stops(&self.truth.cuts[*cut], from, to);
        up[from] && up[to] && !cuts.iter().any(stops)
    }

    /// Whom news of one gets to within a stretch, from node to node.
    fn reached(&self, stretch: usize, from: usize) -> Reached {
        if let Some(known) = self.reached.borrow().get(&(stretch, from)) {
            return Rc::clone(known);
        }
        let nodes = self.truth.nodes();
        let mut reached = vec![false; nodes];
        let mut next = vec![from];
        reached[from] = self.stretches[stretch].up[from];
        while let Some(at) = next.pop().filter(|_| reached[from]) {
            let newly: Vec<usize> = (0..nodes).filter(|&to| !reached[to] && self.is_open(stretch, at, to)).collect();
            newly.iter().for_each(|&to| reached[to] = true);
            next.extend(newly);
        }
        let reached: Reached = reached.into();
        self.reached.borrow_mut().insert((stretch, from), Rc::clone(&reached));
        reached
    }

    /// When what one node says at a time is at another at the earliest, over others and over time.
    pub(super) fn arrival(&self, from: usize, at: u64, to: usize) -> Option<u64> {
        let first = self.stretch_at(at);
        let known = self.arrivals.borrow().get(&(from, first)).cloned();
        let arrivals = known.unwrap_or_else(|| self.arrivals_from(from, first));
        arrivals[to].map(|arrival| arrival.max(at))
    }

    fn arrivals_from(&self, from: usize, first: usize) -> Arrivals {
        let nodes = self.truth.nodes();
        let mut arrivals: Vec<Option<u64>> = vec![None; nodes];
        arrivals[from] = Some(self.begins(first));
        for stretch in first..self.stretches.len() {
            for teller in (0..nodes).filter(|&teller| arrivals[teller].is_some()).collect::<Vec<_>>() {
                let reached = self.reached(stretch, teller);
                for (to, arrival) in arrivals.iter_mut().enumerate() {
                    if reached[to] && arrival.is_none() {
                        *arrival = Some(self.begins(stretch));
                    }
                }
            }
            if arrivals.iter().all(Option::is_some) {
                break;
            }
        }
        let arrivals: Arrivals = arrivals.into();
        self.arrivals.borrow_mut().insert((from, first), Rc::clone(&arrivals));
        arrivals
    }

    /// Whether two had a path both ways in a stretch.
    fn hear_each_other(&self, stretch: usize, a: usize, b: usize) -> bool {
        self.is_open(stretch, a, b) && self.is_open(stretch, b, a)
    }

    /// Whether one could ask the other in a stretch and be answered: itself, or through one helper. That is what a probe does (SWIM-2); news may
    /// go over more, and need not.
    fn are_together(&self, stretch: usize, a: usize, b: usize) -> bool {
        let helps =
            |helper: usize| self.hear_each_other(stretch, a, helper) && self.hear_each_other(stretch, helper, b);
        self.hear_each_other(stretch, a, b)
            || (0..self.truth.nodes()).any(|helper| ![a, b].contains(&helper) && helps(helper))
    }

    pub(super) fn nodes(&self) -> usize {
        self.truth.nodes()
    }

    /// For how long a node, while it ran, has heard nobody at a time: nothing of anybody gets to it, or for `grace` already nothing of it to whoever
    /// it hears, who has then given up the link between them.
    pub(super) fn alone_for(&self, node: usize, at: u64, grace: u64) -> u64 {
        let now = self.stretch_at(at);
        let last = |holds: &dyn Fn(usize) -> bool| {
            let stretch = (0..=now).rev().find(|&stretch| holds(stretch));
            stretch.map_or(0, |stretch| self.begins(stretch + 1).min(at))
        };
        let heard = |other: usize| {
            let there = last(&|stretch| self.is_open(stretch, other, node));
            there.min(last(&|stretch| self.hear_each_other(stretch, other, node)) + grace)
        };
        let since = (0..self.nodes()).filter(|&other| other != node).map(heard).max().unwrap_or(0);
        let runs = (self.stretch_at(since)..=now).filter(|&stretch| self.stretches[stretch].up[node]);
        runs.map(|stretch| self.begins(stretch + 1).min(at).saturating_sub(self.begins(stretch).max(since))).sum()
    }

    /// Since when two have had a path both ways without a break, if they have one at this time.
    pub(super) fn hear_each_other_since(&self, a: usize, b: usize, at: u64) -> Option<u64> {
        let last = self.stretch_at(at);
        let first = (0..=last).rev().take_while(|&stretch| self.hear_each_other(stretch, a, b)).last()?;
        Some(self.begins(first))
    }

    /// Whether two could ask each other all the time, be it through a helper.
    pub(super) fn are_together_between(&self, a: usize, b: usize, from: u64, to: u64) -> bool {
        (self.stretch_at(from)..=self.stretch_at(to)).all(|stretch| self.are_together(stretch, a, b))
    }

    /// The spans in which two had a path of their own both ways, in order.
    pub(super) fn paths(&self, a: usize, b: usize) -> Vec<Span> {
        self.spans(|stretch| self.hear_each_other(stretch, a, b))
    }

    /// The spans in which two had a path of their own both ways, in order, while one process of the second ran: those that are long enough
    /// for a packet.
    pub(super) fn contacts(&self, observer: usize, subject: usize, process: Span) -> Spans {
        let key = (observer, subject, process.from);
        if let Some(known) = self.contacts.borrow().get(&key) {
            return Rc::clone(known);
        }
        let hear =
            |stretch: usize| process.contains(self.begins(stretch)) && self.hear_each_other(stretch, observer, subject);
        let mut spans = self.spans(hear);
        spans.retain(|span| span.length_until(u64::MAX) >= CONTACT_MS);
        let spans: Spans = spans.into();
        self.contacts.borrow_mut().insert(key, Rc::clone(&spans));
        spans
    }

    fn spans(&self, holds: impl Fn(usize) -> bool) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for stretch in (0..self.stretches.len()).filter(|&stretch| holds(stretch)) {
            let (from, to) = (self.begins(stretch), self.begins(stretch + 1));
            match spans.last_mut().filter(|last| last.to == from) {
                Some(last) => last.to = to,
                None => spans.push(Span { from, to }),
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Act, Scenario};
    use std::time::Duration;

    const fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    /// 0 and 1 are cut off from each other from 10 s to 30 s; 2 hears both. Then 2 is stopped from 20 s to 40 s.
    fn truth() -> Truth {
        let scenario = Scenario::new("x")
            .cluster(3)
            .at(s(10), Act::Split(vec![0], vec![1]))
            .at(s(20), Act::Pause(2))
            .at(s(30), Act::Heal)
            .at(s(40), Act::Resume(2))
            .then_quiet(s(20));
        Truth::of(&scenario)
    }

    #[test]
    fn news_goes_over_others_and_waits_where_nobody_tells_it() {
        let truth = truth();
        let reach = Reach::of(&truth);
        assert_eq!(reach.arrival(0, 5_000, 1), Some(5_000));
        assert_eq!(reach.arrival(0, 12_000, 1), Some(12_000), "over 2");
        assert_eq!(reach.arrival(0, 22_000, 1), Some(30_000), "2 is stopped: at the heal");
        assert_eq!(reach.arrival(0, 22_000, 2), Some(40_000), "when it goes on");
        assert_eq!(reach.hear_each_other_since(0, 1, 9_000), Some(0));
        assert_eq!(reach.hear_each_other_since(0, 1, 25_000), None);
        assert_eq!(reach.hear_each_other_since(0, 1, 55_000), Some(30_000));
        let spans: Vec<(u64, u64)> = reach.paths(0, 1).iter().map(|span| (span.from, span.to)).collect();
        assert_eq!(spans, [(0, 10_000), (30_000, u64::MAX)]);
        assert!(reach.are_together_between(0, 1, 12_000, 19_000), "2 helps");
        assert!(!reach.are_together_between(0, 1, 12_000, 21_000), "2 is stopped");
    }

    /// 0 hears nobody from 20 s on, when 2 is stopped; 2 hears nobody as long as it is stopped itself.
    #[test]
    fn who_nothing_gets_to_is_alone_while_it_runs() {
        let truth = truth();
        let reach = Reach::of(&truth);
        let alone = |node, at| reach.alone_for(node, at, 8_000);
        assert_eq!([alone(0, 15_000), alone(0, 21_000), alone(0, 29_000)], [0, 1_000, 9_000]);
        assert_eq!([alone(0, 31_000), alone(2, 39_000), alone(2, 41_000)], [0, 0, 0]);
    }

    /// Whoever is heard and hears nothing gives up after a while.
    #[test]
    fn who_is_heard_one_way_only_is_heard_for_a_while() {
        let cut = Act::Cut { from: vec![0], to: vec![1] };
        let truth = Truth::of(&Scenario::new("x").cluster(2).at(s(10), cut).then_quiet(s(60)));
        let reach = Reach::of(&truth);
        let alone = [10_000, 17_000, 18_500, 30_000].map(|at| reach.alone_for(0, at, 8_000));
        assert_eq!(alone, [0, 0, 500, 12_000]);
        assert_eq!(reach.alone_for(1, 17_000, 8_000), 7_000, "nothing gets to it");
    }

    #[test]
    fn a_contact_is_a_path_of_their_own() {
        let truth = truth();
        let reach = Reach::of(&truth);
        let process = truth.processes(1)[0].ran;
        let spans: Vec<(u64, u64)> = reach.contacts(0, 1, process).iter().map(|span| (span.from, span.to)).collect();
        assert_eq!(spans, [(0, 10_000), (30_000, u64::MAX)]);
    }

    #[test]
    fn one_direction_is_no_contact_and_no_togetherness() {
        let scenario =
            Scenario::new("x").cluster(2).at(s(10), Act::Cut { from: vec![0], to: vec![1] }).then_quiet(s(20));
        let truth = Truth::of(&scenario);
        let reach = Reach::of(&truth);
        assert_eq!(reach.arrival(1, 12_000, 0), Some(12_000));
        assert_eq!(reach.arrival(0, 12_000, 1), None);
        assert_eq!(reach.hear_each_other_since(0, 1, 12_000), None);
        assert_eq!(reach.contacts(0, 1, truth.processes(1)[0].ran).len(), 1);
    }
}
