//! What must not be is planted into a copy of the workspace, and found.

mod promises;

use std::fs;
use std::path::{Path, PathBuf};

use super::check;

/// All that is looked at.
const COPIED: [&str; 10] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "README.md",
    "bench",
    "crates",
    "docs",
    "fuzz",
    "xtask",
];

/// A copy of the workspace's manifests, sources and pages, to plant things in.
fn copy() -> tempfile::TempDir {
    let from = crate::root();
    let to = tempfile::tempdir().unwrap();
    for name in COPIED {
        copy_into(&from.join(name), &to.path().join(name));
    }
    to
}

fn copy_into(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            if name != "target" {
                copy_into(&from.join(&name), &to.join(&name));
            }
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// What is found after `plant` has been at a clean copy.
fn findings(plant: impl FnOnce(&dyn Fn(&str) -> PathBuf)) -> Vec<String> {
    let copy = copy();
    assert_eq!(check(copy.path()).unwrap(), Vec::<String>::new(), "the copy is clean");
    plant(&|path| copy.path().join(path));
    check(copy.path()).unwrap()
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap();
    fs::write(path, before + text).unwrap();
}

#[test]
fn a_planted_forbidden_edge_is_found() {
    let found = findings(|at| {
        let manifest = at("crates/cluster-gossip/Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        let planted = text.replace("[dependencies]", "[dependencies]\ncluster-pool.workspace = true");
        fs::write(manifest, planted).unwrap();
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("cluster-gossip must not depend on cluster-pool"), "{found:?}");
}

#[test]
fn a_planted_runtime_in_a_pure_crate_is_found() {
    let found = findings(|at| {
        let manifest = at("crates/cluster-failure/Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(manifest, text.replace("[dependencies]", "[dependencies]\ntokio.workspace = true")).unwrap();
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("cluster-failure is pure and must not depend on tokio"), "{found:?}");
}

#[test]
fn a_planted_file_without_a_header_or_too_long_is_found() {
    let found = findings(|at| {
        fs::write(at("crates/cluster-types/src/planted.rs"), "fn nothing() {}\n").unwrap();
        append(&at("crates/cluster-types/src/lib.rs"), &"\n".repeat(600));
    });
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|f| f.contains("planted.rs does not begin with //!")), "{found:?}");
    assert!(found.iter().any(|f| f.contains("lib.rs has 6") && f.contains("lines, at most 500")), "{found:?}");
}

#[test]
fn a_planted_snapshot_of_nobody_or_without_a_review_is_found() {
    let found = findings(|at| {
        let dir = at("crates/cluster-pool/src/snapshots");
        let good = dir.join("cluster_pool__hello__tests__golden_bytes.snap");
        let text = fs::read_to_string(&good).unwrap();
        fs::write(dir.join("cluster_pool__hello__tests__gone.snap"), &text).unwrap();
        fs::write(dir.join("cluster_pool__hello__tests__golden_bytes-2.snap"), &text).unwrap();
        fs::write(dir.join("cluster_pool__hello__tests__golden_bytes.snap.new"), &text).unwrap();
        fs::create_dir_all(at("crates/cluster-pool/snapshots")).unwrap();
        fs::write(at("crates/cluster-pool/snapshots/cluster_pool__hello__tests__golden_bytes.snap"), text).unwrap();
    });
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().any(|f| f.contains("golden_bytes-2.snap is of no test of")), "it has one: {found:?}");
    assert!(found.iter().any(|f| f.contains("gone.snap is of no test of")), "{found:?}");
    assert!(found.iter().any(|f| f.contains("snap.new waits for a review")), "{found:?}");
    assert!(found.iter().any(|f| f.contains("which looks for it elsewhere")), "{found:?}");
}
