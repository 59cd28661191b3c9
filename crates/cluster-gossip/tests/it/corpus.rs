//! The committed corpus of the fuzz targets, on stable: what was found once stays found.

use std::path::{Path, PathBuf};

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn the_committed_corpus_breaks_nothing() {
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 3] = [
        ("datagram", cluster_gossip::fuzzing::datagram),
        ("exchange", cluster_gossip::fuzzing::exchange),
        ("core", cluster_gossip::fuzzing::core),
    ];
    for (name, target) in targets {
        let inputs = corpus(name);
        assert!(inputs.len() >= 10, "{name}: {} inputs", inputs.len());
        inputs.iter().for_each(|(_, bytes)| target(bytes));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// What the fuzzer would try first.
    #[test]
    fn no_script_breaks_a_core(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
        cluster_gossip::fuzzing::core(&bytes);
        cluster_gossip::fuzzing::exchange(&bytes);
        cluster_gossip::fuzzing::datagram(&bytes);
    }
}
