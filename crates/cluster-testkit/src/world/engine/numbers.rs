//! The engines' own numbers, held against what the world has seen of them.

use cluster_gossip::SharedNodeRegistry;

use super::EngineWorld;

impl EngineWorld {
    /// Where a node's own numbers are not what its events and its incarnation say, in words.
    pub(super) fn numbers_differ(&self, i: usize) -> Vec<String> {
        let node = &self.nodes[i];
        let (stats, now) = (node.engine.swim().stats(), node.engine.swim().own().incarnation);
        let raised = now.get() - node.first.get();
        let told = |word: &str| {
            self.trace[node.began..].iter().filter(|r| r.by == i && r.kind.as_str() == word).count() as u64
        };
        let counted = node.registry.iter().flat_map(SharedNodeRegistry::event_counts);
        let events = counted.filter(|(word, n)| told(word) != *n);
        let mut wrong: Vec<String> =
            events.map(|(word, n)| format!("it counts {n} events {word}, and told of {}", told(word))).collect();
        if stats.refuted > raised || (stats.refuted == 0) != (raised == 0) {
            wrong.push(format!("it counts {} refutations, and raised its incarnation by {raised}", stats.refuted));
        }
        if stats.malformed + stats.over_limit > 0 {
            wrong.push(format!("nobody sent anything malformed or too much, and it counts {stats:?}"));
        }
        wrong.into_iter().map(|what| format!("node {i}: {what}")).collect()
    }
}
