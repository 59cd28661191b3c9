//! What a user of a small cluster is told over its life, in order.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use cluster_testkit::{EngineWorld, WorldConfig};

/// A world, and what its nodes have reported so far, step by step.
struct Story {
    world: EngineWorld,
    told: usize,
    text: String,
}

impl Story {
    /// Lets `span` pass after what was done; then one line for each node that has something to say of its members. When it
    /// was said is left out: the tests of the engine say by when each must be.
    fn after(&mut self, what: &str, span: Duration) {
        self.world.run_for(span);
        let mut lines: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for reported in &self.world.trace()[self.told..] {
            if let Some(member) = reported.kind.member() {
                lines.entry(reported.by).or_default().push(format!("{} {}", reported.kind, member.node()));
            }
        }
        self.told = self.world.trace().len();
        let _ = writeln!(self.text, "{what}");
        for (node, said) in lines {
            let _ = writeln!(self.text, "  node {node}: {}", said.join(", "));
        }
    }
}

/// Join, suspicion, refutation, failure, return, leave.
#[test]
fn the_life_of_a_small_cluster_is_told_in_order() {
    let s = Duration::from_secs;
    let world = EngineWorld::new(WorldConfig::default(), 1);
    let mut story = Story { world, told: 0, text: String::new() };
    story.world.start_cluster(3);
    story.after("three meet", s(10));
    story.world.pause(2);
    story.after("n002 stands still for four seconds", s(4));
    story.world.resume(2);
    story.after("n002 goes on", s(10));
    story.world.crash(2);
    story.after("n002 is killed", s(15));
    story.world.start(2, &[0]);
    story.after("n002 is started anew", s(10));
    story.world.leave(1);
    story.after("n001 leaves", s(1));
    story.world.crash(1);
    story.after("n001 has ended", s(30));
    insta::assert_snapshot!(story.text);
}
