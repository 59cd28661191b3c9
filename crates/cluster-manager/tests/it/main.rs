//! The handle over real QUIC on loopback.

mod handle;
mod messages;
