//! A node's numbers, and their way to whoever collects them: through the facade of the `metrics` crate, to any recorder.
//!
//! [`TABLE`] lists every one of them, with what it means. They are taken all at once, when they are wanted: nothing on a packet's way
//! pays for them.

use std::time::Duration;

use cluster_pool::peer::{Latencies, PeerMetrics};
use cluster_pool::{LinkClass, PoolStats, router::RouterStats};
use cluster_types::State;
use metrics::{Label, SharedString, Unit};

use crate::health::Health;

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It only grows, from 0 at the start of the node.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A number: its name, with its unit where it has one, what it is, and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Definition {
    /// As Prometheus sees it.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// What sets its series apart, beside `node`; empty where there is one.
    pub label: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

macro_rules! table {
    ($($name:ident $kind:ident $label:literal $meaning:literal)*) => {
        /// Every number there is.
        pub const TABLE: &[Definition] = &[$(Definition {
            name: concat!("cluster_", stringify!($name)),
            kind: Kind::$kind,
            label: $label,
            meaning: $meaning,
        }),*];
    };
}

table! {
    live Gauge "" "1 while the process does its work at all; 0: restart it"
    ready Gauge "" "1 while the node takes part in its cluster and may be given work"
    certificate_seconds Gauge "" "how long this node's certificate is still accepted; 0: new links fail, and with them messages"
    members Gauge "state" "members known, this node included, by what they are held to be"
    local_health Gauge "" "how little this node trusts its own judgement: 0 fully, 8 hardly"
    probes_total Counter "" "probes begun on this node's own turn"
    probes_unanswered_total Counter "" "probe rounds that nobody answered, neither directly nor through others"
    suspicions_refuted_total Counter "" "suspicions of this node that it refuted: others did not hear it for a while"
    loop_gaps_total Counter "" "times the membership loop was held up: a pause of the process or the machine"
    loop_gap_milliseconds_total Counter "" "for how long in all"
    gossip_malformed_total Counter "" "datagrams, requests and answers of members that could not be decoded"
    gossip_unknown_total Counter "" "messages and updates of members of a kind that only later versions know, left out"
    claims_implausible_total Counter "" "claims of members that cannot be true, dropped"
    claims_forged_total Counter "" "words and accusations of members that somebody else signed: whoever told them made them up, or has not looked"
    claims_unproven_total Counter "" "words and accusations of members that came unsigned from others, left out"
    claims_muted_total Counter "" "what was not listened to, because its teller went on saying what cannot be true"
    members_over_limit_total Counter "" "members not taken in because the view is full"
    datagrams_dropped_total Counter "" "datagrams of peers dropped because the loop was behind"
    events_total Counter "event" "events published"
    events_dropped_total Counter "" "events that slow subscribers missed"
    handshakes_refused_total Counter "" "handshakes of peers refused because too many were under way"
    limits_reached_total Counter "limit" "times that something was dropped or refused because a limit was reached, by the limit: see LIMITS"
    links Gauge "class" "connections open: control for membership, data for users"
    links_wanted Gauge "" "control links that membership wants"
    links_up Gauge "" "of these, the ones that are up"
    pool_places Gauge "" "places of the pool taken, by data connections and dials"
    pool_idle Gauge "" "data connections that nobody uses"
    pool_dials_total Counter "" "dials of data connections begun"
    pool_dial_failures_total Counter "" "dials of data connections that failed"
    pool_evictions_total Counter "" "data connections closed to make room, or because nobody used them"
    pool_reuses_total Counter "" "calls that were given a connection that was there"
    peers Gauge "" "members that something was said to"
    peers_breaker_open Gauge "" "of these, the ones that are not dialled for a while because so many dials failed"
    messages_queued_total Counter "" "messages taken for sending"
    messages_total Counter "outcome" "messages that ended, by how; rejected ones were never taken"
    messages_waiting Gauge "" "messages that wait for a connection or a turn"
    messages_waiting_bytes Gauge "" "and their bytes"
    messages_in_flight Gauge "" "messages sent whose receiver has not said that it took them"
    message_seconds_bucket Counter "le" "delivered messages by the time from sending to the receiver's word, cumulative"
    requests_total Counter "" "requests made"
    replies_total Counter "" "requests that were answered"
    request_seconds_bucket Counter "le" "answered requests by the time they took, cumulative"
    handled_total Counter "what" "what handlers here were given, and what became of it"
    discovery_answers_total Counter "discovery" "answers of a discovery"
    discovery_failures_total Counter "discovery" "times a discovery did not answer"
    discovery_strangers Gauge "discovery" "places it named last where no member is known to be"
}

/// Limits that have no number of their own, and what was dropped or refused when one was reached.
pub const LIMITS: &[(&str, &str)] = &[
    ("votes", "accusations of a member that has as many accusers as are counted, twice its observers"),
    ("broadcasts", "broadcasts: 64 are under way at once"),
    ("rivals", "claims to this node's name, where 16 other lives claim it"),
    ("certificates", "words and accusations that wait for the certificate they were signed with: 256 at once"),
    ("tombstones", "members that were forgotten before their time: the last word on 65,536 is kept"),
    ("join_places", "places to join through: 4,096 at once, and 16 of a name"),
    ("discovery", "names and places in the answers of discoveries: 256 and 4,096"),
    ("pool_callers", "data connections that this node asked for: all places of the pool were in use"),
    ("pool_peers", "data connections that others asked for, for the same reason"),
    ("pool_addresses", "addresses of the pool that were forgotten: 4,096 are remembered"),
    ("pool_peer_counts", "what the pool counts in all only, and not by peer: 4,096 have counts of their own"),
    ("control_requests", "requests of members that were refused because the loop was behind"),
    ("control_datagrams", "datagrams to members that were too long for the path, or made room for newer ones"),
    ("unreachable_hints", "words of the system that an address cannot be sent to, of which the loop was not told"),
    ("requests", "requests that waited in vain for their turn among those to one member"),
    ("request_len", "requests that were too long"),
    ("reply_len", "replies of handlers here that were too long"),
    ("peer_events", "events of peers that this node itself missed: it looked at their breakers instead"),
];

/// Those that only the membership loop can tell of: the first ones of [`LIMITS`].
const LIMITS_OF_THE_LOOP: usize = 6;

/// What only the membership loop can tell.
const OF_THE_LOOP: [&str; 15] = [
    "cluster_local_health",
    "cluster_probes_total",
    "cluster_probes_unanswered_total",
    "cluster_suspicions_refuted_total",
    "cluster_loop_gaps_total",
    "cluster_loop_gap_milliseconds_total",
    "cluster_gossip_malformed_total",
    "cluster_gossip_unknown_total",
    "cluster_claims_implausible_total",
    "cluster_claims_forged_total",
    "cluster_claims_unproven_total",
    "cluster_claims_muted_total",
    "cluster_members_over_limit_total",
    "cluster_links_wanted",
    "cluster_links_up",
];

/// One number at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// One of [`TABLE`].
    pub name: &'static str,
    /// The value of its label, where it has one.
    pub label: Option<String>,
    /// How much.
    pub value: f64,
}

