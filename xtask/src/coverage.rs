//! Line coverage, processes of the agent included: above 85 % of the workspace, and above 90 % of the pool and its peers.

use std::path::Path;

use crate::Outcome;
use crate::shell::{has_cargo_command, run};
use crate::tests::FEATURES;

/// Everything but the pool's own modules and the peer's.
const NOT_POOL_OR_PEER: &str = "crates/cluster-(types|failure|gossip|manager|agent|testkit)/|xtask/|\
    cluster-pool/src/(client|complaints|frame|hello|identity|lib|link|planted|quic|resolver|router|spawn|transport|typed)";

pub(crate) fn run_all(root: &Path) -> Outcome {
    if !has_cargo_command("llvm-cov") {
        return Err("cargo-llvm-cov is not installed: `cargo install cargo-llvm-cov --locked`, \
             `rustup component add llvm-tools-preview`"
            .into());
    }
    let how: &[&str] = if has_cargo_command("nextest") { &["llvm-cov", "nextest"] } else { &["llvm-cov"] };
    // Figures of an earlier run must not be among these.
    run(root, "cargo", &["llvm-cov", "clean", "--workspace", "--profraw-only"])?;
    run(root, "cargo", &[how, &["--workspace", "--no-report"], &FEATURES].concat())?;
    run(root, "cargo", &["llvm-cov", "report", "--summary-only", "--fail-under-lines", "85"])?;
    let pool = ["--ignore-filename-regex", NOT_POOL_OR_PEER, "--fail-under-lines", "90"];
    run(root, "cargo", &[&["llvm-cov", "report", "--summary-only"][..], &pool].concat())
}
