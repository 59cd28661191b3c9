//! What a subscriber makes of its snapshot and the deltas after it. It should be what the node itself holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cluster_gossip::registry::MemberTable;
use cluster_manager::Delivery;
use cluster_types::{Claim, Event, EventKind, Life, Member, Metadata, NodeId, State};

/// The members as one subscriber has them.
#[derive(Debug)]
pub(crate) struct Subscriber {
    /// Whose node it is: about itself a node publishes no events.
    own: NodeId,
    members: BTreeMap<NodeId, Arc<Member>>,
    last: Option<u64>,
    complaints: Vec<String>,
}

impl Subscriber {
    pub(crate) const fn of(own: NodeId) -> Self {
        Self { own, members: BTreeMap::new(), last: None, complaints: Vec::new() }
    }

    /// Takes what is delivered; says what is wrong with its number, if anything is.
    pub(crate) fn take(&mut self, delivery: &Delivery<MemberTable, Event>) {
        match delivery {
            Delivery::Snapshot { seq, state } => {
                self.members = state.iter().map(|member| (member.node().clone(), Arc::clone(member))).collect();
                self.last = Some(*seq);
            }
            Delivery::Event { seq, event } => {
                if self.last.is_none_or(|last| last + 1 != *seq) {
                    self.complaints.push(format!("event {seq} follows {:?}", self.last));
                }
                self.last = Some(*seq);
                self.apply(&event.kind);
            }
            Delivery::Lagged { .. } => {}
        }
    }

    /// Takes a delta.
    pub(crate) fn apply(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Joined(member)
            | EventKind::Alive(member)
            | EventKind::Suspected(member, _)
            | EventKind::Failed(member, _)
            | EventKind::Left(member)
            | EventKind::Updated(member) => {
                self.members.insert(member.node().clone(), Arc::clone(member));
            }
            EventKind::Reaped(member) => {
                self.members.remove(member.node());
            }
            _ => {}
        }
    }

    /// Where it differs from what the node holds, in words. Who was first learnt of as gone was not introduced: of that one no delta tells.
    pub(crate) fn differs_from(&self, table: &MemberTable) -> Vec<String> {
        let mut all = self.complaints.clone();
        let known = |node: &NodeId| table.member(node.as_str());
        for (node, member) in self.members.iter().filter(|(node, _)| **node != self.own) {
            let held = known(node);
            let same = held.is_some_and(|held| told(held) == told(member));
            if !same {
                all.push(format!("a subscriber has {member:?}, the node holds {held:?}"));
            }
        }
        let unseen = |member: &&Arc<Member>| *member.node() != self.own && !self.members.contains_key(member.node());
        let unseen = table.iter().filter(|member| member.state().is_live()).filter(unseen);
        all.extend(unseen.map(|member| format!("a subscriber does not know of {member:?}")));
        all
    }
}

/// What events tell of a member. A refutation raises the incarnation of a member also where nobody had suspected it: that is no transition. Nor
/// is another number of the same metadata.
fn told(member: &Member) -> (State, Life, SocketAddr, &Metadata) {
    let Claim { state, life, addr, .. } = member.claim;
    (state, life, addr, &member.metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_gossip::SharedNodeRegistry;
    use cluster_gossip::registry::Statement;
    use cluster_types::{Incarnation, Instant};

    fn statement(state: State, incarnation: u64) -> Statement {
        let addr = ([10, 0, 0, 1], 1).into();
        let claim = Claim::alive("b".parse().unwrap(), Life::new(1, 1), Incarnation::from_raw(incarnation), addr);
        let member = Member { claim: Claim { state, ..claim }, metadata: Metadata::default(), since: Instant::ORIGIN };
        Statement { member: Arc::new(member), complete: true, evidence: None, withdraws: false }
    }

    #[test]
    fn deltas_add_up_and_a_lost_one_is_found() {
        let registry = SharedNodeRegistry::new("a".parse().unwrap());
        let subscriber = || Subscriber::of("a".parse().unwrap());
        let (mut all, mut without) = (subscriber(), subscriber());
        let mut events = registry.subscribe();
        for (n, statement) in [statement(State::Alive, 1), statement(State::Left, 1)].into_iter().enumerate() {
            registry.apply(Instant::ORIGIN, statement);
            while let Ok(delivery) = events.try_recv() {
                all.take(&delivery);
                if n == 0 {
                    without.take(&delivery);
                }
            }
        }
        assert_eq!(all.differs_from(&registry.snapshot()), Vec::<String>::new());
        assert_eq!(without.differs_from(&registry.snapshot()).len(), 1);
        assert_eq!(subscriber().differs_from(&registry.snapshot()), Vec::<String>::new(), "gone is not missed");
    }

    #[test]
    fn a_gap_in_the_numbers_is_found() {
        let registry = SharedNodeRegistry::new("a".parse().unwrap());
        let mut events = registry.subscribe();
        let mut subscriber = Subscriber::of("a".parse().unwrap());
        subscriber.take(&events.try_recv().unwrap());
        registry.apply(Instant::ORIGIN, statement(State::Alive, 1));
        registry.apply(Instant::ORIGIN, statement(State::Left, 1));
        events.try_recv().unwrap();
        subscriber.take(&events.try_recv().unwrap());
        assert_eq!(subscriber.differs_from(&registry.snapshot()), ["event 2 follows Some(0)"]);
    }
}
