//! What the answers of `check` and `probe` share: their parts for programs, and how they are drawn for people.

mod draw;
mod look;
mod parts;

pub(super) use draw::{about_certificate, findings, verdict};
pub(super) use look::{Look, lines, visible};
pub(super) use parts::{Certificate, Found, Output, Weight, schema_of, time};
