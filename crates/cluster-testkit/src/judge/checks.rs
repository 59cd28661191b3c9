//! What must hold, each promise a check of its own, held against the truth of the schedule.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_types::{Accusation, EventKind, Incarnation, Life, State};

use super::finding::{Finding, Findings};
use super::links::Links;
use super::locks::Locks;
use super::reach::Reach;
use super::story::{ByPair, Story, ms, short, subject};
use super::truth::Truth;
use super::verdicts::Verdicts;
use super::{reunions, views};
use crate::scenario::{Act, Expect, Scenario};
use crate::world::{Reported, World};

/// Runs every check on a world whose time is over.
///
/// `pause_budget` is P as the nodes are set.
pub(crate) fn check_all(scenario: &Scenario, stage: &impl World, pause_budget: Duration) -> Vec<Finding> {
    let truth = Truth::of(scenario);
    let reports = stage.reports();
    let Expect {
        calm,
        no_failures,
        crash_known_within_ms,
        leave_known_within_ms,
        met_within_ms,
        bytes_per_s_max,
        quiet_payload_per_s_max,
    } = scenario.expect.clone();
    let mut findings = Findings::default();
    let (reach, story) = (Reach::of(&truth), Story::of(&truth, stage, &reports));
    let (links, by_pair) = (Links::of(&truth, &reports), ByPair::of(&reports));
    let pause_budget = u64::try_from(pause_budget.as_millis()).unwrap_or(u64::MAX);
    let verdicts = Verdicts::new(&truth, &reach, (&story, &links), pause_budget);
    verdicts.check(&reports, &mut findings);
    verdicts.deaths_are_known(&mut findings);
    reunions::check(&truth, &reach, &story, &reports, &mut findings);
    views::check(&truth, stage, &mut findings);
    Locks::of(scenario).check(&truth, &reports, &mut findings);
    findings.only_who_leaves_has_left(&truth, &story, &reports);
    findings.states_follow_in_order(&truth, &reports);
    findings.all_agree(&truth, stage);
    findings.waking_accuses_nobody(scenario, &truth, &reports);
    stage.loose_ends().into_iter().for_each(|what| findings.add(Finding::new("one live link a pair", what)));
    for what in stage.subscribers_disagree() {
        findings.add(Finding::new("snapshot and deltas are the state", what));
    }
    for what in stage.numbers_disagree() {
        findings.add(Finding::new("a node's numbers are what the world counted", what));
    }
    for what in stage.damaged_files_lost() {
        findings.add(Finding::new("a damaged file is kept", what));
    }
    if calm {
        findings.never(&reports, "nobody is suspected", &["suspected", "failed"]);
    }
    if no_failures {
        findings.never(&reports, "nobody is declared failed", &["failed"]);
    }
    if let Some(within) = crash_known_within_ms {
        findings.ends_are_known(&truth, &by_pair, within, "a crash is known to all", false);
    }
    if let Some(within) = leave_known_within_ms {
        findings.ends_are_known(&truth, &by_pair, within, "a farewell is known to all", true);
    }
    if let Some(within) = met_within_ms {
        findings.all_meet(&truth, &by_pair, within);
    }
    if let Some(max) = bytes_per_s_max {
        findings.cost_is_bounded(&truth, stage.bytes_sent(), max);
    }
    if let Some(max) = quiet_payload_per_s_max {
        findings.quiet_costs_little(scenario, &truth, stage, max);
    }
    findings.0
}

/// After the last act there is something to say for so long.
const SETTLES_WITHIN_S: u64 = 60;

/// Where a report stands.
fn place(finding: Finding, reported: &Reported) -> Finding {
    let finding = finding.at(ms(reported)).by(reported.by);
    subject(reported).map_or_else(|| finding.clone(), |about| finding.clone().about(about))
}

impl Findings {
    /// Nobody is said to have left, or to be in conflict about its name, that was not told to leave, or shares its name with nobody.
    fn only_who_leaves_has_left(&mut self, truth: &Truth, story: &Story, reports: &[Reported]) {
        for reported in reports {
            let Some(about) = subject(reported) else { continue };
            let what = format!("at {:?} node {}: {}", reported.at.since_origin(), reported.by, short(&reported.kind));
            match &reported.kind {
                EventKind::Left(member) => {
                    let process = story.process(truth, about, member.claim.life, ms(reported));
                    if !process.is_some_and(|process| process.left && process.ran.to <= ms(reported)) {
                        self.add(place(Finding::new("nobody has left that was not told to", what), reported));
                    }
                }
                EventKind::Conflict { .. } => {
                    self.add(place(Finding::new("nobody shares a name", what), reported));
                }
                _ => {}
            }
        }
    }

