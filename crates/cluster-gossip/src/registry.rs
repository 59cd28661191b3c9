//! The registry: the published form of what the core knows. Many readers, one writer, events on every transition.
//!
//! [`SharedNodeRegistry::apply`] is the only way in. It merges by the one rule and derives the events from the difference,
//! so that a statement heard twice, late or out of order yields each event at most once.

mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_types::limits::EVENT_RING_LEN;
use cluster_types::{
    Claim, Event, EventBus, EventKind, Evidence, Instant, Member, Metadata, NodeId, State, Subscription,
};

pub use table::MemberTable;

/// One thing to publish about one member.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// What is said, and the metadata body as far as it is known. Shared with whoever says it.
    pub member: Arc<Member>,
    /// Whether the body is that of the version claimed; if not, the former one stays until it comes.
    pub complete: bool,
    /// Why, for a suspicion or a failure.
    pub evidence: Option<Evidence>,
    /// Whoever says it takes back an accusation or a verdict that nobody else has heard, or that goes beyond what its subject has said: of the same process
    /// and the same incarnation, or a lower one.
    pub withdraws: bool,
}

impl Statement {
    /// A claim that comes without a metadata body.
    #[must_use]
    pub fn about(claim: Claim, now: Instant, evidence: Option<Evidence>) -> Self {
        let member = Arc::new(Member { claim, metadata: Metadata::default(), since: now });
        Self { member, complete: false, evidence, withdraws: false }
    }

    /// What is said.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.member.claim
    }
}

/// The shared registry. Cheap to clone; clones share everything. Reading never waits for the protocol.
#[derive(Debug, Clone)]
pub struct SharedNodeRegistry {
    own: NodeId,
    bus: EventBus<MemberTable, Event>,
    /// The last accusation or verdict of each member that is not forgotten. Held to look or to add.
    verdicts: Arc<Mutex<BTreeMap<NodeId, Event>>>,
    /// Events published since the start, by word. Held to add or to read.
    counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    #[cfg(feature = "planted")]
    bug: Option<crate::planted::Bug>,
}

impl SharedNodeRegistry {
    /// An empty registry on node `own`, about which it publishes no member events.
    #[must_use]
    pub fn new(own: NodeId) -> Self {
        Self {
            own,
            bus: EventBus::new(MemberTable::default(), EVENT_RING_LEN),
            verdicts: Arc::default(),
            counts: Arc::default(),
            #[cfg(feature = "planted")]
            bug: None,
        }
    }

    /// The same with a mistake, for tests of tests.
    #[cfg(feature = "planted")]
    #[must_use]
    pub const fn with_bug(mut self, bug: Option<crate::planted::Bug>) -> Self {
        self.bug = bug;
        self
    }

    #[cfg(feature = "planted")]
    fn loses_events(&self) -> bool {
        self.bug == Some(crate::planted::Bug::EventsLost)
    }

    #[cfg(not(feature = "planted"))]
    const fn loses_events(&self) -> bool {
        false
    }

    /// Merges one statement and publishes what it changes. Returns the events.
    pub fn apply(&self, now: Instant, statement: Statement) -> Vec<EventKind> {
        let mut published = Vec::new();
        self.bus.publish(|table| {
            published = merge(&self.own, table, now, statement);
            if self.loses_events() {
                published.retain(|kind| !matches!(kind, EventKind::Updated(_) | EventKind::Left(_)));
            }
            published.iter().map(|kind| Event { at: now, kind: kind.clone() }).collect::<Vec<_>>()
        });
        self.count(&published);
        for kind in &published {
            if let EventKind::Suspected(member, _) | EventKind::Failed(member, _) = kind {
                self.verdicts().insert(member.node().clone(), Event { at: now, kind: kind.clone() });
            }
        }
        published
    }

    fn count(&self, published: &[EventKind]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        published.iter().for_each(|kind| *counts.entry(kind.as_str()).or_default() += 1);
    }

    /// How many events of each kind were published since the start, by its word.
    #[must_use]
    pub fn event_counts(&self) -> Vec<(&'static str, u64)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(word, n)| (*word, *n)).collect()
    }

