//! Probe rounds. Direct first; unanswered, all other observers of the target are asked to probe it at once, and a stream is
//! tried beside them; still unanswered, this node accuses the target.

use std::sync::Arc;
use std::time::Duration;

use cluster_failure::DeathWatch;
use cluster_sites::{buggify, reachable, sometimes};
use cluster_types::{EventKind, HealthFault, Instant, NodeId};

use super::round::{Round, Stage, Why};
use super::suspicion::Helpers;
use super::view::Known;
use super::{Output, Swim};
use crate::health::Pulse;
use crate::sites;
use crate::wire::{DatagramKind, Request};

/// So many suspects are more than one node's trouble.
const SEVERAL: usize = 2;

impl Swim {
    /// Probes every subject whose turn it is.
    pub(super) fn take_turns(&mut self, now: Instant) {
        while let Some(target) = self.plan.take_turn(now) {
            self.stats.probes += 1;
            self.start_round(now, &target);
        }
    }

    /// Begins a round on this node's own account, unless one is open.
    pub(super) fn start_round(&mut self, now: Instant, target: &NodeId) {
        self.start_round_because(now, target, Why::Turn);
    }

    pub(super) fn start_round_because(&mut self, now: Instant, target: &NodeId, why: Why) {
        let own = |round: &Round| round.target == *target && !matches!(round.stage, Stage::Helping { .. });
        if self.rounds.values().any(own) {
            sometimes!(sites::CROSSING_UNHEARD, why == Why::Overdue);
            return;
        }
        let patience = self.probe_timeout(target);
        let patience = if buggify!(sites::SHORT_PATIENCE) { patience / 4 } else { patience };
        let stage = Stage::Direct { deadline: now + patience, again: Some(now + patience / 2) };
        self.open_round(now, target, stage, why);
    }

    fn open_round(&mut self, now: Instant, target: &NodeId, stage: Stage, why: Why) {
        let Some(known) = self.view.get_mut(target) else { return };
        known.watched();
        let seq = self.next_seq;
        self.next_seq += 1;
        let sent = self.links.contains_key(target);
        self.rounds.insert(seq, Round { target: target.clone(), started: now, pinged: now, sent, why, stage });
        if sent {
            self.send(now, target, DatagramKind::Ping, seq, None);
        }
    }

    /// What the measured round trip allows, stretched by local health.
    fn probe_timeout(&self, target: &NodeId) -> Duration {
        let (floor, ceiling) = (self.config.probe_timeout_min, self.config.probe_timeout);
        let watch = self.view.get(target).and_then(|known| known.watch());
        let adapted = watch.map_or(ceiling, |watch| watch.rtt.timeout(floor, ceiling));
        self.health.stretch(adapted)
    }

    /// A link that rounds were waiting for is up.
    pub(super) fn send_waiting_pings(&mut self, now: Instant, node: &NodeId) {
        let mut waiting = Vec::new();
        for (seq, round) in self.rounds.iter_mut().filter(|(_, round)| round.target == *node && !round.sent) {
            round.sent = true;
            round.pinged = now;
            waiting.push(seq);
        }
        for seq in waiting {
            self.send(now, node, DatagramKind::Ping, seq, None);
        }
    }

    /// The part of a datagram that is not gossip.
    pub(super) fn handle_message(
        &mut self,
        now: Instant,
        from: &NodeId,
        kind: DatagramKind,
        seq: u64,
        target: Option<NodeId>,
    ) {
        match kind {
            DatagramKind::Ping => self.send(now, from, DatagramKind::Ack, seq, None),
            // Any packet from the target closes its rounds: see `close_rounds`.
            DatagramKind::Ack | DatagramKind::Gossip => {}
            DatagramKind::PingReq => {
                if let Some(target) = target {
                    self.help(now, from, seq, &target);
                }
            }
            DatagramKind::Relayed => self.hear_relayed(now, seq),
            DatagramKind::Nack => self.hear_nack(seq, from),
            DatagramKind::Leave => self.hear_farewell(now, from, seq),
            DatagramKind::LeaveAck => self.note_farewell_heard(from),
        }
    }

