//! Each check is shown what it must find, and the same without it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_types::{Accusation, Claim, Evidence, Instant, Life, Member, Metadata};

use super::*;
use crate::judge::finding::FINDINGS_A_CHECK_MAX;
use crate::scenario::{Act, PathFault};
use crate::world::{View, name_of};

/// A world that is over, as told.
#[derive(Default)]
struct Told {
    reports: Vec<Reported>,
    states: BTreeMap<(usize, usize), State>,
    bytes: u64,
    loose: Vec<String>,
    views: BTreeMap<(usize, usize), View>,
    subscribers: Vec<String>,
}

impl World for Told {
    fn act(&mut self, _act: &Act) -> bool {
        false
    }
    fn run_for(&mut self, _span: Duration) {}
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }
    fn reports(&self) -> Vec<Reported> {
        self.reports.clone()
    }
    fn state(&self, i: usize, j: usize) -> Option<State> {
        self.states.get(&(i, j)).copied()
    }
    fn view(&self, i: usize, j: usize) -> Option<View> {
        self.views.get(&(i, j)).cloned()
    }
    fn subscribers_disagree(&self) -> Vec<String> {
        self.subscribers.clone()
    }
    fn bytes_sent(&self) -> u64 {
        self.bytes
    }
    fn loose_ends(&self) -> Vec<String> {
        self.loose.clone()
    }
    fn finish(&mut self) -> Vec<String> {
        Vec::new()
    }
    fn trace_hash(&self) -> (u128, u64) {
        (0, 0)
    }
}

const fn s(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn member(i: usize, state: State, incarnation: u64) -> Arc<Member> {
    let addr = ([10, 0, 0, i as u8], 1).into();
    let claim = Claim { state, ..Claim::alive(name_of(i), Life::new(1, 1), Incarnation::from_raw(incarnation), addr) };
    Arc::new(Member { claim, metadata: Metadata::default(), since: Instant::ORIGIN })
}

fn link(to: usize) -> EventKind {
    let Claim { node, incarnation, addr, .. } = member(to, State::Alive, 1).claim.clone();
    EventKind::LinkUp { node, incarnation, addr }
}

fn failed(i: usize) -> EventKind {
    EventKind::Failed(member(i, State::Failed, 1), Evidence::bare(Accusation::ProbeUnanswered))
}

impl Told {
    /// Three nodes that meet at once and hold each other to be alive at the end.
    fn three() -> Self {
        let mut told = Self::default();
        for i in 0..3 {
            for j in 0..3 {
                told.states.insert((i, j), State::Alive);
                if i != j {
                    told.say(Duration::from_millis(40), i, EventKind::Joined(member(j, State::Alive, 1)));
                    told.say(Duration::from_millis(40), i, link(j));
                }
            }
        }
        told
    }

    fn say(&mut self, at: Duration, by: usize, kind: EventKind) {
        self.reports.push(Reported { at: Instant::after_origin(at), by, kind });
    }
}

fn checks(scenario: &Scenario, told: &Told) -> Vec<&'static str> {
    check_all(scenario, told, Duration::from_millis(6_300)).iter().map(|finding| finding.check).collect()
}

fn three() -> Scenario {
    Scenario::new("x").cluster(3).then_quiet(s(60))
}

#[test]
fn a_quiet_cluster_breaks_no_promise() {
    let scenario = three().expecting(|e| {
        e.calm = true;
        e.met_within_ms = Some(100);
        e.crash_known_within_ms = Some(7_000);
    });
    assert!(checks(&scenario, &Told::three()).is_empty());
}

const ANSWERED: &str = "nobody is declared failed who could have answered";
const VOTES: &str = "a verdict has the votes that it needs";
const AGREE: &str = "all agree at the end";
const BACK: &str = "who comes back is seen alive in time";

