//! What peers say to each other on data links: the frames, and nothing about when.
//!
//! A *lane* is a stream for the messages of one priority, in order, with the receiver's word for each on the way back. A request
//! has a stream of its own. The first frame of a stream says which of them it is.
//!
//! ```text
//! envelope | length of the head (1 byte) | head | what is carried: a message's body, a refusal's words
//! ```
//!
//! A later version has more in a head: a reader takes what it knows from the front of it and skips the rest. A frame of a kind that
//! is not known is skipped where another may follow it, and the stream is refused where it begins one.

use bytes::{Buf, Bytes};

use super::message::{Channel, Priority};
use crate::frame::{FrameError, frame_of};
use crate::transport::CloseCode;

/// Room for the head of a frame, with its length, in whatever version: beside the longest message.
pub(crate) const HEAD_LEN_MAX: usize = 256;

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

/// Whether a kind is one of these: one that is not is of a later version, one that is belongs where it is due.
pub(crate) const fn is_known(kind: u16) -> bool {
    matches!(kind, KIND_LANE..=KIND_GOAWAY | KIND_REQUEST..=KIND_STREAM)
}

/// Words of a refusal are cut here, in bytes.
const WORDS_MAX: usize = 1_024;

/// A frame with its head and what it carries.
fn framed(kind: u16, head: &[&[u8]], carried: &[u8]) -> Bytes {
    let len: usize = head.iter().map(|field| field.len()).sum();
    // A head has a few bytes.
    let len = [len as u8];
    let parts: Vec<&[u8]> = [&len[..]].into_iter().chain(head.iter().copied()).chain([carried]).collect();
    frame_of(kind, &parts)
}

pub(crate) fn lane(priority: Priority) -> Bytes {
    framed(KIND_LANE, &[&[priority.index() as u8]], &[])
}

pub(crate) fn stream(channel: Channel) -> Bytes {
    framed(KIND_STREAM, &[&channel.0.to_le_bytes()], &[])
}

pub(crate) fn message(channel: Channel, body: &[u8]) -> Bytes {
    framed(KIND_MESSAGE, &[&channel.0.to_le_bytes()], body)
}

pub(crate) fn settled(settled: &[(u64, CloseCode)]) -> Bytes {
    let mut pairs = Vec::with_capacity(settled.len() * 12);
    for (number, code) in settled {
        pairs.extend_from_slice(&number.to_le_bytes());
        pairs.extend_from_slice(&code.0.to_le_bytes());
    }
    framed(KIND_SETTLED, &[], &pairs)
}

pub(crate) fn go_away() -> Bytes {
    framed(KIND_GOAWAY, &[], &[])
}

pub(crate) fn request(channel: Channel, deadline_ms: u32, body: &[u8]) -> Bytes {
    framed(KIND_REQUEST, &[&channel.0.to_le_bytes(), &deadline_ms.to_le_bytes()], body)
}

pub(crate) fn reply(body: &[u8]) -> Bytes {
    framed(KIND_REPLY, &[], body)
}

pub(crate) fn refusal(code: CloseCode, words: &str) -> Bytes {
    let fitting = words.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= WORDS_MAX);
    let words = &words.as_bytes()[..fitting.last().unwrap_or(0)];
    framed(KIND_REFUSAL, &[&code.0.to_le_bytes()], words)
}

const fn malformed(what: &'static str, reason: String) -> FrameError {
    FrameError::Body { what, reason }
}

fn short(what: &'static str, len: usize) -> FrameError {
    malformed(what, format!("{len} bytes are too few"))
}

/// The fields of the head that are known here, so many bytes of it, and what the frame carries.
fn split<const KNOWN: usize>(what: &'static str, mut body: Bytes) -> Result<([u8; KNOWN], Bytes), FrameError> {
    let len = body.len();
    let head_len = body.first().copied().map_or(0, usize::from);
    if len < 1 + head_len {
        return Err(short(what, len));
    }
    let carried = body.split_off(1 + head_len);
    let known = body[1..].first_chunk().ok_or_else(|| short(what, len))?;
    Ok((*known, carried))
}

/// The priority of a lane; `None` where it is one that is not known here.
pub(crate) fn read_lane(body: Bytes) -> Result<Option<Priority>, FrameError> {
    let ([number], _) = split("a lane", body)?;
    Ok(Priority::ALL.get(usize::from(number)).copied())
}

/// The channel that a message or a stream is for, and what it carries.
pub(crate) fn read_channel(what: &'static str, body: Bytes) -> Result<(Channel, Bytes), FrameError> {
    let (channel, carried) = split(what, body)?;
    Ok((Channel(u16::from_le_bytes(channel)), carried))
}

pub(crate) fn read_request(body: Bytes) -> Result<(Channel, u32, Bytes), FrameError> {
    let ([c0, c1, d0, d1, d2, d3], carried) = split("a request", body)?;
    Ok((Channel(u16::from_le_bytes([c0, c1])), u32::from_le_bytes([d0, d1, d2, d3]), carried))
}

pub(crate) fn read_reply(body: Bytes) -> Result<Bytes, FrameError> {
    split::<0>("a reply", body).map(|(_, carried)| carried)
}

