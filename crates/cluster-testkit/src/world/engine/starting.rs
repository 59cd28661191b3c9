//! How nodes begin: one by one, joining through others, or all at once and acquainted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cluster_gossip::swim::Acquainted;
use cluster_gossip::{SharedNodeRegistry, Swim};
use cluster_manager::{Engine, JoinSeed};
use cluster_types::{Claim, Metadata, NodeId, Seed};

use super::carry::Alarm;
use super::node::Node;
use super::seal::WorldSeal;
use super::{EngineWorld, claim_of};
use crate::world::{ORIGIN_UNIX_MS, addr_of, cluster_name, name_of};

impl EngineWorld {
    /// Starts `count` nodes; all but the first join through it.
    pub fn start_cluster(&mut self, count: usize) {
        for i in 0..count {
            self.start(i, if i == 0 { &[] } else { &[0] });
        }
    }

    /// Starts node `i` (the next number) or, after a crash, a new life of it, joining through `seeds`.
    pub fn start(&mut self, i: usize, seeds: &[usize]) {
        let name = name_of(i);
        self.start_named(i, name, seeds);
    }

    /// Starts node `i`, the next number, at the address of another one that has ended.
    pub fn start_in_place_of(&mut self, i: usize, place: usize, seeds: &[usize]) {
        self.start_at(i, name_of(i), addr_of(place), seeds);
    }

    /// As [`start`](Self::start), under any name: also one that is taken.
    pub fn start_named(&mut self, i: usize, name: NodeId, seeds: &[usize]) {
        self.start_at(i, name, addr_of(i), seeds);
    }

    fn start_at(&mut self, i: usize, name: NodeId, addr: SocketAddr, seeds: &[usize]) {
        let (boot_ms, seed) = (self.boot_ms(), self.seed_of(i));
        let own = Claim { addr, facts: self.versions.facts_of(i), ..claim_of(i, name.clone(), boot_ms, seed) };
        let life = own.life;
        let (config, now) = (self.config.swim.clone(), self.now);
        let swim = Swim::new(config, &cluster_name(), own, Metadata::default(), ORIGIN_UNIX_MS, seed, now);
        let seal = self.seal_of(&name);
        let swim = swim.with_seal(Arc::clone(&seal) as _);
        let registry = SharedNodeRegistry::new(name.clone());
        #[cfg(feature = "planted")]
        let registry = registry.with_bug(self.config.swim.bug);
        let registry = Some(registry);
        let began = self.trace.len();
        let number = self.numbers.give(&name);
        let mut node = Node::new((name, number), (Engine::over(swim, seed, now), seal), registry, now);
        node.began = began;
        self.by_addr.insert(addr, i);
        self.lives.resize_with(self.lives.len().max(i + 1), Vec::new);
        self.lives[i].push(life);
        if i < self.nodes.len() {
            self.nodes[i] = node;
            self.alarms[i] = Alarm::default();
        } else {
            assert_eq!(i, self.nodes.len(), "nodes are numbered from 0 without gaps");
            self.nodes.push(node);
            self.alarms.push(Alarm::default());
        }
        let seeds: Vec<JoinSeed> = seeds.iter().map(|&s| JoinSeed::Addr(addr_of(s))).collect();
        if !seeds.is_empty() {
            self.nodes[i].engine.join(self.now, seeds, true);
        }
        self.dispatch(i);
    }

    /// Starts `count` nodes that know each other and are linked already: for worlds in which joining would take longer than
    /// what is to be looked at. They have no registries: the trace shows suspicions, failures, farewells and returns as the
    /// cores state them.
    pub fn start_joined(&mut self, count: usize) {
        assert!(self.nodes.is_empty(), "a joined cluster is the beginning of a world");
        let boot_ms = self.boot_ms();
        let claims: Vec<Claim> = (0..count).map(|i| claim_of(i, name_of(i), boot_ms, self.seed_of(i))).collect();
        let all = Acquainted::new(self.config.swim.clone(), &cluster_name(), &claims, self.seed, self.now);
        let mut by_name = HashMap::new();
        for (i, claim) in claims.into_iter().enumerate() {
            let seed = self.seed_of(i);
            by_name.insert(claim.node.clone(), i);
            let (name, addr) = (claim.node.clone(), claim.addr);
            let seal = self.seal_of(&name);
            let swim = all.core_of(claim, ORIGIN_UNIX_MS, seed, self.now).with_seal(Arc::clone(&seal) as _);
            self.by_addr.insert(addr, i);
            let name = (name.clone(), self.numbers.give(&name));
            let engine = Engine::over(swim, seed, self.now);
            self.nodes.push(Node::new(name, (engine, seal), None, self.now));
            self.alarms.push(Alarm::default());
        }
        for i in 0..count {
            self.nodes[i].engine.handle_timeout(self.now);
            for (neighbour, _) in self.nodes[i].engine.swim().wanted_links() {
                let at = by_name[&neighbour];
                let peer = self.nodes[at].peer_info();
                self.raise_link(i, peer, at);
            }
            self.dispatch(i);
        }
    }

    fn seal_of(&self, name: &NodeId) -> Arc<WorldSeal> {
        Arc::new(WorldSeal::new(name.clone(), self.seed.derive("seals", 0)))
    }

    fn boot_ms(&self) -> u64 {
        ORIGIN_UNIX_MS + u64::try_from(self.now.since_origin().as_millis()).unwrap_or(0)
    }

    fn seed_of(&self, i: usize) -> Seed {
        self.seed.derive("node", i as u64).derive("boot", self.boot_ms())
    }
}
