//! What cargo knows of the workspace: its packages, and which features are on when `cargo xtask test` builds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::shell::output;

/// The features that are on, by package.
pub(super) type Features = BTreeMap<String, BTreeSet<String>>;

/// The packages of the workspace, as `cargo metadata` describes them.
pub(super) fn packages(root: &Path) -> Result<Vec<Value>, String> {
    let told = output(root, "cargo", &["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    let told: Value = serde_json::from_str(&told).map_err(|e| format!("cargo metadata: {e}"))?;
    Ok(told["packages"].as_array().cloned().unwrap_or_default())
}

/// All built at once: what is `asked` for (`package/feature`, with commas between), the defaults, what packages ask of each
/// other, and what those bring with them.
pub(super) fn features(packages: &[Value], asked: &str) -> Features {
    let asked = asked.split(',').filter_map(|one| one.split_once('/')).map(owned);
    let mut waiting: Vec<(String, String)> = asked.collect();
    for package in packages {
        waiting.push(owned((text(&package["name"]), "default")));
        for dependency in list(&package["dependencies"]) {
            let of = text(&dependency["name"]);
            waiting.extend(list(&dependency["features"]).iter().map(|feature| owned((of, text(feature)))));
        }
    }
    let mut on = Features::new();
    while let Some((package, feature)) = waiting.pop() {
        let features = packages.iter().find(|known| known["name"] == *package).map(|known| &known["features"]);
        let brings = features.map_or(&[][..], |features| list(&features[&feature]));
        if !on.entry(package.clone()).or_default().insert(feature) {
            continue;
        }
        for brought in brings.iter().map(text).filter(|brought| !brought.starts_with("dep:")) {
            waiting.push(match brought.split_once('/') {
                Some((of, further)) => owned((of.trim_end_matches('?'), further)),
                None => owned((package.as_str(), brought)),
            });
        }
    }
    on
}

fn owned((package, feature): (&str, &str)) -> (String, String) {
    (package.to_owned(), feature.to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_asked_for_brings_what_it_needs() {
        let packages = [
            json!({
                "name": "kit",
                "features": { "mocks": ["pool/mock", "log?/std"], "default": [] },
                "dependencies": [{ "name": "manager", "features": ["planted"] }],
            }),
            json!({ "name": "manager", "features": { "planted": ["bugs"], "bugs": [], "dns": ["dep:resolver"] } }),
            json!({ "name": "pool", "features": { "default": ["fast"], "fast": [], "mock": ["dep:mockall"], "no": [] } }),
        ];
        let on = features(&packages, "kit/mocks,manager/dns");
        let of = |package: &str| on[package].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("kit"), ["default", "mocks"]);
        assert_eq!(of("manager"), ["bugs", "default", "dns", "planted"]);
        assert_eq!(of("pool"), ["default", "fast", "mock"]);
        assert_eq!(of("log"), ["std"]);
    }
}
