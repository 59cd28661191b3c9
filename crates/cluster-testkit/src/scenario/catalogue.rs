//! The scenarios by name. Each expands a seed to a schedule: who, when and for how long is drawn, what must hold is not.

mod ends;
mod limited;
mod network;
mod processes;
mod services;
mod starts;
mod surroundings;
mod swarms;

use std::time::Duration;

use cluster_types::Seed;
use cluster_types::seed::Draws;

use super::{Level, Scenario};

/// A scenario by name.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// What happens, in one line.
    pub about: &'static str,
    /// Whether a run at L1 costs seconds rather than a fraction of one: most seeds of it are run at L0.
    pub large: bool,
    /// More seeds than this show nothing new.
    pub runs_max: u64,
    l1_runs_max: u64,
    /// Whether the engine alone (L0) can show anything of it.
    pub at_l0: bool,
    /// It breaks promises in some seeds, and docs/limitations.md says which and why: it runs when it is asked for by name.
    pub filed: bool,
    expand: fn(&mut Draws) -> Scenario,
}

impl Entry {
    /// The schedule of a seed.
    #[must_use]
    pub fn scenario(&self, seed: u64) -> Scenario {
        let mut draws = Seed::new(seed).derive(self.name, 0).stream();
        let mut scenario = (self.expand)(&mut draws);
        self.name.clone_into(&mut scenario.name);
        surroundings::draw(self, &mut scenario, Seed::new(seed).derive(self.name, 1));
        scenario
    }

    /// The level at which the `n`-th seed of many is run: the whole stack, but for most seeds of what is large.
    #[must_use]
    pub const fn level(&self, n: u64) -> Level {
        // What runs a few times only is long: the whole stack comes last, so that a short campaign does without.
        let stack = if self.runs_max < u64::MAX { n + self.l1_runs_max >= self.runs_max } else { n < self.l1_runs_max };
        if self.at_l0 && !stack { Level::L0 } else { Level::L1 }
    }
}

const fn small(name: &'static str, about: &'static str, expand: fn(&mut Draws) -> Scenario) -> Entry {
    Entry { name, about, large: false, at_l0: true, filed: false, runs_max: u64::MAX, l1_runs_max: u64::MAX, expand }
}

const fn large(name: &'static str, about: &'static str, expand: fn(&mut Draws) -> Scenario) -> Entry {
    Entry { large: true, l1_runs_max: 10, ..small(name, about, expand) }
}

/// A hundred nodes and more: a seed at L1 takes as long as fifty of five nodes.
const fn huge(name: &'static str, about: &'static str, expand: fn(&mut Draws) -> Scenario) -> Entry {
    Entry { l1_runs_max: 3, ..large(name, about, expand) }
}

const fn stack_only(name: &'static str, about: &'static str, expand: fn(&mut Draws) -> Scenario) -> Entry {
    Entry { at_l0: false, ..small(name, about, expand) }
}

const fn filed(entry: Entry) -> Entry {
    Entry { filed: true, ..entry }
}

