//! One seed of a simulation, from its world's beginning to its end.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_manager::ClusterConfig;
use cluster_types::Seed;

use super::nemesis::{AtWork, Nemesis, Request, start_again};
use super::{BROKEN_AT, Checks, End, Simulation};
use crate::assertions::take_broken_here;
use crate::judge::{Finding, check_all};
use crate::panics::catching;
use crate::play::{Outcome, note_sites, stack_config};
use crate::scenario::{Act, Scenario, Step};
use crate::trace::Trace;
use crate::world::World;
use crate::world::stack::StackWorld;

/// How often invariants are looked at, in virtual time.
const LOOK_EVERY_MS: u64 = 100;

/// What came of one run.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    /// What was done, the nemesis's acts among it.
    pub(super) played: Scenario,
}

/// A run under way.
struct Run<'a> {
    checks: &'a Checks,
    world: StackWorld,
    nemesis: Option<AtWork>,
    played: Scenario,
    /// Nodes that the nemesis has stopped or crashed, and nobody has touched since.
    in_its_hands: BTreeSet<usize>,
    findings: Vec<Finding>,
}

impl Simulation {
    /// Runs a schedule; with the nemesis, if there is one, unless the schedule is what one has done already.
    pub(super) fn run_schedule(&self, seed: u64, schedule: &Scenario, with_nemesis: bool, trace: Trace) -> Ran {
        // What broke before on this thread is no seed's.
        drop(take_broken_here());
        let config = stack_config(schedule, self.configure.clone());
        let mut settings = ClusterConfig::new(config.profile);
        self.configure.iter().for_each(|change| change(&mut settings));
        let mut world = StackWorld::with_trace(config, seed, trace);
        self.shares.iter().for_each(|share| share(world.shared()));
        self.system.iter().for_each(|system| world.set_system(system.clone(), schedule.nodes()));
        self.clients.iter().for_each(|client| world.start_client(schedule.nodes(), client));
        let played = Scenario { steps: Vec::new(), ..schedule.clone() };
        let mut run = Run {
            checks: &self.checks,
            world,
            nemesis: None,
            played,
            in_its_hands: BTreeSet::new(),
            findings: Vec::new(),
        };
        let nemesis = self.nemesis.as_ref().filter(|_| with_nemesis);
        let mut nemesis = nemesis.map(|(during, program)| (during.clone(), program));
        for step in &schedule.steps {
            if let Some((during, program)) = nemesis.take_if(|(during, _)| millis(during.start) <= step.at_ms) {
                run.pass_until(millis(during.start));
                let hands = Nemesis::new(&run.world, Seed::new(seed).derive("nemesis", 0), schedule.nodes());
                run.nemesis = Some(AtWork::new(hands.clone(), program(hands)));
            }
            run.pass_until(step.at_ms);
            run.do_as_scheduled(&step.act);
            // The end of its span is an act of the schedule: it heals every path.
            if self.nemesis.as_ref().is_some_and(|(during, _)| millis(during.end) <= step.at_ms) {
                run.end_nemesis(schedule.nodes());
            }
        }
        run.pass_until(schedule.until_ms);
        run.end(settings.swim.budget.total())
    }
}

const fn millis(span: Duration) -> u64 {
    span.as_secs() * 1_000 + span.subsec_millis() as u64
}