    /// Asks the target for somebody else. Answers before the asker's own deadline, so that a nack says "I am well, it is
    /// not" in time.
    fn help(&mut self, now: Instant, asker: &NodeId, seq: u64, target: &NodeId) {
        if *target == self.own.node || self.farewell.is_some() {
            return;
        }
        if !self.view.is_live(target) {
            reachable!(sites::NOBODY_TO_ASK);
            // Nobody to ask: said at once, so that the asker does not take it for its own trouble.
            return self.send(now, asker, DatagramKind::Nack, seq, None);
        }
        let patience = self.probe_timeout(target).min(self.config.probe_timeout.mul_f64(0.8));
        let stage = Stage::Helping { deadline: now + patience, asker: asker.clone(), seq };
        self.open_round(now, target, stage, Why::Helping);
    }

    fn hear_relayed(&mut self, now: Instant, seq: u64) {
        let Some(round) = self.rounds.get(seq) else {
            return;
        };
        if matches!(round.stage, Stage::Indirect { .. }) {
            reachable!(sites::ANSWERED_THROUGH_ANOTHER);
            let target = round.target.clone();
            // It answered somebody: alive, though not reachable from here just now.
            self.rounds.remove(seq);
            self.note_life_through_others(now, &target);
        }
    }

    fn note_life_through_others(&mut self, now: Instant, target: &NodeId) {
        if let Some(known) = self.view.get_mut(target) {
            let watch = known.watched();
            watch.last_sign = watch.last_sign.max(now);
            watch.missed_since = None;
        }
    }

    fn hear_nack(&mut self, seq: u64, from: &NodeId) {
        if let Some(Round { stage: Stage::Indirect { nacks, silent, .. }, .. }) = self.rounds.get_mut(seq) {
            *nacks += usize::from(silent.remove(from));
        }
    }

    /// What a subject says with "here I am": how long the path is, where that can be told, when it wants to be probed by this node again, and
    /// whether it is well.
    pub(super) fn hear_ack(&mut self, now: Instant, from: &NodeId, seq: u64, turn: Option<Duration>, unwell: bool) {
        if let Some(turn_in) = turn {
            self.plan.note_told_turn(now, from, turn_in);
        }
        let round = self.rounds.get(seq).filter(|round| round.target == *from);
        let answered = round.map(|round| (round.sample(now), round.is_scheduled(), self.plan.spacing(from)));
        let Some(known) = self.view.get_mut(from) else { return };
        let watch = known.watched();
        if let Some((sample, scheduled, spacing)) = answered {
            sample.into_iter().for_each(|sample| watch.rtt.note_sample(sample));
            match spacing {
                Some(spacing) if scheduled => {
                    let pulse = watch.pulse.get_or_insert_with(|| Pulse::new(spacing, now));
                    pulse.beat_of(now, spacing);
                    self.pulses_quiet_until = self.pulses_quiet_until.min(pulse.quiet_until());
                }
                Some(_) => {}
                // Nobody this node probes on a schedule.
                None => watch.pulse = None,
            }
        }
        let news = unwell && !watch.unwell;
        watch.unwell = unwell;
        if news {
            let member = Arc::clone(&known.member);
            self.emit(Output::Event(EventKind::HealthCheckFailed { member, fault: HealthFault::Unwell }));
        }
    }

    /// Looks at the rhythm of every subject. One that is overdue is probed out of turn; only if nobody gets an answer is it
    /// suspected.
    pub(super) fn check_pulses(&mut self, now: Instant) {
        if now < self.pulses_quiet_until {
            return;
        }
        self.pulses_quiet_until = Instant::END;
        for subject in self.plan.neighbours() {
            let Some(known) = self.view.get_mut(&subject) else { continue };
            let member = Arc::clone(&known.member);
            let Some(pulse) = known.watch_mut().and_then(|watch| watch.pulse.as_mut()) else { continue };
            self.pulses_quiet_until = self.pulses_quiet_until.min(pulse.quiet_until());
            if self.plan.spacing(&subject).is_none() {
                continue;
            }
            let Some(phi_milli) = pulse.crossing(now) else { continue };
            let fault = HealthFault::Overdue { phi_milli };
            self.emit(Output::Event(EventKind::HealthCheckFailed { member, fault }));
            self.start_round_because(now, &subject, Why::Overdue);
        }
    }

