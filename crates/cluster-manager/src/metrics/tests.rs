//! Every number has its source.

use super::*;

fn sources() -> Sources {
    let discovery = crate::discovery::DiscoveryStatus { what: "dns db:1".into(), ..Default::default() };
    Sources {
        node: "n1".into(),
        health: Health { loop_answers: true, discoveries: vec![discovery], ..Health::default() },
        states: State::ALL.map(|state| (state, 1)).to_vec(),
        events: vec![("joined", 3)],
        events_dropped: 0,
        datagrams_dropped: 0,
        handshakes_refused: 0,
        links: [(LinkClass::Control, 2), (LinkClass::Data, 1)],
        pool: PoolStats::default(),
        peers: PeerMetrics::default(),
        peers_now: 0,
        breakers_open: 0,
        peer_events_missed: 0,
        router: RouterStats::default(),
    }
}

/// Every limit is read where it is counted, and nowhere else.
#[test]
fn each_limit_has_the_number_of_its_own_count() {
    const LIMIT: &str = "cluster_limits_reached_total";
    let reset = Metrics::from_sources(sources());
    assert!(LIMITS.iter().all(|(limit, _)| reset.value(LIMIT, limit) == Some(0.0)));
    let mut read = std::collections::BTreeSet::new();
    let mut only = |limit: &'static str, count: fn(&mut Sources)| {
        let mut from = sources();
        count(&mut from);
        let metrics = Metrics::from_sources(from);
        for (other, _) in LIMITS {
            let expected = if *other == limit { 3.0 } else { 0.0 };
            assert_eq!(metrics.value(LIMIT, other), Some(expected), "{other} when {limit} was reached");
        }
        read.insert(limit);
    };
    only("votes", |from| from.health.stats.votes_over_limit = 3);
    only("broadcasts", |from| from.health.stats.broadcasts_over_limit = 3);
    only("rivals", |from| from.health.stats.rivals_over_limit = 3);
    only("certificates", |from| from.health.stats.parked_over_limit = 3);
    only("tombstones", |from| from.health.stats.tombs_over_limit = 3);
    only("join_places", |from| from.health.places_left_out = 3);
    only("discovery", |from| from.health.discoveries[0].left_out = 3);
    only("pool_callers", |from| from.pool.limits.callers = 3);
    only("pool_peers", |from| from.pool.limits.peers = 3);
    only("pool_addresses", |from| from.pool.limits.addresses = 3);
    only("pool_peer_counts", |from| from.pool.limits.peer_counts = 3);
    only("control_requests", |from| from.pool.limits.control_requests = 3);
    only("control_datagrams", |from| from.pool.limits.datagrams = 3);
    only("unreachable_hints", |from| from.pool.limits.unreachable_hints = 3);
    only("requests", |from| from.peers.requests_busy = 3);
    only("request_len", |from| from.peers.requests_too_long = 3);
    only("reply_len", |from| from.router.replies_too_long = 3);
    only("peer_events", |from| from.peer_events_missed = 3);
    assert_eq!(read.len(), LIMITS.len());
}

/// Every row of the table has samples, with a label where it says so and none where it does not.
#[test]
fn every_number_of_the_table_is_there() {
    let metrics = Metrics::from_sources(sources());
    for definition in TABLE {
        let samples: Vec<&Sample> = metrics.samples().iter().filter(|s| s.name == definition.name).collect();
        assert!(!samples.is_empty(), "{} is never told", definition.name);
        for sample in samples {
            assert_eq!(sample.label.is_some(), !definition.label.is_empty(), "{}", definition.name);
        }
        assert_eq!(
            definition.name.ends_with("_total") || definition.name.ends_with("_bucket"),
            definition.kind == Kind::Counter,
            "{}",
            definition.name
        );
    }
    assert_eq!(metrics.value("cluster_links", "control"), Some(2.0));
    assert_eq!(metrics.value("cluster_events_total", "joined"), Some(3.0));
    assert_eq!(metrics.value("cluster_events_total", "left"), None);
    assert_eq!(metrics.value("cluster_message_seconds_bucket", "+Inf"), Some(0.0));
}

/// What is dropped or refused and has a number of its own is read from there.
#[test]
fn each_drop_with_a_number_of_its_own_is_read_from_it() {
    let mut from = Sources { events_dropped: 3, datagrams_dropped: 5, handshakes_refused: 7, ..sources() };
    let stats = &mut from.health.stats;
    (stats.over_limit, stats.malformed, stats.implausible) = (11, 13, 17);
    (stats.forged, stats.unproven, stats.muted) = (43, 47, 53);
    from.pool.total.evictions = 19;
    (from.peers.dropped, from.peers.expired, from.peers.rejected) = (23, 29, 31);
    (from.router.violations, from.router.refused) = (37, 41);
    let metrics = Metrics::from_sources(from);
    for (name, label, value) in [
        ("cluster_events_dropped_total", "", 3.0),
        ("cluster_datagrams_dropped_total", "", 5.0),
        ("cluster_handshakes_refused_total", "", 7.0),
        ("cluster_members_over_limit_total", "", 11.0),
        ("cluster_gossip_malformed_total", "", 13.0),
        ("cluster_claims_implausible_total", "", 17.0),
        ("cluster_claims_forged_total", "", 43.0),
        ("cluster_claims_unproven_total", "", 47.0),
        ("cluster_claims_muted_total", "", 53.0),
        ("cluster_pool_evictions_total", "", 19.0),
        ("cluster_messages_total", "dropped", 23.0),
        ("cluster_messages_total", "expired", 29.0),
        ("cluster_messages_total", "rejected", 31.0),
        ("cluster_handled_total", "not_understood", 37.0),
        ("cluster_handled_total", "refused", 41.0),
    ] {
        assert_eq!(metrics.value(name, label), Some(value), "{name} {label}");
    }
}

/// A loop that does not answer makes no counter fall.
#[test]
fn what_only_the_loop_knows_is_left_out_while_it_does_not_answer() {
    let stuck = Sources { health: Health::default(), ..sources() };
    let metrics = Metrics::from_sources(stuck);
    assert!(OF_THE_LOOP.iter().all(|name| metrics.value(name, "").is_none()));
    assert!(OF_THE_LOOP.iter().all(|name| TABLE.iter().any(|row| row.name == *name)));
    let of_the_loop = ["votes", "broadcasts", "rivals", "certificates", "tombstones", "join_places"];
    for (limit, _) in LIMITS {
        let told = metrics.value("cluster_limits_reached_total", limit).is_some();
        assert_eq!(told, !of_the_loop.contains(limit), "{limit}");
    }
    assert_eq!(metrics.value("cluster_live", ""), Some(0.0));
    assert_eq!(metrics.value("cluster_events_total", "joined"), Some(3.0));
}

/// The page that explains the numbers names each of them.
#[test]
fn the_operators_page_explains_every_number() {
    let page = include_str!("../../../../docs/operations.md");
    let missing: Vec<&str> =
        TABLE.iter().map(|row| row.name).filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/operations.md says nothing of {missing:?}");
    let limits = page.split_once("### Every limit").expect("a part about limits").1;
    let missing: Vec<&str> =
        LIMITS.iter().map(|(limit, _)| *limit).filter(|limit| !limits.contains(&format!("`{limit}`"))).collect();
    assert!(missing.is_empty(), "docs/operations.md does not say which limits {missing:?} are");
}
