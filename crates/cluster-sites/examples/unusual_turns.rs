//! A queue that says what a test should see of it, and takes an unusual turn when it is asked to.
//! `cargo run -p cluster-sites --features record --example unusual_turns`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

mod sites {
    cluster_sites::sites! {
        /// The sites of this program.
        pub static ALL;
        QUEUE_FULL: Sometimes "the queue is full";
        SMALL_BATCH: Buggify "a batch holds one entry only";
    }
}

/// How many entries go out at once, of so many that wait.
fn batch(waiting: usize) -> usize {
    cluster_sites::sometimes!(sites::QUEUE_FULL, waiting >= 100);
    if cluster_sites::buggify!(sites::SMALL_BATCH) { 1 } else { waiting.min(20) }
}

fn main() {
    for seed in 0..20 {
        let _storm = cluster_sites::storm(seed);
        let batches: Vec<usize> = (0..200).map(batch).collect();
        println!(
            "seed {seed}: {} of 200 batches held one entry only",
            batches.iter().filter(|size| **size == 1).count()
        );
    }
    let recorded = if cluster_sites::RECORDING { "" } else { " (nothing is recorded in this build)" };
    for site in sites::ALL {
        println!("{}: hit {} times{recorded}", site.name(), site.hits());
    }
}