    fn verdicts(&self) -> MutexGuard<'_, BTreeMap<NodeId, Event>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last suspicion or failure of a member, with its evidence, whatever became of it: until the member is forgotten.
    #[must_use]
    pub fn last_verdict(&self, node: &NodeId) -> Option<Event> {
        self.verdicts().get(node).cloned()
    }

    /// The events about a node, oldest first, as far back as the last 1,024 events of all reach.
    #[must_use]
    pub fn recent(&self, node: &NodeId) -> Vec<Arc<Event>> {
        self.bus.recent(|event| event.kind.node() == Some(node))
    }

    /// Forgets a member that was gone for long enough, and says so.
    pub fn forget(&self, now: Instant, node: &NodeId) -> Option<EventKind> {
        let mut published = None;
        self.bus.publish(|table| {
            let table = Arc::make_mut(&mut table.0);
            let introduced = table.introduced.remove(node);
            published = table.members.remove(node).filter(|_| introduced).map(EventKind::Reaped);
            published.iter().map(|kind| Event { at: now, kind: kind.clone() }).collect::<Vec<_>>()
        });
        self.verdicts().remove(node);
        self.count(published.as_slice());
        published
    }

    /// Publishes an event that changes no member.
    pub fn note(&self, now: Instant, kind: EventKind) {
        self.count(std::slice::from_ref(&kind));
        self.bus.publish(|table| {
            table.note(&kind);
            Some(Event { at: now, kind })
        });
    }

    /// All members now.
    #[must_use]
    pub fn snapshot(&self) -> MemberTable {
        self.bus.read(MemberTable::clone)
    }

    /// A snapshot, then every event after it.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<MemberTable, Event> {
        self.bus.subscribe()
    }

    /// Forgets every member, without events: for shutdown.
    pub fn clear(&self) {
        self.bus.publish(|table| {
            *table = MemberTable::default();
            None
        });
        self.verdicts().clear();
    }

    /// Ends every subscription once it has been read.
    pub fn close(&self) {
        self.bus.close();
    }

    /// Events that slow subscribers missed.
    #[must_use]
    pub fn dropped_events(&self) -> u64 {
        self.bus.dropped()
    }
}

fn merge(own: &NodeId, table: &mut MemberTable, now: Instant, statement: Statement) -> Vec<EventKind> {
    let Statement { member: said, complete, evidence, withdraws } = statement;
    let known = table.0.members.get(said.node()).cloned();
    let wins =
        known.as_ref().is_none_or(|known| said.claim.supersedes(&known.claim) || (withdraws && is_of(known, &said)));
    let body_changed = known.as_ref().is_some_and(|k| complete && k.metadata != said.metadata);
    if !wins && !body_changed {
        return Vec::new();
    }
    let winner = if wins { &said } else { known.as_ref().unwrap_or(&said) };
    let body = if complete { &said } else { known.as_ref().unwrap_or(&said) };
    let same_state = known.as_ref().filter(|k| k.state() == winner.state() && k.claim.life == winner.claim.life);
    let since = same_state.map_or(now, |k| k.since);
    let member = if Arc::ptr_eq(winner, body) && winner.since == since {
        Arc::clone(winner)
    } else {
        Arc::new(Member { claim: winner.claim.clone(), metadata: body.metadata.clone(), since })
    };

    let table = Arc::make_mut(&mut table.0);
    let introduced = table.introduced.contains(member.node());
    let before = known.filter(|_| introduced);
    let kinds = if member.node() == own { Vec::new() } else { transitions(before.as_deref(), &member, evidence) };
    if introduced || member.state().is_live() {
        table.introduced.insert(member.node().clone());
    }
    table.members.insert(member.node().clone(), member);
    kinds
}

/// Whether what is held may be taken back by what is said: of the same process, and no later.
fn is_of(held: &Member, said: &Member) -> bool {
    held.claim.life == said.claim.life && held.claim.incarnation >= said.claim.incarnation
}