#[test]
fn a_verdict_on_the_living_is_found_and_one_on_the_dead_is_not() {
    let mut told = Told::three();
    told.say(s(20), 0, failed(2));
    told.say(s(21), 0, EventKind::Alive(member(2, State::Alive, 2)));
    told.say(s(22), 0, EventKind::Merged { members: 1 });
    assert_eq!(checks(&three(), &told), [ANSWERED]);
    let paused = three().at(s(13), Act::Pause(2)).at(s(20), Act::Resume(2));
    assert!(checks(&paused, &told).is_empty());
    let too_late = three().at(s(16), Act::Pause(2)).at(s(22), Act::Resume(2));
    assert_eq!(checks(&too_late, &told), [VOTES], "four seconds are no cause");
    let long_over = three().at(s(1), Act::Pause(2)).at(s(9), Act::Resume(2)).then_quiet(s(100));
    told.say(s(60), 1, failed(2));
    assert_eq!(checks(&long_over, &told), [ANSWERED; 2], "both come too late");
}

#[test]
fn an_address_that_is_bound_anew_excuses_nobody() {
    let mut told = Told::three();
    told.say(s(20), 0, failed(2));
    told.say(s(21), 0, EventKind::Alive(member(2, State::Alive, 2)));
    told.say(s(22), 0, EventKind::Merged { members: 1 });
    assert_eq!(checks(&three().at(s(13), Act::Rebind(2)), &told), [ANSWERED]);
}

/// It is over from 12 s on. Who has lost its links may be declared failed then, and who has not may not.
#[test]
fn a_certificate_that_is_over_ends_new_links_alone() {
    let over = || three().at(s(10), Act::Rotate { node: 2, valid_s: 2 });
    let mut told = Told::three();
    told.say(s(30), 0, failed(2));
    told.states.insert((0, 2), State::Failed);
    assert_eq!(checks(&over(), &told), [ANSWERED], "they are linked");
    let mut lost = Told::three();
    for (by, about) in [(0, 2), (2, 0), (1, 2), (2, 1)] {
        let (node, incarnation) = (name_of(about), Incarnation::from_raw(1));
        lost.say(s(13), by, EventKind::LinkDown { node, incarnation, reason: String::new() });
    }
    lost.say(s(30), 0, failed(2));
    lost.states.insert((0, 2), State::Failed);
    assert!(checks(&over(), &lost).is_empty(), "no link, no new one, and nobody is back at the end");
    assert_eq!(checks(&three(), &lost), [VOTES, AGREE]);
    // With a new one in time it is back in time.
    let renewed = over().at(s(40), Act::Rotate { node: 2, valid_s: 3_600 }).then_quiet(s(60));
    assert_eq!(checks(&renewed, &lost), [BACK, AGREE]);
    lost.say(s(20), 0, link(2));
    assert_eq!(checks(&over(), &lost), ["nobody links with a certificate that is over"]);
}

/// Two words are needed for the death of 1, and one of them is that of 2, who could make no new link.
#[test]
fn words_go_over_links_that_there_are() {
    let over = three().at(s(10), Act::Rotate { node: 2, valid_s: 2 }).at(s(20), Act::Crash(1)).then_quiet(s(40));
    let mut told = Told::three();
    for by in [0, 2] {
        told.say(s(27), by, failed(1));
        told.states.insert((by, 1), State::Failed);
    }
    assert!(checks(&over, &told).is_empty(), "{:?}", checks(&over, &told));
}

#[test]
fn a_story_out_of_order_is_found() {
    let mut twice = Told::three();
    twice.say(s(1), 0, EventKind::Joined(member(1, State::Alive, 1)));
    assert_eq!(checks(&three(), &twice), ["states follow in a legal order"]);
    let mut older = Told::three();
    older.say(s(1), 0, EventKind::Updated(member(1, State::Alive, 0)));
    assert_eq!(checks(&three(), &older), ["incarnations never fall"]);
    let restarted = three().at(s(30), Act::Crash(0)).at(s(31), Act::Start { node: 0, seeds: vec![1] });
    let mut anew = Told::three();
    anew.say(s(32), 0, EventKind::Joined(member(1, State::Alive, 1)));
    assert!(checks(&restarted, &anew).is_empty(), "a new process begins anew");
}

