//! What a row names: a test that runs, a command that is there, or a page.

use std::path::{Component, Path};

use super::super::files::Source;
use super::super::test_list::{Test, TestList};
use super::commands;
use crate::integration;

/// All there is to name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) root: &'a Path,
    pub(super) sources: &'a [Source],
    pub(super) tests: &'a TestList,
}

/// A file: something to read, which does not fail.
pub(super) fn is_page(name: &str) -> bool {
    !is_command(name) && (name.contains('/') || name.ends_with(".md"))
}

fn is_command(name: &str) -> bool {
    name == "cargo" || name.starts_with("cargo ")
}

impl Evidence<'_> {
    /// Why a name counts for nothing, if it does: words that follow "which".
    pub(super) fn judge(&self, name: &str) -> Option<String> {
        if is_command(name) {
            commands::judge(name, self.sources, self.tests)
        } else if is_page(name) {
            page(self.root, name)
        } else {
            self.test(name)
        }
    }

    fn test(&self, name: &str) -> Option<String> {
        match self.tests.named(name)[..] {
            [] => Some(self.no_test(name)),
            [test] => obstacle(test),
            ref several => Some(format!("stands in {} places: write {}", several.len(), self.written(several))),
        }
    }

    fn no_test(&self, name: &str) -> String {
        let own = name.rsplit("::").next().unwrap_or_default();
        let elsewhere = self.tests.named(own);
        if !elsewhere.is_empty() {
            format!("is not there: write {}", self.written(&elsewhere))
        } else if self.tests.has_function(own) {
            "is a function, but no test that is run".into()
        } else if !own.is_empty() && self.sources.iter().any(|source| source.text.contains(&format!("fn {own}("))) {
            "stands in a comment or in a string only".into()
        } else {
            "does not exist".into()
        }
    }

    fn written(&self, tests: &[&Test]) -> String {
        let names: Vec<String> = tests.iter().map(|test| format!("`{}`", self.tests.name_of(test))).collect();
        names.join(" or ")
    }
}

/// Why a test does not run.
fn obstacle(test: &Test) -> Option<String> {
    if let Some(condition) = &test.left_out {
        return Some(format!("is built only with {condition}, which `cargo xtask test` does not have"));
    }
    let why = test.ignored.as_ref()?;
    let module = test.path.split("::").next().unwrap_or_default();
    let command = match integration::stage_of(&test.package, &test.target, &test.path) {
        Some(_) => format!(", `cargo xtask integration {module}`"),
        None => String::new(),
    };
    Some(format!("is ignored ({why}): name the command that runs it{command}"))
}

fn page(root: &Path, name: &str) -> Option<String> {
    let path = Path::new(name);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Some("is no path within the repository".into());
    }
    (!root.join(path).is_file()).then(|| "is no file of the repository".into())
}
