//! No verdict that the truth does not allow.
//!
//! Two promises. Nobody is declared failed who could have answered: who can be asked, be it through a helper, and be heard, is not
//! declared anew two seconds after that became so. And beyond that the rule of the votes alone excuses a verdict, fed with what the voters
//! could hear and the judge could know of them; or the verdict of another, which was allowed, and of which one could hear.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use cluster_types::EventKind;

use super::finding::{Finding, Findings};
use super::links::Links;
use super::reach::Reach;
use super::story::{Story, ms, short, subject};
use super::truth::{Process, Span, Truth};
use super::votes::{self, Known};
use crate::world::Reported;

/// So long after they can hear each other again a verdict may still fall: for the first probe, and the word of it.
const FRESH_MS: u64 = 2_000;

/// So much before the pause budget is over, after the moment from which it was not heard, a node may have been given up by those it hears.
const GIVES_UP_EARLIER_MS: u64 = 1_300;

/// A member has so many observers at most.
const TURNS_MAX: u64 = 10;

/// Nobody accuses sooner after it heard its subject last.
const ACCUSES_AFTER_MS: u64 = 100;

/// Checks the verdicts of a run.
#[derive(Debug)]
pub(super) struct Verdicts<'a> {
    pub(super) truth: &'a Truth,
    pub(super) reach: &'a Reach<'a>,
    /// Who could hear whom over links that there were, where somebody could make no new ones.
    linked: Option<Reach<'a>>,
    pub(super) story: &'a Story,
    pub(super) links: &'a Links,
    /// P in milliseconds.
    pub(super) pause_budget: u64,
    up: RefCell<HashMap<usize, std::rc::Rc<[Span]>>>,
}

/// A word against a process.
#[derive(Debug, Clone, Copy)]
struct Silence {
    /// Whose it is.
    voter: usize,
    /// Since when its accuser had heard nothing.
    since: u64,
    /// When its accuser could hear the subject last, whether it was up since or not.
    lost: u64,
    /// Its accuser has booted meanwhile, and knows of no sign of life at all.
    booted: bool,
}

/// The verdicts that were allowed: of which process of whom, by whom, when.
type Allowed = BTreeMap<(usize, u64), Vec<(usize, u64)>>;

impl<'a> Verdicts<'a> {
    pub(super) fn new(
        truth: &'a Truth,
        reach: &'a Reach<'a>,
        (story, links): (&'a Story, &'a Links),
        pause_budget: u64,
    ) -> Self {
        let linked = truth.cuts.iter().any(|cut| cut.locked.is_some()).then(|| Reach::of_links(truth));
        Self { truth, reach, linked, story, links, pause_budget, up: RefCell::default() }
    }

