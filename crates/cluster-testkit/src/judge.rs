//! The judge: what really was the case, and what must hold of it.
//!
//! The schedule says who ran, who was stopped and which paths were open (`truth`); from that follows who could hear whom and when
//! (`reach`). What the nodes reported (`story`, `links`) is held against it, each promise a check of its own.

mod checks;
mod finding;
mod links;
mod locks;
mod reach;
mod reunions;
mod story;
mod truth;
mod verdicts;
mod views;
mod votes;

pub(crate) use checks::check_all;
pub use finding::Finding;
