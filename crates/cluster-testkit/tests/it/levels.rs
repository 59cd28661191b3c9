//! One scenario, two fidelities: the engine's world and the whole stack must come to the same verdicts, at about the same
//! time. Where they do not, one of the two worlds lies.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_testkit::play::{Outcome, run};
use cluster_testkit::scenario::entry;
use cluster_testkit::{Act, Level, LoopbackWorld, Reported, Scenario};
use cluster_types::EventKind;

/// A probe period.
const PERIOD: Duration = Duration::from_secs(1);

/// Beside it, what a turn and a vote are under way.
const WAY: Duration = Duration::from_millis(50);

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

/// The same schedule on the engine, on the simulated stack, and over real sockets in real time: the same verdicts, and those of the
/// simulated stack within a period of the real ones.
#[test]
fn real_sockets_give_the_same_verdicts() {
    let s = Duration::from_secs;
    let scenario = Scenario::new("three levels")
        .cluster(4)
        .at(s(3), Act::Pause(1))
        .at(s(5), Act::Crash(3))
        .at(s(7), Act::Resume(1))
        .at(s(14), Act::Leave(2))
        .at(s(15), Act::StartAt { node: 4, place: 3, seeds: vec![0] })
        .then_quiet(s(5))
        .expecting(|e| e.met_within_ms = Some(4_000));
    assert!(LoopbackWorld::can_play(&scenario));
    let outcomes = [Level::L0, Level::L1, Level::L2].map(|level| run(&scenario, level, 1));
    for (level, outcome) in ["L0", "L1", "L2"].iter().zip(&outcomes) {
        assert!(outcome.findings.is_empty(), "at {level}: {:?}", outcome.findings);
    }
    let until = Duration::from_millis(scenario.until_ms);
    let [l0, l1, l2] = outcomes.map(|outcome| {
        let all = verdicts(&outcome).into_iter();
        // The newcomer may come too late for the farewell.
        all.filter(|((by, _), at)| *at < until && *by < 4).collect::<BTreeMap<_, _>>()
    });
    // Three see the crash, and two of them the farewell.
    assert_eq!(l1.len(), 5, "{l1:?}");
    assert_eq!(l0.keys().collect::<Vec<_>>(), l1.keys().collect::<Vec<_>>());
    assert_eq!(l1.keys().collect::<Vec<_>>(), l2.keys().collect::<Vec<_>>());
    for (verdict, at) in &l1 {
        let apart = at.abs_diff(l2[verdict]);
        // Real machines are busy with other things, and a node that notices that waits a period longer.
        assert!(apart <= 2 * PERIOD, "{verdict:?} at {at:?} simulated, and at {:?} in reality", l2[verdict]);
    }
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
            assert!(apart <= PERIOD + WAY, "{name} {seed}: {verdict:?} at {at:?} and at {:?}", l1[verdict]);
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} verdicts were compared");
}
