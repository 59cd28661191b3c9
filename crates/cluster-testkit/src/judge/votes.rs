//! The rule of the votes (SWIM-7), stated anew from its row in the requirements and not taken from the product: how long how many must
//! have heard nothing before a member may be declared failed by silence.

/// The most observers that a member has.
const OBSERVERS_MAX: usize = 10;

/// How much earlier than the rule's words a verdict may fall: a period, for nobody need have heard the subject at the very moment before
/// it fell silent, and the time that a waking process gets.
const EARLIER_MS: u64 = 1_300;

/// An observer has a turn of so long. Where it asks in vain the last sign of life is so much older, for everybody.
const TURN_MS: u64 = 1_000;

/// Somebody who hears nobody asks all it is linked to after so long, and not before: so much earlier it may have heard the last of them.
const ASKS_AROUND_MS: u64 = 2_000;

/// What could be known at a judge's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// For how long each who could say so has heard nothing, in milliseconds.
    pub(super) silences: Vec<u64>,
    /// Members that are suspected there, and do not speak.
    pub(super) suspected: usize,
    /// Members that count as alive there, without the subject.
    pub(super) members: usize,
    /// Observers that could not hear the subject any more when the others still could: their turns to ask it were lost.
    pub(super) turns_lost: u64,
    /// For how long the judge has heard nobody at all, in milliseconds.
    pub(super) alone_for: u64,
}

/// How many words are needed for a verdict after P, 2P and 6P.
const fn needed(members: usize) -> [(u64, usize); 3] {
    let observers = if members == 0 {
        1
    } else if members < OBSERVERS_MAX {
        members
    } else {
        OBSERVERS_MAX
    };
    let few = if observers < 3 { observers } else { 3 };
    [(1, (2 * observers).div_ceil(3)), (2, few), (6, 1)]
}

/// Whether a verdict may fall. `pause_budget` is P in milliseconds.
pub(super) fn allow(known: &Known, pause_budget: u64) -> bool {
    needed(known.members).into_iter().any(|(times, needed)| {
        let least = (times * pause_budget).saturating_sub(EARLIER_MS + known.turns_lost * TURN_MS);
        let explicit = known.silences.iter().filter(|silence| **silence >= least).count();
        // Who is silent for the same reason as the subject may be, counts only beside two who speak.
        let silent = if explicit >= 2 { known.suspected } else { 0 };
        // Who hears nobody for as long as a verdict takes has nobody to wait for (WORST-2).
        let alone = times == 1 && known.alone_for + ASKS_AROUND_MS + EARLIER_MS >= pause_budget;
        explicit > 0 && (alone || explicit + silent >= needed)
    })
}

/// After how many P a death is known at the latest, where so many of the members speak.
pub(super) fn multiple(members: usize, speak: usize) -> u64 {
    needed(members).into_iter().find(|(_, needed)| speak >= *needed).map_or(6, |(times, _)| times)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: u64 = 6_300;

    fn known(silences: &[u64], suspected: usize, members: usize) -> Known {
        Known { silences: silences.to_vec(), suspected, members, turns_lost: 0, alone_for: 0 }
    }

    /// The table of SWIM-7: members without the subject, words needed for P and for 2P. Worked out by hand.
    #[test]
    fn the_table_of_the_rule() {
        let rows = [1, 2, 4, 6, 10, 21, 99].map(|members| needed(members).map(|(_, needed)| needed));
        assert_eq!(rows, [[1, 1, 1], [2, 2, 1], [3, 3, 1], [4, 3, 1], [7, 3, 1], [7, 3, 1], [7, 3, 1]]);
    }

    #[test]
    fn few_words_need_longer() {
        assert!(allow(&known(&[P; 7], 0, 10), P));
        assert!(!allow(&known(&[P; 6], 0, 10), P) && allow(&known(&[2 * P; 6], 0, 10), P));
        assert!(!allow(&known(&[2 * P; 2], 0, 10), P) && allow(&known(&[6 * P, 0], 0, 10), P));
        assert!(!allow(&known(&[P - 1_301; 10], 0, 10), P) && allow(&known(&[P - 1_300; 10], 0, 10), P));
        assert!(!allow(&known(&[], 9, 10), P), "nobody speaks");
    }

    #[test]
    fn the_last_sign_is_older_by_each_turn_that_was_lost() {
        let lost = |turns_lost, silence| allow(&Known { turns_lost, ..known(&[silence; 3], 0, 4) }, P);
        assert!(!lost(0, P - 2_300) && lost(1, P - 2_300) && !lost(1, P - 2_301) && lost(2, P - 3_300));
    }

    #[test]
    fn who_is_suspected_counts_beside_two_who_speak() {
        assert!(allow(&known(&[P; 2], 5, 10), P));
        assert!(!allow(&known(&[P; 1], 9, 10), P));
    }

    #[test]
    fn who_hears_nobody_needs_no_other_word() {
        let alone = |alone_for, silence| allow(&Known { alone_for, ..known(&[silence], 3, 10) }, P);
        assert!(alone(3_000, P - 1_300) && !alone(2_999, P) && !alone(P, P - 1_301) && !alone(0, P));
    }

    #[test]
    fn how_soon_a_death_is_known() {
        assert_eq!(
            [(10, 7), (10, 6), (10, 3), (10, 2), (2, 2), (2, 1)].map(|(m, s)| multiple(m, s)),
            [1, 2, 2, 6, 1, 6]
        );
    }
}
