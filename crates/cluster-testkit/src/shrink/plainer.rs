//! Changes that make a schedule plainer without leaving anything out: no traffic, ordinary paths, less time, smaller amounts.

use crate::net::LinkModel;
use crate::{Act, Scenario};

/// A pause that is shorter is short enough.
const GAP_MIN_MS: u64 = 2_000;

const CHANGES: [fn(&mut Scenario); 4] =
    [|s| s.traffic = false, |s| s.storm = false, |s| s.shuffled = false, |s| s.links = LinkModel::lan()];

/// All of these at once, then each alone: without traffic, unusual turns, drawn orders and long paths.
pub(super) fn plainer(scenario: &Scenario) -> Vec<Scenario> {
    let changed = |changes: &[fn(&mut Scenario)]| {
        let mut changed = scenario.clone();
        changes.iter().for_each(|change| change(&mut changed));
        changed
    };
    let all = std::iter::once(changed(&CHANGES)).chain(CHANGES.iter().map(|change| changed(&[*change])));
    all.filter(|changed| changed != scenario).collect()
}

/// How many of these there are.
pub(super) fn extras(scenario: &Scenario) -> usize {
    let Scenario { traffic, storm, shuffled, links, .. } = scenario;
    [*traffic, *storm, *shuffled, *links != LinkModel::lan()].into_iter().map(usize::from).sum()
}

/// All long pauses by half, and the end; then each alone, the last one first: that is where the quiet is.
pub(super) fn shorter(scenario: &Scenario) -> Vec<Scenario> {
    let mut moments: Vec<u64> = scenario.steps.iter().map(|step| step.at_ms).chain([scenario.until_ms]).collect();
    moments.insert(0, 0);
    moments.dedup();
    let gaps: Vec<(u64, u64)> = moments.windows(2).map(|pair| (pair[1], pair[1] - pair[0])).collect();
    let long = || gaps.iter().rev().filter(|(_, gap)| *gap >= GAP_MIN_MS);
    let all = long().fold(scenario.clone(), |shorter, (from, gap)| earlier(&shorter, *from, gap / 2));
    let each = long().map(|(from, gap)| earlier(scenario, *from, gap / 2));
    std::iter::once(all).filter(|all| all != scenario).chain(each).collect()
}

/// Everything from a moment on happens so much earlier.
fn earlier(scenario: &Scenario, from: u64, by: u64) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.steps.iter_mut().filter(|step| step.at_ms >= from).for_each(|step| step.at_ms -= by);
    scenario.until_ms -= by;
    scenario
}

/// What an act is of, where it is of much.
fn amount(act: &mut Act) -> Option<&mut u64> {
    match act {
        Act::Transfer { bytes: amount, .. }
        | Act::Burst { messages: amount, .. }
        | Act::PingPong { rounds: amount, .. } => Some(amount),
        _ => None,
    }
}

/// How much is sent in all: bytes, messages, rounds.
pub(super) fn amounts(scenario: &Scenario) -> u64 {
    scenario.steps.iter().filter_map(|step| amount(&mut step.act.clone()).copied()).sum()
}

/// Half of an amount, one at a time.
pub(super) fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let halved = |n: usize| {
        let mut scenario = scenario.clone();
        let amount = amount(&mut scenario.steps.get_mut(n)?.act).filter(|amount| **amount > 1)?;
        *amount /= 2;
        Some(scenario)
    };
    (0..scenario.steps.len()).filter_map(halved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_and_amounts_become_half_and_the_order_stays() {
        let burst = Act::Burst { from: 0, to: 1, messages: 100 };
        let scenario = Scenario::new("x").cluster(2).at(10 * S, burst).at(11 * S, Act::Crash(1)).then_quiet(20 * S);
        let moments = |scenario: &Scenario| (scenario.steps[2].at_ms, scenario.steps[3].at_ms, scenario.until_ms);
        let shorter: Vec<(u64, u64, u64)> = shorter(&scenario).iter().map(moments).collect();
        assert_eq!(shorter, [(5_000, 6_000, 16_000), (10_000, 11_000, 21_000), (5_000, 6_000, 26_000)]);
        let smaller = smaller(&scenario);
        assert_eq!(smaller.len(), 1);
        assert_eq!((amounts(&scenario), amounts(&smaller[0])), (100, 50));
    }

    #[test]
    fn what_is_plain_already_is_not_tried() {
        let mut scenario = Scenario::new("x").cluster(2).then_quiet(S);
        assert_eq!((plainer(&scenario).len(), extras(&scenario)), (0, 0));
        scenario.traffic = true;
        scenario.storm = true;
        // Both at once, and each alone.
        let tried: Vec<(bool, bool)> = plainer(&scenario).iter().map(|s| (s.traffic, s.storm)).collect();
        assert_eq!(tried, [(false, false), (false, true), (true, false)]);
    }
}
