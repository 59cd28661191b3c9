//! One scenario, two fidelities: the engine's world and the whole stack must come to the same verdicts, at about the same
//! time. Where they do not, one of the two worlds lies.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_testkit::scenario::{Outcome, entry, run};
use cluster_testkit::{Level, Reported};
use cluster_types::EventKind;

/// A probe period.
const PERIOD: Duration = Duration::from_secs(1);

/// Who declared whom failed, or heard its farewell, and when first.
fn verdicts(outcome: &Outcome) -> BTreeMap<(usize, String), Duration> {
    let mut verdicts = BTreeMap::new();
    for Reported { at, by, kind } in &outcome.reports {
        if let EventKind::Failed(member, _) | EventKind::Left(member) = kind {
            let key = (*by, format!("{} {}", kind.as_str(), member.node()));
            verdicts.entry(key).or_insert(at.since_origin());
        }
    }
    verdicts
}

#[test]
fn both_levels_give_the_same_verdicts_within_a_period() {
    let names = [
        "crash-one",
        "slow-restart",
        "halves",
        "isolate-long",
        "isolate-short",
        "pauses",
        "all-leave",
        "quick-restart",
    ];
    let mut compared = 0;
    for (name, seed) in names.into_iter().flat_map(|name| (1..=3).map(move |seed| (name, seed))) {
        let scenario = entry(name).unwrap().scenario(seed);
        let [l0, l1] = [Level::L0, Level::L1].map(|level| run(&scenario, level, seed));
        for (level, outcome) in [("L0", &l0), ("L1", &l1)] {
            assert!(outcome.findings.is_empty(), "{name} {seed} at {level}: {:?}", outcome.findings);
        }
        let (l0, l1) = (verdicts(&l0), verdicts(&l1));
        // At L1 the world is ended in order, and everybody says goodbye: not part of the scenario.
        let until = Duration::from_millis(scenario.until_ms);
        let l1: BTreeMap<_, _> = l1.into_iter().filter(|(_, at)| *at < until).collect();
        assert_eq!(l0.keys().collect::<Vec<_>>(), l1.keys().collect::<Vec<_>>(), "{name} {seed}");
        for (verdict, at) in &l0 {
            let apart = at.abs_diff(l1[verdict]);
            assert!(apart <= PERIOD, "{name} {seed}: {verdict:?} at {at:?} and at {:?}", l1[verdict]);
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} verdicts were compared");
}