impl Run<'_> {
    fn act(&mut self, act: &Act) {
        let at_ms = millis(self.world.now().since_origin());
        self.played.steps.push(Step { at_ms, act: act.clone() });
        self.world.act(act);
    }

    /// Does what the schedule says, unless the nemesis, or another part of the schedule, has done it before: nobody starts what runs.
    fn do_as_scheduled(&mut self, act: &Act) {
        if self.can(act).is_ok() {
            self.in_its_hands.retain(|node| !touches(act, *node));
            self.act(act);
        }
    }

    /// Does what the nemesis wants, if it can be done.
    fn grant(&mut self, Request { act, answer }: Request) {
        let granted = self.can(&act);
        if granted.is_ok() {
            self.in_its_hands.extend((0..self.played.nodes()).filter(|node| touches(&act, *node)));
            self.act(&act);
        }
        // Who does not wait for the answer does not want it.
        let _ = answer.send(granted);
    }

    fn can(&self, act: &Act) -> Result<(), String> {
        let mut tried = self.played.clone();
        tried.until_ms = u64::MAX;
        tried.steps.push(Step { at_ms: millis(self.world.now().since_origin()), act: act.clone() });
        // Its number among the steps means nothing to who asks.
        tried.check().map_err(|why| why.split_once(" ms: ").map_or(why.clone(), |(_, why)| why.to_owned()))?;
        match act {
            Act::Crash(node) | Act::Leave(node) | Act::Pause(node) | Act::HalfStop(node)
                if !self.world.is_running(*node) =>
            {
                Err(format!("node {node} does not run"))
            }
            _ => Ok(()),
        }
    }

    /// What a nemesis may have left is mended: every process that is stopped, every machine that is down.
    fn end_nemesis(&mut self, nodes: usize) {
        let Some(mut nemesis) = self.nemesis.take() else { return };
        if let Some(error) = nemesis.take_error() {
            self.findings.push(Finding::new("the nemesis", error));
        }
        drop(nemesis);
        for node in std::mem::take(&mut self.in_its_hands) {
            let last = self.played.steps.iter().rev().find(|step| touches(&step.act, node));
            match last.map(|step| &step.act) {
                Some(Act::Crash(_)) => self.act(&start_again(node, nodes)),
                Some(Act::Pause(_) | Act::HalfStop(_) | Act::BlockApplication(_)) => self.act(&Act::Resume(node)),
                _ => {}
            }
        }
    }

    /// Lets time pass, looking at the invariants and doing what the nemesis wants.
    fn pass_until(&mut self, until_ms: u64) {
        let until = Duration::from_millis(until_ms);
        loop {
            let left = until.saturating_sub(self.world.now().since_origin());
            if left.is_zero() {
                return;
            }
            // At the same moments whatever is done in between: a run that is played again has acts where the nemesis had none.
            let now_ms = millis(self.world.now().since_origin());
            let next_look = Duration::from_millis(LOOK_EVERY_MS - now_ms % LOOK_EVERY_MS);
            self.pass(if self.checks.always.is_empty() { left } else { left.min(next_look) });
            self.look();
        }
    }

    fn pass(&mut self, span: Duration) {
        let Some(mut nemesis) = self.nemesis.take() else { return self.world.run_for(span) };
        let then = self.world.origin() + self.world.now().since_origin() + span;
        while let Some(request) = self.world.block_on(nemesis.until(then)) {
            self.grant(request);
        }
        if let Some(error) = nemesis.take_error() {
            self.findings.push(Finding::new("the nemesis", error));
        }
        self.nemesis = Some(nemesis);
    }

    fn look(&mut self) {
        for (name, holds) in &self.checks.always {
            let known =
                |f: &Finding| f.what.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(BROKEN_AT));
            if self.findings.iter().any(known) {
                continue;
            }
            let (nodes, at) = (self.world.nodes(), self.world.now().since_origin());
            match catching(|| holds(&nodes)) {
                Ok(true) => {}
                Ok(false) => self.findings.push(Finding::new("invariant", format!("{name}{BROKEN_AT}{at:?}"))),
                Err(words) => {
                    self.findings.push(Finding::new("invariant", format!("{name}{BROKEN_AT}{at:?}: {words}")));
                }
            }
        }
    }

    /// Ends the world, and checks everything.
    fn end(self, budget: Duration) -> Ran {
        let Self { checks, mut world, nemesis, played, mut findings, .. } = self;
        drop(nemesis);
        let unstarted = world.unstarted();
        world.end_workloads();
        let end = End { nodes: world.nodes(), shared: world.shared().clone() };
        for (name, holds) in &checks.finally {
            for node in &end.nodes {
                let broken = match catching(|| holds(node)) {
                    Ok(true) => continue,
                    Ok(false) => format!("not of node {}: {name}", node.index()),
                    Err(words) => format!("not of node {}: {name}: {words}", node.index()),
                };
                findings.push(Finding::new("finally", broken));
            }
        }
        for (name, holds) in &checks.at_the_end {
            if let Err(what) = catching(|| holds(&end)).flatten() {
                findings.push(Finding::new("at the end", format!("{name}: {what}")));
            }
        }
        for node in &end.nodes {
            let panics = node.cluster().metrics_now().value("cluster_handled_total", "panicked").unwrap_or_default();
            if panics > 0.0 {
                let what = format!("of node {}: its handlers panicked, {panics} in all", node.index());
                findings.push(Finding::new("a system", what));
            }
        }
        // Held for longer, it would be something that is left of nodes that have stopped.
        drop(end);
        findings.extend(check_all(&judged(&played, &world.starts()), &world, budget));
        let (reports, peers, span) = (world.reports(), world.peer_reports(), world.now().since_origin());
        note_sites(&reports);
        findings.extend(world.stop_all().into_iter().map(|what| Finding::new("nothing is left", what)));
        findings.extend(
            take_broken_here()
                .into_iter()
                .map(|(name, place, times)| Finding::new("always", format!("{name} ({place}), {times} times not"))),
        );
        // What went wrong in the systems explains the rest: it goes first.
        let unstarted = unstarted.into_iter().map(|node| {
            format!(
                "of node {node}: it had not started its node when the run was over: `node.start(node.builder())` does"
            )
        });
        let errors = world.workload_errors().into_iter().chain(unstarted).map(|what| {
            let check = if what.starts_with("of client") { "a client" } else { "a system" };
            Finding::new(check, what)
        });
        let findings = errors.chain(findings).collect();
        let (hash, events) = world.trace_hash();
        Ran { outcome: Outcome { findings, hash, events, reports, peers, span, left_out: 0 }, played }
    }
}

