//! Who was apart and has a path of their own again is one again in time, and says so.

use cluster_types::{EventKind, State};

use super::finding::{Finding, Findings};
use super::reach::Reach;
use super::story::{Held, Story, ms};
use super::truth::Truth;
use crate::world::Reported;

/// On a local network all see all alive within this after they can hear each other again.
const NEAR_MS: u64 = 5_000;

/// On any other.
const FAR_MS: u64 = 30_000;

/// `merged` is told once for all who came back together.
const MERGED_MS: u64 = 6_000;

pub(super) fn check(truth: &Truth, reach: &Reach<'_>, story: &Story, reports: &[Reported], findings: &mut Findings) {
    for a in 0..truth.nodes() {
        for b in (0..truth.nodes()).filter(|b| *b != a) {
            let spans = reach.paths(a, b);
            for pair in spans.windows(2) {
                check_pair(truth, story, reports, (a, b), pair[0].to, (pair[1].from, pair[1].to), findings);
            }
        }
    }
}

fn check_pair(
    truth: &Truth,
    story: &Story,
    reports: &[Reported],
    (a, b): (usize, usize),
    parted: u64,
    (since, until): (u64, u64),
    findings: &mut Findings,
) {
    let allowance = truth.allowance(since, since + FAR_MS);
    let within = if allowance <= 100 { NEAR_MS } else { FAR_MS + allowance };
    let by = since + within;
    let same = [a, b].iter().all(|node| truth.processes(*node).iter().any(|p| p.ran.from < parted && by < p.ran.to));
    let met = story.held(a, b, parted.saturating_sub(1)).is_some();
    if !same || !met || by > until.min(truth.until) {
        return;
    }
    let held = story.held(a, b, by);
    if held != Some(State::Alive) {
        let what = format!(
            "node {a} holds {b} to be {held:?} {within} ms after {since} ms, when they could hear each other again"
        );
        findings.add(Finding::new("who comes back is seen alive in time", what).at(by).by(a).about(b));
    }
    let failed = story.last(a, b, since).filter(|held| held.state == Some(State::Failed));
    let back = story.changes(a, b, since, by).iter().find(|held| held.state == Some(State::Alive));
    // Another life of it is a restart, and no merge.
    let same_life = |back: &&Held| failed.is_some_and(|failed| failed.life == back.life);
    if let Some(back) = back.filter(same_life).filter(|back| back.at + MERGED_MS < truth.until.min(until)) {
        let told = reports.iter().any(|r| {
            r.by == a && matches!(r.kind, EventKind::Merged { .. }) && (since..=back.at + MERGED_MS).contains(&ms(r))
        });
        if !told {
            let what = format!("node {a} saw {b} come back at {} ms and told of no merge", back.at);
            findings.add(Finding::new("a merge is told", what).at(back.at).by(a).about(b));
        }
    }
}
