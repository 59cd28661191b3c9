//! The nodes' own numbers, held against what the world counted: when a process ends, and at the end of a run.

use std::time::Duration;

use cluster_failure::gap::GAP_MIN;
use cluster_manager::engine::HEARTBEAT;
use cluster_manager::{Cluster, Delivery};
use cluster_pool::LinkClass;

use super::StackWorld;
use super::counts::Told;
use crate::host::SimHost;
use crate::host::machine::Started;

/// How often the loop of a process has been held up: certainly, and at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stops {
    since: Option<Duration>,
    certain: u64,
    possible: u64,
}

impl Stops {
    pub(crate) fn stop(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    /// It goes on. When it last turned before the stop is known to one heartbeat, and to another where turns are late.
    pub(crate) fn resume(&mut self, now: Duration) {
        let Some(stopped) = self.since.take().map(|since| now.saturating_sub(since)) else { return };
        self.certain += u64::from(stopped > GAP_MIN);
        self.possible += u64::from(stopped + 2 * HEARTBEAT > GAP_MIN);
    }
}

impl StackWorld {
    /// Numbers of the nodes that differ from what the world counted, in words: over all processes there have been.
    pub fn numbers_disagree(&self) -> Vec<String> {
        let running = self.running();
        running.iter().for_each(|&i| self.compare_numbers(i));
        let of_loops = running.into_iter().flat_map(|i| self.numbers_of_the_loop_disagree(i));
        self.ledger.counts.wrong().into_iter().chain(of_loops).collect()
    }

    /// Holds the numbers of a node's process, as they are now, against what the world counted of it.
    pub(super) fn compare_numbers(&self, i: usize) {
        let SimHost { process: Some(process), boots, .. } = &self.hosts[i] else { return };
        let Some(cluster) = process.cluster() else { return };
        let told = Told::of(&cluster.metrics_now(), last_number(cluster));
        // What users say on their own account the world does not count.
        let all = self.system.is_none() && self.config.serve.is_none();
        self.ledger.counts.compare((i, *boots), &told, all);
    }

    /// What the membership loop alone can tell. One that does not answer tells nothing.
    fn numbers_of_the_loop_disagree(&self, i: usize) -> Vec<String> {
        let Some(Started { cluster, first, .. }) = self.process(i).machine.started.get() else { return Vec::new() };
        let stops = &self.hosts[i].stops;
        let numbers = self.runtime.block_on(cluster.metrics());
        let value = |name: &str| numbers.value(name, "").map(|value| value as u64);
        let mut wrong = Vec::new();
        if let Some(gaps) =
            value("cluster_loop_gaps_total").filter(|gaps| !(stops.certain..=stops.possible).contains(gaps))
        {
            let Stops { certain, possible, .. } = stops;
            wrong.push(format!("node {i} counts {gaps} gaps, and was stopped {certain} to {possible} times"));
        }
        let places = value("cluster_pool_places").unwrap_or_default();
        let open = cluster.open_links(LinkClass::Data) as u64;
        if places > open {
            wrong.push(format!("node {i} has {places} places of its pool taken, and {open} connections are open"));
        }
        let raised =
            self.member(i, i).map(|own| own.claim.incarnation.get()).zip(*first).map(|(now, first)| now - first);
        if let Some((refuted, raised)) = value("cluster_suspicions_refuted_total").zip(raised)
            && (refuted > raised || (refuted == 0) != (raised == 0))
        {
            wrong.push(format!("node {i} counts {refuted} refutations, and raised its incarnation by {raised}"));
        }
        wrong
    }
}

/// The number of the last event of a node; `None` when its events are over.
fn last_number(cluster: &Cluster) -> Option<u64> {
    match cluster.subscribe().try_recv() {
        Ok(Delivery::Snapshot { seq, .. }) => Some(seq),
        _ => None,
    }
}
