//! What came from the network: it is decoded, or counted, and goes to whoever deals with it.

use cluster_sites::reachable;
use cluster_types::{Instant, NodeId};

use super::{PeerInfo, RequestToken, Swim};
use crate::sites;
use crate::wire::{Answer, Datagram, DatagramKind, Read, Request, WireError};

impl Swim {
    /// A datagram came over the control link from `from`.
    pub fn handle_datagram(&mut self, now: Instant, from: &NodeId, bytes: &[u8]) {
        let datagram = match Datagram::decode(bytes) {
            Ok(datagram) => datagram,
            Err(error) => {
                self.hear_unreadable(now, from, &error);
                return self.flush(now);
            }
        };
        if *from == self.own.node {
            return;
        }
        let Datagram { kind, seq, target, turn, unwell, updates, broadcasts, skipped } = datagram;
        self.stats.unknown += skipped;
        if kind == DatagramKind::Ack {
            self.hear_ack(now, from, seq, turn, unwell);
        }
        self.note_sign(now, from);
        for update in updates {
            self.learn(now, update, from);
        }
        broadcasts.iter().for_each(|broadcast| self.hear_broadcast(broadcast));
        self.handle_message(now, from, kind, seq, target);
        self.flush(now);
    }

    /// A request came on a stream of the control link from `peer`; the answer, if it is one that can be answered.
    pub fn handle_request(&mut self, now: Instant, peer: &PeerInfo, kind: u16, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let answer = match Request::decode(kind, body) {
            Ok(Read { value: request, skipped }) => {
                self.stats.unknown += skipped;
                self.note_sign(now, &peer.node);
                self.answer(now, peer, request)
            }
            Err(error) => {
                self.hear_unreadable(now, &peer.node, &error);
                error.is_unknown_kind().then_some(Answer::Unsupported)
            }
        };
        self.flush(now);
        answer.map(|answer| answer.encode())
    }

    /// Something that cannot be decoded. Of a kind that is not known here it is from a later version, and a sign of life like any
    /// other; else it is held against whoever sent it.
    fn hear_unreadable(&mut self, now: Instant, from: &NodeId, error: &WireError) {
        if error.is_unknown_kind() {
            reachable!(sites::UNKNOWN_KIND);
            self.stats.unknown += 1;
            self.note_sign(now, from);
        } else {
            self.stats.malformed += 1;
            self.blame(now, from);
        }
    }

    /// A request of ours was answered, or failed for a reason.
    pub fn handle_answer(&mut self, now: Instant, token: RequestToken, outcome: Result<(u16, Vec<u8>), String>) {
        let Some(pending) = self.requests.remove(&token) else {
            return;
        };
        let answer = outcome.and_then(|(kind, body)| match Answer::decode(kind, &body) {
            Ok(Read { value: answer, skipped }) => {
                self.stats.unknown += skipped;
                self.note_sign(now, &pending.to);
                Ok(answer)
            }
            Err(error) => {
                self.hear_unreadable(now, &pending.to, &error);
                Err(error.to_string())
            }
        });
        self.conclude(now, pending, answer);
        self.flush(now);
    }
}