/// The events between two records of one member; `before` is `None` when it was not introduced yet.
fn transitions(before: Option<&Member>, after: &Arc<Member>, evidence: Option<Evidence>) -> Vec<EventKind> {
    use State::{Alive, Failed, Left, Suspect};
    let suspected =
        |evidence: Option<Evidence>| EventKind::Suspected(Arc::clone(after), evidence.unwrap_or_else(hearsay));
    let alive = || EventKind::Alive(Arc::clone(after));
    let Some(before) = before else {
        let joined = EventKind::Joined(Arc::clone(after));
        return match after.state() {
            Alive => vec![joined],
            Suspect => vec![joined, suspected(evidence)],
            Failed | Left => Vec::new(),
        };
    };
    let new_life = before.claim.life != after.claim.life;
    match (before.state(), after.state()) {
        (Alive, Alive) if new_life => vec![alive()],
        (Alive, Alive) | (Suspect, Suspect) if !new_life && moved(before, after) => {
            vec![EventKind::Updated(Arc::clone(after))]
        }
        (Alive, Alive) | (Failed, Failed) | (Left, Left) => Vec::new(),
        (Suspect | Failed | Left, Alive) => vec![alive()],
        (Suspect, Suspect) if !new_life => Vec::new(),
        (Alive, Suspect) if !new_life => vec![suspected(evidence)],
        (_, Suspect) => vec![alive(), suspected(evidence)],
        (_, Failed) => vec![EventKind::Failed(Arc::clone(after), evidence.unwrap_or_else(hearsay))],
        (_, Left) => vec![EventKind::Left(Arc::clone(after))],
    }
}

fn moved(before: &Member, after: &Member) -> bool {
    before.claim.addr != after.claim.addr || before.metadata != after.metadata
}

