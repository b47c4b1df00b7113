//! PEM → facts → verdict. Pure: no clock, no I/O, no Kubernetes.
//!
//! [`read`] parses what somebody supplied, once, into [`Facts`]; [`judge`] holds the facts against a
//! [`Context`] (a time, hosts, a gateway's cipher suites, roots) and answers with a [`Verdict`];
//! [`next_change`] says when that answer may change by the mere passing of time.

mod pair;
mod verdict;

pub use pair::{Fingerprint, Pair};
pub use verdict::{Check, Class, Finding, Severity, Verdict};