    fn never(&mut self, reports: &[Reported], check: &'static str, events: &[&str]) {
        for reported in reports.iter().filter(|r| events.contains(&r.kind.as_str())) {
            let what = format!("at {:?} node {}: {}", reported.at.since_origin(), reported.by, short(&reported.kind));
            self.add(place(Finding::new(check, what), reported));
        }
    }

    /// What one process reports of one member is a legal story, and its incarnation never falls.
    fn states_follow_in_order(&mut self, truth: &Truth, reports: &[Reported]) {
        let mut held: BTreeMap<(usize, usize, usize), (State, Incarnation)> = BTreeMap::new();
        let mut lives: BTreeMap<(usize, usize, usize), Life> = BTreeMap::new();
        for reported in reports {
            let (Some(member), Some(about)) = (reported.kind.member(), subject(reported)) else { continue };
            let process = truth.processes(reported.by).iter().filter(|p| p.ran.from <= ms(reported)).count();
            let key = (reported.by, process, about);
            let before = held.get(&key).copied();
            let new_life = lives.insert(key, member.claim.life).is_some_and(|life| life != member.claim.life);
            let legal = match (&reported.kind, before.map(|(state, _)| state)) {
                (EventKind::Joined(_), before) => before.is_none(),
                (EventKind::Reaped(_), before) => matches!(before, Some(State::Failed | State::Left)),
                (EventKind::Suspected(..), before) => before == Some(State::Alive),
                // Of a newer life nothing is known yet.
                (EventKind::Failed(..) | EventKind::Left(_), Some(_)) if new_life => true,
                (EventKind::Failed(..) | EventKind::Left(_), before) => {
                    before.is_some_and(|b| b != member.state() && b != State::Left)
                }
                (EventKind::Alive(_) | EventKind::Updated(_) | EventKind::HealthCheckFailed { .. }, before) => {
                    before.is_some()
                }
                _ => true,
            };
            if !legal {
                let what = format!(
                    "at {:?} node {} says {} of {about}, which it held to be {before:?}",
                    reported.at.since_origin(),
                    reported.by,
                    reported.kind.as_str()
                );
                self.add(place(Finding::new("states follow in a legal order", what), reported));
            }
            if before.is_some_and(|(_, incarnation)| member.claim.incarnation < incarnation) {
                let what = format!(
                    "at {:?} node {}: {before:?}, then {}",
                    reported.at.since_origin(),
                    reported.by,
                    short(&reported.kind)
                );
                self.add(place(Finding::new("incarnations never fall", what), reported));
            }
            // A member that is learnt as suspect is told of in two events; the first says that it is there.
            let state = match reported.kind {
                EventKind::Joined(_) | EventKind::Alive(_) => State::Alive,
                _ => member.state(),
            };
            if matches!(reported.kind, EventKind::Reaped(_)) {
                held.remove(&key);
            } else {
                held.insert(key, (state, member.claim.incarnation));
            }
        }
    }

    /// A node that was stopped blames nobody for it when it wakes.
    fn waking_accuses_nobody(&mut self, scenario: &Scenario, truth: &Truth, reports: &[Reported]) {
        for step in &scenario.steps {
            let Act::Resume(woken) = step.act else { continue };
            let soon = step.at_ms..step.at_ms + 1_000;
            for reported in reports.iter().filter(|r| r.by == woken && soon.contains(&ms(r))) {
                let (EventKind::Suspected(_, evidence), Some(accused)) = (&reported.kind, subject(reported)) else {
                    continue;
                };
                let well = truth.is_well_between(accused, step.at_ms.saturating_sub(10_000), ms(reported));
                if well && evidence.accusation != Accusation::Gossip {
                    let what = format!("{woken} woke at {soon:?} and accuses {accused}");
                    self.add(place(Finding::new("who wakes accuses nobody", what), reported));
                }
            }
        }
    }

    /// At the end each node that runs holds each other to be what it is.
    fn all_agree(&mut self, truth: &Truth, stage: &impl World) {
        let end = truth.until;
        let running: Vec<usize> = (0..truth.nodes()).filter(|&i| truth.runs(i, end)).collect();
        for &i in &running {
            for j in (0..truth.nodes()).filter(|&j| !truth.is_locked(i, j, end)) {
                let held = stage.state(i, j);
                let good = match truth.processes(j).last() {
                    _ if truth.runs(j, end) => held == Some(State::Alive),
                    // Who never met it knows nothing of it, and one that was told to stop may have been declared before.
                    Some(process) if process.left => !matches!(held, Some(State::Alive | State::Suspect)),
                    Some(_) => matches!(held, None | Some(State::Failed)),
                    None => held.is_none(),
                };
                if !good {
                    let what = format!("node {i} holds {j} to be {held:?}");
                    self.add(Finding::new("all agree at the end", what).at(end).by(i).about(j));
                }
            }
        }
    }

