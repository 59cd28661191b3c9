//! The committed corpus of the fuzz targets, on stable: what was found once stays found.

use std::path::Path;

use proptest::prelude::*;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn the_committed_corpus_of_links_breaks_nothing() {
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 2] = [("hello", cluster_pool::fuzzing::hello), ("frames", cluster_pool::fuzzing::frames)];
    for (name, target) in targets {
        let inputs = corpus(name);
        assert!(inputs.len() >= 5, "{name}: {} inputs", inputs.len());
        inputs.iter().for_each(|bytes| target(bytes));
    }
}

proptest! {
    /// What the fuzzer would try first: anything, and a byte changed in something that is well-formed.
    #[test]
    fn no_bytes_of_a_link_panic(bytes: Vec<u8>, at: usize, value: u8) {
        let wellformed = corpus("hello").into_iter().chain(corpus("frames")).map(|mut input| {
            let at = at % input.len();
            input[at] = value;
            input
        });
        for bytes in wellformed.chain([bytes]) {
            cluster_pool::fuzzing::hello(&bytes);
            cluster_pool::fuzzing::frames(&bytes);
        }
    }
}
