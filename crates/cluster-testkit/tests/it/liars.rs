//! One member lies, in everything that the wire knows. What a hundred thousand such clusters do, `cargo xtask sim liars` says.

use cluster_gossip::SwimConfig;
use cluster_testkit::liars::live_through;

#[test]
fn no_lie_fails_an_honest_member_nor_takes_its_name() {
    let mut lies = 0;
    for seed in 1..=40 {
        let outcome = live_through(&SwimConfig::lan(), seed);
        assert_eq!(outcome.findings, Vec::<String>::new(), "seed {seed}");
        lies += outcome.lies;
    }
    assert!(lies > 40 * 100, "{lies}");
}

/// The attacks that the first release fell to, planted back: each is found.
#[cfg(feature = "planted")]
#[test]
fn each_mistake_that_believes_a_liar_is_found() {
    use cluster_gossip::planted::Bug;
    use cluster_testkit::planted::FOR_LIARS;
    for (bug, shows) in [
        (Bug::BelievesVotes, "declared"),
        (Bug::BelievesFarewells, "to have left"),
        (Bug::NameLostUnseen, "gave up its name"),
    ] {
        assert!(FOR_LIARS.contains(&format!("{bug:?}").as_str()));
        let mut config = SwimConfig::lan();
        config.bug = Some(bug);
        let found = (1..=60).find(|seed| live_through(&config, *seed).findings.iter().any(|what| what.contains(shows)));
        assert!(found.is_some(), "{bug:?} is not found");
    }
}