    /// Somebody accuses a subject of this node: it is probed now rather than at its turn. That gathers the votes of its
    /// observers, most of whom are not linked to each other, within a round; and an answer refutes at once.
    pub(super) fn look_at_accused(&mut self, now: Instant, subject: &NodeId) {
        let charged = self.view.get(subject).and_then(|known| known.watch());
        let settled = charged.is_some_and(|w| w.suspicion.accuses(&self.own.node) || w.missed_since.is_some());
        if !settled && self.plan.spacing(subject).is_some() && self.farewell.is_none() {
            self.start_round(now, subject);
        }
    }

    /// Takes changes of who is a member into account: other subjects, other links.
    pub(super) fn settle_plan(&mut self, now: Instant) {
        if self.plan.settle(now) {
            self.emit(Output::LinksChanged);
            // The pulse of a new one may be of old.
            self.pulses_quiet_until = now;
            // Who only watches this node has no rhythm to fall out of.
            for node in self.plan.neighbours().iter().filter(|node| self.plan.spacing(node).is_none()) {
                if let Some(watch) = self.view.get_mut(node).and_then(Known::watch_mut) {
                    watch.pulse = None;
                }
            }
            let (neighbours, links, rounds) = (self.plan.neighbours(), &self.links, &self.rounds);
            self.view.watch_only(|node| {
                neighbours.contains(node)
                    || links.contains_key(node)
                    || rounds.values().any(|round| round.target == *node)
            });
        }
    }

    /// Something authenticated came from `node`: every question to it is answered.
    pub(super) fn close_rounds(&mut self, now: Instant, node: &NodeId) {
        for seq in self.rounds.numbers(|round| round.target == *node && round.sent) {
            let Some(round) = self.rounds.remove(seq) else {
                continue;
            };
            match round.stage {
                Stage::Direct { .. } if round.why != Why::LookingAround => self.health.note_success(),
                Stage::Direct { .. } | Stage::Indirect { .. } => {}
                Stage::Helping { asker, seq, .. } => self.send(now, &asker, DatagramKind::Relayed, seq, None),
            }
        }
    }

    /// Questions to a node that is no member any more are moot.
    pub(super) fn forget_rounds(&mut self, now: Instant, node: &NodeId) {
        for seq in self.rounds.numbers(|round| round.target == *node) {
            // Whoever asked must not take the silence for its own trouble.
            if let Some(Round { stage: Stage::Helping { asker, seq, .. }, .. }) = self.rounds.remove(seq) {
                self.send(now, &asker, DatagramKind::Nack, seq, None);
            }
        }
    }

    /// Moves every round on whose deadline has come.
    pub(super) fn advance_rounds(&mut self, now: Instant) {
        for seq in self.rounds.numbers(|round| now >= round.deadline()) {
            let Some(mut round) = self.rounds.remove(seq) else {
                continue;
            };
            match &mut round.stage {
                Stage::Direct { again, .. } if again.is_some() => {
                    *again = None;
                    let (sent, target) = (round.sent, round.target.clone());
                    self.rounds.insert(seq, round);
                    if sent {
                        reachable!(sites::PING_REPEATED);
                        self.send(now, &target, DatagramKind::Ping, seq, None);
                    }
                }
                Stage::Direct { .. } => self.ask_others(now, seq, round),
                Stage::Indirect { asked, nacks, silent, .. } => {
                    self.stats.unanswered += 1;
                    // A helper that is in trouble itself, or turns out to be, says nothing about this node.
                    for helper in silent.iter() {
                        *self.unanswering.entry(helper.clone()).or_default() += 1;
                    }
                    let helpers = Helpers { asked: *asked, agreed: *nacks, overdue: round.why == Why::Overdue };
                    // Not one is silent, but several: who else is?
                    let many = silent.len() * 2 > helpers.asked || self.suspects.len() >= SEVERAL;
                    // Where nobody was asked, nobody failed to answer.
                    let counts = round.sent
                        || helpers.asked > 0
                        || self.unreachable.contains(&round.target)
                        || self.observers_are_scarce(&round.target);
                    if counts {
                        self.accuse(now, &round.target, round.started, helpers);
                        if many {
                            self.look_around(now);
                        }
                    } else {
                        reachable!(sites::NOBODY_FAILED_TO_ANSWER);
                        if let Some(known) = self.view.get_mut(&round.target) {
                            known.watched().waiting_since.get_or_insert(round.started);
                        }
                    }
                }
                Stage::Helping { asker, seq, .. } => {
                    reachable!(sites::HELPER_HEARD_NOTHING);
                    self.send(now, asker, DatagramKind::Nack, *seq, None);
                    if round.sent || self.unreachable.contains(&round.target) {
                        self.note_missed(now, &round.target, round.started);
                    }
                }
            }
        }
    }

