//! How this node is: whether it works, whether it may be trusted with work, and what is wrong where it is not.

use std::fmt;
use std::time::Duration;

use cluster_gossip::SwimStats;
use cluster_types::NodeId;

use crate::discovery::DiscoveryStatus;

/// A certificate that ends this soon is worth a word: a week, so that a weekend is not too long.
const CERTIFICATE_SOON: Duration = Duration::from_secs(7 * 86_400);

/// How a node is. Its `Display` is one line, or one for each thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Health {
    /// Whether the membership loop answered within a second. If not, what follows is not known.
    pub loop_answers: bool,
    /// It has begun to leave, or has stopped.
    pub leaving: bool,
    /// Another live process has its name.
    pub name_lost: bool,
    /// What the application last said of itself.
    pub application_well: bool,
    /// A join is under way, and nobody has let this node in yet.
    pub joining: bool,
    /// It holds everybody else to have failed: most likely it is the one that is cut off.
    pub alone: bool,
    /// Other members that take part.
    pub live_others: usize,
    /// Members that failed and are not forgotten.
    pub lost: usize,
    /// Control links that should be up, and those of them that are.
    pub links_wanted: usize,
    /// See `links_wanted`.
    pub links_up: usize,
    /// How much this node trusts its own judgement, 0 (fully) to 8.
    pub local_health: u8,
    /// How often its loop was held up, and for how long in all: by a pause, a blocked thread, a machine that is too busy.
    pub gaps: u64,
    /// See `gaps`.
    pub gaps_total: Duration,
    /// How long this node's certificate is still accepted; zero when it is over, or has not begun. `None` where that was not asked.
    pub certificate_left: Option<Duration>,
    /// How each discovery fares.
    pub discoveries: Vec<DiscoveryStatus>,
    /// What the core refused, dropped and did.
    pub stats: SwimStats,
    /// Members that are not listened to for a while, because they went on saying of others what cannot be true.
    pub muted: Vec<NodeId>,
    /// Places to join through that were not looked at, because too many were given at once or one name led to too many.
    pub places_left_out: u64,
}

impl Health {
    /// Whether the process does its work at all. One that does not is best restarted.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.loop_answers && !self.name_lost
    }

    /// Whether it takes part in its cluster, so that work may be sent to it.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        let expired = matches!(self.certificate_left, Some(Duration::ZERO));
        self.is_live() && !self.leaving && !self.joining && !self.alone && self.application_well && !expired
    }

    /// What keeps it from being live or ready, and what else is worth a look; empty where all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut say = |wrong: bool, words: &str| {
            if wrong {
                problems.push(words.to_owned());
            }
        };
        if !self.loop_answers {
            say(!self.leaving, "the membership loop did not answer within a second");
            say(self.leaving, "the node has stopped");
            return problems;
        }
        say(self.name_lost, "another live process has this node's name: end this one, or give it another name");
        say(self.leaving, "the node is leaving");
        say(self.joining, "no seed has let this node in yet");
        say(self.alone, "everybody else is held to have failed: is this node cut off from its network?");
        say(!self.application_well, "the application says that it is not well");
        say(self.local_health >= 4, "this node trusts its own judgement little: is the machine overloaded?");
        match self.certificate_left {
            Some(Duration::ZERO) => problems.push(
                "this node's certificate is not valid now: links that are there stay, new ones fail, and with them messages; issue a new one, and have it read"
                    .to_owned(),
            ),
            Some(left) if left < CERTIFICATE_SOON => {
                problems.push(format!("this node's certificate ends in {} hours: issue a new one, and have it read", left.as_secs() / 3_600));
            }
            _ => {}
        }
        let failing = self.discoveries.iter().filter_map(|discovery| discovery.last_error.as_ref());
        problems.extend(failing.map(|error| format!("a discovery fails: {error}")));
        problems.extend(self.muted.iter().map(|node| {
            format!(
                "{node} goes on saying of others what cannot be true and is not listened to: is it what it should be?"
            )
        }));
        let missing = self.links_wanted.saturating_sub(self.links_up);
        if missing > 0 {
            problems.push(format!("{missing} of {} control links are down", self.links_wanted));
        }
        problems
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_live(), self.is_ready()) {
            (_, true) => "ready",
            (true, false) => "live, not ready",
            (false, false) => "not live",
        };
        write!(f, "{state}: {} others take part, {} lost", self.live_others, self.lost)?;
        self.problems().iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Health {
        Health {
            loop_answers: true,
            application_well: true,
            live_others: 2,
            links_wanted: 2,
            links_up: 2,
            ..Health::default()
        }
    }

    /// Each fault alone: whether the node is still live, still ready, and what is said.
    #[test]
    fn each_fault_alone_says_what_it_takes_away() {
        assert!(well().is_live() && well().is_ready() && well().problems().is_empty());
        type Fault = fn(&mut Health);
        let faults: [(&str, Fault); 13] = [
            ("stuck", |h| h.loop_answers = false),
            ("stopped", |h| (h.loop_answers, h.leaving) = (false, true)),
            ("name lost", |h| h.name_lost = true),
            ("leaving", |h| h.leaving = true),
            ("joining", |h| h.joining = true),
            ("alone", |h| h.alone = true),
            ("unwell", |h| h.application_well = false),
            ("busy", |h| h.local_health = 4),
            ("no dns", |h| {
                let last_error = Some("dns db:1: no such name".into());
                h.discoveries = vec![DiscoveryStatus { last_error, ..DiscoveryStatus::default() }];
            }),
            ("expired", |h| h.certificate_left = Some(Duration::ZERO)),
            ("ends soon", |h| h.certificate_left = Some(Duration::from_secs(7_300))),
            ("a liar", |h| h.muted = vec!["n7".parse().unwrap()]),
            ("a link down", |h| h.links_up = 1),
        ];
        let told = faults.map(|(name, fault)| {
            let mut health = well();
            fault(&mut health);
            assert_eq!(health.problems().len(), 1, "{name}");
            format!("{name:<12} {health}")
        });
        insta::assert_snapshot!(told.join("\n"));
    }
}
