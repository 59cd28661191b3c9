//! The `cluster` binary as a black box: real processes on loopback, listened to through their standard output.

#![expect(clippy::disallowed_methods, reason = "waits for other processes are bounded by the real clock")]

mod admin;
mod agent;
mod bad_days;
mod commands;
mod life;
mod measured;
mod output;
mod talking;
