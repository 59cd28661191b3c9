//! Ways to hold a promise with nothing: each is planted, and found with the words for it.

use std::fs;

use super::{append, findings};

const PAGE: &str = "docs/promises.md";

/// What stands at the end of a file of a crate, and what it looks like to who only searches for names.
const CODE: &str = r##"
fn planted_helper() {}
/* #[test]
fn planted_in_a_comment() {} */
// fn planted_behind_slashes() {}
const _: &str = "#[test] fn planted_in_a_string() {}";
#[test]
#[ignore = "it is slow"]
fn planted_and_ignored() {}
#[cfg(feature = "tea")]
#[test]
fn planted_for_a_feature() {}
#[tokio::test]
async fn planted_well() {}
"##;

/// What is found when rows are held by these, one row for each.
fn found_for(evidence: &[&str]) -> Vec<String> {
    let rows = evidence.iter().enumerate().map(|(n, evidence)| format!("| ZZ-{n} | held | {evidence} |\n"));
    let rows: String = rows.collect();
    findings(|at| {
        append(&at("crates/cluster-types/src/lib.rs"), CODE);
        append(&at(PAGE), &rows);
    })
}

/// Each name alone in a row: exactly one finding for it, with these words.
fn assert_found(planted: &[(&str, &str)]) {
    // Beside something that runs, so that only the name itself is at fault.
    let evidence: Vec<String> = planted.iter().map(|(name, _)| format!("`planted_well` `{name}`")).collect();
    let evidence: Vec<&str> = evidence.iter().map(String::as_str).collect();
    let found = found_for(&evidence);
    assert_eq!(found.len(), planted.len(), "{found:#?}");
    for (n, ((name, why), finding)) in planted.iter().zip(&found).enumerate() {
        let begin = format!("{PAGE}: ZZ-{n} names `{name}`, which ");
        assert!(finding.starts_with(&begin) && finding.contains(why), "{finding} should say {why:?}");
    }
}

#[test]
fn a_planted_name_of_what_is_no_test_or_does_not_run_is_found() {
    assert_found(&[
        ("planted_helper", "is a function, but no test that is run"),
        ("planted_and_ignored", "is ignored (it is slow): name the command that runs it"),
        ("soak", "name the command that runs it, `cargo xtask integration soak`"),
        ("planted_in_a_comment", "stands in a comment or in a string only"),
        ("planted_behind_slashes", "stands in a comment or in a string only"),
        ("planted_in_a_string", "stands in a comment or in a string only"),
        ("nothing", "stands in a comment or in a string only"),
        ("planted_for_a_feature", "is built only with feature = \"tea\""),
        ("cluster_types::elsewhere::planted_well", "is not there: write `planted_well`"),
        ("planted_nowhere", "does not exist"),
        ("", "does not exist"),
    ]);
}

#[test]
fn a_planted_name_of_several_tests_is_found() {
    assert_found(&[("golden_bytes", "places: write `datagram::golden_bytes` or `hello::golden_bytes`")]);
}

#[test]
fn a_planted_command_that_is_not_there_is_found() {
    assert_found(&[
        ("cargo xtask bench nothing", "there is no benchmark \"nothing\""),
        ("cargo xtask bench links nothing", "links has no part \"nothing\""),
        ("cargo xtask tea", "does not run"),
        ("cargo xtask tidy --tea", "does not run"),
        ("cargo xtask sim tea", "there is no scenario \"tea\""),
        ("cargo xtask sim --tea", "the runner has no option --tea"),
        ("cargo xtask integration no_such_test", "no test of it has \"no_such_test\" in its name"),
        ("cargo xtask mutants -p cluster-tea", "\"cluster-tea\" has no threshold"),
        ("cargo xtask test tea", "name the tests themselves"),
        ("cargo make tea", "is none of our commands"),
        ("cargo", "is none of our commands"),
    ]);
}

#[test]
fn a_planted_path_of_no_file_is_found() {
    assert_found(&[
        ("/etc/passwd", "is no path within the repository"),
        ("docs/../../secret.md", "is no path within the repository"),
        ("docs/", "is no file of the repository"),
        ("docs/tea.md", "is no file of the repository"),
        ("crates", "does not exist"),
    ]);
}

#[test]
fn a_planted_row_that_is_none_is_found() {
    for row in ["| zz-1 | held | `planted_well` |", "| ZZ-1 | held |", "ZZ-1 | held | `planted_well`"] {
        let found = findings(|at| append(&at(PAGE), &format!("{row}\n")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("is no row of the form"), "{found:?}");
    }
}

#[test]
fn a_row_that_was_taken_out_is_missed() {
    let found = findings(|at| {
        let text = fs::read_to_string(at(PAGE)).unwrap();
        let rest = text.lines().filter(|line| !line.starts_with("| INC-1 |")).map(|line| format!("{line}\n"));
        fs::write(at(PAGE), rest.collect::<String>()).unwrap();
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("INC-1 is not there"), "{found:?}");
}

#[test]
fn a_planted_promise_that_a_page_alone_holds_is_found() {
    let found = found_for(&["`docs/wire.md`", "`docs/wire.md` `planted_well`"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("ZZ-0 is held by nothing that runs"), "{found:?}");
}

#[test]
fn what_runs_and_what_is_there_is_accepted() {
    let found = found_for(&[
        "`planted_well` `cluster_types::planted_well` `hello::golden_bytes` `docs/wire.md`",
        "`cargo xtask bench` `cargo xtask bench links lock` `cargo xtask sim halves --seeds 500` `cargo xtask ci`",
        "`cargo xtask integration soak --soak=1h` `cargo xtask cluster start --nodes 5` `cargo xtask mutants -p links`",
        "`cargo run --release --quiet -- demo --nodes 16 --json`",
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_planted_promise_without_its_test_is_found() {
    let found = findings(|at| {
        append(&at("docs/promises.md"), "| ZZ-1 | held | `no_such_test_anywhere` |\n| ZZ-1 | maybe | |\n");
    });
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("ZZ-1 names `no_such_test_anywhere`, which does not exist"), "{found:?}");
    assert!(found.iter().any(|f| f.contains("ZZ-1 stands there twice")), "{found:?}");
    assert!(found.iter().any(|f| f.contains("ZZ-1 is \"maybe\"")), "{found:?}");
}
