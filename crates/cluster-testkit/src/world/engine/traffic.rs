//! What the cluster costs on the wire.
//!
//! The engine world carries payloads, not packets. What QUIC adds was measured: 75 bytes of IP, UDP and QUIC headers for each
//! datagram, and a packet of 75 bytes that acknowledges the last of an exchange (one isolated ping and its answer are three
//! packets). So that is what is charged.

use cluster_gossip::wire::DatagramKind;

/// Headers of one packet, and an acknowledgement without payload.
const PACKET: u64 = 75;

/// Payload of one packet of a stream.
const STREAM_PAYLOAD: u64 = 1_200;

/// A handshake with certificates on both sides, both directions, and the hellos after it.
const HANDSHAKE: u64 = 6_500;

/// What was sent, by all nodes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Membership datagrams.
    pub datagrams: u64,
    /// Requests on streams.
    pub requests: u64,
    /// Dials of control links.
    pub dials: u64,
    /// Bytes of payload.
    pub payload: u64,
    /// Bytes on the wire.
    pub wire: u64,
}

impl Traffic {
    pub(super) fn count_datagram(&mut self, bytes: &[u8]) {
        let len = bytes.len() as u64;
        self.datagrams += 1;
        self.payload += len;
        self.wire += PACKET + len;
        // An answer is part of the exchange that its question began.
        if !DatagramKind::of(bytes).is_some_and(DatagramKind::is_answer) {
            self.wire += PACKET;
        }
    }

    pub(super) const fn count_request(&mut self, len: usize) {
        self.requests += 1;
        self.count_stream(len);
        self.wire += PACKET;
    }

    pub(super) const fn count_answer(&mut self, len: usize) {
        self.count_stream(len);
    }

    const fn count_stream(&mut self, len: usize) {
        let len = len as u64;
        self.payload += len;
        self.wire += len + PACKET * len.div_ceil(STREAM_PAYLOAD).saturating_add((len == 0) as u64);
    }

    pub(super) const fn count_dial(&mut self) {
        self.dials += 1;
        self.wire += HANDSHAKE;
    }
}

impl std::ops::Sub for Traffic {
    type Output = Self;

    fn sub(self, former: Self) -> Self {
        Self {
            datagrams: self.datagrams - former.datagrams,
            requests: self.requests - former.requests,
            dials: self.dials - former.dials,
            payload: self.payload - former.payload,
            wire: self.wire - former.wire,
        }
    }
}