/// All of them.
pub const CATALOGUE: &[Entry] = &[
    small("cold-start-3", "three nodes start within half a second", |d| starts::cold(d, 3)),
    large("cold-start-30", "thirty nodes start within half a second", |d| starts::cold(d, 30)),
    huge("cold-start-100", "a hundred nodes start within half a second", |d| starts::cold(d, 100)),
    huge("mass-join", "two hundred nodes join one seed within a second", starts::mass_join),
    small("dead-seeds", "a node joins through twenty seeds of which nineteen are dead", starts::dead_seeds),
    small(
        "stalled-seed",
        "a node joins through one that is stopped in the middle of handshakes, and one that is not",
        starts::stalled_seed,
    ),
    small("late-seed", "the only seed starts after the others", starts::late_seed),
    small("crash-one", "one of a few dies", ends::crash_one),
    large("crash-tenth", "a tenth of fifty die at once", ends::crash_tenth),
    small("quick-restart", "a node dies and is back after 200 ms", ends::quick_restart),
    small("lost-state", "a node dies, loses its disk, and is back", ends::lost_state),
    small("heir", "another node, with a name of its own, takes the place of one that died", ends::heir),
    stack_only("power-cut", "all nodes die at once, and find each other again without seeds", ends::power_cut),
    stack_only("full-disks", "disks are full and have room again, then the power fails", ends::full_disks),
    stack_only("bad-disks", "disks are slow or full, and everybody restarts in turn", ends::bad_disks),
    small("newcomers-at-a-death", "others join while a dead member is suspected", ends::newcomers),
    small("slow-restart", "a node dies and is back after it was declared failed", ends::slow_restart),
    small("rolling-restart", "one after the other leaves and comes back", ends::rolling_restart),
    small("all-leave", "a whole cluster leaves at the same moment but for one", ends::all_leave),
    small("halves", "two halves do not hear each other for a minute", network::halves),
    small("isolate-short", "one is cut off for less than P", network::isolate_short),
    small("isolate-long", "one is cut off for longer than P", network::isolate_long),
    small("two-mute", "nobody hears two, who hear all but one", network::two_mute),
    small("bridge", "two halves hear each other only through one node", network::bridge),
    small("deaf", "one hears nothing for a while, and is heard", network::deaf),
    small("mute", "one is not heard for a while, and hears", network::mute),
    small("mute-short", "one is not heard for less than P, and hears", network::mute_short),
    small("flip-flop", "one is cut off and back, again and again", network::flip_flop),
    small("loss-5", "5 % of the packets are lost", |d| network::lossy(d, 0.05)),
    small("loss-15", "15 % of the packets are lost", |d| network::lossy(d, 0.15)),
    small("loss-30", "30 % of the packets are lost", |d| network::lossy(d, 0.30)),
    stack_only("bursts", "losses come in bursts, as by radio", network::bursts),
    stack_only("bimodal", "one packet in ten takes 60 ms", network::bimodal),
    stack_only("disorder", "packets come twice, and in another order", network::disorder),
    stack_only("damaged", "one packet in a hundred has a bit flipped", network::damaged),
    small("swizzle", "nodes are clogged one by one, and unclogged in another order", network::swizzle),
    stack_only("thin-link", "a megabyte goes over 256 kbit/s while everybody is watched", network::thin_link),
    stack_only("simultaneous", "all open streams to all at the same moment", network::simultaneous),
    stack_only("wide", "a wide network, and one of them dies", network::wide),
    small("pauses", "nodes are stopped for 1 to 5 seconds, one or two at a time", processes::pauses),
    small("long-pause", "a node is stopped for half a minute", processes::long_pause),
    stack_only("starved", "a node gets a tenth of its time", processes::starved),
    stack_only("clock-steps", "wall clocks are set by up to five minutes", processes::clock_steps),
    stack_only("closed-links", "links are closed at random", processes::closed_links),
    stack_only(
        "ping-pong",
        "all pairs play ping-pong over their peers while links are closed at random",
        processes::ping_pong,
    ),
    stack_only(
        "blocked-application",
        "an application blocks its runtime for 20 seconds",
        processes::blocked_application,
    ),
    stack_only("everything", "everything at once, over paths that lose and double, then quiet", processes::everything),
    small(
        "swarm",
        "some of thirty-two families of faults, several at once, on a cluster that works",
        swarms::few_nodes,
    ),
    filed(large("swarm-25", "the same on twenty-five nodes", swarms::many_nodes)),
    small("pair-cut", "one path between two nodes is dead for a minute", network::pair_cut),
    filed(small("ring", "each hears its two neighbours only", network::ring)),
    small("zone-away", "one zone of three is cut off from the others", network::zone_away),
    small("clogged", "what is sent to one waits for three seconds, and then all of it arrives", network::clogged),
    stack_only("narrow", "long packets vanish on some paths", network::narrow),
    small("metadata", "everybody changes its metadata and its zone, again and again", processes::metadata),
    small("broadcasts", "everybody broadcasts, while some come and go", processes::broadcasts),
    stack_only("bursts-of-messages", "more messages at once than a queue holds, while links end", processes::bursts),
    stack_only("half-dead", "the loop of a node stops, and its transport goes on", processes::half_dead),
    stack_only("rotation", "certificates are exchanged while everything runs", processes::rotation),
    stack_only("expiry", "certificates are over, and some are renewed late or never", services::expiry),
    stack_only("rebound", "what others see of an address changes while links are open", services::rebound),
    stack_only("names", "nodes join through names whose service hangs, is late, or is wrong", services::names),
    stack_only("full-pools", "each node may have links with one or two others only", limited::full_pools),
    stack_only("full-queues", "queues hold four messages, and receivers take their time", limited::full_queues),
    stack_only("crossed", "links that lose against others are cut in the middle of what they carry", limited::crossed),
    stack_only("drifting", "wall clocks run fast and slow", processes::drifting),
    stack_only("echoes", "packets of a former life arrive", ends::echoes),
    stack_only("late-echoes", "packets of a former life that were lost arrive after all", ends::late_echoes),
    small("unheard-leave", "one leaves while another is stopped", ends::unheard_leave),
    small("most-die", "eighteen of twenty-two die at once", ends::most_die),
    small("long-dead", "one is dead for two minutes, and is back", ends::long_dead),
    small("pair", "one of two dies, and is back", ends::pair),
    small("failing-seeds", "seeds end, leave or stop while they are asked", starts::failing_seeds),
    stack_only("torn-disks", "machines go down whose disks lose or tear what was written last", ends::torn_disks),
    small("quiet", "five minutes in which nothing happens, and what they cost", processes::quiet),
    Entry {
        runs_max: 3,
        // Four minutes of a core: by its name, with `--level L1`.
        l1_runs_max: 0,
        ..large("quiet-week", "seven days in which nothing happens", processes::quiet_week)
    },
];

