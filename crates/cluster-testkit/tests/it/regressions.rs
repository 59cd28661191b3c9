//! Schedules that once broke a promise, kept as data in `regressions/`. A new failure becomes one by copying its
//! `schedule.json` there under a name that says what it found.
use std::path::Path;

use cluster_testkit::scenario::Saved;

#[test]
fn saved_regressions_hold() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut played = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap().path();
        let saved = Saved::load(&file).unwrap();
        let findings = saved.play().findings;
        assert!(findings.is_empty(), "{}: {findings:?}", file.display());
        played += 1;
    }
    assert!(played > 0, "none was found");
}
