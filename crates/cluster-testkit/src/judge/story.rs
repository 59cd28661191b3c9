//! What each node said of each other over time, by number and process, read off the reports.

use std::collections::{BTreeMap, HashMap};

use cluster_types::{EventKind, Life, State};

use super::truth::{Process, Truth};
use crate::world::{Reported, World, index_of};

/// When something was reported, in milliseconds.
pub(super) fn ms(reported: &Reported) -> u64 {
    u64::try_from(reported.at.since_origin().as_millis()).unwrap_or(u64::MAX)
}

/// Whom a report is about, by number.
pub(super) fn subject(reported: &Reported) -> Option<usize> {
    index_of(reported.kind.node()?)
}

/// One line of an event.
pub(super) fn short(kind: &EventKind) -> String {
    let node = kind.node().map_or("", |node| node.as_str());
    match kind {
        EventKind::Suspected(_, evidence) | EventKind::Failed(_, evidence) => {
            format!("{} {node}, {evidence:?}", kind.as_str())
        }
        _ => format!("{} {node} {:?}", kind.as_str(), kind.incarnation()),
    }
}

/// The reports of one node about another, in order, for checks that ask for every pair.
#[derive(Debug)]
pub(super) struct ByPair<'a>(HashMap<(usize, usize), Vec<&'a Reported>>);

impl<'a> ByPair<'a> {
    pub(super) fn of(reports: &'a [Reported]) -> Self {
        let mut pairs: HashMap<_, Vec<_>> = HashMap::new();
        for reported in reports {
            if let Some(about) = subject(reported) {
                pairs.entry((reported.by, about)).or_default().push(reported);
            }
        }
        Self(pairs)
    }

    pub(super) fn reports(&self, by: usize, about: usize) -> impl Iterator<Item = &'a Reported> {
        self.0.get(&(by, about)).into_iter().flatten().copied()
    }
}

/// What a node held another to be from some moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) at: u64,
    /// `None` from the moment at which a new process knows nothing yet, or after a member was forgotten.
    pub(super) state: Option<State>,
    pub(super) life: Option<Life>,
}

/// Who held whom to be what, over time.
#[derive(Debug)]
pub(super) struct Story {
    held: BTreeMap<(usize, usize), Vec<Held>>,
    lives: Vec<Vec<Life>>,
}

impl Story {
    pub(super) fn of(truth: &Truth, world: &impl World, reports: &[Reported]) -> Self {
        let lives = (0..truth.nodes()).map(|node| world.lives(node)).collect();
        let mut story = Self { held: BTreeMap::new(), lives };
        for reported in reports {
            let (Some(member), Some(about)) = (reported.kind.member(), subject(reported)) else { continue };
            let state = match reported.kind {
                EventKind::Reaped(_) => None,
                EventKind::Joined(_) | EventKind::Alive(_) => Some(State::Alive),
                _ => Some(member.state()),
            };
            let held = Held { at: ms(reported), state, life: Some(member.claim.life) };
            story.held.entry((reported.by, about)).or_default().push(held);
        }
        for node in 0..truth.nodes() {
            for process in truth.processes(node) {
                story.forget(node, process.ran.from);
            }
        }
        story
    }

    /// A new process knows nothing.
    fn forget(&mut self, by: usize, at: u64) {
        for (_, held) in self.held.range_mut((by, 0)..(by + 1, 0)) {
            let place = held.partition_point(|held| held.at < at);
            held.insert(place, Held { at, state: None, life: None });
        }
    }

    /// What a node held another to be at a time.
    pub(super) fn held(&self, by: usize, about: usize, at: u64) -> Option<State> {
        self.last(by, about, at)?.state
    }

    /// The same, with since when, and of which life.
    pub(super) fn last(&self, by: usize, about: usize, at: u64) -> Option<Held> {
        let held = self.held.get(&(by, about))?;
        held[..held.partition_point(|held| held.at <= at)].last().copied()
    }

    /// What a node came to hold of another within a span, in order.
    pub(super) fn changes(&self, by: usize, about: usize, from: u64, to: u64) -> &[Held] {
        let Some(held) = self.held.get(&(by, about)) else { return &[] };
        let (first, last) = (held.partition_point(|h| h.at < from), held.partition_point(|h| h.at <= to));
        &held[first..last.max(first)]
    }

    /// How many members count as alive at a node, and how many of these are suspected; without one of them.
    pub(super) fn members(&self, by: usize, at: u64, but: usize) -> (usize, Vec<usize>) {
        let others = self.held.range((by, 0)..(by + 1, 0)).map(|((_, about), _)| *about).filter(|about| *about != but);
        let live = others.filter(|about| *about != by).filter_map(|about| Some((about, self.held(by, about, at)?)));
        let live: Vec<(usize, State)> = live.filter(|(_, state)| state.is_live()).collect();
        let suspected = live.iter().filter(|(_, state)| *state == State::Suspect).map(|(about, _)| *about).collect();
        (live.len() + 1, suspected)
    }

    /// Which process of a node a life belongs to: the one that had it, or, where the world does not say, the last one at that time.
    pub(super) fn process(&self, truth: &Truth, node: usize, life: Life, at: u64) -> Option<Process> {
        let processes = truth.processes(node);
        match self.lives[node].iter().position(|known| *known == life) {
            Some(n) => processes.get(n).copied(),
            None => processes.iter().rev().find(|process| process.ran.from <= at).copied(),
        }
    }
}
