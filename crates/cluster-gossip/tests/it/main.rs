//! The membership core, driven by hand: every input and output in sight.

mod accusing;
mod comparing;
mod cores;
mod corpus;
mod departed;
mod explaining;
mod first_release;
mod hand;
mod limits;
mod own;
mod probing;
mod pulse;
mod rules;
mod solitude;
mod together;
mod trust;
mod versions;
