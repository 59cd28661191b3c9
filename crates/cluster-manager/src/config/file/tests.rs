//! What a file may say, and what it is told where it says something else.

use super::*;
use proptest::prelude::*;

fn error(text: &str) -> String {
    ClusterConfig::from_toml(text).expect_err(text).to_string()
}

#[test]
fn a_file_says_what_differs_from_its_profile() {
    let config = ClusterConfig::from_toml(
        r#"
            profile = "wan"
            bind = "127.0.0.1:7946"
            advertise = "192.0.2.7:7946"
            meta = { zone = "a" }
            [membership]
            pause = "20s"
            gossip_fanout = 4
            [links]
            initial_rtt = "80ms"
            [pool]
            idle_timeout = "2m"
            [peers]
            overflow = "refuse"
            backoff = { initial = "1s", max = "10s" }
            breaker = { failures = 3, failure_rate = 0.5, cool_down = "1s", cool_down_max = "1m" }
            "#,
    );
    let config = config.unwrap();
    let wan = ClusterConfig::new(Profile::Wan);
    assert_eq!(config.swim.budget.pause(), Duration::from_secs(20));
    assert_eq!(config.swim.budget.period(), wan.swim.budget.period(), "the profile's stays");
    assert_eq!((config.swim.gossip_fanout, config.swim.observers), (4, wan.swim.observers));
    assert_eq!(config.quic.initial_rtt, Duration::from_millis(80));
    assert_eq!(config.pool.idle_timeout, Duration::from_secs(120));
    assert_eq!(config.peers.overflow, Overflow::Refuse);
    assert_eq!(config.metadata.value("zone"), Some("a"));
    assert_eq!(config.advertise, "192.0.2.7:7946".parse().ok());
    assert!(ClusterConfig::from_toml("").is_ok(), "all defaults");
}

/// Every key with values that cannot work: the message names heading, key, value and rule.
#[test]
fn every_setting_out_of_range_is_named_with_what_is_allowed() {
    // Heading, then key, then values.
    type Keys = &'static [(&'static str, &'static [&'static str])];
    let cases: &[(&str, Keys)] = &[
        (
            "membership",
            &[
                ("pause", &["'2 days'"]),
                ("period", &["'0s'", "'1ms'", "'25h'"]),
                ("wake", &["'0s'", "'25h'"]),
                ("probe_timeout", &["'0s'", "'2s'", "'11years'"]),
                ("probe_timeout_min", &["'501ms'"]),
                ("gossip_interval", &["'0s'", "'9ms'", "'11years'"]),
                ("gossip_fanout", &["0", "257"]),
                ("sync_interval", &["'0s'", "'11years'"]),
                ("observers", &["0", "257"]),
                ("reap_after", &["'62s'", "'11years'"]),
            ],
        ),
        ("links", &[("initial_rtt", &["'999us'", "'11s'"])]),
        (
            "pool",
            &[
                ("dial_timeout", &["'0s'", "'2years'"]),
                ("dials_max", &["0", "1048577"]),
                ("handshakes_max", &["0", "1048577"]),
                ("streams_served_max", &["0", "1048577"]),
                ("event_queue_len", &["0", "1048577"]),
                ("first_frame_timeout", &["'0s'", "'2years'"]),
                ("max_total", &["1048577"]),
                ("max_per_peer", &["0", "1048577"]),
                ("max_per_client", &["1048577"]),
                ("idle_timeout", &["'0s'", "'2years'"]),
                ("idle_check_interval", &["'0s'", "'2years'"]),
            ],
        ),
        (
            "peers",
            &[
                ("queue_len_max", &["0", "1048577"]),
                ("queue_bytes_max", &["0"]),
                ("queue_age_max", &["'0s'", "'2years'"]),
                ("message_len_max", &["0", "1048577"]),
                ("requests_max", &["0", "1048577"]),
                ("rest_after", &["'0s'", "'2years'"]),
                (
                    "backoff",
                    &[
                        "{ initial = '0s', max = '1s' }",
                        "{ initial = '2s', max = '1s' }",
                        "{ initial = '1s', max = '2days' }",
                    ],
                ),
                (
                    "breaker",
                    &[
                        "{ failures = 0, failure_rate = 0.5, cool_down = '1s', cool_down_max = '1s' }",
                        "{ failures = 1, failure_rate = 1.1, cool_down = '1s', cool_down_max = '1s' }",
                        "{ failures = 1, failure_rate = 0.5, cool_down = '0s', cool_down_max = '1s' }",
                        "{ failures = 1, failure_rate = 0.5, cool_down = '2s', cool_down_max = '1s' }",
                        "{ failures = 1, failure_rate = 0.5, cool_down = '2s', cool_down_max = '2days' }",
                    ],
                ),
            ],
        ),
    ];
    let mut told = String::new();
    for (heading, keys) in cases {
        for (key, values) in *keys {
            for value in *values {
                let text = error(&format!("[{heading}]\n{key} = {value}"));
                assert!(text.starts_with(&format!("[{heading}] ")), "{text}");
                told += &format!("{key} = {value}\n    {text}\n");
            }
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_is_no_setting_is_named_with_its_line() {
    insta::assert_snapshot!(
        [
            "[membership]\npaus = '1s'",
            "[pool]\ndials_max = -1",
            "[pool]\ndials_max = 'many'",
            "[peers]\noverflow = 'explode'",
            "[peers.backoff]\ninitial = '1s'",
            "[membership]\npause = '5 parsecs'",
            "profile = 'moon'",
            "bind = 'here'",
            "meta = { '' = 'x' }",
            "nonsense",
        ]
        .map(error)
        .join("\n\n")
    );
}

proptest! {
    /// Whatever numbers and spans a file holds: a configuration, or an error. Whatever passes can be used.
    #[test]
    fn no_number_makes_it_panic(
        count in any::<i64>(),
        seconds in any::<u64>(),
        key in 0usize..8,
    ) {
        let keys = [
            ("membership", "observers"), ("membership", "gossip_fanout"), ("pool", "dials_max"), ("pool", "event_queue_len"),
            ("peers", "queue_len_max"), ("peers", "requests_max"), ("peers", "queue_bytes_max"), ("pool", "max_total"),
        ];
        let spans = [
            ("membership", "pause"), ("membership", "period"), ("membership", "wake"), ("membership", "reap_after"),
            ("pool", "dial_timeout"), ("peers", "queue_age_max"), ("links", "initial_rtt"), ("membership", "probe_timeout"),
        ];
        let ((a, b), (c, d)) = (keys[key], spans[key]);
        for text in [format!("[{a}]\n{b} = {count}"), format!("[{c}]\n{d} = '{seconds}s'")] {
            if let Ok(config) = ClusterConfig::from_toml(&text) {
                prop_assert!(config.swim.budget.total() <= Duration::from_secs(3 * 24 * 60 * 60));
                // What passes can be made use of.
                let own = cluster_types::Claim::alive(
                    "a".parse().unwrap(),
                    cluster_types::Life::from_raw(1),
                    cluster_types::Incarnation::from_raw(1),
                    "127.0.0.1:1".parse().unwrap(),
                );
                let (cluster, now) = ("test".parse().unwrap(), cluster_types::Instant::ORIGIN);
                let mut swim = cluster_gossip::Swim::new(
                    config.swim, &cluster, own, config.metadata, 1, cluster_types::Seed::new(1), now,
                );
                swim.handle_timeout(now + Duration::from_secs(1));
            }
        }
    }
}
