//! Mistakes by name, planted into the settings of every node: to see that a scenario finds them, and what it then says.
//! Only with feature `planted`.

use std::fmt::Debug;

use cluster_manager::ClusterConfig;

use crate::scenario::Level;

/// Where a mistake shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The mistake, by name.
    pub mistake: &'static str,
    /// A scenario of the catalogue that shows it within its first three seeds.
    pub scenario: &'static str,
    /// At which level.
    pub level: Level,
    /// The check that is for it.
    pub check: &'static str,
}

const fn at(mistake: &'static str, scenario: &'static str, level: Level, check: &'static str) -> Shown {
    Shown { mistake, scenario, level, check }
}

const AGREE: &str = "all agree at the end";
const VOTES: &str = "a verdict has the votes that it needs";
const LEFT: &str = "nothing is left";
const LINKS: &str = "one live link a pair";
const NUMBERS: &str = "a node's numbers are what the world counted";
const MET: &str = "all meet in time";
const FAREWELL: &str = "a farewell is known to all";

/// Every mistake, and the scenario that is about it.
pub const SHOWN: &[Shown] = &[
    at("SkipRefutation", "isolate-short", Level::L1, AGREE),
    at("AcceptEqualIncarnation", "halves", Level::L1, AGREE),
    at("RingMissesMember", "crash-one", Level::L0, "a death is known as soon as the rule allows"),
    at("StarvedLeave", "rolling-restart", Level::L1, FAREWELL),
    at("VerdictBeforeP", "halves", Level::L1, VOTES),
    at("WakingAccuses", "pauses", Level::L1, "who wakes accuses nobody"),
    at("RootsNeverMatch", "quiet", Level::L0, "quiet costs little"),
    at("OneVoteConvicts", "two-mute", Level::L1, VOTES),
    at("MetadataNotTold", "metadata", Level::L1, "metadata agrees at the end"),
    at("WrongAddress", "cold-start-3", Level::L1, "addresses agree at the end"),
    at("EventsLost", "metadata", Level::L1, "snapshot and deltas are the state"),
    at("RefutesOnce", "mute-short", Level::L1, "who comes back is seen alive in time"),
    at("NewcomerPutsOff", "newcomers-at-a-death", Level::L1, "a death is known as soon as the rule allows"),
    at("KeepLoser", "simultaneous", Level::L1, LINKS),
    at("DropLoserStreams", "simultaneous", Level::L1, LEFT),
    at("EndHitsSuccessor", "quick-restart", Level::L1, LINKS),
    at("CallerTakesDialWithHim", "closed-links", Level::L1, LEFT),
    at("PermitLeak", "crash-one", Level::L1, NUMBERS),
    at("ReorderAfterReconnect", "bursts-of-messages", Level::L1, LEFT),
    at("CancelLooksComplete", "crash-one", Level::L1, LEFT),
    at("RejectedUncounted", "bursts-of-messages", Level::L1, NUMBERS),
    at("ForgetLinkDown", "closed-links", Level::L1, VOTES),
    at("SkipFarewell", "rolling-restart", Level::L1, FAREWELL),
    at("NeverReconnect", "halves", Level::L1, AGREE),
    at("LoseAnswers", "quick-restart", Level::L1, MET),
    at("RememberNobody", "power-cut", Level::L1, MET),
    at("OverwriteDamaged", "torn-disks", Level::L1, "a damaged file is kept"),
    at("DiskErrorEndsMemory", "full-disks", Level::L1, MET),
];

/// Mistakes that need a member that lies to be seen: see [`liars`](crate::liars).
pub const FOR_LIARS: &[&str] = &["BelievesVotes", "BelievesFarewells", "NameLostUnseen"];

/// The names of all mistakes there are, in core, pool and loop.
#[must_use]
pub fn names() -> Vec<String> {
    let core = cluster_gossip::planted::Bug::ALL.iter().map(name);
    let pool = cluster_pool::planted::Bug::ALL.iter().map(name);
    let of_loop = cluster_manager::planted::Bug::ALL.iter().map(name);
    core.chain(pool).chain(of_loop).collect()
}

fn name(bug: &impl Debug) -> String {
    format!("{bug:?}")
}

/// Plants the mistake of a name; nothing happens when there is none of that name.
pub fn plant(named: &str, config: &mut ClusterConfig) {
    let is_it = |bug: &dyn Debug| format!("{bug:?}") == named;
    config.swim.bug = cluster_gossip::planted::Bug::ALL.into_iter().find(|bug| is_it(bug));
    config.pool.bug = cluster_pool::planted::Bug::ALL.into_iter().find(|bug| is_it(bug));
    config.bug = cluster_manager::planted::Bug::ALL.into_iter().find(|bug| is_it(bug));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::entry;
    use cluster_manager::Profile;

    #[test]
    fn each_name_plants_one_mistake_and_no_two_are_the_same() {
        let planted = |name: &str| {
            let mut config = ClusterConfig::new(Profile::Lan);
            plant(name, &mut config);
            [config.swim.bug.is_some(), config.pool.bug.is_some(), config.bug.is_some()].iter().filter(|x| **x).count()
        };
        assert!(names().len() >= 24, "{:?}", names());
        assert!(names().iter().all(|name| planted(name) == 1));
        assert_eq!(planted("no such mistake"), 0);
    }

    #[test]
    fn each_mistake_has_a_scenario_that_is_about_it() {
        let shown: BTreeSet<String> = SHOWN.iter().map(|shown| shown.mistake.to_owned()).collect();
        let for_liars = FOR_LIARS.iter().map(|name| (*name).to_owned());
        let everywhere: BTreeSet<String> = shown.iter().cloned().chain(for_liars).collect();
        assert_eq!(everywhere, names().into_iter().collect::<BTreeSet<String>>());
        assert_eq!(shown.len(), SHOWN.len(), "one line each");
        for Shown { scenario, level, .. } in SHOWN {
            assert!(entry(scenario).is_some_and(|entry| *level == Level::L1 || entry.at_l0), "{scenario}");
        }
    }
}
