//! The judge: what really was the case, and what must hold of it.

mod checks;
mod truth;

pub use checks::Finding;
pub(crate) use checks::check_all;
