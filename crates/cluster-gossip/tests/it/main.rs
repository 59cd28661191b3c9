//! The membership core, driven by hand: every input and output in sight.

mod hand;
mod own;
mod probing;
mod rules;
