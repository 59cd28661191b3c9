//! The bytes of a hello and of a refusal. What a later version has to add stands behind the fields that are here.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Hello, HelloError, PROTOCOL_MAX, PROTOCOL_MIN, Refusal};
use crate::frame::{FrameError, decode_body, encode_body};
use crate::transport::LinkClass;

/// What stands first in every hello of whatever version, the ones without anything in common included.
#[derive(Debug, Serialize, Deserialize)]
struct Range {
    protocol_min: u16,
    protocol_max: u16,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireHello {
    range: Range,
    pub(super) cluster: String,
    pub(super) node: String,
    pub(super) client: bool,
    pub(super) life: u64,
    pub(super) incarnation: u64,
    pub(super) addr: SocketAddr,
    pub(super) draining: bool,
    pub(super) dial: u64,
    /// 0 control, 1 data, 2 private; what is not known here is a kind of data. The server repeats nothing here: 0.
    class: u8,
    pub(super) facts: Vec<u8>,
    pub(super) meta_version: u32,
    pub(super) proof: Vec<u8>,
}

impl WireHello {
    pub(super) const fn link_class(&self) -> LinkClass {
        match self.class {
            0 => LinkClass::Control,
            2 => LinkClass::Private,
            _ => LinkClass::Data,
        }
    }
}

/// Reads a hello, the range of versions first: the rest of one that has none in common with this side may be anything.
pub(super) fn read(body: &[u8]) -> Result<WireHello, HelloError> {
    let Range { protocol_min, protocol_max } = decode_body("hello", body)?;
    if protocol_min > PROTOCOL_MAX || protocol_max < PROTOCOL_MIN {
        return Err(HelloError::Incompatible { theirs_min: protocol_min, theirs_max: protocol_max });
    }
    Ok(decode_body("hello", body)?)
}

impl Hello {
    pub(super) fn encode(&self, class: LinkClass) -> Vec<u8> {
        encode_body(&WireHello {
            range: Range { protocol_min: PROTOCOL_MIN, protocol_max: PROTOCOL_MAX },
            cluster: self.cluster.to_string(),
            node: self.node.to_string(),
            client: self.client,
            life: self.life.get(),
            incarnation: self.incarnation.get(),
            addr: self.addr,
            draining: self.draining,
            dial: self.dial,
            class: match class {
                LinkClass::Control => 0,
                LinkClass::Data => 1,
                LinkClass::Private => 2,
            },
            facts: self.facts.encode(),
            meta_version: self.meta_version,
            proof: self.proof.clone(),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct WireRefusal {
    /// 0 in words only, 1 draining, 2 the name is taken, 3 full. One that is not known here is a refusal in words.
    code: u8,
    reason: String,
    /// Where the holder of the name answers.
    holder: Option<SocketAddr>,
}

impl Refusal {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (code, reason, holder) = match self {
            Self::Draining => (1, "it is shutting down".to_owned(), None),
            Self::NameTaken { holder } => (2, format!("the name is held by {holder}"), Some(*holder)),
            Self::Full => (3, "it has all the connections it may have".to_owned(), None),
            Self::Other(reason) => (0, reason.clone(), None),
        };
        encode_body(&WireRefusal { code, reason, holder })
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let wire: WireRefusal = decode_body("refusal", body)?;
        Ok(match (wire.code, wire.holder) {
            (1, _) => Self::Draining,
            (2, Some(holder)) => Self::NameTaken { holder },
            (3, _) => Self::Full,
            _ => Self::Other(wire.reason),
        })
    }
}
