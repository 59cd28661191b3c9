//! What fuzzing does with bytes. Here and not in the targets, so that the committed corpus runs on stable as an ordinary test.

use bytes::Bytes;
use cluster_types::Facts;

use crate::frame::FrameBuffer;
use crate::peer::{MESSAGE_LEN_MAX, wire};

/// Taken for a hello, for a refusal and for facts: decoded or refused. Facts that are decoded are written and read as the same.
pub fn hello(bytes: &[u8]) {
    crate::hello::try_read(bytes);
    if let Ok(facts) = Facts::decode(bytes) {
        assert_eq!(Facts::decode(&facts.encode()), Ok(facts));
    }
}

/// Taken for what comes on a stream of a data link: cut into frames, each of which is decoded or refused.
pub fn frames(bytes: &[u8]) {
    let mut buffer = FrameBuffer::of(bytes);
    while let Ok(Some((kind, body))) = buffer.take(MESSAGE_LEN_MAX + wire::HEAD_LEN_MAX) {
        frame(kind, body);
    }
}

fn frame(kind: u16, body: Bytes) {
    match kind {
        wire::KIND_LANE => drop(wire::read_lane(body)),
        wire::KIND_SETTLED => drop(wire::read_settled(body)),
        wire::KIND_REFUSAL => drop(wire::read_refusal(body)),
        wire::KIND_REPLY => drop(wire::read_reply(body)),
        wire::KIND_MESSAGE | wire::KIND_STREAM => {
            if let Ok((channel, carried)) = wire::read_channel("a message", body) {
                let again = wire::message(channel, &carried).slice(cluster_types::envelope::HEADER_LEN..);
                assert_eq!(wire::read_channel("a message", again).ok(), Some((channel, carried)));
            }
        }
        wire::KIND_REQUEST => {
            if let Ok((channel, deadline_ms, carried)) = wire::read_request(body) {
                let again = wire::request(channel, deadline_ms, &carried).slice(cluster_types::envelope::HEADER_LEN..);
                assert_eq!(wire::read_request(again).ok(), Some((channel, deadline_ms, carried)));
            }
        }
        _ => {}
    }
}
