//! The dependency rule. A new edge is a design change: it is made here and in ARCHITECTURE.md, or not at all.

use std::collections::BTreeMap;

use serde_json::Value;

/// Which crates of the workspace each crate may use.
const EDGES: [(&str, &[&str]); 10] = [
    ("cluster-sites", &[]),
    ("cluster-types", &[]),
    ("cluster-failure", &["cluster-types"]),
    ("cluster-pool", &["cluster-sites", "cluster-types", "cluster-failure"]),
    ("cluster-gossip", &["cluster-sites", "cluster-types", "cluster-failure"]),
    ("cluster-manager", &["cluster-sites", "cluster-types", "cluster-failure", "cluster-pool", "cluster-gossip"]),
    ("cluster-agent", &["cluster-manager"]),
    (
        "cluster-testkit",
        &["cluster-sites", "cluster-types", "cluster-failure", "cluster-pool", "cluster-gossip", "cluster-manager"],
    ),
    ("cluster-sim", &["cluster-testkit", "cluster-types", "cluster-failure", "cluster-gossip", "cluster-manager"]),
    ("xtask", &[]),
];

/// What the pure crates may use from outside: no runtime, no socket, no clock, no thread. `tokio` only for `sync`, in the
/// event bus.
const PURE: [(&str, &[&str]); 4] = [
    ("cluster-sites", &[]),
    ("cluster-types", &["thiserror", "tokio"]),
    ("cluster-failure", &["thiserror", "mockall"]),
    ("cluster-gossip", &["thiserror", "serde", "postcard", "mockall", "hashbrown"]),
];

/// Findings against the manifests of these packages.
pub(super) fn check(packages: &[Value]) -> Vec<String> {
    let edges: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        match edges.get(name) {
            Some(allowed) => findings.extend(check_package(name, allowed, package)),
            None => findings.push(format!("{name} is not in the dependency rule: add it to xtask/src/tidy/deps.rs")),
        }
    }
    findings
}

fn check_package(name: &str, allowed: &[&str], package: &Value) -> Vec<String> {
    let none = Vec::new();
    // Development dependencies may go anywhere; what is built into the crate may not.
    let built_in = package["dependencies"].as_array().unwrap_or(&none).iter().filter(|d| d["kind"] != "dev");
    let pure = PURE.iter().find(|(pure, _)| *pure == name).map(|(_, outside)| outside);
    built_in.filter_map(|dependency| judge(name, allowed, pure, dependency)).collect()
}

fn judge(name: &str, allowed: &[&str], pure: Option<&&[&str]>, dependency: &Value) -> Option<String> {
    let on = dependency["name"].as_str().unwrap_or_default();
    let inside = EDGES.iter().any(|(member, _)| *member == on);
    if inside {
        return (!allowed.contains(&on)).then(|| format!("{name} must not depend on {on} (see ARCHITECTURE.md)"));
    }
    let outside = pure?;
    if !outside.contains(&on) {
        return Some(format!("{name} is pure and must not depend on {on}"));
    }
    let features: Vec<&str> = dependency["features"].as_array()?.iter().filter_map(Value::as_str).collect();
    let only_sync = on != "tokio" || (features == ["sync"] && dependency["uses_default_features"] == false);
    (!only_sync).then(|| format!("{name} may use tokio for `sync` only, not {features:?}"))
}