#[test]
fn who_disagrees_at_the_end_is_found() {
    let mut told = Told::three();
    told.states.insert((1, 2), State::Suspect);
    told.states.remove(&(2, 0));
    assert_eq!(checks(&three(), &told), ["all agree at the end"; 2]);
    let crashed = three().at(s(1), Act::Crash(2));
    assert_eq!(checks(&crashed, &Told::three()), ["all agree at the end"; 2], "two hold the dead to be alive");
}

#[test]
fn a_calm_that_is_broken_is_found() {
    let mut told = Told::three();
    told.say(s(9), 1, EventKind::Suspected(member(2, State::Suspect, 1), Evidence::bare(Accusation::ProbeUnanswered)));
    told.say(s(10), 1, EventKind::Alive(member(2, State::Alive, 2)));
    assert!(checks(&three(), &told).is_empty());
    assert_eq!(checks(&three().expecting(|e| e.calm = true), &told), ["nobody is suspected"]);
}

#[test]
fn an_end_that_somebody_does_not_hear_of_is_found() {
    let crashed = three().at(s(20), Act::Crash(2)).expecting(|e| e.crash_known_within_ms = Some(7_000));
    let mut told = Told::three();
    for i in 0..2 {
        told.states.insert((i, 2), State::Failed);
    }
    told.say(Duration::from_millis(26_500), 0, failed(2));
    assert_eq!(checks(&crashed, &told), ["a death is known as soon as the rule allows", "a crash is known to all"]);
    told.say(Duration::from_millis(26_900), 1, failed(2));
    assert!(checks(&crashed, &told).is_empty());
    let left = three().at(s(20), Act::Leave(2)).expecting(|e| e.leave_known_within_ms = Some(500));
    let mut told = Told::three();
    for i in 0..2 {
        told.states.insert((i, 2), State::Left);
        told.say(Duration::from_millis(20_100 + 500 * i as u64), i, EventKind::Left(member(2, State::Left, 2)));
    }
    assert_eq!(checks(&left, &told), ["a farewell is known to all"], "one hears of it 600 ms later");
}

#[test]
fn a_meeting_that_takes_too_long_and_a_cost_that_is_too_high_are_found() {
    let scenario = three().expecting(|e| e.met_within_ms = Some(5));
    assert_eq!(checks(&scenario, &Told::three()).len(), FINDINGS_A_CHECK_MAX, "of six");
    let scenario = three().expecting(|e| e.bytes_per_s_max = Some(100.0));
    let told = Told { bytes: 3 * 60 * 101, ..Told::three() };
    assert_eq!(checks(&scenario, &told), ["the cost is bounded"]);
}

impl Told {
    /// So many nodes that meet at once and hold each other to be alive at the end.
    fn met(nodes: usize) -> Self {
        let mut told = Self::default();
        for (i, j) in (0..nodes).flat_map(|i| (0..nodes).map(move |j| (i, j))) {
            told.states.insert((i, j), State::Alive);
            if i != j {
                told.say(Duration::from_millis(40), i, EventKind::Joined(member(j, State::Alive, 1)));
                told.say(Duration::from_millis(40), i, link(j));
            }
        }
        told
    }

    /// Somebody declares another failed, and takes it back.
    fn wrong(mut self, at: Duration, by: usize, about: usize) -> Self {
        self.say(at, by, failed(about));
        self.say(at + Duration::from_millis(900), by, EventKind::Alive(member(about, State::Alive, 2)));
        self.say(at + s(1), by, EventKind::Merged { members: 1 });
        self
    }
}

fn cluster(nodes: usize) -> Scenario {
    Scenario::new("x").cluster(nodes).then_quiet(s(100))
}

