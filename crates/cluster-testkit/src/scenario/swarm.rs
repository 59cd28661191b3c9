//! Swarm testing: each seed draws which families of faults there are, then faults of these alone (Groce, Zhang, Eide, Chen, Regehr,
//! "Swarm Testing", 2012). With all of them at once, some states are never reached, since another fault always gets in the way.
//!
//! Each family has a timeline and draws of its own, so that several are at work at once, and a family more or less moves no other.

mod families;

use std::ops::Range;
use std::time::Duration;

use cluster_types::Seed;
use cluster_types::seed::Draws;

use super::{Act, Scenario};
use crate::net::LinkModel;
use families::{ALL, Cluster, Family};

/// Of all families one in so many is at work in a seed.
const CHOSEN: u64 = 4;

/// The first fault of a family begins within this, and the next within as much after it.
const GAP_MS: u64 = 8_000;

/// A fault lasts so long at most.
const SPAN_MAX_MS: u64 = 12_000;

/// A path that may lose, double, reorder and damage a part of its packets: how much of each is drawn.
pub(super) fn links(draws: &mut Draws) -> LinkModel {
    LinkModel {
        loss: draws.fraction() * 0.15,
        duplicate: draws.fraction() * 0.05,
        reorder: draws.fraction() * 0.05,
        damage: draws.fraction() * 0.01,
        ..LinkModel::lan()
    }
}

/// Adds faults within a span; at its end everything is healed.
pub(super) fn faults(mut scenario: Scenario, seed: Seed, during: Range<Duration>) -> Scenario {
    let nodes = scenario.nodes();
    if nodes < 2 {
        return scenario;
    }
    let chosen = |family: &&Family| seed.derive("chosen", **family as u64).below(0, CHOSEN) == 0;
    let mut chosen: Vec<Family> = ALL.iter().filter(chosen).copied().collect();
    if chosen.is_empty() {
        chosen.push(ALL[seed.below(0, ALL.len() as u64) as usize]);
    }
    let mut cluster = Cluster::of(nodes);
    scenario.names |= chosen.contains(&Family::Names);
    for family in chosen {
        let mut draws = seed.derive("family", family as u64).stream();
        let mut at = during.start + ms(draws.below(GAP_MS));
        loop {
            let span = family.lasts(ms(200 + draws.below(SPAN_MAX_MS)));
            if at + span >= during.end {
                break;
            }
            for (at, act) in family.fault(&mut cluster, &mut draws, at, span) {
                scenario = scenario.at(at, act);
            }
            at += span + ms(500 + draws.below(GAP_MS));
        }
    }
    scenario.at(during.end, Act::Heal)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const S: Duration = Duration::from_secs(1);

    fn schedule(seed: u64) -> Scenario {
        faults(Scenario::new("x").cluster(7), Seed::new(seed), 10 * S..90 * S).then_quiet(60 * S)
    }

    #[test]
    fn every_schedule_can_be_played_and_ends_with_a_heal() {
        for seed in 0..300 {
            let schedule = schedule(seed);
            assert_eq!(schedule.check(), Ok(()), "{seed}");
            assert_eq!(schedule.steps.last().map(|step| &step.act), Some(&Act::Heal), "{seed}");
        }
    }

    /// Every family is at work in some of two hundred seeds, and in many of them two are at work at the same moment.
    #[test]
    fn families_overlap_and_none_is_left_out() {
        let kinds: BTreeSet<String> = (0..200)
            .flat_map(|seed| schedule(seed).steps)
            .map(|step| format!("{:?}", step.act).split(['(', ' ']).next().unwrap_or_default().to_owned())
            .collect();
        for kind in [
            "Crash",
            "Leave",
            "Pause",
            "HalfStop",
            "Fault",
            "CloseLinks",
            "StepWallClock",
            "Drift",
            "Disk",
            "DiskFault",
        ] {
            assert!(kinds.contains(kind), "{kind} of {kinds:?}");
        }
        for kind in
            ["Rebind", "Names", "Echo", "Rotate", "Metadata", "Broadcast", "Wipe", "BlockApplication", "Mend", "Resume"]
        {
            assert!(kinds.contains(kind), "{kind} of {kinds:?}");
        }
        let overlapping = (0..200).filter(|&seed| {
            let mut open: BTreeSet<u32> = BTreeSet::new();
            schedule(seed).steps.iter().any(|step| {
                match step.act {
                    Act::Fault { id, .. } => drop(open.insert(id)),
                    Act::Mend(id) => drop(open.remove(&id)),
                    _ => {}
                }
                // One fault of both directions is two.
                open.len() > 2
            })
        });
        assert!(overlapping.count() > 100);
    }
}
