//! Which control links there were, read off what the nodes reported. A path that is open is no contact yet: after a verdict the link is gone,
//! and has to be dialled anew.

use std::collections::BTreeMap;

use cluster_types::EventKind;

use super::reach::Reach;
use super::story::{ms, subject};
use super::truth::Truth;
use crate::world::Reported;

/// When a node said that a link came up, or went down.
type Changes = Vec<(u64, bool)>;

/// The control links of a run.
#[derive(Debug, Default)]
pub(super) struct Links {
    changes: BTreeMap<(usize, usize), Changes>,
}

impl Links {
    pub(super) fn of(truth: &Truth, reports: &[Reported]) -> Self {
        let mut links = Self::default();
        for reported in reports {
            let (up, Some(about)) = (matches!(reported.kind, EventKind::LinkUp { .. }), subject(reported)) else {
                continue;
            };
            if up || matches!(reported.kind, EventKind::LinkDown { .. }) {
                links.changes.entry((reported.by, about)).or_default().push((ms(reported), up));
            }
        }
        // Another process has none yet.
        for node in 0..truth.nodes() {
            for process in truth.processes(node) {
                for (_, changes) in links.changes.range_mut((node, 0)..(node + 1, 0)) {
                    let place = changes.partition_point(|(at, _)| *at < process.ran.from);
                    changes.insert(place, (process.ran.from, false));
                }
            }
        }
        links
    }

    /// Since when one has had a link to the other, if it has one at this time.
    fn of_one(&self, node: usize, peer: usize, at: u64) -> Option<u64> {
        let changes = self.changes.get(&(node, peer))?;
        let before = &changes[..changes.partition_point(|(then, _)| *then <= at)];
        let ups = before.iter().rev().take_while(|(_, up)| *up);
        ups.last().map(|(since, _)| *since)
    }

    /// Since when two have been linked over a path that is open, if they are at this time.
    fn linked_since(&self, reach: &Reach<'_>, a: usize, b: usize, at: u64) -> Option<u64> {
        let (here, there) = (self.of_one(a, b, at)?, self.of_one(b, a, at)?);
        Some(here.max(there).max(reach.hear_each_other_since(a, b, at)?))
    }

    /// Since when one could ask the other, itself or through one helper, if it can at this time. That is what a probe does (SWIM-2).
    pub(super) fn in_contact_since(&self, reach: &Reach<'_>, a: usize, b: usize, at: u64) -> Option<u64> {
        let direct = self.linked_since(reach, a, b, at);
        let over = (0..reach.nodes()).filter(|helper| ![a, b].contains(helper)).filter_map(|helper| {
            let (to, on) = (self.linked_since(reach, a, helper, at)?, self.linked_since(reach, helper, b, at)?);
            Some(to.max(on))
        });
        direct.into_iter().chain(over).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Act, Scenario};
    use crate::world::name_of;
    use cluster_types::{Incarnation, Instant};
    use std::time::Duration;

    fn says(at: u64, by: usize, about: usize, up: bool) -> Reported {
        let (node, incarnation, at) =
            (name_of(about), Incarnation::from_raw(1), Instant::after_origin(Duration::from_millis(at)));
        let addr = ([10, 0, 0, 1], 1).into();
        let down = EventKind::LinkDown { node: node.clone(), incarnation, reason: String::new() };
        Reported { at, by, kind: if up { EventKind::LinkUp { node, incarnation, addr } } else { down } }
    }

    #[test]
    fn a_contact_is_an_open_path_with_a_link_or_two_of_them() {
        let s = Duration::from_secs;
        let scenario = Scenario::new("x")
            .cluster(3)
            .at(s(10), Act::Split(vec![0], vec![1]))
            .at(s(20), Act::Heal)
            .then_quiet(s(60));
        let truth = Truth::of(&scenario);
        let reach = Reach::of(&truth);
        let pairs = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)];
        let mut reports: Vec<Reported> = pairs.iter().map(|(a, b)| says(5, *a, *b, true)).collect();
        reports.extend([says(15_000, 2, 1, false), says(25_000, 0, 1, false), says(26_000, 0, 1, true)]);
        let links = Links::of(&truth, &reports);
        let since = |a, b, at| links.in_contact_since(&reach, a, b, at);
        assert_eq!(
            [since(0, 1, 9_000), since(0, 1, 12_000), since(0, 1, 16_000)],
            [Some(5), Some(5), None],
            "over 2, and then not"
        );
        assert_eq!([since(0, 1, 22_000), since(0, 1, 25_500), since(0, 1, 27_000)], [Some(20_000), None, Some(26_000)]);
    }
}
