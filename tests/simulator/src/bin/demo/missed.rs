//! What was expected and did not happen.

use std::fmt;

/// A step was not seen to happen.
#[derive(Debug)]
pub(crate) struct Missed {
    /// What should have happened.
    pub(crate) expected: String,
    /// What was seen instead.
    pub(crate) seen: String,
}

impl Missed {
    /// Something else was seen.
    pub(crate) fn new(expected: impl fmt::Display, seen: impl fmt::Display) -> Self {
        Self { expected: expected.to_string(), seen: seen.to_string() }
    }

    /// A call that the demo itself needs has failed.
    pub(crate) fn call(what: &str) -> impl Fn(kube::Error) -> Self + use<'_> {
        move |error| Self::new(what, error)
    }
}

/// Something that either happens or is missed.
pub(crate) type Seen<T> = Result<T, Missed>;
