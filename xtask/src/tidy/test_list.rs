//! The tests of the workspace: all that the module trees of its crates lead to, each with its path, whether it runs, and if
//! not, why. A file that no `mod` leads to, a benchmark, an example and a fuzz target hold none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::code::attributes::Marks;
use super::code::items::{Kind, items};
use super::code::tokens::{Token, tokens};
use super::files::Source;
use super::workspace::Features;

/// A test function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    pub(super) package: String,
    /// Of the tests directory; empty for unit tests.
    pub(super) target: String,
    /// Its modules and its name, as the test binary writes them.
    pub(super) path: String,
    /// Why nobody runs it unasked, in the words of its attribute.
    pub(super) ignored: Option<String>,
    /// The condition for which it is not built.
    pub(super) left_out: Option<String>,
}

impl Test {
    /// The names by which it can be called, longest last: its own, with its module, and so on up to its crate. A module
    /// `tests` is left out: it says nothing.
    pub(super) fn names(&self) -> Vec<String> {
        let package = self.package.replace('-', "_");
        let target = (!self.target.is_empty()).then_some(self.target.as_str());
        let path = self.path.split("::").filter(|part| *part != "tests");
        let parts: Vec<&str> = [package.as_str()].into_iter().chain(target).chain(path).collect();
        (0..parts.len()).rev().map(|from| parts[from..].join("::")).collect()
    }
}

/// All of them, and all other functions.
#[derive(Debug)]
pub(super) struct TestList {
    tests: Vec<Test>,
    /// By each of their names, where they stand among all.
    by_name: BTreeMap<String, Vec<usize>>,
    /// Names of functions, be they tests or not.
    functions: BTreeSet<String>,
}

impl TestList {
    /// Of crates that are built with these features.
    pub(super) fn of(sources: &[Source], features: &Features) -> Self {
        let mut reader = Reader {
            texts: sources.iter().map(|source| (source.path.as_path(), source.text.as_str())).collect(),
            features,
            found: BTreeSet::new(),
        };
        for source in sources {
            if let Some(root) = Root::of(&source.path) {
                let beside = source.path.parent().unwrap_or(Path::new(""));
                reader.read(&root, &source.path, beside, &[], None);
            }
        }
        let functions = sources.iter().flat_map(|source| functions(&source.text)).collect();
        let tests: Vec<Test> = reader.found.into_iter().collect();
        let mut by_name = BTreeMap::<String, Vec<usize>>::new();
        for (at, test) in tests.iter().enumerate() {
            for name in test.names() {
                by_name.entry(name).or_default().push(at);
            }
        }
        Self { tests, by_name, functions }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter()
    }

    /// The tests that are called so.
    pub(super) fn named(&self, name: &str) -> Vec<&Test> {
        self.by_name.get(name).into_iter().flatten().map(|&at| &self.tests[at]).collect()
    }

    /// The shortest name of a test that no other has.
    pub(super) fn name_of(&self, test: &Test) -> String {
        let names = test.names();
        names.iter().find(|name| self.named(name).len() == 1).or(names.last()).cloned().unwrap_or_default()
    }

    /// Whether there is a function of this name anywhere, test or not.
    pub(super) fn has_function(&self, name: &str) -> bool {
        self.functions.contains(name)
    }
}

fn functions(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let named = tokens.windows(2).filter_map(|pair| match pair {
        [Token::Word("fn"), Token::Word(name)] => Some((*name).to_owned()),
        _ => None,
    });
    named.collect()
}

/// The file that a target begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Root {
    package: String,
    target: String,
}

impl Root {
    fn of(path: &Path) -> Option<Self> {
        let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
        // A crate has the name of its folder.
        let (package, within) = match &parts[..] {
            ["crates", package, within @ ..] | [package @ "xtask", within @ ..] => (*package, within),
            _ => return None,
        };
        let target = match within {
            ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] => "",
            ["tests", file] => file.strip_suffix(".rs")?,
            ["tests", target, "main.rs"] => target,
            _ => return None,
        };
        Some(Self { package: package.to_owned(), target: target.to_owned() })
    }
}

#[derive(Debug)]
struct Reader<'a> {
    texts: BTreeMap<&'a Path, &'a str>,
    features: &'a Features,
    /// A file that is in two trees of a crate is read twice, and its tests count once.
    found: BTreeSet<Test>,
}

