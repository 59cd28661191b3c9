//! Five whole nodes in the simulated world, cut in two for a minute of virtual time: what each side believes, why, and how they come
//! back together. The same seed tells the same story to the packet.
//! `cargo run --release -p cluster-testkit --example survive_partition`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use cluster_testkit::{StackConfig, StackWorld};

const MINORITY: [usize; 2] = [0, 1];
const MAJORITY: [usize; 3] = [2, 3, 4];

/// How each node sees the others, a line a node.
fn show(world: &StackWorld, when: &str) {
    println!("{when}, at {:.1} s:", world.now().since_origin().as_secs_f64());
    for i in 0..5 {
        let state = |j: usize| world.state(i, j).map_or("-".to_owned(), |state| state.to_string());
        let view: Vec<String> = (0..5).filter(|j| *j != i).map(|j| format!("{} {}", world.name(j), state(j))).collect();
        println!("  {} sees {}", world.name(i), view.join(", "));
    }
}

fn main() {
    let mut world = StackWorld::new(StackConfig::default(), 7);
    world.start_cluster(5);
    let met = world.run_until(Duration::from_secs(10), StackWorld::everybody_knows_everybody).expect("they meet");
    println!("five nodes met within {met:?}");
    world.run_for(Duration::from_secs(10));

    world.partition(&MINORITY, &MAJORITY);
    world.run_for(Duration::from_secs(60));
    show(&world, "cut in two for a minute");
    let (cluster, lost) = (world.cluster(2).clone(), world.name(0).clone());
    let (why, health) = world.block_on(async { (cluster.explain(&lost).await, cluster.health().await) });
    println!("\n{} says of it:\n{}", world.name(2), why.expect("it is remembered"));
    println!("and of itself: {health}\n");
    // Held for longer, it would be something that is left of a node that has stopped.
    drop(cluster);

    world.heal();
    let whole = |world: &StackWorld| world.everybody_knows_everybody();
    let healed = world.run_until(Duration::from_secs(60), whole).expect("they come back together");
    show(&world, &format!("together again {healed:?} after the cut was mended"));
    // Told once for all who came back together.
    world.run_for(Duration::from_secs(10));
    println!("reunions told of: {}", world.count("merged"));
    assert_eq!(world.stop_all(), Vec::<String>::new(), "nothing is left");
}
