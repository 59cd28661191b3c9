//! The `cluster` binary as a black box: real processes on loopback, listened to through their standard output.

#![expect(clippy::disallowed_methods, reason = "waits for other processes are bounded by the real clock")]

mod admin;
mod agent;
mod bad_days;
mod changes;
mod commands;
mod exhaustion;
mod life;
mod measured;
mod network;
mod output;
mod soak;
mod talking;