/// The scenario of a name.
#[must_use]
pub fn entry(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Five to twelve.
const fn few(draws: &mut Draws) -> usize {
    5 + draws.below(8) as usize
}

/// Anywhere between two probes, some time after a start at the beginning.
const fn settled(draws: &mut Draws) -> Duration {
    ms(10_000 + draws.below(2_000))
}

/// `count` different nodes of `n`.
fn some_of(draws: &mut Draws, n: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    draws.shuffle(&mut all);
    all.truncate(count);
    all.sort_unstable();
    all
}

/// One node.
const fn one_of(draws: &mut Draws, n: usize) -> usize {
    draws.below(n as u64) as usize
}

/// Everybody but these.
fn others(n: usize, but: &[usize]) -> Vec<usize> {
    (0..n).filter(|i| !but.contains(i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_told_apart_and_schedules_are_in_order_and_data() {
        let names: BTreeSet<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for entry in CATALOGUE {
            let scenario = entry.scenario(7);
            assert!(scenario.steps.is_sorted_by_key(|step| step.at_ms), "{}", entry.name);
            assert!(
                scenario.steps.last().is_some_and(|step| step.at_ms < scenario.until_ms),
                "{} ends quiet",
                entry.name
            );
            let text = serde_json::to_string(&scenario).unwrap();
            assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario, "{}", entry.name);
            assert_eq!(entry.scenario(7), scenario, "{}", entry.name);
        }
    }

    #[test]
    fn seeds_draw_different_schedules() {
        let few = ["crash-one", "halves", "pauses", "everything"].map(|name| entry(name).unwrap());
        for entry in few {
            assert_ne!(entry.scenario(1), entry.scenario(2), "{}", entry.name);
        }
    }
}
