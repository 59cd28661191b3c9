//! Looking at a stack world from outside.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cluster_manager::{Cluster, Delivery, Instant, NodeId, State};
use cluster_pool::LinkClass;
use cluster_types::{Life, Member};

use super::StackWorld;
use crate::Trace;
use crate::host::machine::Started;
use crate::host::{Process, SimHost};
use crate::net::NetStats;
use crate::simulation::SimNode;
use crate::world::Reported;

/// The idle time of connections, 30 s, and some.
const IDLE_AND_SLACK: Duration = Duration::from_secs(35);

impl StackWorld {
    /// The handle of a node that runs.
    ///
    /// # Panics
    /// It does not run, or its system has not started it yet.
    #[must_use]
    pub fn cluster(&self, i: usize) -> &Cluster {
        self.process(i).cluster().unwrap_or_else(|| panic!("the system of node {i} has not started it yet"))
    }

    pub(super) fn process(&self, i: usize) -> &Process {
        self.hosts[i].process.as_ref().unwrap_or_else(|| panic!("node {i} does not run"))
    }

    /// Virtual time now.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::after_origin(self.origin_elapsed())
    }

    /// Whether node `i` runs and was not told to stop.
    #[must_use]
    pub fn is_running(&self, i: usize) -> bool {
        self.hosts.get(i).is_some_and(SimHost::is_running)
    }

    /// Everything reported so far, in order.
    #[must_use]
    pub fn reports(&self) -> Vec<Reported> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often an event of this kind was reported, by anybody.
    #[must_use]
    pub fn count(&self, event: &str) -> usize {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.iter().filter(|reported| reported.kind.as_str() == event).count()
    }

    /// The trace: its hash, its checkpoints, its lines.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What has happened to packets so far.
    #[must_use]
    pub fn packets(&self) -> NetStats {
        self.net.stats()
    }

    /// What node `i` holds node `j` to be.
    #[must_use]
    pub fn state(&self, i: usize, j: usize) -> Option<State> {
        let process = self.hosts[i].process.as_ref()?;
        Some(process.cluster()?.member(self.hosts[j].name.as_str())?.state)
    }

    /// What node `i` holds of node `j`, itself included.
    #[must_use]
    pub fn member(&self, i: usize, j: usize) -> Option<Arc<Member>> {
        let process = self.hosts.get(i)?.process.as_ref()?;
        match process.cluster()?.subscribe().try_recv() {
            Ok(Delivery::Snapshot { state, .. }) => state.member(self.hosts[j].name.as_str()).cloned(),
            _ => None,
        }
    }

    /// Which process of which node started its node when, since the world's origin.
    pub(crate) fn starts(&self) -> Vec<(usize, u64, Duration)> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lives of a node's processes so far, in order.
    #[must_use]
    pub fn lives(&self, i: usize) -> Vec<Life> {
        self.hosts[i].lives.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Subscribers whose snapshot and deltas do not add up to what their node holds, and gaps in the numbers of events, in words.
    #[must_use]
    pub fn subscribers_disagree(&self) -> Vec<String> {
        let of = |i: usize| {
            let started = self.process(i).machine.started.get();
            let differences = started.map_or_else(Vec::new, |Started { cluster, subscriber, .. }| {
                match cluster.subscribe().try_recv() {
                    Ok(Delivery::Snapshot { state, .. }) => {
                        subscriber.lock().unwrap_or_else(PoisonError::into_inner).differs_from(&state)
                    }
                    _ => vec!["a new subscriber got no snapshot".to_owned()],
                }
            });
            differences.into_iter().map(move |what| format!("node {i}: {what}"))
        };
        self.running().into_iter().flat_map(of).collect()
    }

    /// Whether every running node holds every running node to be alive.
    #[must_use]
    pub fn everybody_knows_everybody(&self) -> bool {
        let running = self.running();
        running.iter().all(|&i| running.iter().all(|&j| self.state(i, j) == Some(State::Alive)))
    }

    /// The nodes that run and were not told to stop, as their systems see them.
    #[must_use]
    pub fn nodes(&self) -> Vec<SimNode> {
        self.live.nodes()
    }

    /// The nodes that run and were not told to stop.
    #[must_use]
    pub fn running(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|&i| self.is_running(i)).collect()
    }

    /// The name of node `i`.
    #[must_use]
    pub fn name(&self, i: usize) -> &NodeId {
        &self.hosts[i].name
    }

    /// Whether a process of a node ended so lately that a connection of the users to it may not have noticed: nothing but the
    /// idle time ends it.
    fn ended_lately(&self, node: &NodeId) -> bool {
        let ended = self.hosts.iter().find(|host| host.name == *node).and_then(|host| host.ended);
        ended.is_some_and(|at| self.origin_elapsed().saturating_sub(at) < IDLE_AND_SLACK)
    }

    /// What is wrong with the links of a cluster that has come to rest, in words: more than one to a peer, or one to a
    /// process that is gone.
    #[must_use]
    pub fn loose_ends(&self) -> Vec<String> {
        let mut loose = Vec::new();
        let started = |i| Some((i, self.process(i).cluster()?));
        let running: Vec<(usize, &Cluster)> = self.running().into_iter().filter_map(started).collect();
        for (i, cluster) in &running {
            for class in [LinkClass::Control, LinkClass::Data] {
                let (links, open) = (cluster.links(class), cluster.open_links(class));
                // Clients come in on data links, and are nobody's peers.
                let with_clients = class == LinkClass::Data && !self.clients.is_empty();
                if links.len() != open && !(with_clients && links.len() < open) {
                    loose.push(format!("node {i} has {open} {} links open to {} peers", class.as_str(), links.len()));
                }
                for link in &links {
                    let there = running.iter().find(|(j, _)| self.hosts[*j].name == *link.node());
                    let fresh = class == LinkClass::Data && self.ended_lately(link.node());
                    if !fresh && there.is_none_or(|(_, peer)| peer.life() != link.life()) {
                        loose.push(format!(
                            "node {i} has a {} link to a life of {} that is gone",
                            class.as_str(),
                            link.node()
                        ));
                    }
                }
            }
        }
        loose
    }
}