/// One witness that is cut off excuses nobody but itself.
#[test]
fn a_verdict_while_somebody_else_is_cut_off_is_found() {
    let told = Told::met(5).wrong(s(30), 1, 3);
    let cut = cluster(5).at(s(20), Act::Split(vec![0], vec![1, 2, 3, 4])).at(s(40), Act::Heal);
    assert_eq!(checks(&cut, &told), [ANSWERED], "3 is cut off from 0, and 1 hears 3");
    let one_way = cluster(5).at(s(20), Act::Cut { from: vec![3], to: vec![0] }).at(s(40), Act::Heal);
    assert_eq!(checks(&one_way, &told), [ANSWERED], "0 does not hear 3 and tells 1, but 3 can answer");
    let healed = cluster(5).at(s(10), Act::Split(vec![0], vec![1, 2, 3, 4])).at(s(29), Act::Heal);
    assert_eq!(checks(&healed, &told), [ANSWERED], "who comes back convinces nobody");
}

/// Cut off alone it has one word against each and nobody to wait for: P is enough. If it hears somebody who says nothing, it is not.
#[test]
fn a_verdict_of_one_who_is_alone_needs_p_and_of_one_who_is_not_long() {
    let cut = |until| cluster(5).at(s(20), Act::Split(vec![0], vec![1, 2, 3, 4])).at(s(until), Act::Heal);
    assert!(checks(&cut(29), &Told::met(5).wrong(s(28), 0, 3)).is_empty());
    assert_eq!(checks(&cut(25), &Told::met(5).wrong(s(24), 0, 3)), [VOTES], "four seconds are not P");
    let mute = Act::Cut { from: vec![0], to: vec![1, 2, 3, 4] };
    let one_ear =
        cluster(5).at(s(20), mute).at(s(20), Act::Cut { from: vec![2, 3, 4], to: vec![0] }).at(s(30), Act::Heal);
    assert_eq!(
        checks(&one_ear, &Told::met(5).wrong(s(27), 0, 3)),
        [VOTES],
        "it hears 1, which has not given it up yet"
    );
    // The others are four who say the same of it: P is enough.
    assert!(checks(&cut(29), &Told::met(5).wrong(s(28), 1, 0)).is_empty());
    assert_eq!(checks(&cut(24), &Told::met(5).wrong(s(23), 1, 0)), [VOTES], "three seconds are not");
}

/// What another was allowed to say may be repeated by whoever could hear of it, and by nobody else.
#[test]
fn a_verdict_of_another_counts_where_it_could_be_heard() {
    // 4 is cut off from 0 to 2 and hears 3, which hears all but 4's subject.
    let apart = cluster(5).at(s(20), Act::Split(vec![0], vec![1, 2, 3, 4])).at(s(29), Act::Heal);
    let mut told = Told::met(5).wrong(s(28), 1, 0);
    told.say(Duration::from_millis(28_100), 2, failed(0));
    told.say(Duration::from_millis(29_400), 2, EventKind::Alive(member(0, State::Alive, 2)));
    told.say(s(30), 2, EventKind::Merged { members: 1 });
    assert!(checks(&apart, &told).is_empty());
    let late = Told::met(5).wrong(s(28), 1, 0).wrong(s(35), 2, 0);
    assert_eq!(checks(&apart, &late), [ANSWERED], "six seconds after the heal it could have answered");
}

/// A process that has booted since knows of no sign of life: the silence that it was told of counts, and no other begins with it.
#[test]
fn a_voter_that_has_booted_meanwhile_puts_no_verdict_off() {
    let scenario = |cut_at| {
        cluster(3)
            .at(s(10), Act::Crash(2))
            .at(s(cut_at), Act::Split(vec![0], vec![1, 2]))
            .at(s(25), Act::Start { node: 2, seeds: vec![1] })
            .at(s(40), Act::Heal)
    };
    let mut told = Told::three().wrong(s(28), 1, 0);
    told.say(s(17), 0, failed(2));
    told.say(s(17), 1, failed(2));
    let votes = |cut_at| checks(&scenario(cut_at), &told).into_iter().filter(|check| *check == VOTES).count();
    assert_eq!(votes(11), 0, "1 has heard nothing for 17 s, and 2 since it booted");
    assert_eq!(votes(25), 1, "three seconds are too few for either");
}