    /// Probes everybody this node is linked to, once a period at most: where many die at once the turns would take too long to find them, and
    /// few are left to find those whose observers are dead as well.
    fn look_around(&mut self, now: Instant) {
        if now < self.look_around_after {
            return;
        }
        self.look_around_after = now + self.config.budget.period();
        reachable!(sites::LOOKED_AROUND);
        for node in self.warm() {
            let in_vain =
                self.view.get(&node).and_then(Known::watch).is_some_and(|w| w.suspicion.accuses(&self.own.node));
            if !in_vain {
                self.start_round_because(now, &node, Why::LookingAround);
            }
        }
    }

    /// Whether more than a third of a member's observers are suspected, those who stand in for others counted among them. Then a link that does not come up while a probe
    /// waits for it is an answer that does not come: waiting for the end of the dial, and then for those who stand in for the next, would
    /// take as long as the pause budget.
    fn observers_are_scarce(&self, target: &NodeId) -> bool {
        let observers = self.plan.observers_of(target);
        let suspected = observers.iter().filter(|observer| self.suspects.contains(*observer)).count();
        suspected * 3 > observers.len()
    }

    /// Begins a round where there is none, and does not wait for an answer to a ping that was not sent.
    pub(super) fn note_send_refused(&mut self, now: Instant, node: &NodeId) {
        let Some(known) = self.view.get_mut(node) else { return };
        known.watched().send_refused = true;
        self.start_round(now, node);
        for (_, round) in self.rounds.iter_mut().filter(|(_, round)| round.target == *node) {
            if let Stage::Direct { deadline, again } = &mut round.stage {
                (*deadline, *again) = (now, None);
            }
        }
        self.advance_rounds(now);
    }

    /// Takes what a watch over processes knows into account. As with a link that ends that is no verdict, but a reason to
    /// look at a member now rather than at its next turn.
    pub fn handle_deaths(&mut self, now: Instant, watch: &mut dyn DeathWatch) {
        while let Some((node, life)) = watch.poll_death() {
            // The end of a former process says nothing about this one.
            let this_life = self.view.claim(&node).is_some_and(|claim| claim.life == life);
            if this_life && self.view.is_live(&node) && self.farewell.is_none() && self.plan.is_neighbour(&node) {
                self.start_round(now, &node);
            }
        }
        self.flush(now);
    }

    fn ask_others(&mut self, now: Instant, seq: u64, round: Round) {
        let target = round.target.clone();
        let mut helpers = self.plan.helpers_for(&target);
        helpers.retain(|helper| self.links.contains_key(helper));
        sometimes!(sites::OTHERS_ASKED, !helpers.is_empty());
        let deadline = now + self.health.stretch(self.config.probe_timeout);
        let silent = helpers.iter().cloned().collect();
        let stage = Stage::Indirect { deadline, asked: helpers.len(), nacks: 0, silent };
        self.rounds.insert(seq, Round { stage, ..round });
        for helper in &helpers {
            self.send(now, helper, DatagramKind::PingReq, seq, Some(&target));
        }
        if self.links.contains_key(&target) {
            self.request(&target, &Request::Probe);
        }
    }
}