/// All numbers of a node at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    node: String,
    samples: Vec<Sample>,
}

/// What the numbers are taken from.
pub(crate) struct Sources {
    pub(crate) node: String,
    pub(crate) health: Health,
    /// Members by state.
    pub(crate) states: Vec<(State, usize)>,
    pub(crate) events: Vec<(&'static str, u64)>,
    pub(crate) events_dropped: u64,
    pub(crate) datagrams_dropped: u64,
    pub(crate) handshakes_refused: u64,
    pub(crate) links: [(LinkClass, usize); 2],
    pub(crate) pool: PoolStats,
    /// Over all peers, those that are gone included.
    pub(crate) peers: PeerMetrics,
    pub(crate) peers_now: usize,
    pub(crate) breakers_open: usize,
    pub(crate) peer_events_missed: u64,
    pub(crate) router: RouterStats,
}

/// How often each of [`LIMITS`] was reached, in that order.
fn limits_reached(from: &Sources) -> Vec<(&'static str, u64)> {
    let Sources { health, peers, router, .. } = from;
    let (swim, pool) = (&health.stats, &from.pool.limits);
    let counts: [u64; LIMITS.len()] = [
        swim.votes_over_limit,
        swim.broadcasts_over_limit,
        swim.rivals_over_limit,
        swim.parked_over_limit,
        swim.tombs_over_limit,
        health.places_left_out,
        health.discoveries.iter().map(|discovery| discovery.left_out).sum(),
        pool.callers,
        pool.peers,
        pool.addresses,
        pool.peer_counts,
        pool.control_requests,
        pool.datagrams,
        pool.unreachable_hints,
        peers.requests_busy,
        peers.requests_too_long,
        router.replies_too_long,
        from.peer_events_missed,
    ];
    let untold = if health.loop_answers { 0 } else { LIMITS_OF_THE_LOOP };
    LIMITS.iter().map(|(limit, _)| *limit).zip(counts).skip(untold).collect()
}

impl Metrics {
    /// Every sample, in the order of [`TABLE`].
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// One number; `label` is empty where it has none.
    #[must_use]
    pub fn value(&self, name: &str, label: &str) -> Option<f64> {
        let sample = self.samples.iter().find(|s| s.name == name && s.label.as_deref().unwrap_or_default() == label);
        sample.map(|sample| sample.value)
    }

