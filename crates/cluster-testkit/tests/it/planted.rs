//! Planted mistakes: one gauntlet at L0 that a sound core passes with every seed, and that each planted mistake fails within
//! three.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_gossip::planted::Bug;
use cluster_testkit::{EngineWorld, WorldConfig};
use cluster_types::{Claim, Instant, State};

const NODES: usize = 14;
const SEEDS: u64 = 3;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// Reports of an event about a node since some moment.
fn reports(world: &EngineWorld, event: &str, about: usize, since: Instant) -> Vec<Duration> {
    let name = cluster_testkit::world::name_of(about);
    let such = world.trace().iter().filter(|r| r.kind.as_str() == event && r.kind.node() == Some(&name));
    such.filter(|r| r.at >= since && r.by != about).map(|r| r.at.since(since)).collect()
}

/// Every promise that this gauntlet can see broken, in words.
fn gauntlet(bug: Option<Bug>, seed: u64) -> Result<(), String> {
    let mut config = WorldConfig::default();
    config.swim.bug = bug;
    let mut world = EngineWorld::new(config, seed);
    world.start_cluster(NODES);
    if world.run_until(secs(30), EngineWorld::everybody_knows_everybody).is_none() {
        return Err("they did not meet".into());
    }
    world.run_for(secs(60));
    let before = world.sent();
    world.run_for(secs(120));
    let sent = world.sent() - before;
    // Of each node: a ping and an ack a second of at most 16 bytes, and six roots of 16 bytes that are found equal.
    let allowed = NODES as u64 * (2 * 120 * 16 + 6 * 16);
    if sent.payload > allowed {
        return Err(format!("a quiet cluster says {} bytes in 120 s, {allowed} are enough", sent.payload));
    }
    pause(&mut world, 5)?;
    split(&mut world)?;
    leave(&mut world, 6)?;
    for crashed in [7, 8, 9, 10] {
        crash(&mut world, crashed)?;
    }
    end_state(&world)
}

fn pause(world: &mut EngineWorld, paused: usize) -> Result<(), String> {
    let since = world.now();
    world.pause(paused);
    world.run_for(secs(5));
    world.resume(paused);
    let resumed = world.now();
    world.run_for(secs(20));
    if !world.everybody_knows_everybody() {
        return Err("not all are held alive 20 s after a pause of 5 s".into());
    }
    let failed = world.trace().iter().filter(|r| r.at >= since && r.kind.as_str() == "failed").count();
    let accused = |r: &&cluster_testkit::world::Reported| r.by == paused && r.kind.as_str() == "suspected";
    let accused = world.trace().iter().filter(|r| r.at >= resumed).filter(accused).count();
    match (failed, accused) {
        (0, 0) => Ok(()),
        (0, _) => Err("whoever was paused accuses others when it wakes".into()),
        _ => Err("somebody was declared failed for a pause of 5 s".into()),
    }
}

fn split(world: &mut EngineWorld) -> Result<(), String> {
    let (left, right): (Vec<usize>, Vec<usize>) = (0..NODES).partition(|i| *i < NODES / 2);
    world.partition(&left, &right);
    run_watching(world, secs(40))?;
    world.heal();
    run_watching(world, secs(30))?;
    if world.everybody_knows_everybody() { Ok(()) } else { Err("not healed within 30 s".into()) }
}

fn leave(world: &mut EngineWorld, leaving: usize) -> Result<(), String> {
    let since = world.now();
    world.leave(leaving);
    world.run_for(Duration::from_millis(100));
    let told = reports(world, "left", leaving, since).len();
    world.crash(leaving);
    world.run_for(secs(20));
    if told == NODES - 1 { Ok(()) } else { Err(format!("a farewell reached {told} within 100 ms")) }
}

fn crash(world: &mut EngineWorld, crashed: usize) -> Result<(), String> {
    let since = world.now();
    world.crash(crashed);
    run_watching(world, secs(20))?;
    let declared = reports(world, "failed", crashed, since);
    if declared.iter().any(|took| *took < secs(5)) {
        return Err(format!("a verdict before 5 s: {declared:?}"));
    }
    // One has left, and the crashed ones hear nothing.
    let listening = NODES - 1 - (crashed - 5);
    if declared.len() < listening || declared.iter().any(|took| *took > secs(8)) {
        return Err(format!(
            "{} of {listening} declared a crash, the last after {:?}",
            declared.len(),
            declared.last()
        ));
    }
    Ok(())
}

/// Lets time pass and looks on: what a node holds of a member only ever goes up.
fn run_watching(world: &mut EngineWorld, span: Duration) -> Result<(), String> {
    let mut held: BTreeMap<(usize, usize), Claim> = BTreeMap::new();
    let until = world.now() + span;
    while world.now() < until {
        world.run_for(Duration::from_millis(20));
        for (i, j) in (0..NODES).flat_map(|i| (0..NODES).map(move |j| (i, j))) {
            let Some(member) = world.member(i, j) else { continue };
            let former = held.insert((i, j), member.claim.clone());
            let fell = former.filter(|former| member.claim != *former && !member.claim.supersedes(former));
            if let Some(former) = fell {
                return Err(format!("{i} took {j} from {} back to {}", former.state, member.state()));
            }
        }
    }
    Ok(())
}

fn end_state(world: &EngineWorld) -> Result<(), String> {
    let wrong = (0..NODES).find(|&i| (i == 6) != (world.state(0, i) == Some(State::Left)));
    wrong.map_or(Ok(()), |i| Err(format!("in the end {i} is held to be {:?}", world.state(0, i))))
}

#[test]
fn a_sound_core_passes_the_gauntlet() {
    for seed in 0..10 {
        assert_eq!(gauntlet(None, seed), Ok(()), "seed {seed}");
    }
}

#[test]
fn every_planted_mistake_is_found_within_three_seeds() {
    for &bug in Bug::IN_THE_ENGINE {
        let found = (0..SEEDS).find_map(|seed| gauntlet(Some(bug), seed).err());
        assert!(found.is_some(), "{bug:?} went unnoticed");
    }
}