fn early(scenario: &Scenario, by: usize, about: usize, at_ms: u64) -> usize {
    let mut told = Told::met(scenario.nodes());
    told.say(Duration::from_millis(at_ms), by, failed(about));
    checks(scenario, &told).into_iter().filter(|check| *check == VOTES).count()
}

/// Whoever wakes when the subject is gone has lost no turn by that: the last sign of life is as old as the others say.
#[test]
fn who_slept_when_the_subject_fell_silent_makes_no_verdict_earlier() {
    let scenario = cluster(5).at(s(19), Act::Pause(4)).at(s(20), Act::Crash(2)).at(s(23), Act::Resume(4));
    assert_eq!(early(&scenario, 0, 2, 23_500), 1, "three and a half seconds");
}

/// An observer that was cut off when the subject fell silent had a turn in which nobody heard: the last sign may be a second older.
#[test]
fn a_turn_of_an_observer_that_was_cut_off_makes_the_last_sign_older() {
    let scenario = cluster(3).at(s(16), Act::Split(vec![1], vec![0, 2])).at(s(20), Act::Crash(2)).at(s(21), Act::Heal);
    assert_eq!(early(&scenario, 0, 2, 24_100), 0);
    assert_eq!(early(&scenario, 0, 2, 23_900), 1);
}

/// Only whoever has the certificate that is over is excused, and that from new links alone.
#[test]
fn a_lock_of_one_excuses_nobody_else() {
    let locked = cluster(4).at(s(10), Act::Rotate { node: 3, valid_s: 5 }).at(s(30), Act::Crash(2));
    let told = Told::met(4);
    let late = checks(&locked, &told).into_iter().filter(|check| check.starts_with("a death is known")).count();
    assert!(late > 0, "0 and 1 do not know that 2 is dead");
}

#[test]
fn a_verdict_on_one_that_is_stopped_again_and_again_counts_from_its_last_contact() {
    let mut scenario = cluster(3);
    for n in 0..5 {
        scenario = scenario.at(s(20 + 4 * n), Act::Pause(2)).at(s(23 + 4 * n), Act::Resume(2));
    }
    assert_eq!(
        checks(&scenario, &Told::three().wrong(Duration::from_millis(40_500), 0, 2)),
        [VOTES],
        "stopped for three seconds"
    );
}

/// 1 does not hear that 2 has heard 0 again: what 2 said before still stands for it.
#[test]
fn a_word_that_was_taken_back_stands_where_nobody_can_hear_of_it() {
    let scenario = |deaf_until| {
        cluster(3)
            .at(s(20), Act::Fault { id: 1, from: vec![0], to: vec![1, 2], fault: PathFault::Cut })
            .at(s(23), Act::Fault { id: 2, from: vec![0, 2], to: vec![1], fault: PathFault::Cut })
            .at(s(24), Act::Mend(1))
            .at(s(deaf_until), Act::Mend(2))
    };
    let told = Told::three().wrong(s(27), 1, 0);
    assert!(checks(&scenario(28), &told).is_empty());
    let late = Told::three().wrong(Duration::from_millis(28_500), 1, 0);
    assert_eq!(checks(&scenario(25), &late), [ANSWERED], "2 could say so for four seconds");
}

#[test]
fn a_death_that_stays_unknown_is_found_without_being_asked_for() {
    let crashed = cluster(5).at(s(20), Act::Crash(4));
    let mut told = Told::met(5);
    for i in 0..4 {
        told.states.insert((i, 4), State::Failed);
        told.say(Duration::from_millis(26_000 + 2_000 * i as u64), i, failed(4));
    }
    assert_eq!(checks(&crashed, &told), ["a death is known as soon as the rule allows"; 2], "2 and 3 hear of it late");
    // Where two of four are cut off from the judge, its side has two words of the three that P needs: 6 P.
    let halves = crashed.at(s(10), Act::Split(vec![0, 1], vec![2, 3])).at(s(40), Act::Heal);
    let found = checks(&halves, &told);
    assert!(!found.contains(&"a death is known as soon as the rule allows"), "{found:?}");
}