pub(crate) fn read_settled(body: Bytes) -> Result<Vec<(u64, CloseCode)>, FrameError> {
    let ([], mut pairs) = split("what is settled", body)?;
    if !pairs.len().is_multiple_of(12) {
        return Err(malformed("what is settled", format!("{} bytes are no pairs", pairs.len())));
    }
    let mut settled = Vec::with_capacity(pairs.len() / 12);
    while pairs.has_remaining() {
        settled.push((pairs.get_u64_le(), CloseCode(pairs.get_u32_le())));
    }
    Ok(settled)
}

pub(crate) fn read_refusal(body: Bytes) -> Result<(CloseCode, String), FrameError> {
    let (code, words) = split("a refusal", body)?;
    Ok((CloseCode(u32::from_le_bytes(code)), String::from_utf8_lossy(&words).into_owned()))
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
            ("reply ok", reply(b"ok")),
            ("refusal, overloaded: later", refusal(CloseCode::OVERLOADED, "later")),
            ("stream on channel 9", stream(Channel(9))),
        ];
        let lines: Vec<String> = frames.into_iter().map(|(what, bytes)| format!("{what}: {}", hex(bytes))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    /// Frozen: whatever is added to a head, frames of the first release are understood as they were meant.
    #[test]
    fn frames_of_the_first_release_are_understood() {
        let (channel, ok) = (Channel(0x0203), Bytes::from_static(b"hi"));
        assert_eq!(read_lane(Bytes::from_static(&[1, 1])).unwrap(), Some(Priority::Normal));
        assert_eq!(read_channel("x", Bytes::from_static(&[2, 3, 2, b'h', b'i'])).unwrap(), (channel, ok.clone()));
        let request = Bytes::from_static(&[6, 3, 2, 0xb8, 0x0b, 0, 0, b'h', b'i']);
        assert_eq!(read_request(request).unwrap(), (channel, 3_000, ok.clone()));
        assert_eq!(read_reply(Bytes::from_static(&[0, b'h', b'i'])).unwrap(), ok);
        let settled = Bytes::from_static(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(read_settled(settled).unwrap(), [(2, CloseCode::UNSUPPORTED)]);
        let refusal = Bytes::from_static(&[4, 6, 0, 0, 0, b'n', b'o']);
        assert_eq!(read_refusal(refusal).unwrap(), (CloseCode::OVERLOADED, "no".to_owned()));
        let kinds =
            [KIND_LANE, KIND_MESSAGE, KIND_SETTLED, KIND_GOAWAY, KIND_REQUEST, KIND_REPLY, KIND_REFUSAL, KIND_STREAM];
        assert_eq!(kinds, [64, 65, 66, 67, 70, 71, 72, 73]);
    }

    #[test]
    fn words_are_cut_between_characters() {
        let body = |words: &str| refusal(CloseCode::FAILED, words).slice(7..);
        assert_eq!(read_refusal(body("no")).unwrap(), (CloseCode::FAILED, "no".into()));
        let (_, words) = read_refusal(body(&"ü".repeat(2_000))).unwrap();
        assert_eq!(words, "ü".repeat(WORDS_MAX / 2));
        assert_eq!(read_refusal(body("")).unwrap().1, "");
    }

    #[test]
    fn a_head_that_is_too_short_is_named_and_a_priority_of_a_later_version_is_none() {
        let read = |bytes: &'static [u8]| read_request(Bytes::from_static(bytes)).unwrap_err().to_string();
        assert!(read(&[]).contains("0 bytes are too few"), "{}", read(&[]));
        assert!(read(&[6, 1, 0, 0]).contains("4 bytes are too few"));
        assert!(read(&[2, 1, 0, 7, 7, 7, 7]).contains("7 bytes are too few"), "what it carries is no head");
        assert_eq!(read_lane(Bytes::from_static(&[1, 3])).unwrap(), None);
        assert!(read_lane(Bytes::from_static(&[0])).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            let _ = (read_lane(bytes.clone()), read_channel("x", bytes.clone()), read_request(bytes.clone()));
            let _ = (read_settled(bytes.clone()), read_refusal(bytes.clone()), read_reply(bytes));
        }

        /// Whatever a later version adds to a head: what is known of it and what the frame carries stay the same.
        #[test]
        fn later_fields_of_a_head_are_skipped(added in prop::collection::vec(any::<u8>(), 0..200), carried: Vec<u8>) {
            let later = |frame: Bytes| {
                let (head_len, rest) = frame[7..].split_first().unwrap();
                let (head, carried) = rest.split_at(usize::from(*head_len));
                Bytes::from([&[head_len + added.len() as u8][..], head, &added, carried].concat())
            };
            let (channel, code) = (Channel(0x0203), CloseCode::OVERLOADED);
            let carried = Bytes::from(carried);
            prop_assert_eq!(read_lane(later(lane(Priority::Low))).unwrap(), Some(Priority::Low));
            prop_assert_eq!(read_channel("x", later(message(channel, &carried))).unwrap(), (channel, carried.clone()));
            prop_assert_eq!(read_channel("x", later(stream(channel))).unwrap(), (channel, Bytes::new()));
            let request = later(request(channel, 77, &carried));
            prop_assert_eq!(read_request(request).unwrap(), (channel, 77, carried.clone()));
            prop_assert_eq!(read_reply(later(reply(&carried))).unwrap(), carried);
            prop_assert_eq!(read_settled(later(settled(&[(9, code)]))).unwrap(), [(9, code)]);
            prop_assert_eq!(read_refusal(later(refusal(code, "no"))).unwrap(), (code, "no".to_owned()));
        }
    }
}
