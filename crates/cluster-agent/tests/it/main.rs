//! The `cluster` binary as a black box: real processes on loopback, listened to through their standard output.

mod agent;
mod bad_days;
mod commands;
mod life;
mod output;
