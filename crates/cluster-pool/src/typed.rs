//! Messages and requests with types of their own: serde's form of them, in postcard, on the channel that the type names.
//!
//! postcard carries no names and no lengths that are not needed: both sides must mean the same type by a channel. A type that
//! changes gets a new channel, or is an enum to which variants are added at the end; whoever does not know a variant turns it
//! away, and the sender is told.

use std::future::Future;

use bytes::Bytes;
use cluster_types::{Blame, Blamed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::link::Link;
use crate::peer::{Channel, Message, Received, Reply};
use crate::router::{RouterBuilder, Turned, message_fn, request_fn};

/// A message with a type of its own.
pub trait Typed: Serialize + DeserializeOwned + Send + 'static {
    /// Where it is sent: no other type may have the same.
    const CHANNEL: Channel;
}

/// A request with a type of its own, and that of its reply.
pub trait Ask: Serialize + DeserializeOwned + Send + 'static {
    /// Where it is sent: no other type of request may have the same.
    const CHANNEL: Channel;
    /// What is said to it.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// A value that has no form as bytes, or bytes that are no form of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypedError {
    /// Its `Serialize` says no: for example a sequence whose length is not known before.
    #[error("a {type_name} cannot be written down: {reason}")]
    Encode {
        /// Of the value.
        type_name: &'static str,
        /// What postcard says.
        reason: String,
    },
    /// Both sides mean different things by the channel, or have different versions of the type.
    #[error("{len} bytes are no {type_name}: {reason}; do both sides have the same version of it?")]
    Decode {
        /// Of the value.
        type_name: &'static str,
        /// How many bytes there are.
        len: usize,
        /// What postcard says.
        reason: String,
    },
}

impl Blamed for TypedError {
    fn blame(&self) -> Blame {
        match self {
            Self::Encode { .. } => Blame::CallerMisused,
            Self::Decode { .. } => Blame::PeerIncompatible,
        }
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, TypedError> {
    let encoded = postcard::to_stdvec(value);
    let failed = |e: postcard::Error| TypedError::Encode { type_name: name_of::<T>(), reason: e.to_string() };
    encoded.map(Bytes::from).map_err(failed)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, TypedError> {
    let failed = |reason: String| TypedError::Decode { type_name: name_of::<T>(), len: bytes.len(), reason };
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|e| failed(e.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(failed(format!("{} bytes are left over", rest.len()))) }
}

/// The last part of a type's path, which is what people call it.
fn name_of<T>() -> &'static str {
    let path = std::any::type_name::<T>();
    if path.contains('<') { path } else { path.rsplit("::").next().unwrap_or(path) }
}

impl Message {
    /// A typed message, of normal priority.
    ///
    /// # Errors
    /// It has no form as bytes.
    pub fn of<M: Typed>(message: &M) -> Result<Self, TypedError> {
        Ok(Self::new(M::CHANNEL, encode(message)?))
    }
}

impl Received {
    /// What was sent with [`Message::of`].
    ///
    /// # Errors
    /// The body is no such thing. Whether it came on that type's channel is for the caller to know.
    pub fn read<M: Typed>(&self) -> Result<M, TypedError> {
        decode(&self.body)
    }
}

/// The body of a typed request.
///
/// # Errors
/// It has no form as bytes.
pub fn request_body<R: Ask>(request: &R) -> Result<Bytes, TypedError> {
    encode(request)
}

impl Reply {
    /// The reply to a typed request.
    ///
    /// # Errors
    /// The body is no such thing.
    pub fn read<R: Ask>(&self) -> Result<R::Reply, TypedError> {
        decode(&self.body)
    }
}

impl RouterBuilder {
    /// Handles typed messages. One that cannot be read is turned away, and its sender told why.
    #[must_use]
    pub fn on<M, F, D>(self, handle: F) -> Self
    where
        M: Typed,
        F: Fn(Link, M) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Turned>> + Send + 'static,
    {
        let handler = message_fn(move |from, received: Received| {
            let handled = received.read().map(|message: M| handle(from, message));
            async move {
                match handled {
                    Ok(handling) => handling.await,
                    Err(unreadable) => Err(Turned::away(unreadable.to_string())),
                }
            }
        });
        self.on_message(M::CHANNEL, handler)
    }

    /// Answers typed requests, 64 at once. One that cannot be read is turned away, and whoever asked is told why.
    #[must_use]
    pub fn answer<R, F, D>(self, handle: F) -> Self
    where
        R: Ask,
        F: Fn(Link, R) -> D + Send + Sync + 'static,
        D: Future<Output = Result<R::Reply, Turned>> + Send + 'static,
    {
        let handler = request_fn(move |from, body: Bytes| {
            let handled = decode(&body).map(|request: R| handle(from, request));
            async move {
                let reply = match handled {
                    Ok(handling) => handling.await?,
                    Err(unreadable) => return Err(Turned::away(unreadable.to_string())),
                };
                encode(&reply).map_err(|e| Turned::failed(e.to_string()))
            }
        });
        self.on_request(R::CHANNEL, handler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::Life;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        item: String,
        pieces: u32,
    }

    impl Typed for Order {
        const CHANNEL: Channel = Channel(7);
    }

    fn received(body: impl Into<Bytes>) -> Received {
        let (channel, priority) = (Channel(7), crate::peer::Priority::Normal);
        Received { channel, body: body.into(), priority, life: Life::new(1, 1) }
    }

    #[test]
    fn a_typed_message_is_read_as_it_was_written_and_nothing_else_is() {
        let order = Order { item: "nuts".into(), pieces: 12 };
        let message = Message::of(&order).unwrap();
        assert_eq!(message.channel, Channel(7));
        assert_eq!(received(message.body.clone()).read::<Order>().unwrap(), order);
        let short = received(message.body.slice(..3)).read::<Order>().unwrap_err().to_string();
        assert!(short.starts_with("3 bytes are no Order: "), "{short}");
        let long = received([&message.body[..], b"!!"].concat()).read::<Order>().unwrap_err().to_string();
        assert!(long.contains("8 bytes are no Order: 2 bytes are left over; do both sides"), "{long}");
    }
}
