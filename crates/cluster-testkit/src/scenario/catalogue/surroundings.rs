//! What every scenario draws beside what it is about: how long its paths are, whether its nodes talk, in which order its
//! tasks run, and whether its code takes unusual turns.

use std::time::Duration;

use cluster_types::Seed;

use super::super::Scenario;
use super::{Entry, ms};
use crate::net::{Latency, LinkModel};

/// Paths one way, in milliseconds: within a rack, a building, a city, a continent. Around the world a few things take longer than is promised
/// yet (docs/limitations.md): no scenario draws these paths.
const PATHS: [(u64, u64); 4] = [(0, 1), (1, 2), (5, 10), (40, 60)];

/// What runs for longer does without traffic: it would be nothing but traffic.
const TALKS_FOR: Duration = Duration::from_secs(600);

/// Whose nodes take longer for each message has no traffic beside its own.
const HANDLED_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn draw(entry: &Entry, scenario: &mut Scenario, seed: Seed) {
    // Whatever says what its paths are like keeps to it.
    if scenario.links == LinkModel::lan() {
        let (low, high) = PATHS[seed.below(0, PATHS.len() as u64) as usize];
        scenario.links.latency = Latency::Uniform(ms(low), ms(high));
    }
    let short = ms(scenario.until_ms) <= TALKS_FOR;
    // Traffic costs bytes, and so do unusual turns.
    let costs = scenario.expect.bytes_per_s_max.is_some();
    scenario.shuffled = !entry.large && seed.below(2, 2) == 0;
    // Where a message takes longer than it lives, one behind the other has no end in time.
    let handled = scenario.limits.handling() < HANDLED_WITHIN;
    scenario.traffic = short && !entry.large && !costs && handled;
    scenario.storm = short && !entry.large && !costs && seed.below(1, 2) == 0;
}
