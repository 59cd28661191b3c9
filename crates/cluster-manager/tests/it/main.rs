//! The handle over real QUIC on loopback.

mod blocked;
mod handle;
mod messages;
mod typed;
