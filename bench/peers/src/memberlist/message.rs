//! What is said, and how long it is: a byte for the kind, then a map of MessagePack from the names of fields to their values. An address
//! is four bytes, a node's name a letter and its number.

use super::members::State;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rumour {
    Alive { incarnation: u32, node: usize },
    Suspect { incarnation: u32, node: usize, from: usize },
    Dead { incarnation: u32, node: usize, from: usize },
}

/// A node in an exchange of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) node: usize,
    pub(crate) incarnation: u32,
    pub(crate) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Compound(Vec<Message>),
    Rumour(Rumour),
    Ping {
        seq: u32,
    },
    IndirectPing {
        seq: u32,
        target: usize,
    },
    Ack {
        seq: u32,
    },
    Nack {
        seq: u32,
    },
    /// On a stream.
    StreamPing {
        seq: u32,
    },
    StreamAck {
        seq: u32,
    },
    /// The whole state, as a question or as the answer.
    PushPull {
        states: Vec<Entry>,
        reply: bool,
    },
}

/// A kind and a count before several messages in one packet.
pub(super) const COMPOUND_HEAD: usize = 2;

/// The length of each of them.
pub(super) const COMPOUND_EACH: usize = 2;

/// What gossip to a node of today carries beside itself.
pub(super) const CRC: usize = 5;

/// A kind, and the head of a map.
const HEAD: usize = 2;

/// A field of a map: its name with a byte before it, and its value.
const fn field(name: &str, value: usize) -> usize {
    1 + name.len() + value
}

/// An unsigned number.
const fn uint(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

/// Up to 31 bytes, with a byte before them.
const fn bytes(len: usize) -> usize {
    1 + len
}

const fn name(node: usize) -> usize {
    bytes(2 + if node < 10 { 0 } else { node.ilog10() as usize })
}

const ADDR: usize = bytes(4);
const PORT: usize = 3;
const FLAG: usize = 1;
const NIL: usize = 1;
const VERSIONS: usize = bytes(6);

const fn source() -> usize {
    // The name of whoever asks has the length of most.
    field("SourceAddr", ADDR) + field("SourcePort", PORT) + field("SourceNode", name(10))
}

impl Rumour {
    pub(super) const fn about(&self) -> usize {
        let (Self::Alive { node, .. } | Self::Suspect { node, .. } | Self::Dead { node, .. }) = self;
        *node
    }

    pub(super) const fn len(&self) -> usize {
        match *self {
            Self::Alive { incarnation, node } => {
                let what = field("Incarnation", uint(incarnation)) + field("Node", name(node));
                HEAD + what + field("Addr", ADDR) + field("Port", PORT) + field("Meta", NIL) + field("Vsn", VERSIONS)
            }
            Self::Suspect { incarnation, node, from } | Self::Dead { incarnation, node, from } => {
                HEAD + field("Incarnation", uint(incarnation)) + field("Node", name(node)) + field("From", name(from))
            }
        }
    }
}

impl Entry {
    const fn len(&self) -> usize {
        let what = field("Name", name(self.node)) + field("Incarnation", uint(self.incarnation)) + field("State", 1);
        1 + what + field("Addr", ADDR) + field("Port", PORT) + field("Meta", NIL) + field("Vsn", VERSIONS)
    }
}

impl Message {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Compound(all) => compound_len(all),
            Self::Rumour(rumour) => rumour.len(),
            // The name of whoever is asked has the length of most.
            Self::Ping { seq } | Self::StreamPing { seq } => {
                HEAD + field("SeqNo", uint(*seq)) + field("Node", name(10)) + source()
            }
            Self::IndirectPing { seq, target } => {
                let whom = field("Target", ADDR) + field("Port", PORT) + field("Node", name(*target));
                HEAD + field("SeqNo", uint(*seq)) + whom + field("Nack", FLAG) + source()
            }
            Self::Ack { seq } | Self::StreamAck { seq } => HEAD + field("SeqNo", uint(*seq)) + field("Payload", NIL),
            Self::Nack { seq } => HEAD + field("SeqNo", uint(*seq)),
            Self::PushPull { states, .. } => {
                let count = uint(u32::try_from(states.len()).unwrap_or(u32::MAX));
                let head = HEAD + field("Nodes", count) + field("UserStateLen", 1) + field("Join", FLAG);
                head + states.iter().map(Entry::len).sum::<usize>()
            }
        }
    }
}

/// Several messages in one packet; one goes as it is.
pub(super) fn compound_len(all: &[Message]) -> usize {
    let inner: usize = all.iter().map(Message::len).sum();
    if all.len() < 2 { inner } else { inner + COMPOUND_HEAD + COMPOUND_EACH * all.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counted by hand from the format: kind, map of two, "SeqNo", 7, "Payload", nil.
    #[test]
    fn lengths_are_those_of_the_format() {
        assert_eq!(Message::Ack { seq: 7 }.len(), 1 + 1 + (1 + 5) + 1 + (1 + 7) + 1);
        let suspect = Rumour::Suspect { incarnation: 1, node: 3, from: 42 };
        assert_eq!(suspect.len(), 1 + 1 + (1 + 11) + 1 + (1 + 4) + (1 + 2) + (1 + 4) + (1 + 3));
        let two = vec![Message::Ack { seq: 7 }, Message::Rumour(suspect)];
        assert_eq!(Message::Compound(two).len(), 18 + 32 + 2 + 2 * 2);
    }
}
