//! One probe at a time: a ping, then others and a stream are asked, then the node is suspected.

use std::time::Duration;

use super::members::State;
use super::message::{CRC, Message, Rumour};
use super::{Memberlist, PROBE_INTERVAL, Timer, send_raw};
use crate::world::{Output, Outputs};

const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const INDIRECT: usize = 3;

/// Where a probe stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The ping cannot be sent.
    Sending,
    /// The ping is out.
    Direct,
    /// The others cannot be asked.
    Asking,
    /// They have been.
    Indirect,
}

#[derive(Debug)]
pub(super) struct Probe {
    target: usize,
    seq: u32,
    stage: Stage,
    incarnation: u32,
    /// Its time is over, which is not looked at before everything is sent.
    over: bool,
    nacks_wanted: usize,
    nacks: usize,
    /// Its stream was answered.
    reached: bool,
}

/// A ping for somebody else.
#[derive(Debug)]
pub(super) struct Relay {
    asker: usize,
    asked: u32,
}

impl Memberlist {
    /// Once a probe interval. A turn that comes during a probe is taken when that ends, further ones are not.
    pub(super) fn probe_turn(&mut self, now: Duration, out: &mut Outputs<Self>) {
        if self.probe.is_some() {
            self.turn_missed = true;
            return;
        }
        if let Some(target) = self.members.next(now, &mut self.draws) {
            self.begin_probe(target, out);
        }
    }

    fn begin_probe(&mut self, target: usize, out: &mut Outputs<Self>) {
        let Some(member) = self.members.get(target).copied() else { return };
        let seq = self.next_seq();
        let stage = if self.blocked { Stage::Sending } else { Stage::Direct };
        let incarnation = member.incarnation;
        let (nacks_wanted, nacks) = (0, 0);
        self.probe = Some(Probe { target, seq, stage, incarnation, over: false, nacks_wanted, nacks, reached: false });
        let deadline = self.awareness.scale(PROBE_INTERVAL);
        out.push(Output::Timer { after: deadline, timer: Timer::ProbeDeadline { seq } });
        if member.state == State::Alive {
            self.send(target, Message::Ping { seq }, out);
        } else {
            // It hears first that it is suspected.
            let rumour = Rumour::Suspect { incarnation, node: target, from: self.me };
            send_raw(target, vec![Message::Ping { seq }, Message::Rumour(rumour)], CRC, out);
        }
        if stage == Stage::Direct {
            out.push(Output::Timer { after: PROBE_TIMEOUT, timer: Timer::ProbeTimeout { seq } });
        }
    }

    /// The direct ping stayed unanswered: others are asked, and a stream is tried.
    pub(super) fn probe_overdue(&mut self, seq: u32, out: &mut Outputs<Self>) {
        let Some((target, stage)) = self.probe.as_ref().filter(|p| p.seq == seq).map(|p| (p.target, p.stage)) else {
            return;
        };
        if stage != Stage::Direct {
            return;
        }
        let others = self
            .members
            .some_of(&mut self.draws, INDIRECT, |node, member| node != target && member.state == State::Alive);
        let message = Message::StreamPing { seq };
        for other in &others {
            self.send(*other, Message::IndirectPing { seq, target }, out);
        }
        out.push(Output::Stream { to: target, len: message.len(), message, opens: true });
        let stage = if self.blocked { Stage::Asking } else { Stage::Indirect };
        if let Some(probe) = &mut self.probe {
            probe.nacks_wanted = others.len();
            probe.stage = stage;
        }
    }

    pub(super) fn probe_deadline(&mut self, now: Duration, seq: u32, out: &mut Outputs<Self>) {
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.seq == seq) else { return };
        probe.over = true;
        if probe.stage == Stage::Indirect {
            self.probe_failed(now, out);
        }
    }

    /// What could not be sent is sent, and the probe goes on where it stood.
    pub(super) fn probe_unblocked(&mut self, now: Duration, out: &mut Outputs<Self>) {
        let Some(probe) = &mut self.probe else { return };
        let seq = probe.seq;
        match probe.stage {
            Stage::Sending => {
                probe.stage = Stage::Direct;
                if probe.over {
                    // An answer that can no longer come is waited for no longer.
                    self.probe_overdue(seq, out);
                    self.probe_failed(now, out);
                } else {
                    out.push(Output::Timer { after: PROBE_TIMEOUT, timer: Timer::ProbeTimeout { seq } });
                }
            }
            Stage::Asking => {
                probe.stage = Stage::Indirect;
                if probe.over {
                    self.probe_failed(now, out);
                }
            }
            Stage::Direct | Stage::Indirect => {}
        }
    }

    fn probe_failed(&mut self, now: Duration, out: &mut Outputs<Self>) {
        let Some(probe) = self.probe.take() else { return };
        if probe.reached {
            self.awareness.apply(-1);
        } else {
            let missing = probe.nacks_wanted.saturating_sub(probe.nacks) as i32;
            self.awareness.apply(if probe.nacks_wanted > 0 { missing } else { 1 });
            self.handle_suspect(now, probe.incarnation, probe.target, self.me, out);
        }
        self.probe_ended(now, out);
    }

    fn probe_ended(&mut self, now: Duration, out: &mut Outputs<Self>) {
        if std::mem::take(&mut self.turn_missed) {
            self.probe_turn(now, out);
        }
    }

    pub(super) fn handle_ack(&mut self, now: Duration, seq: u32, out: &mut Outputs<Self>) {
        if let Some(Relay { asker, asked }) = self.relays.remove(&seq) {
            return self.send(asker, Message::Ack { seq: asked }, out);
        }
        if self.probe.as_ref().is_some_and(|probe| probe.seq == seq && !probe.over) {
            self.probe = None;
            self.awareness.apply(-1);
            self.probe_ended(now, out);
        }
    }

    pub(super) fn handle_nack(&mut self, seq: u32) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.seq == seq) {
            probe.nacks += 1;
        }
    }

    pub(super) fn handle_stream_ack(&mut self, seq: u32) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.seq == seq && !probe.over) {
            probe.reached = true;
        }
    }

    /// Pings a node for another one.
    pub(super) fn relay(&mut self, asker: usize, asked: u32, target: usize, out: &mut Outputs<Self>) {
        let seq = self.next_seq();
        self.relays.insert(seq, Relay { asker, asked });
        self.send(target, Message::Ping { seq }, out);
        out.push(Output::Timer { after: PROBE_TIMEOUT, timer: Timer::Relay { seq } });
    }

    /// Nobody answered the ping for another one, who is told that it was tried.
    pub(super) fn relay_overdue(&mut self, seq: u32, out: &mut Outputs<Self>) {
        if let Some(Relay { asker, asked }) = self.relays.remove(&seq) {
            self.send(asker, Message::Nack { seq: asked }, out);
        }
    }
}
