//! The machine by itself, and clusters of it.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_types::Seed;

use super::*;
use crate::contender::{Change, Contender, Links, Setting};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn world(nodes: usize, joined: bool) -> World<Memberlist> {
    World::new(Setting { nodes, links: Links::lan(0.0), seed: 1, joined }, Memberlist::new)
}

/// A node that knows 1 to `known` - 1, and what it wanted at its start.
fn machine(known: usize) -> Memberlist {
    let mut machine = Memberlist::new(0, Seed::new(1));
    machine.begin(Duration::ZERO, known, &mut Vec::new());
    machine
}

fn sent(out: &Outputs<Memberlist>) -> Vec<(usize, &Message)> {
    let message = |output| match output {
        &Output::Packet { to, ref message, .. } | &Output::Stream { to, ref message, .. } => Some((to, message)),
        _ => None,
    };
    out.iter().filter_map(message).collect()
}

/// A probe that nobody answers, with so many nacks; how long the next one may take.
fn fail_a_probe(machine: &mut Memberlist, nacks: usize) -> Duration {
    let mut out = Vec::new();
    machine.probe_turn(SECOND, &mut out);
    let seq = machine.seq;
    machine.probe_overdue(seq, &mut out);
    (0..nacks).for_each(|_| machine.handle_nack(seq));
    machine.probe_deadline(2 * SECOND, seq, &mut out);
    machine.awareness.scale(PROBE_INTERVAL)
}

#[test]
fn an_unanswered_ping_is_followed_by_three_others_and_a_stream() {
    let mut machine = machine(10);
    let mut out = Vec::new();
    machine.probe_turn(SECOND, &mut out);
    let target = match sent(&out)[..] {
        [(target, Message::Ping { seq: 1 })] => target,
        ref other => panic!("{other:?}"),
    };
    let mut out = Vec::new();
    machine.probe_overdue(1, &mut out);
    let all = sent(&out);
    let asked: BTreeSet<usize> =
        all.iter().filter(|(_, m)| matches!(m, Message::IndirectPing { .. })).map(|(to, _)| *to).collect();
    assert_eq!((asked.len(), asked.contains(&target)), (3, false));
    assert!(all.contains(&(target, &Message::StreamPing { seq: 1 })));
}

#[test]
fn nacks_that_do_not_come_are_a_reason_for_doubt() {
    assert_eq!(fail_a_probe(&mut machine(10), 3), SECOND);
    assert_eq!(fail_a_probe(&mut machine(10), 1), 3 * SECOND);
    assert_eq!(fail_a_probe(&mut machine(10), 0), 4 * SECOND);
    // There is nobody to ask.
    assert_eq!(fail_a_probe(&mut machine(2), 0), 2 * SECOND);
}

#[test]
fn a_suspect_is_told_with_the_next_ping() {
    let mut machine = machine(2);
    fail_a_probe(&mut machine, 0);
    let mut out = Vec::new();
    machine.probe_turn(3 * SECOND, &mut out);
    let rumour = Message::Rumour(Rumour::Suspect { incarnation: 1, node: 1, from: 0 });
    assert!(matches!(sent(&out)[..], [(1, Message::Compound(all))] if all.contains(&rumour)), "{:?}", sent(&out));
}

#[test]
fn a_node_whose_sends_block_suspects_one_and_not_one_a_second() {
    let mut machine = machine(10);
    let mut out = Vec::new();
    machine.handle_blocked(SECOND, true, &mut out);
    for s in 1..20 {
        machine.probe_turn(s * SECOND, &mut out);
        machine.probe_deadline(s * SECOND, machine.seq, &mut out);
    }
    assert!(machine.suspicions.is_empty());
    machine.handle_blocked(20 * SECOND, false, &mut out);
    assert_eq!(machine.suspicions.len(), 1);
}

#[test]
fn a_crash_is_declared_by_all_after_the_suspicion_for_their_number() {
    let mut world = world(16, true);
    world.run_for(60 * SECOND);
    assert_eq!(world.take_changes(), []);
    let since = world.now();
    world.crash(7);
    world.run_for(20 * SECOND);
    let changes = world.take_changes();
    assert!(changes.iter().all(|change| change.about == 7 && !change.up), "{changes:?}");
    assert_eq!(changes.iter().map(|change| change.by).collect::<BTreeSet<_>>().len(), 15);
    // A probe of a second, then four times the logarithm of sixteen with two confirmations.
    let least = changes.iter().map(|change| change.at - since).min();
    assert!(least.is_some_and(|least| least > Duration::from_millis(4_816) && least < 9 * SECOND), "{least:?}");
}

/// What the others say of it. It may go on to take one of them for failed: whose refutation it missed.
#[test]
fn who_is_deaf_for_a_moment_refutes_what_was_said() {
    let mut world = world(16, true);
    world.run_for(5 * SECOND);
    world.deafen(&[3]);
    world.run_for(3 * SECOND);
    world.mend();
    world.run_for(60 * SECOND);
    let changes = world.take_changes();
    assert!(changes.iter().all(|change| change.about != 3), "{changes:?}");
    assert!(world.machine(3).incarnation > 1);
}

#[test]
fn who_is_deaf_for_long_is_declared_and_comes_back() {
    let mut world = world(16, true);
    world.run_for(5 * SECOND);
    world.deafen(&[3]);
    world.run_for(40 * SECOND);
    let (down, about): (Vec<Change>, usize) = (world.take_changes(), 3);
    assert!(down.iter().any(|change| change.about == about && !change.up));
    world.mend();
    world.run_for(120 * SECOND);
    let last = world.take_changes().into_iter().rev().find(|change| change.about == about);
    assert!(last.is_some_and(|change| change.up), "{last:?}");
}

#[test]
fn all_who_join_through_one_know_each_other() {
    let mut world = world(30, false);
    for i in 1..30 {
        world.run_for(SECOND / 30);
        world.join(i);
    }
    world.run_for(60 * SECOND);
    let up = world.take_changes().into_iter().filter(|change| change.up && change.about != change.by);
    let pairs: BTreeSet<(usize, usize)> = up.map(|change| (change.by, change.about)).collect();
    assert_eq!(pairs.len(), 30 * 29);
}