    /// Hands all of them to the recorder that is installed, each with the label `node`. Call it before each scrape, or now and then.
    /// Without a recorder nothing happens.
    pub fn record(&self) {
        for Definition { name, kind, meaning, .. } in TABLE {
            match kind {
                Kind::Counter => metrics::describe_counter!(*name, Unit::Count, *meaning),
                Kind::Gauge => metrics::describe_gauge!(*name, Unit::Count, *meaning),
            }
        }
        for Sample { name, label, value } in &self.samples {
            let Some(definition) = TABLE.iter().find(|definition| definition.name == *name) else { continue };
            let mut labels = vec![Label::new("node", self.node.clone())];
            labels.extend(label.clone().map(|value| Label::new(definition.label, SharedString::from(value))));
            match definition.kind {
                Kind::Counter => metrics::counter!(*name, labels).absolute(*value as u64),
                Kind::Gauge => metrics::gauge!(*name, labels).set(*value),
            }
        }
    }

    /// Of a loop that was not asked, it is not known how it is.
    pub(crate) fn without_health(mut self) -> Self {
        self.samples.retain(|sample| !matches!(sample.name, "cluster_live" | "cluster_ready"));
        self
    }

    pub(crate) fn from_sources(sources: Sources) -> Self {
        let Sources { node, .. } = &sources;
        Self { node: node.clone(), samples: TABLE.iter().flat_map(|row| samples(row.name, &sources)).collect() }
    }
}

/// The samples of one row of the table.
fn samples(name: &'static str, from: &Sources) -> Vec<Sample> {
    let Sources { health, pool, peers, router, .. } = from;
    let one = |value: f64| vec![Sample { name, label: None, value }];
    let many = |rows: Vec<(String, f64)>| {
        rows.into_iter().map(|(label, value)| Sample { name, label: Some(label), value }).collect()
    };
    let by = |rows: &[(&str, u64)]| many(rows.iter().map(|(label, n)| ((*label).to_owned(), *n as f64)).collect());
    // What the loop alone knows is left out while it does not answer: a counter that falls to 0 would be a lie.
    if !health.loop_answers && OF_THE_LOOP.contains(&name) {
        return Vec::new();
    }
    let total = &pool.total;
    match name.trim_start_matches("cluster_") {
        "live" => one(f64::from(u8::from(health.is_live()))),
        "ready" => one(f64::from(u8::from(health.is_ready()))),
        "certificate_seconds" => one(health.certificate_left.unwrap_or_default().as_secs() as f64),
        "members" => many(from.states.iter().map(|(state, n)| (state.as_str().to_owned(), *n as f64)).collect()),
        "local_health" => one(f64::from(health.local_health)),
        "probes_total" => one(health.stats.probes as f64),
        "probes_unanswered_total" => one(health.stats.unanswered as f64),
        "suspicions_refuted_total" => one(health.stats.refuted as f64),
        "loop_gaps_total" => one(health.gaps as f64),
        "loop_gap_milliseconds_total" => one(health.gaps_total.as_millis() as f64),
        "gossip_malformed_total" => one(health.stats.malformed as f64),
        "gossip_unknown_total" => one(health.stats.unknown as f64),
        "claims_implausible_total" => one(health.stats.implausible as f64),
        "claims_forged_total" => one(health.stats.forged as f64),
        "claims_unproven_total" => one(health.stats.unproven as f64),
        "claims_muted_total" => one(health.stats.muted as f64),
        "members_over_limit_total" => one(health.stats.over_limit as f64),
        "datagrams_dropped_total" => one(from.datagrams_dropped as f64),
        "events_total" => by(&from.events),
        "events_dropped_total" => one(from.events_dropped as f64),
        "handshakes_refused_total" => one(from.handshakes_refused as f64),
        "limits_reached_total" => by(&limits_reached(from)),
        "links" => {
            by(&from.links.map(|(class, n)| (if class == LinkClass::Control { "control" } else { "data" }, n as u64)))
        }
        "links_wanted" => one(health.links_wanted as f64),
        "links_up" => one(health.links_up as f64),
        "pool_places" => one(pool.places as f64),
        "pool_idle" => one(total.idle as f64),
        "pool_dials_total" => one(total.dials as f64),
        "pool_dial_failures_total" => one(total.failures as f64),
        "pool_evictions_total" => one(total.evictions as f64),
        "pool_reuses_total" => one(total.reuses as f64),
        "peers" => one(from.peers_now as f64),
        "peers_breaker_open" => one(from.breakers_open as f64),
        "messages_queued_total" => one(peers.queued as f64),
        "messages_total" => by(&[
            ("delivered", peers.delivered),
            ("maybe_delivered", peers.maybe_delivered),
            ("expired", peers.expired),
            ("dropped", peers.dropped),
            ("refused", peers.refused),
            ("closed", peers.closed),
            ("rejected", peers.rejected),
        ]),
        "messages_waiting" => one(peers.queue_len as f64),
        "messages_waiting_bytes" => one(peers.queue_bytes as f64),
        "messages_in_flight" => one(peers.in_flight as f64),
        "message_seconds_bucket" => many(cumulative(&peers.send_latency)),
        "requests_total" => one(peers.requests as f64),
        "replies_total" => one(peers.replies as f64),
        "request_seconds_bucket" => many(cumulative(&peers.request_latency)),
        "handled_total" => by(&[
            ("messages", router.messages),
            ("requests", router.requests),
            ("cancelled", router.cancelled),
            ("refused", router.refused),
            ("failed", router.failures),
            ("panicked", router.panics),
            ("not_understood", router.violations),
            ("unknown", router.unknown),
        ]),
        "discovery_answers_total" => {
            many(health.discoveries.iter().map(|d| (d.what.clone(), d.answers as f64)).collect())
        }
        "discovery_failures_total" => {
            many(health.discoveries.iter().map(|d| (d.what.clone(), d.failures as f64)).collect())
        }
        "discovery_strangers" => {
            many(health.discoveries.iter().map(|d| (d.what.clone(), d.strangers as f64)).collect())
        }
        _ => Vec::new(),
    }
}

/// As a histogram of Prometheus has it: how many took no longer than each bound, from a millisecond or so on.
fn cumulative(latencies: &Latencies) -> Vec<(String, f64)> {
    const FINEST: Duration = Duration::from_micros(100);
    let mut below = 0;
    let mut rows = Vec::new();
    for (bound, count) in latencies.buckets() {
        below += count;
        if bound >= FINEST {
            rows.push((bound.as_secs_f64().to_string(), below as f64));
        }
    }
    rows.push(("+Inf".to_owned(), below as f64));
    rows
}

#[cfg(test)]
mod tests;
