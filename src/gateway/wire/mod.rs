//! Which policy a gateway keeps on the wire, whatever its configuration says.
//!
//! rustls neither speaks TLS 1.0 nor the suites that nobody should use any more, so each question is a small
//! ClientHello of our own of which only the first answer is read: the handshake is never
//! finished, no key is agreed on, nothing is sent after it. [`survey`] asks them all, bounded in bytes, time and
//! connections at once; [`judge`] holds what was seen against an [`Expectation`].

mod answer;
mod ask;
mod hello;
mod policy;
mod redirect;
mod suites;
mod survey;

pub use policy::{CHECKS, Expectation, Row, judge};
pub use redirect::Redirect;
pub use suites::{KYMA_SUITES, Suite, SuiteKey, suites};
pub use survey::{Observed, Outcome, Survey, Version, survey};