impl Reader<'_> {
    /// A file and those below it. `folder` is where its modules are, `modules` how it is called, `left_out` what it waits for.
    fn read(&mut self, root: &Root, file: &Path, folder: &Path, modules: &[&str], left_out: Option<&str>) {
        let Some(text) = self.texts.get(file).copied() else { return };
        let none = BTreeSet::new();
        let features = self.features.get(&root.package).unwrap_or(&none);
        let tokens = tokens(text);
        for item in items(&tokens) {
            let marks = Marks::of(&item.attributes, features);
            let left_out = left_out.or(marks.left_out.as_deref());
            let path = [modules, &item.modules, &[item.name]].concat();
            if item.kind == Kind::File {
                let below: PathBuf = item.modules.iter().fold(folder.to_path_buf(), |at, module| at.join(module));
                let below = below.join(item.name);
                for file in [below.with_extension("rs"), below.join("mod.rs")] {
                    self.read(root, &file, &below, &path, left_out);
                }
            } else if marks.is_test {
                self.found.insert(Test {
                    package: root.package.clone(),
                    target: root.target.clone(),
                    path: path.join("::"),
                    ignored: marks.ignored,
                    left_out: left_out.map(str::to_owned),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(files: &[(&str, &str)]) -> TestList {
        let source = |(path, text): &(&str, &str)| Source { path: path.into(), text: (*text).to_owned() };
        let sources: Vec<Source> = files.iter().map(source).collect();
        let features = Features::from([("a-pool".to_owned(), BTreeSet::from(["on".to_owned()]))]);
        TestList::of(&sources, &features)
    }

    #[test]
    fn the_tree_of_modules_is_followed() {
        let list = list(&[
            ("crates/a-pool/src/lib.rs", "mod deep; #[cfg(feature = \"off\")] mod off; mod old;"),
            ("crates/a-pool/src/deep.rs", "mod deeper; mod tests { mod more; #[test] fn here() {} } fn helper() {}"),
            ("crates/a-pool/src/deep/deeper.rs", "#[ignore = \"slow\"] #[test] fn one() {}"),
            ("crates/a-pool/src/deep/tests/more.rs", "#[test] fn two() {}"),
            ("crates/a-pool/src/off.rs", "#[test] fn three() {}"),
            ("crates/a-pool/src/old/mod.rs", "mod sub;"),
            ("crates/a-pool/src/old/sub.rs", "#[test] fn four() {}"),
            ("crates/a-pool/src/stray.rs", "#[test] fn stray() {}"),
            ("crates/a-pool/benches/b.rs", "#[test] fn bench() {}"),
            ("crates/a-pool/tests/it/main.rs", "mod links;"),
            ("crates/a-pool/tests/it/links.rs", "#[test] fn five() {}"),
            ("crates/a-pool/tests/runner.rs", "#[cfg(feature = \"on\")] #[test] fn six() {}"),
            ("xtask/src/main.rs", "#[test] fn seven() {}"),
            ("bench/peers/src/main.rs", "#[test] fn eight() {}"),
        ]);
        let show = |test: &Test| {
            let why = [test.ignored.as_deref(), test.left_out.as_deref()].into_iter().flatten();
            let words = [test.package.as_str(), &test.target, &test.path].into_iter().chain(why);
            words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            list.iter().map(show).collect::<Vec<_>>(),
            [
                "a-pool deep::deeper::one slow",
                "a-pool deep::tests::here",
                "a-pool deep::tests::more::two",
                "a-pool off::three feature = \"off\"",
                "a-pool old::sub::four",
                "a-pool it links::five",
                "a-pool runner six",
                "xtask seven",
            ]
        );
        assert!(list.has_function("helper") && list.has_function("stray") && !list.has_function("nine"));
    }

    #[test]
    fn a_test_has_as_many_names_as_it_needs() {
        let list = list(&[
            ("crates/a-pool/src/lib.rs", "mod x { mod tests { #[test] fn same() {} #[test] fn own() {} } } mod y;"),
            ("crates/a-pool/src/y.rs", "#[test] fn same() {}"),
            ("crates/b/tests/y.rs", "#[test] fn same() {}"),
        ]);
        let names: Vec<String> = list.iter().map(|test| list.name_of(test)).collect();
        assert_eq!(names, ["own", "x::same", "a_pool::y::same", "b::y::same"]);
        assert_eq!(list.named("same").len(), 3);
        assert_eq!(list.named("y::same").len(), 2);
        assert_eq!(list.named("x::tests::same").len(), 0);
        assert_eq!(list.named("a_pool::x::own")[0].path, "x::tests::own");
    }
}
