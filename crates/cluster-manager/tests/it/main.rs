//! The handle over real QUIC on loopback.

mod blocked;
mod discovery;
mod handle;
mod messages;
mod observed;
mod typed;
