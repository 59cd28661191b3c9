//! What peers say to each other on data links: the frames, and nothing about when.
//!
//! A *lane* is a stream for the messages of one priority, in order, with the receiver's word for each on the way back. A request
//! has a stream of its own. The first frame of a stream says which of them it is.

use bytes::{Buf, Bytes};

use super::message::{Channel, Priority};
use crate::frame::{FrameError, frame_of};
use crate::transport::CloseCode;

/// Begins a lane: its priority.
pub(crate) const KIND_LANE: u16 = 64;
/// A message on a lane: channel, body. Its number is its place on the lane, from 1.
pub(crate) const KIND_MESSAGE: u16 = 65;
/// What became of messages of a lane: pairs of number and code, 0 for taken.
pub(crate) const KIND_SETTLED: u16 = 66;
/// Nothing new is taken on this lane.
pub(crate) const KIND_GOAWAY: u16 = 67;
/// A request: channel, milliseconds until nobody waits for its reply, body.
pub(crate) const KIND_REQUEST: u16 = 70;
/// Its reply.
pub(crate) const KIND_REPLY: u16 = 71;
/// Or why there is none: code, words.
pub(crate) const KIND_REFUSAL: u16 = 72;
/// Begins a stream for a handler's own use: channel. What follows is the handler's.
pub(crate) const KIND_STREAM: u16 = 73;

/// Words of a refusal are cut here, in bytes.
const WORDS_MAX: usize = 1_024;

pub(crate) fn lane(priority: Priority) -> Bytes {
    frame_of(KIND_LANE, &[&[priority.index() as u8]])
}

pub(crate) fn stream(channel: Channel) -> Bytes {
    frame_of(KIND_STREAM, &[&channel.0.to_le_bytes()])
}

pub(crate) fn message(channel: Channel, body: &[u8]) -> Bytes {
    frame_of(KIND_MESSAGE, &[&channel.0.to_le_bytes(), body])
}

pub(crate) fn settled(settled: &[(u64, CloseCode)]) -> Bytes {
    let mut body = Vec::with_capacity(settled.len() * 12);
    for (number, code) in settled {
        body.extend_from_slice(&number.to_le_bytes());
        body.extend_from_slice(&code.0.to_le_bytes());
    }
    frame_of(KIND_SETTLED, &[&body])
}

pub(crate) fn go_away() -> Bytes {
    frame_of(KIND_GOAWAY, &[])
}

pub(crate) fn request(channel: Channel, deadline_ms: u32, body: &[u8]) -> Bytes {
    frame_of(KIND_REQUEST, &[&channel.0.to_le_bytes(), &deadline_ms.to_le_bytes(), body])
}

pub(crate) fn refusal(code: CloseCode, words: &str) -> Bytes {
    let fitting = words.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= WORDS_MAX);
    frame_of(KIND_REFUSAL, &[&code.0.to_le_bytes(), &words.as_bytes()[..fitting.last().unwrap_or(0)]])
}

const fn malformed(what: &'static str, reason: String) -> FrameError {
    FrameError::Body { what, reason }
}

fn short(what: &'static str, len: usize) -> FrameError {
    malformed(what, format!("{len} bytes are too few"))
}

pub(crate) fn read_lane(body: &Bytes) -> Result<Priority, FrameError> {
    match **body {
        [number] if usize::from(number) < Priority::ALL.len() => Ok(Priority::ALL[usize::from(number)]),
        _ => Err(malformed("a lane", format!("{:?} is no priority", &body[..]))),
    }
}

/// The channel in front, and the rest.
pub(crate) fn read_channel(what: &'static str, mut body: Bytes) -> Result<(Channel, Bytes), FrameError> {
    if body.len() < 2 {
        return Err(short(what, body.len()));
    }
    Ok((Channel(body.get_u16_le()), body))
}

pub(crate) fn read_request(body: Bytes) -> Result<(Channel, u32, Bytes), FrameError> {
    let (channel, mut body) = read_channel("a request", body)?;
    if body.len() < 4 {
        return Err(short("a request", body.len()));
    }
    Ok((channel, body.get_u32_le(), body))
}

pub(crate) fn read_settled(mut body: Bytes) -> Result<Vec<(u64, CloseCode)>, FrameError> {
    if !body.len().is_multiple_of(12) {
        return Err(malformed("what is settled", format!("{} bytes are no pairs", body.len())));
    }
    let mut settled = Vec::with_capacity(body.len() / 12);
    while body.has_remaining() {
        settled.push((body.get_u64_le(), CloseCode(body.get_u32_le())));
    }
    Ok(settled)
}

pub(crate) fn read_refusal(mut body: Bytes) -> Result<(CloseCode, String), FrameError> {
    if body.len() < 4 {
        return Err(short("a refusal", body.len()));
    }
    let code = CloseCode(body.get_u32_le());
    Ok((code, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let hex = |bytes: Bytes| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let frames = [
            ("lane, normal", lane(Priority::Normal)),
            ("message hi on channel 0x0203", message(Channel(0x0203), b"hi")),
            ("1 taken, 2 unsupported", settled(&[(1, CloseCode::DONE), (2, CloseCode::UNSUPPORTED)])),
            ("go away", go_away()),
            ("request hi on channel 5 within 3000 ms", request(Channel(5), 3_000, b"hi")),
            ("reply ok", frame_of(KIND_REPLY, &[b"ok"])),
            ("refusal, overloaded: later", refusal(CloseCode::OVERLOADED, "later")),
            ("stream on channel 9", stream(Channel(9))),
        ];
        let lines: Vec<String> = frames.into_iter().map(|(what, bytes)| format!("{what}: {}", hex(bytes))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn words_are_cut_between_characters() {
        let body = |words: &str| refusal(CloseCode::FAILED, words).slice(7..);
        assert_eq!(read_refusal(body("no")).unwrap(), (CloseCode::FAILED, "no".into()));
        let (_, words) = read_refusal(body(&"ü".repeat(2_000))).unwrap();
        assert_eq!(words, "ü".repeat(WORDS_MAX / 2));
        assert_eq!(read_refusal(body("")).unwrap().1, "");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            let _ = (read_lane(&bytes), read_channel("x", bytes.clone()), read_request(bytes.clone()));
            let _ = (read_settled(bytes.clone()), read_refusal(bytes));
        }
    }
}