/// Evidence for a verdict that came without any.
const fn hearsay() -> Evidence {
    Evidence::bare(cluster_types::Accusation::Gossip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::{Incarnation, Life};
    use proptest::prelude::*;

    fn claim(incarnation: u64, state: State, life: u32) -> Claim {
        Claim {
            node: "x".parse().unwrap(),
            life: Life::new(1, life),
            incarnation: Incarnation::from_raw(incarnation),
            state,
            meta_version: 0,
            addr: "10.0.0.1:1".parse().unwrap(),
            facts: cluster_types::Facts::NONE,
        }
    }

    fn apply(registry: &SharedNodeRegistry, claim: Claim) -> String {
        let statement = Statement::about(claim, Instant::ORIGIN, None);
        let events = registry.apply(Instant::ORIGIN, statement);
        events.iter().map(EventKind::as_str).collect::<Vec<_>>().join("+")
    }

    fn registry() -> SharedNodeRegistry {
        SharedNodeRegistry::new("me".parse().unwrap())
    }

    /// Each story is what is heard, with the events it must yield, worked out from the contract.
    #[test]
    fn one_event_a_transition() {
        use State::{Alive, Failed, Left, Suspect};
        let story = |steps: &[(u64, State, u32, &str)]| {
            let registry = registry();
            for (i, &(incarnation, state, life, events)) in steps.iter().enumerate() {
                assert_eq!(apply(&registry, claim(incarnation, state, life)), events, "step {i} of {steps:?}");
            }
        };
        story(&[(1, Alive, 1, "joined"), (1, Alive, 1, ""), (1, Suspect, 1, "suspected"), (2, Alive, 1, "alive")]);
        story(&[(1, Suspect, 1, "joined+suspected"), (1, Failed, 1, "failed"), (1, Suspect, 1, "")]);
        story(&[(1, Failed, 1, ""), (2, Alive, 1, "joined"), (3, Alive, 1, "")]);
        story(&[(1, Left, 1, ""), (2, Suspect, 1, "joined+suspected")]);
        story(&[(1, Alive, 1, "joined"), (2, Alive, 2, "alive"), (2, Left, 2, "left"), (3, Alive, 3, "alive")]);
        story(&[(1, Alive, 1, "joined"), (1, Failed, 1, "failed"), (1, Left, 1, "left"), (1, Failed, 1, "")]);
        story(&[(1, Alive, 1, "joined"), (1, Failed, 1, "failed"), (2, Suspect, 1, "alive+suspected")]);
        story(&[(1, Alive, 1, "joined"), (2, Suspect, 2, "alive+suspected"), (3, Suspect, 3, "alive+suspected")]);
        story(&[(2, Alive, 1, "joined"), (1, Left, 1, ""), (2, Suspect, 1, "suspected"), (3, Suspect, 1, "")]);
    }

    /// Also of one that is suspected meanwhile: the next event about it may be long in coming.
    #[test]
    fn a_change_of_a_suspect_is_an_update() {
        let registry = registry();
        apply(&registry, claim(1, State::Suspect, 1));
        let moved = Claim { addr: "10.0.0.2:1".parse().unwrap(), ..claim(2, State::Suspect, 1) };
        assert_eq!(apply(&registry, moved.clone()), "updated");
        assert_eq!(apply(&registry, moved), "");
    }

    #[test]
    fn a_change_of_address_or_metadata_is_an_update() {
        let registry = registry();
        apply(&registry, claim(1, State::Alive, 1));
        let moved = Claim { addr: "10.0.0.2:1".parse().unwrap(), ..claim(2, State::Alive, 1) };
        assert_eq!(apply(&registry, moved.clone()), "updated");
        let metadata = Metadata::new([("zone".to_owned(), "a".to_owned())]).unwrap();
        let member = Member { claim: moved, metadata: metadata.clone(), since: Instant::ORIGIN };
        let body = Statement { member: Arc::new(member), complete: true, evidence: None, withdraws: false };
        let events = registry.apply(Instant::ORIGIN, body.clone());
        assert_eq!(events.iter().map(EventKind::as_str).collect::<Vec<_>>(), ["updated"]);
        assert_eq!(registry.snapshot().member("x").unwrap().metadata, metadata);
        assert!(registry.apply(Instant::ORIGIN, body).is_empty(), "heard twice");
    }

    #[test]
    fn nothing_is_published_about_oneself() {
        let registry = SharedNodeRegistry::new("x".parse().unwrap());
        assert_eq!(apply(&registry, claim(1, State::Alive, 1)), "");
        assert_eq!(registry.snapshot().len(), 1);
    }

    #[test]
    fn a_snapshot_is_untouched_by_later_writes() {
        let registry = registry();
        apply(&registry, claim(1, State::Alive, 1));
        let snapshot = registry.snapshot();
        apply(&registry, claim(1, State::Left, 1));
        assert_eq!(snapshot.member("x").unwrap().state(), State::Alive);
        registry.clear();
        assert!(registry.snapshot().is_empty());
    }

    #[test]
    fn who_is_forgotten_is_reaped_once_and_may_join_again() {
        let registry = registry();
        let x: NodeId = "x".parse().unwrap();
        assert_eq!(registry.forget(Instant::ORIGIN, &x), None);
        apply(&registry, claim(1, State::Failed, 1));
        assert_eq!(registry.forget(Instant::ORIGIN, &x), None, "never introduced, so nobody misses it");
        apply(&registry, claim(1, State::Alive, 1));
        apply(&registry, claim(1, State::Left, 1));
        assert_eq!((registry.snapshot().len(), registry.snapshot().is_empty()), (1, false));
        let kind = registry.forget(Instant::ORIGIN, &x).unwrap();
        assert_eq!((kind.as_str(), kind.node()), ("reaped", Some(&x)));
        assert!(registry.snapshot().is_empty() && registry.forget(Instant::ORIGIN, &x).is_none());
        assert_eq!(registry.last_verdict(&x), None, "forgotten with it");
        assert_eq!(apply(&registry, claim(9, State::Alive, 2)), "joined");
    }

    #[test]
    fn since_is_when_the_state_or_the_life_changed() {
        let registry = registry();
        let at = |s| Instant::after_origin(std::time::Duration::from_secs(s));
        let since_after = |s, claim| {
            registry.apply(at(s), Statement::about(claim, at(s), None));
            registry.snapshot().member("x").unwrap().since
        };
        assert_eq!(since_after(1, claim(1, State::Alive, 1)), at(1));
        assert_eq!(since_after(2, claim(2, State::Alive, 1)), at(1), "a higher incarnation is no change of state");
        assert_eq!(since_after(3, claim(2, State::Suspect, 1)), at(3));
        assert_eq!(since_after(4, claim(3, State::Suspect, 1)), at(3));
        assert_eq!(since_after(5, claim(4, State::Suspect, 2)), at(5), "another life is");
    }

    #[test]
    fn the_last_accusation_is_kept_with_its_evidence_and_events_are_found_by_node() {
        let registry = registry();
        let (x, y): (NodeId, NodeId) = ("x".parse().unwrap(), "y".parse().unwrap());
        let at = |s| Instant::after_origin(std::time::Duration::from_secs(s));
        let evidence = |accuser: &NodeId| Evidence {
            accusers: vec![accuser.clone()],
            ..Evidence::bare(cluster_types::Accusation::Phi)
        };
        registry.apply(at(1), Statement::about(claim(1, State::Alive, 1), at(1), None));
        assert_eq!(registry.last_verdict(&x), None);
        registry.apply(at(2), Statement::about(claim(1, State::Suspect, 1), at(2), Some(evidence(&y))));
        registry.apply(at(3), Statement::about(claim(2, State::Alive, 1), at(3), None));
        let last = registry.last_verdict(&x).expect("why it was suspected is not forgotten with the suspicion");
        assert!(matches!(&last.kind, EventKind::Suspected(_, e) if e.accusers == [y.clone()]), "{last:?}");
        registry.apply(at(4), Statement::about(claim(2, State::Failed, 1), at(4), Some(evidence(&x))));
        let last = registry.last_verdict(&x).expect("kept");
        assert!(last.at == at(4) && matches!(&last.kind, EventKind::Failed(_, e) if e.accusers == [x.clone()]));
        registry.note(at(5), EventKind::BreakerOpen(y.clone()));
        let words = |node: &NodeId| registry.recent(node).iter().map(|e| e.kind.as_str()).collect::<Vec<_>>().join("+");
        assert_eq!(
            registry.event_counts(),
            [("alive", 1), ("breaker_open", 1), ("failed", 1), ("joined", 1), ("suspected", 1)]
        );
        assert_eq!((words(&x).as_str(), words(&y).as_str()), ("joined+suspected+alive+failed", "breaker_open"));
    }

    #[tokio::test]
    async fn notes_reach_subscribers_and_the_end_ends_them() {
        let registry = registry();
        let mut events = registry.subscribe();
        assert!(matches!(events.recv().await, Some(cluster_types::Delivery::Snapshot { .. })));
        registry.note(Instant::ORIGIN, EventKind::Merged { members: 2 });
        let Some(cluster_types::Delivery::Event { event, .. }) = events.recv().await else { panic!("an event") };
        assert_eq!(event.kind, EventKind::Merged { members: 2 });
        assert_eq!(registry.dropped_events(), 0);
        for _ in 0..2 * EVENT_RING_LEN {
            registry.note(Instant::ORIGIN, EventKind::Merged { members: 2 });
        }
        assert!(matches!(events.recv().await, Some(cluster_types::Delivery::Lagged { .. })));
        assert!(registry.dropped_events() >= EVENT_RING_LEN as u64);
        registry.close();
        while events.recv().await.is_some() {}
    }

    proptest! {
        /// Whatever is heard in whatever order: the record is the maximum, and the events tell the way there.
        #[test]
        fn events_always_lead_to_the_record(
            heard in prop::collection::vec((0u64..4, 0usize..4, 0u32..2), 1..30),
        ) {
            let registry = registry();
            let mut told = None;
            let mut best: Option<Claim> = None;
            for (incarnation, state, life) in heard {
                let heard = claim(incarnation, State::ALL[state], life);
                for event in apply(&registry, heard.clone()).split('+').filter(|e| !e.is_empty()) {
                    told = Some(event.to_owned());
                }
                if best.as_ref().is_none_or(|b| heard.supersedes(b)) {
                    best = Some(heard);
                }
            }
            let record = registry.snapshot().member("x").unwrap().claim.clone();
            prop_assert_eq!(&record, &best.unwrap());
            let expected: &[&str] = match record.state {
                State::Alive => &["joined", "alive"],
                State::Suspect => &["suspected"],
                State::Failed => &["failed"],
                State::Left => &["left"],
            };
            match told {
                Some(last) => prop_assert!(expected.contains(&last.as_str()), "{last} then {}", record.state),
                None => prop_assert!(!record.state.is_live()),
            }
        }
    }
}