    fn linked(&self) -> &Reach<'a> {
        self.linked.as_ref().unwrap_or(self.reach)
    }

    pub(super) fn check(&self, reports: &[Reported], findings: &mut Findings) {
        let mut allowed = Allowed::new();
        for reported in reports {
            let (EventKind::Failed(member, _), Some(about)) = (&reported.kind, subject(reported)) else { continue };
            let (by, at) = (reported.by, ms(reported));
            let Some(process) = self.story.process(self.truth, about, member.claim.life, at) else { continue };
            match self.judge(by, about, process, at, &allowed) {
                Ok(()) => allowed.entry((about, process.ran.from)).or_default().push((by, at)),
                Err((check, why)) => {
                    let what = format!(
                        "at {:.3} s node {by} declares {about} failed: {why}: {}",
                        at as f64 / 1e3,
                        short(&reported.kind)
                    );
                    findings.add(Finding::new(check, what).at(at).by(by).about(about));
                }
            }
        }
    }

    fn judge(
        &self,
        by: usize,
        about: usize,
        process: Process,
        at: u64,
        allowed: &Allowed,
    ) -> Result<(), (&'static str, String)> {
        let together = self.links.in_contact_since(self.linked(), by, about, at).filter(|_| process.ran.contains(at));
        let together = together.map(|since| since.max(process.ran.from));
        let fresh = FRESH_MS + self.truth.allowance(at.saturating_sub(FRESH_MS), at);
        if let Some(since) = together.filter(|since| at - since > fresh) {
            let why = format!("it could have been asked for {} ms", at - since);
            return Err(("nobody is declared failed who could have answered", why));
        }
        // What was so before they came together may still be acted on.
        let moments = [Some(at), together];
        let known = moments.into_iter().flatten().map(|moment| self.known(by, about, process, moment));
        let of_another = |verdicts: &Vec<(usize, u64)>| {
            verdicts
                .iter()
                .any(|(other, then)| self.linked().arrival(*other, *then, by).is_some_and(|heard| heard <= at))
        };
        let known: Vec<Known> = known.collect();
        let by_votes = known.iter().any(|known| votes::allow(known, self.pause_budget));
        if by_votes || allowed.get(&(about, process.ran.from)).is_some_and(of_another) {
            return Ok(());
        }
        Err(("a verdict has the votes that it needs", format!("it could know of {:?}", known[0])))
    }

    /// What could be known at a node of the silence of a process at a time.
    fn known(&self, by: usize, about: usize, process: Process, at: u64) -> Known {
        let (members, suspected) = self.story.members(by, at, about);
        let (mut silences, mut speak) = (Vec::new(), Vec::new());
        for voter in (0..self.truth.nodes()).filter(|voter| *voter != about) {
            if let Some(silence) = self.vote(voter, by, about, process, at) {
                silences.push(silence);
                speak.push(voter);
            }
        }
        let last = silences.iter().filter(|silence| !silence.booted).map(|silence| silence.lost).max().unwrap_or(at);
        let since = |silence: &Silence| self.told_since(silence, &silences, at).unwrap_or(silence.since);
        let mut silences: Vec<u64> = silences.iter().map(|silence| at - since(silence)).collect();
        silences.sort_unstable_by(|a, b| b.cmp(a));
        let silent = suspected.iter().filter(|node| !speak.contains(node)).count();
        let turns_lost = self.turns_lost(about, process, last);
        Known {
            silences,
            suspected: silent,
            members,
            turns_lost,
            alone_for: self.linked().alone_for(by, at, self.pause_budget.saturating_sub(GIVES_UP_EARLIER_MS)),
        }
    }

    /// Whoever has booted meanwhile takes the silence that it has been told of for its own, and no more.
    fn told_since(&self, own: &Silence, all: &[Silence], at: u64) -> Option<u64> {
        let could_be_told = |other: &&Silence| {
            let told = self.linked().arrival(other.voter, other.since + ACCUSES_AFTER_MS, own.voter);
            !other.booted && told.is_some_and(|told| told <= at)
        };
        all.iter().filter(|_| own.booted).filter(could_be_told).map(|other| other.since).min()
    }

    /// How many observers had lost a process when the last of all did: what they would have heard in their turns nobody has.
    fn turns_lost(&self, about: usize, process: Process, last: u64) -> u64 {
        let before = last.saturating_sub(1);
        // A helper's answer is a sign of life, too.
        let hears =
            |observer| process.ran.contains(before) && self.reach.are_together_between(observer, about, before, before);
        let observers = (0..self.truth.nodes()).filter(|&node| node != about && self.truth.is_up(node, last));
        (observers.filter(|&observer| !hears(observer)).count() as u64).min(TURNS_MAX)
    }

    /// Since when a voter has heard nothing of a process, as far as the judge could know by then: the word of it must have reached the judge,
    /// and what the voter heard since need not have.
    fn vote(&self, voter: usize, judge: usize, about: usize, process: Process, at: u64) -> Option<Silence> {
        let contacts = self.reach.contacts(voter, about, process.ran);
        let met = &contacts[..contacts.partition_point(|contact| contact.from <= at)];
        // Each silence begins with the end of a contact, and ends with the next one.
        let begins = std::iter::once(process.ran.from).chain(met.iter().map(|contact| contact.to));
        let ends = met.iter().map(|contact| Some(contact.from)).chain([None]);
        begins.zip(ends).filter(|(from, to)| *from < to.unwrap_or(at)).find_map(|(from, to)| {
            let since = self.asks_in_vain(voter, from, to.unwrap_or(at))?;
            let told = self.linked().arrival(voter, since + ACCUSES_AFTER_MS, judge)?;
            // It hears its subject again when it asks it again.
            let taken_back = to.and_then(|heard| self.reach.arrival(voter, heard + self.turn_ms(), judge));
            let stands = taken_back.is_none_or(|taken_back| taken_back + FRESH_MS > at);
            // Who has never heard it has asked in vain all the same: its word counts, and it knows of no sign that would put the verdict off.
            let since = if from == process.ran.from { from } else { since };
            let booted = from != process.ran.from && self.has_booted(voter, from, since);
            (told <= at && stands).then_some(Silence { voter, since, lost: from, booted })
        })
    }

    /// From when on a voter asked in vain within a silence, if it was up for long enough.
    fn asks_in_vain(&self, voter: usize, from: u64, to: u64) -> Option<u64> {
        let spans = self.up_spans(voter);
        let mut awake = spans.iter().map(|span| Span { from: span.from.max(from), to: span.to.min(to) });
        awake.find(|span| span.length_until(u64::MAX) >= ACCUSES_AFTER_MS).map(|span| span.from)
    }

    /// Whether a process of a node has begun in between.
    fn has_booted(&self, node: usize, from: u64, to: u64) -> bool {
        self.truth.processes(node).iter().any(|p| p.ran.from > from && p.ran.from <= to)
    }

    /// Within this an observer has its turn again: it has as many slots as there are observers, a second apart.
    fn turn_ms(&self) -> u64 {
        1_000 * (self.truth.nodes() as u64 - 1).min(TURNS_MAX)
    }

    fn up_spans(&self, node: usize) -> std::rc::Rc<[Span]> {
        let mut known = self.up.borrow_mut();
        std::rc::Rc::clone(known.entry(node).or_insert_with(|| self.truth.up_spans(node).into()))
    }

    /// Whoever could hear enough who speak knows of a death in the time that the rule gives them.
    pub(super) fn deaths_are_known(&self, findings: &mut Findings) {
        const CHECK: &str = "a death is known as soon as the rule allows";
        for gone in 0..self.truth.nodes() {
            let ends = self.truth.processes(gone).iter().filter(|p| !p.left && p.ran.to < self.truth.until);
            for process in ends.filter(|p| p.ran.length_until(u64::MAX) >= SETTLED_MS) {
                for judge in (0..self.truth.nodes()).filter(|judge| *judge != gone) {
                    if let Some(late) = self.is_late(judge, gone, process) {
                        let died = process.ran.to;
                        let what = format!("node {judge} does not know {late} ms after the end of {gone} at {died} ms");
                        findings.add(Finding::new(CHECK, what).at(died + late).by(judge).about(gone));
                    }
                }
            }
        }
    }

    /// After how many milliseconds a death should have been known, and was not.
    fn is_late(&self, judge: usize, gone: usize, process: &Process) -> Option<u64> {
        let died = process.ran.to;
        let (met, nodes) = (died.saturating_sub(SETTLED_MS), 0..self.truth.nodes());
        let mut others: Vec<usize> = Vec::new();
        // Where all the others are well or have died with it, any number of them, those who are left need no longer (WORST-2).
        let died_with_it = |node: usize| {
            let before = |p: &Process| p.ran.to <= died + AT_ONCE_MS || p.ran.from >= died + 6 * self.pause_budget;
            self.truth.processes(node).iter().all(before)
        };
        for (times, after) in [(1, KNOWN_AFTER_MS), (1, MANY_KNOWN_AFTER_MS), (2, KNOWN_AFTER_MS), (6, KNOWN_AFTER_MS)]
        {
            let within = times * self.pause_budget + after;
            let by = died + within + self.truth.allowance(died, died + within);
            if by > self.truth.until {
                return None;
            }
            let settled = |node: usize| {
                node != gone
                    && self.truth.is_well_between(node, met, by)
                    && self.reach.are_together_between(judge, node, met, by)
                    && self.reach.are_together_between(node, gone, met, died.saturating_sub(1))
            };
            if !settled(judge) || self.truth.processes(gone).iter().any(|p| p.ran.from >= died && p.ran.from < by) {
                return None;
            }
            others.clear();
            others.extend(nodes.clone().filter(|node| settled(*node)));
            // Others that were there lately still count until they are declared themselves.
            let lately = |node: usize| {
                let ran = |p: &Process| p.ran.from <= by && p.ran.to.saturating_add(7 * self.pause_budget) > died;
                node != gone && self.truth.processes(node).iter().any(ran)
            };
            let members = nodes.clone().filter(|node| lately(*node)).count();
            let all_others = nodes.clone().all(|node| node == gone || settled(node) || died_with_it(node));
            let by_all = after == MANY_KNOWN_AFTER_MS && all_others;
            if by_all || votes::multiple(members, others.len()) <= times {
                let knows = |held: &super::story::Held| {
                    let life = held.life.and_then(|life| self.story.process(self.truth, gone, life, held.at));
                    let over = held.state.is_some_and(|state| !state.is_live());
                    over && life.is_some_and(|p| p.ran.from == process.ran.from)
                };
                let known = self.story.changes(judge, gone, met, by).iter().any(knows);
                return (!known).then_some(by - died);
            }
        }
        None
    }
}

/// A member that has been there for so long is known to all, and probed.
const SETTLED_MS: u64 = 5_000;

/// Who dies within so long of another dies at once with it.
const AT_ONCE_MS: u64 = 200;

/// As the next, where many die at once: those who are left find each other first.
const MANY_KNOWN_AFTER_MS: u64 = 3_500;

/// After the rule's time: the period in which the first probe falls, and the way of the votes.
const KNOWN_AFTER_MS: u64 = 2_000;