    /// Whoever was well all the time hears of the end of a process in time.
    fn ends_are_known(&mut self, truth: &Truth, reports: &ByPair<'_>, within: u64, check: &'static str, left: bool) {
        for gone in 0..truth.nodes() {
            for process in truth.processes(gone).iter().filter(|p| p.left == left && p.ran.to < truth.until) {
                let end = process.ran.to;
                let within = within + truth.allowance(end, end.saturating_add(within));
                let by = end.saturating_add(within);
                let restarted = truth.processes(gone).iter().any(|p| p.ran.from >= end && p.ran.from < by);
                let settled = truth.is_well_between(gone, end.saturating_sub(5_000).max(process.ran.from), end);
                if restarted || !settled || by > truth.until || end < process.ran.from + 5_000 {
                    continue;
                }
                for i in
                    (0..truth.nodes()).filter(|&i| i != gone && truth.is_well_between(i, end.saturating_sub(5_000), by))
                {
                    let knows = |r: &Reported| {
                        let end_known =
                            matches!(r.kind, EventKind::Left(_)) || (!left && matches!(r.kind, EventKind::Failed(..)));
                        end_known && (end..=by).contains(&ms(r))
                    };
                    if !reports.reports(i, gone).any(knows) {
                        let what = format!("node {i} does not know {within} ms after the end of {gone} at {end} ms");
                        self.add(Finding::new(check, what).at(by).by(i).about(gone));
                    }
                }
            }
        }
    }

    /// After the last start everybody has heard of everybody in time.
    fn all_meet(&mut self, truth: &Truth, reports: &ByPair<'_>, within: u64) {
        let starts = (0..truth.nodes()).filter_map(|i| truth.processes(i).last()).map(|p| p.ran.from);
        // Who could join when its names were known again has the same time from then on.
        let unlocked =
            truth.cuts.iter().filter(|cut| cut.locked.is_some()).map(|cut| cut.span.to).filter(|at| *at < truth.until);
        let last = starts.chain(unlocked).max().unwrap_or(0);
        let within = within + truth.allowance(last, last + within);
        let well: Vec<usize> = (0..truth.nodes()).filter(|&i| truth.is_well_between(i, last, last + within)).collect();
        for &i in &well {
            for &j in well.iter().filter(|&&j| j != i) {
                // What a former process said, or was said of, does not count.
                let began = [i, j].map(|k| truth.processes(k).last().map_or(0, |p| p.ran.from));
                let since = began[0].max(began[1]);
                let met = |r: &Reported| {
                    let good = matches!(r.kind, EventKind::Joined(_) | EventKind::Alive(_));
                    good && (since..=last + within).contains(&ms(r))
                };
                if !reports.reports(i, j).any(met) {
                    let what = format!("node {i} has not heard of {j} {within} ms after the last start");
                    self.add(Finding::new("all meet in time", what).at(last + within).by(i).about(j));
                }
            }
        }
    }

    fn quiet_costs_little(&mut self, scenario: &Scenario, truth: &Truth, stage: &impl World, max: f64) {
        let last = scenario.steps.last().map_or(0, |step| step.at_ms);
        let from = last.div_ceil(1_000) + SETTLES_WITHIN_S;
        let Some(payload) = stage.payload_since(from) else { return };
        let running = (0..truth.nodes()).filter(|node| truth.runs(*node, truth.until)).count() as f64;
        let seconds = (truth.until / 1_000).saturating_sub(from) as f64;
        let cost = payload as f64 / (running * seconds).max(1.0);
        if seconds >= 60.0 && cost > max {
            let what = format!("{cost:.1} B of membership a node and second when nothing happens, {max:.0} are enough");
            self.add(Finding::new("quiet costs little", what));
        }
    }

    fn cost_is_bounded(&mut self, truth: &Truth, bytes: u64, max: f64) {
        let until = truth.until;
        let ran = |i: usize| truth.processes(i).iter().map(|p| p.ran.to.min(until) - p.ran.from).sum::<u64>();
        let node_seconds = (0..truth.nodes()).map(ran).sum::<u64>() as f64 / 1_000.0;
        let cost = bytes as f64 / node_seconds.max(1.0);
        if cost > max {
            let what = format!("{cost:.0} B a node and second, {max:.0} are allowed");
            self.add(Finding::new("the cost is bounded", what));
        }
    }
}

#[cfg(test)]
mod tests;