/// Whether an act says whether a process runs.
fn touches(act: &Act, of: usize) -> bool {
    match act {
        Act::Start { node, .. } | Act::StartAt { node, .. } => *node == of,
        Act::Crash(node)
        | Act::Leave(node)
        | Act::Pause(node)
        | Act::HalfStop(node)
        | Act::BlockApplication(node)
        | Act::Resume(node) => *node == of,
        _ => false,
    }
}

/// The schedule as the judge of the cluster must see it: a node is there from when its system has started it, and not at all if it never did.
fn judged(played: &Scenario, starts: &[(usize, u64, Duration)]) -> Scenario {
    let mut judged = Scenario { steps: Vec::new(), ..played.clone() };
    let mut boots = vec![0; played.nodes()];
    // From when each process is there; `None` when it never is.
    let mut there: Vec<Option<u64>> = vec![None; played.nodes()];
    for step in &played.steps {
        let mut step = step.clone();
        if let Act::Start { node, .. } | Act::StartAt { node, .. } = step.act {
            boots[node] += 1;
            let started = starts.iter().find(|(of, boot, _)| (*of, *boot) == (node, boots[node]));
            there[node] = started.map(|(_, _, at)| millis(*at).max(step.at_ms));
            let Some(at_ms) = there[node] else { continue };
            step.at_ms = at_ms;
        } else if (0..there.len()).any(|node| touches(&step.act, node) && there[node].is_none_or(|at| step.at_ms < at))
        {
            continue;
        }
        judged = judged.at(Duration::from_millis(step.at_ms), step.act);
    }
    judged.until_ms = played.until_ms;
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_node_is_there_from_when_its_system_has_started_it() {
        let start = |node| Act::Start { node, seeds: vec![] };
        let played = Scenario::new("x")
            .cluster(2)
            .at(S, Act::Crash(1))
            .at(2 * S, start(1))
            .at(3 * S, Act::Pause(1))
            .at(5 * S, Act::Resume(1))
            .at(6 * S, Act::Crash(1))
            .at(8 * S, start(1))
            .then_quiet(10 * S);
        // The first was there at once, the second while it was stopped for the last time and no more, the third a second late.
        let starts = [(0, 1, Duration::ZERO), (1, 1, S / 2), (1, 3, 9 * S)];
        let judged = judged(&played, &starts);
        let told: Vec<String> = judged.steps.iter().map(|step| format!("{} {:?}", step.at_ms, step.act)).collect();
        assert_eq!(
            told,
            [
                "0 Start { node: 0, seeds: [] }",
                "500 Start { node: 1, seeds: [0] }",
                "1000 Crash(1)",
                "9000 Start { node: 1, seeds: [] }"
            ]
        );
        assert_eq!((judged.until_ms, judged.check()), (18_000, Ok(())));
    }
}
