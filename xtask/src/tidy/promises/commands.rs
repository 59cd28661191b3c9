//! Commands that hold a promise: each is read as the program itself would read it, down to the names it is given.

use std::iter::once;

use clap::Parser;

use super::super::code::tokens::{Token, tokens};
use super::super::files::Source;
use super::super::test_list::{Test, TestList};
use crate::cli::{Cli, Task};
use crate::{bench, integration, mutants, sim};

/// Where the scenarios of the simulated world have their names.
const SCENARIOS: &str = "crates/cluster-testkit/src/scenario";

/// What may be named beside our own tasks, word for word.
const OTHERS: [&str; 3] = [
    "cargo deny check",
    "cargo deny check licenses bans sources",
    "cargo run --release --quiet -- demo --nodes 16 --json",
];

/// Why a command would not run, if so.
pub(super) fn judge(line: &str, sources: &[Source], tests: &TestList) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["cargo", "xtask", words @ ..] = &words[..] else {
        let known = OTHERS.contains(&words.join(" ").as_str());
        return (!known).then(|| format!("is none of our commands: `cargo xtask ..`, `{}`", OTHERS.join("`, `")));
    };
    let read = Cli::try_parse_from(once("cargo xtask").chain(words.iter().copied()));
    let outcome = match read {
        Ok(cli) => check(&cli.task, sources, tests),
        Err(error) => Err(error.to_string().lines().next().unwrap_or_default().to_owned()),
    };
    outcome.err().map(|why| format!("does not run: {}", why.trim_start_matches("error: ")))
}

fn check(task: &Task, sources: &[Source], tests: &TestList) -> Result<(), String> {
    match task {
        Task::Bench { what } => bench::find(what).map(|_| ()),
        Task::Sim { args } => sim::check(args, |name| is_scenario(name, sources)),
        Task::Mutants(args) => mutants::check(args),
        Task::Integration(args) => {
            let full: Vec<String> = tests.iter().filter_map(full_name).collect();
            let unknown = args.filter.iter().find(|part| !full.iter().any(|name| name.contains(part.as_str())));
            unknown.map_or(Ok(()), |part| Err(format!("no test of it has {part:?} in its name")))
        }
        Task::Test { args } => match args.first() {
            Some(word) => Err(format!("{word:?} goes to the test runner: name the tests themselves")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// As a filter of the integration tests finds it.
fn full_name(test: &Test) -> Option<String> {
    let stage = integration::stage_of(&test.package, &test.target, &test.path)?;
    test.left_out.is_none().then(|| format!("{stage}::{}", test.path))
}

/// The catalogue has them as `("name", "what happens in it", ..)`.
fn is_scenario(name: &str, sources: &[Source]) -> bool {
    let is_entry = |three: &[Token<'_>]| match three {
        [Token::Text(said), Token::Mark(','), Token::Text(_)] => *said == name,
        _ => false,
    };
    let catalogue = sources.iter().filter(|source| source.path.starts_with(SCENARIOS));
    catalogue.map(|source| tokens(&source.text)).any(|tokens| tokens.windows(3).any(is_entry))
}
