//! Rust code as far as tidy reads it: tokens, the items that they make, and what attributes say of these.
//!
//! Text search does not do: a name in a comment, in a string or in a macro's pattern is found just as well as one in the code.
//! A parser of the whole language is not needed either: functions, modules and their attributes are told from the rest by
//! brackets and a few words.

pub(super) mod attributes;
pub(super) mod items;
pub(super) mod tokens;
