//! Field ownership: who set which field, and what server-side apply makes of it.

mod check;
mod fields;
mod managers;
mod typed;

pub(crate) use check::mismatches;
pub(crate) use managers::{Writer, applied, updated};