#[test]
fn who_is_said_to_have_left_was_told_to() {
    let mut told = Told::three();
    told.say(s(30), 0, EventKind::Left(member(2, State::Left, 1)));
    told.say(s(31), 0, EventKind::Alive(member(2, State::Alive, 2)));
    assert_eq!(checks(&three(), &told), ["nobody has left that was not told to"]);
}

#[test]
fn a_return_that_is_seen_late_or_not_told_as_a_merge_is_found() {
    let apart = cluster(5).at(s(20), Act::Split(vec![0], vec![1, 2, 3, 4])).at(s(30), Act::Heal);
    let back = |at: u64, merged: bool| {
        let mut told = Told::met(5);
        told.say(s(28), 1, failed(0));
        told.say(s(at), 1, EventKind::Alive(member(0, State::Alive, 2)));
        if merged {
            told.say(s(at + 1), 1, EventKind::Merged { members: 1 });
        }
        checks(&apart, &told)
    };
    assert!(back(34, true).is_empty());
    assert_eq!(back(36, true), ["who comes back is seen alive in time"]);
    assert_eq!(back(34, false), ["a merge is told"]);
}

#[test]
fn views_that_differ_are_found() {
    let view = |metadata: &str, host: u8| View {
        addr: ([10, 0, 0, host], 1).into(),
        life: Some(Life::new(1, 1)),
        incarnation: Incarnation::from_raw(1),
        metadata: Metadata::new([("zone".to_owned(), metadata.to_owned())]).unwrap(),
    };
    let mut told = Told::three();
    for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        told.views.insert((i, j), view("a", 1));
    }
    assert!(checks(&three(), &told).is_empty());
    told.views.insert((0, 2), view("b", 1));
    told.views.insert((1, 2), view("a", 7));
    assert_eq!(checks(&three(), &told), ["metadata agrees at the end", "addresses agree at the end"]);
}

#[test]
fn a_subscriber_whose_deltas_do_not_add_up_is_found() {
    let told = Told { subscribers: vec!["event 2 follows event 0".into()], ..Told::three() };
    assert_eq!(checks(&three(), &told), ["snapshot and deltas are the state"]);
}

#[test]
fn who_wakes_and_accuses_is_found() {
    let paused = three().at(s(10), Act::Pause(0)).at(s(14), Act::Resume(0));
    let mut told = Told::three();
    let accused =
        |accusation: Accusation| EventKind::Suspected(member(2, State::Suspect, 1), Evidence::bare(accusation));
    told.say(Duration::from_millis(14_500), 0, accused(Accusation::Gossip));
    told.say(Duration::from_millis(14_510), 0, EventKind::Alive(member(2, State::Alive, 2)));
    assert!(checks(&paused, &told).is_empty(), "what it heard is not its own word");
    told.say(Duration::from_millis(14_520), 0, accused(Accusation::ProbeUnanswered));
    told.say(Duration::from_millis(14_530), 0, EventKind::Alive(member(2, State::Alive, 3)));
    let found = checks(&paused, &told);
    assert!(found.contains(&"who wakes accuses nobody"), "{found:?}");
}

#[test]
fn loose_ends_are_findings() {
    let told = Told { loose: vec!["two links".into()], ..Told::three() };
    assert_eq!(checks(&three(), &told), ["one live link a pair"]);
}

#[test]
fn a_restart_that_is_not_seen_is_found() {
    let restarted = three()
        .at(s(20), Act::Crash(2))
        .at(s(21), Act::Start { node: 2, seeds: vec![0] })
        .then_quiet(s(60))
        .expecting(|e| e.met_within_ms = Some(5_000));
    let mut told = Told::three();
    for (by, about) in [(0, 2), (2, 0), (2, 1)] {
        let kind = member(about, State::Alive, 9);
        told.say(s(22), by, if by == 2 { EventKind::Joined(kind) } else { EventKind::Alive(kind) });
    }
    assert_eq!(checks(&restarted, &told), ["all meet in time"], "node 1 knows the former process only");
    told.say(s(23), 1, EventKind::Alive(member(2, State::Alive, 9)));
    assert!(checks(&restarted, &told).is_empty());
}
