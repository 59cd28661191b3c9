//! Simulations of a user's own system: what is broken is found, and told so that it can be run again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster_testkit::simulation::Failure;
use cluster_testkit::{Act, Simulation};

const S: Duration = Duration::from_secs(1);

fn broken(simulation: &Simulation) -> Box<Failure> {
    simulation.try_run().expect_err("it must fail")
}

#[test]
fn a_workload_runs_on_each_node_once_it_has_joined_and_anew_after_a_restart() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let simulation = Simulation::new(3)
        .workload(move |node| {
            let counted = Arc::clone(&counted);
            async move {
                // Whoever has joined knows whom it joined through.
                assert!(node.index() == 0 || !node.peers().is_empty());
                counted.fetch_add(1, Ordering::SeqCst);
            }
        })
        .restart(5 * S..6 * S, 2);
    simulation.run();
    assert_eq!(runs.load(Ordering::SeqCst), 4);
}

#[test]
fn the_workloads_own_error_and_its_panic_are_told_first() {
    let error = broken(
        &Simulation::new(2)
            .workload(|node| async move { if node.index() == 1 { Err("the disk is full") } else { Ok(()) } }),
    );
    assert_eq!(error.findings[0].to_string(), "the workload: of node 1: \"the disk is full\"");
    let panic = broken(&Simulation::new(2).workload(|node| async move {
        node.sleep(S).await;
        assert!(node.index() > 5, "index {} is too small", node.index());
    }));
    assert_eq!(panic.findings[0].to_string(), "the workload: of node 0: it panicked: index 0 is too small");
}

#[test]
fn an_invariant_that_breaks_for_a_moment_and_an_end_that_does_not_hold_are_found() {
    let alone = |nodes: &[cluster_testkit::SimNode]| nodes.iter().all(|node| node.peers().len() == 2);
    let failure = broken(&Simulation::new(3).at(30 * S, Act::Crash(2)).invariant("all three are there", alone));
    assert_eq!(failure.findings.len(), 1, "once, not every 100 ms: {failure}");
    let failure = broken(
        &Simulation::new(3).at(30 * S, Act::Crash(2)).finally("all three are there", |node| node.peers().len() == 2),
    );
    let told: Vec<String> = failure.findings.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["finally: not of node 0: all three are there", "finally: not of node 1: all three are there"]);
    let text = failure.to_string();
    assert!(text.contains("30.000 s  Crash(2)") && text.contains("SIMULATION_SEED=0"), "{text}");
}

#[test]
fn each_seed_is_a_world_of_its_own_and_the_first_that_fails_is_named() {
    // Seeds draw; this one fails where its first draw is odd.
    let simulation = Simulation::new(1)
        .seeds(0..20)
        .workload(|node| async move { if node.seed().draw(0) % 2 == 1 { Err(node.seed().draw(0)) } else { Ok(()) } });
    let (first, again) = (broken(&simulation), broken(&simulation));
    assert_eq!((first.seed, &first.findings), (again.seed, &again.findings));
    assert!(simulation.clone().seeds([first.seed]).try_run().is_err());
    assert!(simulation.seeds(0..first.seed).try_run().is_ok());
}

#[test]
fn a_stopped_node_does_nothing_and_goes_on_where_it_was() {
    let ticks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ticks);
    let simulation = Simulation::new(2)
        .workload(move |node| {
            let counted = Arc::clone(&counted);
            async move {
                while node.index() == 1 {
                    node.sleep(S).await;
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .pause(10 * S..14 * S, 1)
        .then_quiet(6 * S);
    simulation.run();
    // About twenty seconds and the nine of the end, but for the four.
    let ticked = ticks.load(Ordering::SeqCst);
    assert!((14..=26).contains(&ticked), "{ticked}");
}
