//! What a smaller schedule may not do: end in the middle of it. The judge expects agreement at the end, so a schedule that leaves something broken
//! there, or no time to recover, fails for a reason of its own, whatever the first one failed for.

use std::collections::BTreeSet;

use crate::net::LinkModel;
use crate::{Act, Scenario};

/// The quiet at the end is never made shorter than this.
const QUIET_MIN_MS: u64 = 30_000;

/// How a schedule ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct End {
    quiet_ms: u64,
    /// Cuts, and other faults of paths, that nobody has mended.
    cuts: usize,
    faults: BTreeSet<u32>,
    stopped: BTreeSet<usize>,
    bad_disks: BTreeSet<usize>,
    links: LinkModel,
}

impl End {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let last = scenario.steps.last().map_or(0, |step| step.at_ms);
        let mut end = Self {
            quiet_ms: scenario.until_ms.saturating_sub(last),
            cuts: 0,
            faults: BTreeSet::new(),
            stopped: BTreeSet::new(),
            bad_disks: BTreeSet::new(),
            links: scenario.links.clone(),
        };
        scenario.steps.iter().for_each(|step| end.note(&step.act));
        end
    }

    fn note(&mut self, act: &Act) {
        match act {
            Act::Cut { .. } | Act::Split(..) => self.cuts += 1,
            Act::Fault { id, .. } => {
                self.faults.insert(*id);
            }
            Act::Mend(id) => {
                self.faults.remove(id);
            }
            Act::Heal => {
                self.cuts = 0;
                self.faults.clear();
            }
            Act::Pause(node) | Act::HalfStop(node) | Act::BlockApplication(node) => {
                self.stopped.insert(*node);
            }
            Act::Resume(node) | Act::Crash(node) => {
                self.stopped.remove(node);
            }
            Act::Disk { node, slow_by_ms, full } => self.note_disk(*node, *full || *slow_by_ms > 0),
            Act::DiskFault { node, fault } => self.note_disk(*node, fault.is_some()),
            Act::Links(model) => self.links = model.clone(),
            _ => {}
        }
    }

    fn note_disk(&mut self, node: usize, bad: bool) {
        if bad {
            self.bad_disks.insert(node);
        } else {
            self.bad_disks.remove(&node);
        }
    }

    /// Whether something that ends like that ends as well as this: no more is broken, and there is time to recover.
    pub(super) fn allows(&self, other: &Self) -> bool {
        other.quiet_ms >= self.quiet_ms.min(QUIET_MIN_MS)
            && other.cuts <= self.cuts
            && other.faults.len() <= self.faults.len()
            && other.stopped.len() <= self.stopped.len()
            && other.bad_disks.len() <= self.bad_disks.len()
            && (other.links == self.links || other.links == LinkModel::lan())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::PathFault;
    use std::time::Duration;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_left_broken_or_without_quiet_is_not_allowed() {
        let fault = Act::Fault { id: 7, from: vec![0], to: vec![1], fault: PathFault::Cut };
        let pairs = [
            (Act::Split(vec![0], vec![1]), Act::Heal),
            (fault, Act::Mend(7)),
            (Act::Pause(1), Act::Resume(1)),
            (Act::Disk { node: 0, slow_by_ms: 0, full: true }, Act::Disk { node: 0, slow_by_ms: 0, full: false }),
            (Act::Links(LinkModel::wan()), Act::Links(LinkModel::lan())),
        ];
        for (begins, ends) in pairs {
            let whole = Scenario::new("x").cluster(2).at(S, begins.clone()).at(2 * S, ends);
            let whole = End::of(&whole.then_quiet(60 * S));
            let without_end = Scenario::new("x").cluster(2).at(S, begins.clone());
            assert!(!whole.allows(&End::of(&without_end.clone().then_quiet(60 * S))), "{begins:?} lasts");
            let none = Scenario::new("x").cluster(2);
            assert!(whole.allows(&End::of(&none.clone().then_quiet(30 * S))), "without {begins:?}");
            assert!(!whole.allows(&End::of(&none.then_quiet(29 * S))), "too short");
            assert!(End::of(&without_end.clone().then_quiet(S)).allows(&End::of(&without_end.then_quiet(S))));
        }
    }
}
